/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The judge's report: a step that differed is taken back and run again with ever other lengths and breaks, until the
 * part of it is known that makes the difference, which is one block as a rule. Then
 *
 *   the interpreter's way through that part, disassembled
 *   each block on the way as the translator made it: host bytes, one line a guest instruction
 *   the processor before, as the interpreter left it, and those lines of it in which the translator's differs
 *
 * A step is taken back as far as its writes are known. What translated code wrote to other frames stays, and so do the
 * blocks, chains and traits that it left: a difference may not come back. The report then says so.
 *
 * Not done: disassembling host code, which would take a disassembler down here. The bytes are those that
 * `objdump -D -b binary -m i386:x86-64` wants.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "binxlate/check_state.h"
#include "cpu/interp.h"

enum { WAY_MAX = 80, BLOCKS_MAX = 8, INSN_BYTES_MAX = 15 };

/* ---- Narrowing ------------------------------------------------------------------------------------------ */

static void run_both(struct check *check, uint64_t insns)
{
    if (insns) {
        check_run_twin(check, insns);
        check_run_machine(check, insns);
    }
}

/* Run the step again up to instruction `end`, with a break at `from`. True: then there is a difference. */
static bool differs_after(struct check *check, uint64_t from, uint64_t end)
{
    check_rewind(check);
    run_both(check, from);
    run_both(check, end - from);
    return !check_compare(check);
}

/* The shortest beginning of the step that differs: as a rule a block has just ended there, because the last
 * instructions of a budget, too few for their block, are interpreted. 0: the difference does not come back. */
static uint64_t find_end(struct check *check, uint64_t insns)
{
    uint64_t good = 0, bad = insns;

    if (!differs_after(check, 0, insns)) {
        return 0;
    }
    while (bad > good + 1) {
        uint64_t middle = good + (bad - good) / 2;
        if (differs_after(check, 0, middle)) {
            bad = middle;
        } else {
            good = middle;
        }
    }
    return bad;
}

/* The last place from which on it still comes to a difference at `end`: where that block begins. */
static uint64_t find_start(struct check *check, uint64_t end)
{
    uint64_t low = 0, high = end;

    while (high > low + 1) {
        uint64_t middle = low + (high - low) / 2;
        if (differs_after(check, middle, end)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- Guest code ----------------------------------------------------------------------------------------- */

struct way {
    uint32_t linear[WAY_MAX];
    unsigned count;
};

static void print_insn(struct check *check, struct vcpu *cpu)
{
    char hex[32] = "", text[96] = "(the fetch faults)";
    struct insn insn;

    if (interp_peek(cpu, &insn)) {
        insn_format(&insn, cpu->rip, text, sizeof(text));
        for (unsigned i = 0; i < insn.length; i++) {
            snprintf(hex + 2 * i, 3, "%02x", insn.bytes[i]);
        }
    }
    fprintf(check->report, "    %04x:%08x  %-30s  %s\n", cpu->seg[SEG_CS].selector, (uint32_t)cpu->rip, hex,
            text);
}

/* The twin stands at the start of the part: walk it through `insns` instructions. */
static void print_way(struct check *check, uint64_t insns, struct way *way)
{
    struct vcpu *cpu = check->twin.cpu;
    uint64_t end = cpu->insn_count + insns, before;

    fprintf(check->report, "  the interpreter's way, %" PRIu64 " instructions:\n", insns);
    do {
        before = cpu->insn_count;
        if (way->count < WAY_MAX) {
            way->linear[way->count++] = (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
            print_insn(check, cpu);
        }
    } while (interp_run(cpu, 1) == VCPU_EXIT_BUDGET && cpu->insn_count < end && cpu->insn_count > before);
}

/* ---- Host code ------------------------------------------------------------------------------------------ */

/* Bytes of the instruction at `offset` from the block's start; one that crosses the page has its end elsewhere. */
static unsigned guest_bytes(const struct check *check, const struct block *block, int offset, uint8_t *bytes)
{
    const struct ram *ram = check->cpu->wiring.mem->ram;
    roff_t at = block->roff + (roff_t)(int64_t)offset;
    unsigned count = (unsigned)MIN((roff_t)INSN_BYTES_MAX, PAGE_SIZE - (at & PAGE_OFFSET_MASK));
    unsigned more = MIN((unsigned)block->tail, INSN_BYTES_MAX - count);

    memcpy(bytes, ram_ptr(ram, at), count);
    if (more) {
        memcpy(bytes + count, ram_ptr(ram, block->tail_roff), more);
    }
    return count + more;
}

static void print_guest_insn(const struct check *check, const struct block *block, int offset)
{
    uint32_t linear = block->linear + (uint32_t)offset;
    uint8_t bytes[INSN_BYTES_MAX];
    struct insn insn;
    char text[96];

    insn_decode(bytes, guest_bytes(check, block, offset, bytes), true, check->cpu->features, &insn);
    insn_format(&insn, linear, text, sizeof(text));
    fprintf(check->report, "    %08x  %s\n", linear, text);
}

static void print_host_bytes(const struct check *check, const struct block *block, size_t from, size_t to)
{
    fprintf(check->report, "              ");
    for (size_t at = from; at < to; at++) {
        fprintf(check->report, "%02x", block->code[at]);
    }
    fprintf(check->report, "\n");
}

static void print_block(const struct check *check, const struct block *block)
{
    unsigned shown = UINT32_MAX;

    fprintf(check->report, "  block %08x, mode %x, %u instructions%s, host code at %p:\n", block->linear,
            block->mode, block->count, block->dead ? ", dropped since" : "",
            code_exec(check->x, block->code));
    print_host_bytes(check, block, 0, block->site_count ? block->sites[0].host : block->code_size);
    for (unsigned i = 0; i < block->site_count; i++) {
        const struct site *site = &block->sites[i];
        if (site->index != shown) {
            print_guest_insn(check, block, site->guest);
            shown = site->index;
        }
        print_host_bytes(check, block, site->host,
                         i + 1 < block->site_count ? block->sites[i + 1].host : block->code_size);
    }
}

static bool on_way(const struct way *way, uint32_t linear)
{
    for (unsigned i = 0; i < way->count; i++) {
        if (way->linear[i] == linear) {
            return true;
        }
    }
    return false;
}

/* Those blocks that begin on the way, the last made first. */
static void print_blocks(const struct check *check, const struct way *way)
{
    const struct binxlate *x = check->x;
    unsigned printed = 0;

    for (size_t i = x->block_count; i-- > 0 && printed < BLOCKS_MAX;) {
        if (on_way(way, x->blocks[i]->linear)) {
            print_block(check, x->blocks[i]);
            printed++;
        }
    }
    if (!printed) {
        fprintf(check->report,
                "  no translated block begins there: the interpreter's functions executed it\n");
    }
}

/* ---- Processors ----------------------------------------------------------------------------------------- */

/* vcpu_print() as text; the caller frees it. */
static char *state_text(const struct vcpu *cpu)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (out) {
        vcpu_print(out, cpu);
        fclose(out);
    }
    return text;
}

/* The lines of `b` that are not those of `a`. */
static void print_changed_lines(FILE *out, const char *a, const char *b)
{
    while (*a && *b) {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        if (la != lb || memcmp(a, b, la) != 0) {
            fprintf(out, "    %.*s\n", (int)lb, b);
        }
        a += la + (a[la] != 0);
        b += lb + (b[lb] != 0);
    }
}

static void print_state(FILE *out, const char *name, const struct vcpu *cpu, const struct vcpu *base)
{
    char *text = state_text(cpu), *other = base ? state_text(base) : NULL;

    fprintf(out, "  %s (insn %" PRIu64 ", EIP %08x):\n", name, cpu->insn_count, (uint32_t)cpu->rip);
    if (text && other) {
        print_changed_lines(out, other, text);
    } else if (text) {
        fputs(text, out);
    }
    free(text);
    free(other);
}

/* ---- The report ----------------------------------------------------------------------------------------- */

void check_explain(struct check *check, uint64_t insns)
{
    FILE *out = check->report;
    struct way way = {.count = 0};
    char first[sizeof(check->text)];

    memcpy(first, check->text, sizeof(first));
    fprintf(out,
            "translator check: %s\n  in a step of %" PRIu64 " instructions from insn %" PRIu64 ", EIP %08x\n",
            check->text, insns, check->before->insn_count, (uint32_t)check->before->rip);
    uint64_t end = find_end(check, insns), start = 0;
    if (end) {
        start = find_start(check, end);
        differs_after(check, start, end);
        fprintf(out, "  narrowed to instructions %" PRIu64 " to %" PRIu64 " of it: %s\n", start + 1, end,
                check->text);
        memcpy(first, check->text, sizeof(first));
    } else {
        fprintf(out, "  it does not come back when the step is run again: the whole step follows\n");
        end = insns;
    }
    check_rewind(check);
    run_both(check, start);
    print_state(out, "before", check->twin.cpu, NULL);
    memcpy(check->start, check->twin.cpu, sizeof(*check->start));
    print_way(check, end - start, &way);
    print_blocks(check, &way);
    differs_after(check, start, end);
    print_state(out, "interpreter, what has changed", check->twin.cpu, check->start);
    print_state(out, "translator, what is different", check->cpu, check->twin.cpu);
    memcpy(check->text, first, sizeof(first));
    fflush(out);
}
