/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How a run ended, said to people, scripts and shells: exit code, -result line, triple-fault report.
 *
 * isa-debug-exit makes odd codes only, so our own outcomes are even; 1 stays usage and configuration.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "cpu/insn.h"
#include "cpu/interp.h"
#include "vm/backtrace.h"
#include "vm/containment.h"
#include "vm/vm.h"

enum { FRAMES = 16 };

static const struct {
    const char *name;
    int code;
} outcomes[] = {
    [VM_OUTCOME_NONE] = {"running", 2},
    [VM_OUTCOME_SHUTDOWN] = {"shutdown", 0},
    [VM_OUTCOME_REBOOT] = {"reboot", 0},
    [VM_OUTCOME_QUIT] = {"quit", 0},
    [VM_OUTCOME_DEBUG_EXIT] = {"debug-exit", 1},
    [VM_OUTCOME_INTERNAL] = {"internal-error", 2},
    [VM_OUTCOME_TRIPLE_FAULT] = {"triple-fault", 4},
    [VM_OUTCOME_PANIC] = {"panic", 6},
    [VM_OUTCOME_LIMIT] = {"limit", 8},
    [VM_OUTCOME_HUNG] = {"hung", 12},
};

const char *vm_outcome_name(enum vm_outcome outcome)
{
    return outcomes[outcome].name;
}

const char *vm_state_name(enum vm_state state)
{
    static const char *const names[] = {
        [VM_RUNNING] = "running", [VM_PAUSED] = "paused", [VM_STOPPED] = "stopped"};

    return names[state];
}

int vm_exit_code(const struct vm *vm)
{
    if (vm->outcome == VM_OUTCOME_DEBUG_EXIT) {
        return vm->debug_exit_code;
    }
    return outcomes[vm->outcome].code;
}

/* Only pages that hold something count, with their place: a page of zeros equals one never touched. */
uint64_t vm_memory_hash(const struct vm *vm)
{
    static const uint8_t zeros[PAGE_SIZE];
    XXH3_state_t *state = XXH3_createState();
    uint64_t hash;

    if (!state) {
        return 0;
    }
    XXH3_64bits_reset(state);
    for (uint64_t first, end = 0; ram_next_data(&vm->ram, end, &first, &end);) {
        for (uint64_t frame = first; frame < end; frame++) {
            uint64_t at = frame << PAGE_SHIFT;
            const uint8_t *page = ram_ptr(&vm->ram, at);

            if (memcmp(page, zeros, PAGE_SIZE) != 0) {
                XXH3_64bits_update(state, &at, sizeof(at));
                XXH3_64bits_update(state, page, PAGE_SIZE);
            }
        }
    }
    hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return hash;
}

static json_t *describe_broken(const struct vm *vm)
{
    return json_pack("{s:s, s:s, s:i, s:s}", "name", vm->broken->name, "outcome",
                     vm_outcome_name(vm->outcome), "exit_code", vm_exit_code(vm), "reason", vm->reason);
}

static json_t *describe(const struct vm *vm)
{
    struct timespec now;
    char hash[20];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)vm_memory_hash(vm));
    return json_pack(
        "{s:s, s:s, s:i, s:s, s:I, s:f, s:f, s:s}", "name", vm->config.name, "outcome",
        vm_outcome_name(vm->outcome), "exit_code", vm_exit_code(vm), "reason", vm->reason, "instructions",
        (json_int_t)vm->cpu->insn_count, "guest_seconds", (double)clock_now(&vm->clock) / 1e9, "host_seconds",
        (double)((uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec - vm->host_start_ns) / 1e9,
        "memory_hash", hash);
}

int vm_write_result(const struct vm *vm, const char *path, struct error *error)
{
    json_t *line = vm->broken ? describe_broken(vm) : describe(vm);
    FILE *file;
    int result = 0;

    file = line ? fopen(path, "w") : NULL;
    if (!file || json_dumpf(line, file, JSON_PRESERVE_ORDER) < 0 || fputc('\n', file) == EOF) {
        result = error_set(error, -EIO, "-result: cannot write '%s': %s", path, strerror(errno));
    }
    if (file && fclose(file) != 0 && result == 0) {
        result = error_set(error, -EIO, "-result: cannot write '%s': %s", path, strerror(errno));
    }
    json_decref(line);
    return result;
}

/* ---- the triple fault, explained ---- */

static const char *vector_name(uint8_t vector)
{
    static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9",
                                        "#TS", "#NP", "#SS", "#GP", "#PF", "15",  "#MF", "#AC", "#MC", "#XM"};

    return vector < ARRAY_LEN(names) ? names[vector] : "interrupt";
}

static void explain_gate(FILE *out, struct vcpu *cpu, uint8_t vector)
{
    unsigned size = cpu->cr0 & CR0_PE ? 8 : 4;
    struct pagewalk walk;
    uint8_t gate[8] = {0};
    lin_t linear = cpu->idtr.base + (uint64_t)vector * size;

    fprintf(out, "  IDT base %08llx limit %04x; entry of %s at %08llx", (unsigned long long)cpu->idtr.base,
            cpu->idtr.limit, vector_name(vector), (unsigned long long)linear);
    if (vector * size + size - 1 > cpu->idtr.limit) {
        fprintf(out, ": beyond the limit\n");
    } else if (!pagewalk(&cpu->paging, linear, PAGEWALK_READ, &walk)) {
        fprintf(out, ": not mapped (error code %04x)\n", walk.error_code);
    } else if (!addr_space_peek(cpu->wiring.mem, walk.gpa, gate, size)) {
        fprintf(out, ": not in memory (physical %08llx)\n", (unsigned long long)walk.gpa);
    } else if (size == 4) {
        fprintf(out, ": %04x:%04x\n", load_le16(gate + 2), load_le16(gate));
    } else {
        fprintf(out, ": %08x %08x, %s, type %x, DPL %u, %04x:%08x\n", load_le32(gate + 4), load_le32(gate),
                gate[5] & 0x80 ? "present" : "not present", gate[5] & 0x1f, gate[5] >> 5 & 3,
                load_le16(gate + 2), load_le16(gate) | (uint32_t)load_le16(gate + 6) << 16);
    }
}

static void explain_walk(FILE *out, struct vcpu *cpu, lin_t linear)
{
    struct pagewalk walk;
    bool mapped = pagewalk(&cpu->paging, linear, PAGEWALK_READ, &walk);

    fprintf(out, "  page walk of %08llx (CR3 %08llx):", (unsigned long long)linear,
            (unsigned long long)cpu->cr3);
    for (unsigned i = 0; i < walk.level_count; i++) {
        fprintf(out, " [%08llx]=%08llx", (unsigned long long)walk.level[i].entry_addr,
                (unsigned long long)walk.level[i].entry);
    }
    if (mapped) {
        fprintf(out, " -> physical %08llx\n", (unsigned long long)walk.gpa);
    } else {
        fprintf(out, " -> fault, error code %04x\n", walk.error_code);
    }
}

/* Only if there is a chain: what broke the IDT has often broken the stack, and EIP alone has been said. */
static void explain_calls(FILE *out, const struct vm *vm)
{
    struct backtrace_frame frame[FRAMES];
    unsigned count = backtrace_chain(vm->cpu, vm->symbols, frame, FRAMES, NULL, 0);

    if (count > 1) {
        fprintf(out, "  back trace:\n");
        backtrace_print(out, vm->symbols, frame, count);
    }
}

void vm_explain_shutdown(FILE *out, struct vm *vm)
{
    struct vcpu *cpu = vm->cpu;
    const struct shutdown_report *report = &cpu->shutdown;
    struct insn insn;
    char text[80];

    fprintf(out, "hypatia: triple fault at %04x:%08llx\n  exceptions:", cpu->seg[SEG_CS].selector,
            (unsigned long long)report->rip);
    for (unsigned i = 0; i < report->count && i < ARRAY_LEN(report->vector); i++) {
        fprintf(out, "%s %s (error code %04x)", i ? " ->" : "", vector_name(report->vector[i]),
                report->error_code[i]);
    }
    fprintf(out, " -> shutdown\n");
    if (report->count > 0) {
        explain_gate(out, cpu, report->vector[report->count - 1]);
    }
    if (cpu->cr0 & CR0_PG) {
        explain_walk(out, cpu, report->cr2);
    }
    if (interp_peek(cpu, &insn)) {
        insn_format(&insn, cpu->rip, text, sizeof(text));
        fprintf(out, "  instruction: %s\n", text);
    }
    explain_calls(out, vm);
    vcpu_print(out, cpu);
}
