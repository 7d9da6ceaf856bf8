/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Generators: copied instructions, the stack, near transfers; everything else is a call-out.
 *
 * The head of a block:
 *
 *   indirect:  r8 == linear and the mode is the block's?        else find the block of r8
 *   verified:  fetch entry of the block's page as expected?     else find out why
 *   body:      lea r11,[r11-count]
 *              shrx r8,r11,r13; mov r8d,[rsp+r8*8]              the poll
 *
 * The poll: the shift leaves 0 while r11 >= 0 and 2^20 - 1 once it is negative, and then the load lies 8 MiB above the
 * stack, in its guard. The fault gives the block's length back to r11 and leaves: blocks run whole or not at all.
 *
 * A misaligned operand (TRAIT_MISALIGNED) is accessed with AC clear, if both of its ends lie in frames that follow each
 * other in the host as they do in the guest (one page, mostly); else the interpreter splits it.
 *
 * SDM: Volume 2; Volume 1, "Procedure Calls, Interrupts, and Exceptions".
 */
#include "binxlate/gen.h"

#include "binxlate/reencode.h"
#include "cpu/exec.h"

static struct host_mem cpu_field(size_t offset)
{
    return host_mem(REG_CPU, (int32_t)offset);
}

/* ---- The head ------------------------------------------------------------------------------------------- */

/* Compare without flags: the value that RCX holds must be 0; RCX itself waits in r10. */
static void gen_require_zero(struct gen *g, const void *otherwise)
{
    struct emit *e = &g->e;
    struct emit_label good = {0};

    emit_jrcxz(e, &good);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
    emit_jmp(e, otherwise);
    emit_bind(e, &good);
}

static uint64_t expected_entry(const struct gen *g)
{
    const struct ram *ram = g->x->cpu->wiring.mem->ram;
    uint8_t *page = ram_ptr(ram, ALIGN_DOWN(g->block->roff, PAGE_SIZE));

    return (uint64_t)(uintptr_t)page - (g->block->linear & ~(uint32_t)PAGE_OFFSET_MASK);
}

static void gen_poll(struct gen *g)
{
    struct emit *e = &g->e;

    emit_lea64(e, REG_LEFT, host_mem(REG_LEFT, -(int32_t)g->block->count));
    emit_shrx64(e, HOST_R8, REG_LEFT, REG_SHIFT);
    emit_load32(e, HOST_R8, host_mem_index(HOST_RSP, HOST_R8, 3, 0));
}

/* Leave with rip = the block's address. */
static void gen_exit_stub(struct gen *g, enum exit_reason reason)
{
    emit_store_imm32(&g->e, cpu_field(offsetof(struct vcpu, rip)), g->block->linear);
    emit_jmp(&g->e, g->x->exit[reason]);
}

void gen_head(struct gen *g)
{
    struct emit *e = &g->e;
    struct block *block = g->block;
    uint32_t page = block->linear >> PAGE_SHIFT;
    struct emit_label mapping = {0};

    const void *changed = emit_here(e);
    gen_exit_stub(g, EXIT_VERIFY);
    block->gone = emit_here(e);
    emit_mov_imm64(e, REG_ENTRY, (uint64_t)(uintptr_t)block);
    gen_exit_stub(g, EXIT_GONE);

    emit_align(e, 16);
    block->indirect = e->at;
    emit_mov64(e, REG_SCRATCH, HOST_RCX);
    emit_lea32(
        e, HOST_RCX,
        host_mem_index(REG_LINEAR, REG_SHIFT, 0, -(int32_t)(block->linear + SHIFT_OF_MODE(block->mode))));
    emit_jrcxz(e, &mapping);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
    emit_jmp(e, g->x->exit_indirect);

    block->verified = e->at;
    emit_mov64(e, REG_SCRATCH, HOST_RCX);
    emit_bind(e, &mapping);
    emit_load64(e, HOST_RCX, host_mem(REG_TABLE, (int32_t)(SHADOW_FETCH_OFFSET + page * sizeof(uint64_t))));
    emit_mov_imm64(e, HOST_R9, 0 - expected_entry(g));
    emit_lea64(e, HOST_RCX, host_mem_index(HOST_RCX, HOST_R9, 0, 0));
    gen_require_zero(g, changed);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);

    block->body = e->at;
    gen_poll(g);
}

/* ---- Sites ---------------------------------------------------------------------------------------------- */

/* From here on, a fault belongs to the current instruction and is an access of this kind. */
static void gen_site(struct gen *g, bool write)
{
    struct site *last = g->site_count ? &g->sites[g->site_count - 1] : NULL;
    uint16_t host = (uint16_t)(g->e.at - g->block->code);

    if (last && last->index == g->index && last->host == host) {
        last->write = write;
        return;
    }
    g->sites[g->site_count++] = (struct site){
        .host = host,
        .guest = (uint16_t)(g->linear - g->block->linear),
        .index = (uint8_t)g->index,
        .write = write,
    };
}

/* ---- Call-outs ------------------------------------------------------------------------------------------ */

/* The interpreter's function executes the instruction; goes on behind the call-out unless `last`. */
static void gen_callout_to(struct gen *g, bool last)
{
    struct callout *callout = arena_alloc(&g->x->arena, sizeof(*callout));

    if (!callout) {
        g->no_memory = true;
        return;
    }
    callout->block = g->block;
    callout->index = (uint8_t)g->index;
    callout->next = g->linear + g->insn->length;
    callout->insn = *g->insn;
    emit_mov_imm64(&g->e, REG_ENTRY, (uint64_t)(uintptr_t)callout);
    emit_jmp(&g->e, g->x->exit[EXIT_CALLOUT]);
    callout->resume = last ? NULL : emit_here(&g->e);
}

static void gen_callout(struct gen *g)
{
    gen_callout_to(g, gen_ends_block(g->insn));
}

/* ---- Memory operands ------------------------------------------------------------------------------------ */

/* [r9+r8]: the memory at the linear address in r8. Changes r9 only. */
static struct host_mem gen_translate(struct gen *g, bool write)
{
    struct emit *e = &g->e;

    emit_shrx32(e, REG_ENTRY, REG_LINEAR, REG_SHIFT);
    emit_load64(e, REG_ENTRY,
                host_mem_index(REG_TABLE, REG_ENTRY, 3, write ? (int32_t)SHADOW_WRITE_OFFSET : 0));
    return host_mem_index(REG_ENTRY, REG_LINEAR, 0, 0);
}

/* Can translated code use this segment for this kind of access? */
static bool segment_usable(const struct gen *g, unsigned seg, bool write)
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

static struct host_mem gen_operand(struct gen *g, bool write)
{
    gen_site(g, write);
    gen_linear(g);
    return gen_translate(g, write);
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

/* What sets FIP, FOP and FDP: all of x87 but the control instructions, which have functions of their own. */
static void gen_x87_pointers(struct gen *g)
{
    struct emit *e = &g->e;
    const struct insn *insn = g->insn;
    size_t x87 = offsetof(struct vcpu, x87);

    if (insn->exec != exec_x87) {
        return;
    }
    emit_store_imm32(e, cpu_field(x87 + offsetof(struct x87_pointers, fip)), g->linear);
    emit_store_imm16(e, cpu_field(x87 + offsetof(struct x87_pointers, fop)),
                     (uint16_t)((insn->opcode->byte & 7) << 8 | insn->modrm));
    if (insn->memory) {
        emit_store32(e, cpu_field(x87 + offsetof(struct x87_pointers, linear)), REG_LINEAR);
        emit_store_imm16(e, cpu_field(x87 + offsetof(struct x87_pointers, seg)), insn->seg);
    }
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

    gen_site(g, write);
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

static void gen_copy_memory(struct gen *g, unsigned access)
{
    bool write = access & REENCODE_WRITE;
    unsigned size = reencode_memory_size(g->insn);

    if ((g->traits & TRAIT_HALVES) && !(g->traits & TRAIT_MISALIGNED) && size == 8 && fpu_insn(g->insn)) {
        gen_copy_halves(g, write);
    } else if (g->traits & (TRAIT_MISALIGNED | TRAIT_HALVES)) {
        gen_copy_span(g, write, true);
    } else if (size > 8 && (size != 16 || (g->insn->opcode->flags & OPF_UNALIGNED))) {
        gen_copy_span(g, write, false); /* the host need not notice that these are misaligned */
    } else {
        struct host_mem mem = gen_operand(g, write);
        reencode(&g->e, g->insn, &mem);
        gen_x87_pointers(g);
    }
}

static void gen_copy(struct gen *g)
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

/* ---- x87, MMX, SSE -------------------------------------------------------------------------------------- */

static bool is_fldcw(const struct insn *insn)
{
    return insn->opcode->map == MAP_1BYTE && insn->opcode->byte == 0xd9 && insn->memory && insn->reg == 5;
}

/* A control word that masks all exceptions (bits 5-0) is loaded; others are the interpreter's. */
static void gen_fldcw(struct gen *g)
{
    struct emit *e = &g->e;
    struct emit_label masked = {0}, done = {0};
    struct host_mem mem = gen_operand(g, false);

    emit_load_zx16(e, REG_SCRATCH, mem);
    emit_not32(e, REG_SCRATCH);
    emit_rorx32(e, REG_SCRATCH, REG_SCRATCH, 6);         /* 5-0 to 31-26 */
    emit_shrx32(e, REG_SCRATCH, REG_SCRATCH, REG_SHIFT); /* to 19-14 */
    emit_rorx32(e, REG_SCRATCH, REG_SCRATCH, 14);        /* to 5-0 */
    emit_movzx8(e, REG_SCRATCH, REG_SCRATCH);
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    emit_jrcxz(e, &masked);
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    gen_callout(g);
    emit_jmp_label(e, &done);
    emit_bind(e, &masked);
    emit_xchg64(e, HOST_RCX, REG_SCRATCH);
    reencode(e, g->insn, &mem);
    emit_bind(e, &done);
}

/*
 * CVTPI2PS, CVTPS2PI and their like begin to use the MMX registers before they raise #XM, and then the x87 unit's state
 * has changed although the instruction faults; the interpreter's does not.
 */
static bool converts_mmx(const struct insn *insn)
{
    const struct opcode *row = insn->opcode;

    return row->map == MAP_0F && (row->byte == 0x2a || row->byte == 0x2c || row->byte == 0x2d) &&
           (row->prefix == OPP_NP || row->prefix == 0x66);
}

static void gen_fpu(struct gen *g)
{
    const struct insn *insn = g->insn;
    unsigned mode = g->block->mode;
    bool possible = (mode & MODE_FPU) && (!(insn->opcode->flags & OPF_SSE) || (mode & MODE_SSE));

    if (!possible || !reencode_supported(insn) || insn->exec == exec_fninit || converts_mmx(insn)) {
        gen_callout(g);
    } else if (!is_fldcw(insn)) {
        gen_copy(g);
    } else if (segment_usable(g, insn->seg, false) && !g->traits) {
        gen_fldcw(g);
    } else {
        gen_callout(g);
    }
}

/* ---- Stack ---------------------------------------------------------------------------------------------- */

static enum host_reg host_gpr(unsigned n)
{
    return n == RSP ? REG_ESP : (enum host_reg)n;
}

/* [r9+r8]: the next doubleword to push; then gen_push_done(). */
static struct host_mem gen_push_place(struct gen *g)
{
    gen_site(g, true);
    emit_lea32(&g->e, REG_LINEAR, host_mem(REG_ESP, -4));
    return gen_translate(g, true);
}

static void gen_push_done(struct gen *g)
{
    emit_mov32(&g->e, REG_ESP, REG_LINEAR);
}

/* [r9+r8]: the doubleword on top of the stack. */
static struct host_mem gen_pop_place(struct gen *g)
{
    gen_site(g, false);
    emit_mov32(&g->e, REG_LINEAR, REG_ESP);
    return gen_translate(g, false);
}

static void gen_push_reg(struct gen *g, enum host_reg reg)
{
    struct host_mem place = gen_push_place(g);

    emit_store32(&g->e, place, reg);
    gen_push_done(g);
}

static void gen_push_imm(struct gen *g, uint32_t imm)
{
    struct host_mem place = gen_push_place(g);

    emit_store_imm32(&g->e, place, imm);
    gen_push_done(g);
}

static void gen_push_memory(struct gen *g)
{
    struct host_mem from = gen_operand(g, false);

    emit_load32(&g->e, REG_SCRATCH, from);
    gen_push_reg(g, REG_SCRATCH);
}

static void gen_pop_reg(struct gen *g, enum host_reg reg)
{
    struct host_mem place = gen_pop_place(g);

    if (reg == REG_ESP) {
        emit_load32(&g->e, REG_ESP, place);
    } else {
        emit_load32(&g->e, reg, place);
        emit_lea32(&g->e, REG_ESP, host_mem(REG_ESP, 4));
    }
}

static void gen_leave(struct gen *g)
{
    gen_site(g, false);
    emit_mov32(&g->e, REG_LINEAR, HOST_RBP);
    struct host_mem place = gen_translate(g, false);
    emit_load32(&g->e, HOST_RBP, place);
    emit_lea32(&g->e, REG_ESP, host_mem(REG_LINEAR, 4));
}

/* ---- String instructions without REP --------------------------------------------------------------------- */

static unsigned string_size(const struct insn *insn)
{
    return insn->opcode->byte & 1 ? insn->opsize : 1;
}

/* r8 = the operand's address, `entry` = its shadow entry; proves that the access will not fault, and changes r8. */
static void gen_string_operand(struct gen *g, enum host_reg pointer, enum host_reg entry, bool write)
{
    struct emit *e = &g->e;
    unsigned size = string_size(g->insn);

    gen_site(g, write);
    emit_mov32(e, REG_LINEAR, pointer);
    emit_shrx32(e, entry, REG_LINEAR, REG_SHIFT);
    emit_load64(e, entry, host_mem_index(REG_TABLE, entry, 3, write ? (int32_t)SHADOW_WRITE_OFFSET : 0));
    struct host_mem mem = host_mem_index(entry, REG_LINEAR, 0, 0);
    if (size == 4) {
        emit_load32(e, REG_LINEAR, mem);
    } else if (size == 2) {
        emit_load16(e, REG_LINEAR, mem);
    } else {
        emit_load8(e, REG_LINEAR, mem);
    }
}

/* pointer becomes a host address, or a linear one again. */
static void gen_rebase(struct gen *g, enum host_reg pointer, enum host_reg entry)
{
    emit_lea64(&g->e, pointer, host_mem_index(pointer, entry, 0, 0));
}

static void gen_rebase_back(struct gen *g, enum host_reg pointer, enum host_reg entry)
{
    emit_not64(&g->e, entry);
    emit_lea64(&g->e, pointer, host_mem_index(pointer, entry, 0, 1)); /* minus the entry */
    emit_mov32(&g->e, pointer, pointer);
}

/*
 * MOVS A4, CMPS A6, STOS AA, LODS AC, SCAS AE. Both operands are proved first; then the host's own instruction runs on
 * host addresses, so that DF needs no look.
 */
static bool gen_string(struct gen *g)
{
    const struct insn *insn = g->insn;
    unsigned kind = insn->opcode->byte & 0xfe;
    bool source = kind == 0xa4 || kind == 0xa6 || kind == 0xac, destination = kind != 0xac;
    bool write = kind == 0xa4 || kind == 0xaa;
    const struct emit_insn host = {
        .opcode = insn->opcode->byte,
        .opsize16 = string_size(insn) == 2,
    };

    if (insn->rep || insn->addrsize != 4 || g->traits || insn->seg == SEG_FS || insn->seg == SEG_GS) {
        return false;
    }
    if (source) {
        gen_string_operand(g, HOST_RSI, REG_ENTRY, false);
    }
    if (destination) {
        gen_string_operand(g, HOST_RDI, REG_SCRATCH, write);
        gen_rebase(g, HOST_RDI, REG_SCRATCH);
    }
    if (source) {
        gen_rebase(g, HOST_RSI, REG_ENTRY);
    }
    emit_insn(&g->e, &host);
    if (source) {
        gen_rebase_back(g, HOST_RSI, REG_ENTRY);
    }
    if (destination) {
        gen_rebase_back(g, HOST_RDI, REG_SCRATCH);
    }
    return true;
}

/* ---- Near transfers ------------------------------------------------------------------------------------- */

/* `field` jumps to the block at `target`: at first to a stub that finds it. */
static void gen_chain(struct gen *g, uint8_t *field, uint32_t target, bool verify)
{
    struct chain *chain = arena_alloc(&g->x->arena, sizeof(*chain));

    if (!chain) {
        g->no_memory = true;
        return;
    }
    *chain = (struct chain){.from = g->block, .field = field, .target = target, .verify = verify};
    g->stubs[g->stub_count++] = (struct gen_stub){.field = field, .chain = chain};
}

void gen_jump(struct gen *g, uint32_t target)
{
    gen_chain(g, emit_jmp(&g->e, NULL), target, false);
}

void gen_stubs(struct gen *g)
{
    struct emit *e = &g->e;

    for (unsigned i = 0; i < g->stub_count && !emit_failed(e); i++) {
        const struct gen_stub *stub = &g->stubs[i];
        emit_patch_rel32(stub->field, e->view, emit_here(e));
        emit_store_imm32(e, cpu_field(offsetof(struct vcpu, rip)), stub->chain->target);
        emit_mov_imm64(e, REG_ENTRY, (uint64_t)(uintptr_t)stub->chain);
        emit_jmp(e, g->x->exit[EXIT_CHAIN]);
    }
}

static uint32_t next_linear(const struct gen *g)
{
    return g->linear + g->insn->length;
}

static uint32_t branch_target(const struct gen *g)
{
    return next_linear(g) + g->insn->imm;
}

/* Continue at the address in r8. */
static void gen_jump_indirect(struct gen *g)
{
    emit_jmp(&g->e, g->x->jump);
}

/*
 * Where a host return ends up; r8 is the guest's return address. Is it the one behind this call? The chain verifies
 * the mapping even if it stays in the page, because who returns may have changed it.
 */
static void gen_landing(struct gen *g, uint32_t address)
{
    struct emit *e = &g->e;
    const struct block *block = g->block;

    emit_mov64(e, REG_SCRATCH, HOST_RCX);
    emit_lea32(e, HOST_RCX,
               host_mem_index(REG_LINEAR, REG_SHIFT, 0, -(int32_t)(address + SHIFT_OF_MODE(block->mode))));
    gen_require_zero(g, g->x->jump);
    emit_mov64(e, HOST_RCX, REG_SCRATCH);
    gen_chain(g, emit_jmp(e, NULL), address, true);
}

static void gen_jcc(struct gen *g)
{
    enum host_condition condition = (enum host_condition)(g->insn->opcode->byte & 15);

    gen_chain(g, emit_jcc(&g->e, condition, NULL), branch_target(g), false);
    gen_jump(g, next_linear(g));
}

/* LOOPNE E0, LOOPE E1, LOOP E2, JECXZ E3. */
static void gen_loop(struct gen *g)
{
    struct emit *e = &g->e;
    unsigned byte = g->insn->opcode->byte;
    struct emit_label zero = {0};

    if (byte == 0xe3) {
        struct emit_label taken = {0};
        emit_jrcxz(e, &taken);
        gen_jump(g, next_linear(g));
        emit_bind(e, &taken);
        gen_jump(g, branch_target(g));
        return;
    }
    emit_lea32(e, HOST_RCX, host_mem(HOST_RCX, -1));
    emit_jrcxz(e, &zero);
    if (byte != 0xe2) {
        emit_jcc_short(e, byte == 0xe0 ? HOST_E : HOST_NE, &zero);
    }
    gen_jump(g, branch_target(g));
    emit_bind(e, &zero);
    gen_jump(g, next_linear(g));
}

/* The target of JMP and CALL r/m into `reg`. */
static void gen_load_target(struct gen *g, enum host_reg reg)
{
    if (g->insn->memory) {
        struct host_mem from = gen_operand(g, false);
        emit_load32(&g->e, reg, from);
    } else {
        emit_mov32(&g->e, reg, host_gpr(g->insn->rm));
    }
}

static void gen_ret(struct gen *g)
{
    struct host_mem place = gen_pop_place(g);

    emit_load32(&g->e, REG_LINEAR, place);
    emit_lea32(&g->e, REG_ESP, host_mem(REG_ESP, 4 + (int32_t)(g->insn->imm & 0xffff)));
    emit_ret(&g->e);
}

/* ---- One instruction ------------------------------------------------------------------------------------ */

/* Group 5 (FF): CALL, JMP and PUSH r/m; INC and DEC are copied. */
static bool gen_group5(struct gen *g)
{
    const struct insn *insn = g->insn;

    if (insn->memory && !segment_usable(g, insn->seg, false)) {
        return false;
    }
    switch (insn->reg) {
    case 2:
        gen_load_target(g, REG_SCRATCH);
        gen_push_imm(g, next_linear(g));
        emit_mov32(&g->e, REG_LINEAR, REG_SCRATCH);
        emit_call(&g->e, g->x->jump);
        gen_landing(g, next_linear(g));
        return true;
    case 4:
        gen_load_target(g, REG_LINEAR);
        gen_jump_indirect(g);
        return true;
    case 6:
        if (insn->memory) {
            gen_push_memory(g);
        } else {
            gen_push_reg(g, host_gpr(insn->rm));
        }
        return true;
    default:
        return false;
    }
}

/* Stack and control flow of the one-byte map with operand size 32. False: no generator. */
static bool gen_map_1byte(struct gen *g)
{
    const struct insn *insn = g->insn;
    unsigned byte = insn->opcode->byte;

    switch (byte) {
    case 0x50:
        gen_push_reg(g, host_gpr(insn->rm));
        return true;
    case 0x58:
        gen_pop_reg(g, host_gpr(insn->rm));
        return true;
    case 0x68:
    case 0x6a:
        gen_push_imm(g, insn->imm);
        return true;
    case 0xc2:
    case 0xc3:
        gen_ret(g);
        return true;
    case 0xc9:
        gen_leave(g);
        return true;
    case 0xe8:
        gen_push_imm(g, next_linear(g));
        gen_chain(g, emit_call(&g->e, NULL), branch_target(g), false);
        gen_landing(g, next_linear(g));
        return true;
    case 0xe9:
    case 0xeb:
        gen_jump(g, branch_target(g));
        return true;
    case 0xff:
        return gen_group5(g);
    default:
        break;
    }
    if (byte >= 0x70 && byte <= 0x7f) {
        gen_jcc(g);
        return true;
    }
    if (byte >= 0xe0 && byte <= 0xe3 && insn->addrsize == 4) {
        gen_loop(g);
        return true;
    }
    return false;
}

static bool gen_own(struct gen *g)
{
    const struct insn *insn = g->insn;
    const struct opcode *opcode = insn->opcode;

    if (insn->opcode->flags & OPF_STRING) {
        return insn->opcode->map == MAP_1BYTE && insn->opcode->byte >= 0xa4 && gen_string(g);
    }
    if (insn->opsize != 4 || g->traits) {
        return false;
    }
    if (opcode->map == MAP_1BYTE) {
        return gen_map_1byte(g);
    }
    if (opcode->map == MAP_0F && opcode->byte >= 0x80 && opcode->byte <= 0x8f) {
        gen_jcc(g);
        return true;
    }
    return false;
}

void gen_insn(struct gen *g)
{
    const struct insn *insn = g->insn;

    gen_site(g, false);
    if (g->traits & TRAIT_SLOW) {
        gen_callout(g);
    } else if (fpu_insn(insn)) {
        gen_fpu(g);
    } else if (reencode_supported(insn)) {
        gen_copy(g);
    } else if (!gen_own(g)) {
        gen_callout(g);
    }
}

/* Of the rows that end the interpreter's runs, those that continue with the next instruction all the same. */
static bool continues_linearly(const struct opcode *opcode)
{
    unsigned byte = opcode->byte;

    if (opcode->map == MAP_0F) {
        return (byte >= 0x20 && byte <= 0x23) || byte == 0x30 || byte == 0x06 || byte == 0x01 ||
               byte == 0xa1 || byte == 0xa9 || byte == 0xb2 || byte == 0xb4 || byte == 0xb5;
    }
    return byte == 0x07 || byte == 0x17 || byte == 0x1f || byte == 0x8e || byte == 0x9d || byte == 0xfb ||
           byte == 0xc4 || byte == 0xc5 || (byte >= 0x6c && byte <= 0x6f) || (byte >= 0xe4 && byte <= 0xe7) ||
           (byte >= 0xec && byte <= 0xef);
}

bool gen_ends_block(const struct insn *insn)
{
    const struct opcode *opcode = insn->opcode;

    return (opcode->flags & OPF_END) && !continues_linearly(opcode);
}
