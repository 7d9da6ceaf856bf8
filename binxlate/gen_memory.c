/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generators: memory operands and the instructions that are copied around them.
 *
 * An operand is reached in one of two ways (docs/shadow-paging.md):
 *
 *   flat table   lea r8d,[...]; shrx r9d,r8d,r13d; mov r9,[r14+r9*8]; op [r9+r8]
 *   window       op gs:[e...], addresses modulo 2^32         in MODE_WINDOW, unless TRAIT_FLAT
 *
 * The window needs no care for operands that cross a page, so in MODE_WINDOW the host does not check alignment. There an
 * operand by the flat table proves first that both of its ends have the same entry, or is the interpreter's.
 *
 * In other modes the host checks. A misaligned operand (TRAIT_MISALIGNED) is accessed byte by byte, or where it is longer than a doubleword with AC
 * clear, if both of its ends lie in frames that follow each other in the host as they do in the guest (one page, mostly); else the interpreter splits it.
 */
#include "binxlate/gen.h"

#include "binxlate/reencode.h"

/* [r9+r8]: the memory at the linear address in r8. Changes r9 only. */
struct host_mem gen_translate(struct gen *g, bool write)
{
    struct emit *e = &g->e;

    emit_shrx32(e, REG_ENTRY, REG_LINEAR, REG_SHIFT);
    emit_load64(e, REG_ENTRY,
                host_mem_index(REG_TABLE, REG_ENTRY, 3, write ? (int32_t)SHADOW_WRITE_OFFSET : 0));
    return host_mem_index(REG_ENTRY, REG_LINEAR, 0, 0);
}

/* Can translated code use this segment for this kind of access? */
bool segment_usable(const struct gen *g, unsigned seg, bool write)
{
    switch (seg) {
    case SEG_FS:
        return g->block->mode & MODE_FS;
    case SEG_GS:
        return g->block->mode & MODE_GS;
    case SEG_CS:
        return !write;
    default:
        return true;
    }
}

/* r8 = linear address of the ModRM or moffs operand. */
static void gen_linear(struct gen *g)
{
    struct emit *e = &g->e;
    unsigned seg = g->insn->seg;

    reencode_lea(e, g->insn, REG_LINEAR);
    if (seg == SEG_FS || seg == SEG_GS) {
        emit_load32(e, REG_ENTRY,
                    cpu_field(offsetof(struct vcpu, seg) + seg * sizeof(struct segment) +
                              offsetof(struct segment, base)));
        emit_lea32(e, REG_LINEAR, host_mem_index(REG_LINEAR, REG_ENTRY, 0, 0));
    }
}

bool gen_uses_window(const struct gen *g)
{
    return (g->block->mode & MODE_WINDOW) && !(g->traits & TRAIT_FLAT);
}

static struct host_mem window_mem(enum host_reg base, int32_t disp)
{
    return (struct host_mem){.base = (uint8_t)base, .index = HOST_NO_REG, .window = true, .disp = disp};
}

void gen_prove_page(struct gen *g, bool write, unsigned size)
{
    struct emit *e = &g->e;
    int32_t half = write ? (int32_t)SHADOW_WRITE_OFFSET : 0;
    struct emit_label together = {0};

    emit_lea32(e, REG_ENTRY, host_mem(REG_LINEAR, (int32_t)size - 1));
    emit_shrx32(e, REG_ENTRY, REG_ENTRY, REG_SHIFT);
    emit_load64(e, REG_ENTRY, host_mem_index(REG_TABLE, REG_ENTRY, 3, half));
    emit_shrx32(e, REG_LINEAR, REG_LINEAR, REG_SHIFT);
    emit_load64(e, REG_LINEAR, host_mem_index(REG_TABLE, REG_LINEAR, 3, half));
    emit_not64(e, REG_LINEAR);
    emit_lea64(e, REG_LINEAR, host_mem_index(REG_LINEAR, REG_ENTRY, 0, 1));
    emit_xchg64(e, HOST_RCX, REG_LINEAR);
    emit_jrcxz(e, &together);
    emit_xchg64(e, HOST_RCX, REG_LINEAR);
    gen_callout_last(g);
    emit_bind(e, &together);
    emit_xchg64(e, HOST_RCX, REG_LINEAR);
}

/* May an operand of this size cross a page unnoticed? */
static bool must_prove_page(const struct gen *g, unsigned size)
{
    return size > 1 && (g->block->mode & MODE_WINDOW) && !gen_uses_window(g);
}

static void gen_place_linear(struct gen *g, enum host_reg reg, int32_t disp)
{
    if (disp) {
        emit_lea32(&g->e, REG_LINEAR, host_mem(reg, disp));
    } else {
        emit_mov32(&g->e, REG_LINEAR, reg);
    }
}

struct host_mem gen_place(struct gen *g, bool write, enum host_reg reg, int32_t disp)
{
    gen_site(g, write, gen_uses_window(g));
    if (gen_uses_window(g)) {
        return window_mem(reg, disp);
    }
    gen_place_linear(g, reg, disp);
    if (must_prove_page(g, sizeof(uint32_t))) {
        gen_prove_page(g, write, sizeof(uint32_t));
        gen_place_linear(g, reg, disp);
    }
    return gen_translate(g, write);
}

struct host_mem gen_operand(struct gen *g, bool write)
{
    const struct insn *insn = g->insn;
    struct host_mem mem;

    gen_site(g, write, gen_uses_window(g));
    if (!gen_uses_window(g)) {
        gen_linear(g);
        if (must_prove_page(g, reencode_memory_size(insn))) {
            gen_prove_page(g, write, reencode_memory_size(insn));
            gen_linear(g);
        }
        return gen_translate(g, write);
    }
    if (insn->seg != SEG_FS && insn->seg != SEG_GS && !gen_sets_x87_pointers(insn) &&
        reencode_window(insn, &mem)) {
        return mem;
    }
    gen_linear(g);
    return window_mem(REG_LINEAR, 0);
}

/* RFLAGS.AC off or on; the other flags stay. */
static void gen_alignment_check(struct gen *g, bool on)
{
    struct emit *e = &g->e;

    emit_pushfq(e);
    if (on) {
        emit_alu_mem_imm32(e, HOST_OR, host_mem(HOST_RSP, 0), (uint32_t)RFLAGS_AC);
    } else {
        emit_alu_mem_imm32(e, HOST_AND, host_mem(HOST_RSP, 0), ~(uint32_t)RFLAGS_AC);
    }
    emit_popfq(e);
}

/*
 * The operand's first and last byte must have the same shadow entry, or the interpreter executes the instruction.
 * What is emitted next is for those that do; `done` is to be bound behind it.
 */
static struct host_mem gen_span(struct gen *g, bool write, struct emit_label *done)
{
    struct emit *e = &g->e;
    int32_t half = write ? (int32_t)SHADOW_WRITE_OFFSET : 0;
    struct emit_label together = {0};

    gen_site(g, write, false);
    gen_linear(g);
    emit_lea32(e, REG_ENTRY, host_mem(REG_LINEAR, (int32_t)reencode_memory_size(g->insn) - 1));
    emit_shrx32(e, REG_ENTRY, REG_ENTRY, REG_SHIFT);
    emit_load64(e, REG_SCRATCH, host_mem_index(REG_TABLE, REG_ENTRY, 3, half));
    struct host_mem mem = gen_translate(g, write);
    emit_not64(e, REG_SCRATCH);
    emit_lea64(e, REG_SCRATCH, host_mem_index(REG_SCRATCH, REG_ENTRY, 0, 1));
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    emit_jrcxz(e, &together);
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    gen_callout(g);
    emit_jmp_label(e, done);
    emit_bind(e, &together);
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    return mem;
}

static void gen_copy_span(struct gen *g, bool write, bool misaligned)
{
    struct emit_label done = {0};
    struct host_mem mem = gen_span(g, write, &done);

    if (misaligned) {
        gen_alignment_check(g, false);
    }
    reencode(&g->e, g->insn, &mem);
    if (misaligned) {
        gen_alignment_check(g, true);
    }
    gen_x87_pointers(g);
    emit_bind(&g->e, &done);
}

/* A quadword that is aligned to 4 bytes, as the i386 ABI lays doubles out: it passes through the stack. */
static void gen_copy_halves(struct gen *g, bool write)
{
    struct emit *e = &g->e;
    struct emit_label done = {0};
    struct host_mem low = gen_span(g, write, &done), high = low;
    struct host_mem slot = host_mem(HOST_RSP, STACK_SLOT);

    high.disp += 4;
    emit_load32(e, REG_SCRATCH,
                low); /* a store: may it be written? An instruction that pops cannot be undone */
    if (!write) {
        emit_load32(e, REG_ENTRY, high);
        emit_rorx64(e, REG_ENTRY, REG_ENTRY, 32);
        emit_lea64(e, REG_SCRATCH, host_mem_index(REG_SCRATCH, REG_ENTRY, 0, 0));
        emit_store64(e, slot, REG_SCRATCH);
    }
    reencode(e, g->insn, &slot);
    if (write) {
        emit_load64(e, REG_SCRATCH, slot);
        emit_store32(e, low, REG_SCRATCH);
        emit_rorx64(e, REG_SCRATCH, REG_SCRATCH, 32);
        emit_store32(e, high, REG_SCRATCH);
    }
    gen_x87_pointers(g);
    emit_bind(e, &done);
}

/*
 * A word or doubleword anywhere: its bytes are gathered in the stack slot, which the instruction gets as its operand, and
 * spread again. Switching AC off and on would cost several times as much. The first byte that is touched is the one that may fault, before
 * anything has happened; the others share its entry.
 */
static void gen_copy_bytes(struct gen *g, unsigned access)
{
    struct emit *e = &g->e;
    struct emit_label done = {0};
    unsigned size = reencode_memory_size(g->insn);
    struct host_mem mem = gen_span(g, access & REENCODE_WRITE, &done);
    struct host_mem slot = host_mem(HOST_RSP, STACK_SLOT);

    if (access & REENCODE_READ) {
        for (unsigned i = size; i-- > 0;) {
            mem.disp = (int32_t)i;
            emit_load8(e, REG_SCRATCH, mem);
            if (i > 0) {
                emit_rorx32(e, REG_SCRATCH, REG_SCRATCH, 24);
            }
        }
        emit_store32(e, slot, REG_SCRATCH);
    } else {
        emit_load8(e, REG_SCRATCH, mem); /* may it be written? */
    }
    reencode(e, g->insn, &slot);
    if (access & REENCODE_WRITE) {
        emit_load32(e, REG_SCRATCH, slot);
        for (unsigned i = 0; i < size; i++) {
            mem.disp = (int32_t)i;
            emit_store8(e, mem, REG_SCRATCH);
            if (i + 1 < size) {
                emit_rorx32(e, REG_SCRATCH, REG_SCRATCH, 8);
            }
        }
    }
    gen_x87_pointers(g);
    emit_bind(e, &done);
}

static void gen_copy_memory(struct gen *g, unsigned access)
{
    bool write = access & REENCODE_WRITE;
    unsigned size = reencode_memory_size(g->insn);
    bool misaligned = g->traits & (TRAIT_MISALIGNED | TRAIT_HALVES),
         checked = !(g->block->mode & MODE_WINDOW);

    if (misaligned && !(g->traits & TRAIT_MISALIGNED) && size == 8 && fpu_insn(g->insn)) {
        gen_copy_halves(g, write);
    } else if (misaligned && size <= 4) {
        gen_copy_bytes(g, access);
    } else if (misaligned) {
        gen_copy_span(g, write, true);
    } else if (checked && size > 8 && (size != 16 || (g->insn->opcode->flags & OPF_UNALIGNED))) {
        gen_copy_span(g, write, false); /* the host need not notice that these are misaligned */
    } else {
        struct host_mem mem = gen_operand(g, write);
        reencode(&g->e, g->insn, &mem);
        gen_x87_pointers(g);
    }
}

void gen_copy(struct gen *g)
{
    unsigned access = reencode_memory_access(g->insn);

    if (!access) {
        reencode(&g->e, g->insn, NULL);
        gen_x87_pointers(g);
    } else if (segment_usable(g, g->insn->seg, access & REENCODE_WRITE)) {
        gen_copy_memory(g, access);
    } else {
        gen_callout(g);
    }
}
