/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lines for the log. See cpu/trace.h.
 *
 * The depth of a call is found from ESP: calls whose return addresses lie at or below the new one have ended, by whatever
 * way. A stack that is far from the last one belongs to somebody else, whose calls begin at the left margin.
 */
#include "cpu/trace.h"

#include <inttypes.h>
#include <stdio.h>

enum { INSN_BYTES_MAX = 15, STACK_REACH = 16384 };

void trace_insn(const struct vcpu *cpu, uint32_t category, uint64_t rip, const struct insn *insn)
{
    char text[96], hex[2 * INSN_BYTES_MAX + 1] = "";

    for (unsigned i = 0; i < insn->length; i++) {
        snprintf(hex + 2 * i, 3, "%02x", insn->bytes[i]);
    }
    insn_format(insn, rip, text, sizeof(text));
    log_printf(cpu->wiring.log, category, "%04x:%08x  %-22s %s\n", cpu->seg[SEG_CS].selector, (uint32_t)rip,
               hex, text);
}

/* " <schedule+0x12>" after an address, if somebody knows its name. */
static const char *name_of(const struct vcpu *cpu, uint32_t linear, char *text, size_t size)
{
    const struct log *log = cpu->wiring.log;
    char name[80] = "";

    if (log->name) {
        log->name(log->name_opaque, linear, name, sizeof(name));
    }
    snprintf(text, size, *name ? " <%s>" : "%s", name);
    return text;
}

/* CALL rel, CALL far, FF /2 and /3. */
static bool is_call(const struct insn *insn)
{
    unsigned byte = insn->opcode->byte;

    if (insn->opcode->map != MAP_1BYTE) {
        return false;
    }
    return byte == 0xe8 || byte == 0x9a || (byte == 0xff && (insn->reg == 2 || insn->reg == 3));
}

void trace_call(struct vcpu *cpu, uint64_t rip, const struct insn *insn)
{
    struct call_trace *calls = &cpu->calls;
    uint32_t esp = (uint32_t)(cpu->seg[SEG_SS].base + cpu->gpr[RSP]);
    char callee[96], caller[96];

    if (!is_call(insn)) {
        return;
    }
    while (calls->depth > 0 && calls->esp[calls->depth - 1] <= esp) {
        calls->depth--;
    }
    if (calls->depth > 0 && calls->esp[calls->depth - 1] - esp > STACK_REACH) {
        calls->depth = 0;
    }
    log_printf(cpu->wiring.log, LOG_CALLS, "%10" PRIu64 "  %*scall %04x:%08x%s from %08x%s\n",
               cpu->insn_count, 2 * (int)calls->depth, "", cpu->seg[SEG_CS].selector, (uint32_t)cpu->rip,
               name_of(cpu, (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip), callee, sizeof(callee)),
               (uint32_t)rip, name_of(cpu, (uint32_t)(cpu->seg[SEG_CS].base + rip), caller, sizeof(caller)));
    if (calls->depth < CALL_TRACE_DEPTH) {
        calls->esp[calls->depth++] = esp;
    }
}

void trace_event(const struct vcpu *cpu, enum event_kind kind, uint8_t vector, bool has_error,
                 uint32_t error_code)
{
    static const char *const names[] = {
        [EVENT_EXCEPTION] = "exception",
        [EVENT_SOFTWARE] = "software interrupt",
        [EVENT_EXTERNAL] = "interrupt",
        [EVENT_NMI] = "NMI",
    };
    uint32_t category = kind == EVENT_EXCEPTION ? LOG_EXCEPTIONS : LOG_INTERRUPTS;
    char detail[48] = "";

    if (!tracing(cpu, category)) {
        return;
    }
    if (has_error) {
        snprintf(detail, sizeof(detail), " error %04" PRIx32, error_code);
    }
    if (kind == EVENT_EXCEPTION && vector == EXC_PF) {
        size_t used = strlen(detail);

        snprintf(detail + used, sizeof(detail) - used, " CR2 %08" PRIx32, (uint32_t)cpu->cr2);
    }
    log_printf(cpu->wiring.log, category, "%10" PRIu64 "  %s %02x%s at %04x:%08x CPL %u, EAX %08" PRIx32 "\n",
               cpu->insn_count, names[kind], vector, detail, cpu->seg[SEG_CS].selector, (uint32_t)cpu->rip,
               cpu->cpl, reg32(cpu, RAX));
}

void trace_port(const struct vcpu *cpu, bool write, uint16_t port, unsigned size, uint32_t value)
{
    log_printf(cpu->wiring.log, LOG_IO, "%10" PRIu64 "  %s port %04x %s %0*" PRIx32 " at %04x:%08x\n",
               cpu->insn_count, write ? "write" : "read ", port, write ? "<-" : "->", (int)size * 2, value,
               cpu->seg[SEG_CS].selector, (uint32_t)cpu->rip);
}

void trace_device(const struct vcpu *cpu, bool write, gpa_t gpa, unsigned size, uint64_t value)
{
    const struct addr_space *mem = cpu->wiring.mem;
    const struct flat_range *range = gpa <= mem->last ? addr_space_find(mem, gpa) : NULL;
    const struct region *region = range ? (write ? range->write : range->read) : NULL;

    log_printf(cpu->wiring.log, LOG_IO,
               "%10" PRIu64 "  %s %09" PRIx64 " (%s) %s %0*" PRIx64 " at %04x:%08x\n", cpu->insn_count,
               write ? "write" : "read ", gpa, region ? region->name : "nothing", write ? "<-" : "->",
               (int)size * 2, value, cpu->seg[SEG_CS].selector, (uint32_t)cpu->rip);
}

void trace_page_fault(const struct vcpu *cpu, lin_t linear, uint32_t error_code)
{
    log_printf(cpu->wiring.log, LOG_MMU, "%10" PRIu64 "  #PF %08x error %04" PRIx32 " at %04x:%08x\n",
               cpu->insn_count, (uint32_t)linear, error_code, cpu->seg[SEG_CS].selector, (uint32_t)cpu->rip);
}

void trace_flush(const struct vcpu *cpu, const char *what, uint64_t value)
{
    log_printf(cpu->wiring.log, LOG_MMU, "%10" PRIu64 "  %s %08" PRIx64 " at %04x:%08x\n", cpu->insn_count,
               what, value, cpu->seg[SEG_CS].selector, (uint32_t)cpu->rip);
}
