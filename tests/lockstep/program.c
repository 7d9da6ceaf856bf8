/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Structured programs: items, each an instruction or a few that belong together, with branches to other items.
 *
 * Most instructions are rows of the opcode table. Before one with a memory operand, MOVs (which keep the flags alive)
 * usually load its address registers, so that it meets data, page ends, the window, code, a device or ROM.
 */
#include <stdlib.h>

#include "cpu/decode.h"
#include "tests/lockstep/code.h"
#include "tests/lockstep/encode.h"
#include "tests/lockstep/lockstep.h"

enum { ITEMS_MAX = 320, FUNCTIONS = 12, FUNCTION_ITEMS = 8 };

/* What a program has more of than others. */
enum flavour { FLAVOUR_PLAIN, FLAVOUR_FPU, FLAVOUR_SYSTEM, FLAVOUR_COUNT };

enum fix { FIX_NONE, FIX_REL8, FIX_REL32, FIX_ABS32, FIX_OUTSIDE };

struct item {
    struct code code;
    unsigned fix_at; /* of the field to fill in */
    enum fix fix;
    int target;       /* item; of FIX_OUTSIDE, an address */
    uint32_t address; /* once all are there */
};

struct program {
    const struct mode *mode;
    enum flavour flavour;
    struct rng rng;
    struct fuzz_machine *machine;
    struct item *items;
    unsigned count, main_count; /* functions follow the main part */
    int loop_head;              /* item that a LOOP may go back to, -1: none */
    int patchable;              /* last MOV r32, imm32 that stands alone, -1: none */
    uint32_t esp_offset;
};

/* ---- addresses ---- */

static uint32_t page_end(struct program *program, uint32_t from, unsigned pages)
{
    return from + (rng_below(&program->rng, pages) + 1) * (uint32_t)PAGE_SIZE -
           rng_range(&program->rng, 1, 18);
}

static uint32_t alias_of_code(struct program *program)
{
    return program->mode->paging != FUZZ_PAGING_OFF ? LINEAR_ALIAS : AT_ALIAS;
}

static uint32_t choose_address(struct program *program)
{
    struct rng *rng = &program->rng;
    uint32_t choice = rng_below(rng, 100);

    if (program->mode->straight || choice < 40) {
        return AT_DATA + 16 * rng_below(rng, 0x800);
    }
    if (choice < 60) {
        return AT_DATA + rng_below(rng, 0x8000);
    }
    if (choice < 72) {
        return page_end(program, AT_DATA, 8);
    }
    if (choice < 82) {
        return AT_WINDOW + rng_below(rng, WINDOW_PAGES * PAGE_SIZE);
    }
    if (choice < 86) {
        return page_end(program, AT_WINDOW - PAGE_SIZE, WINDOW_PAGES + 1);
    }
    if (choice < 89) {
        return AT_DEVICE - 4 + rng_below(rng, 0x40);
    }
    if (choice < 92) {
        return AT_ROM + rng_below(rng, 0x2000);
    }
    if (choice < 94) {
        return alias_of_code(program) + 0x8000 + rng_below(rng, 0x100);
    }
    if (choice < 96) {
        return AT_PROGRAM + rng_below(rng, 0x1800);
    }
    if (choice < 97 && program->mode->paging > FUZZ_PAGING_32BIT) {
        return LINEAR_LARGE + AT_DATA + rng_below(rng, 0x8000);
    }
    return choice < 98 ? rng_u32(rng) : AT_DATA + 4 * rng_below(rng, 0x2000);
}

/* ---- rows ---- */

static bool row_allowed(const struct opcode *row, bool fpu)
{
    static const char *const never[] = {"hlt", "popa/popad", "enter", "leave", "pop", "ret"};
    bool is_fpu = row->flags & (OPF_FPU | OPF_MMX | OPF_SSE);

    if ((row->flags & (OPF_END | OPF_CPL0 | OPF_STRING)) || is_fpu != fpu) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        if (strcmp(row->mnemonic, never[i]) == 0) {
            return false;
        }
    }
    return true;
}

static const struct opcode *choose_row(struct program *program, bool fpu)
{
    const struct opcode *row;

    do {
        row = &opcode_table[rng_below(&program->rng, (uint32_t)opcode_count)];
    } while (!row_allowed(row, fpu));
    return row;
}

/* Point the memory operand of the encoded instruction at `target`. */
static void aim(struct program *program, struct item *item, const struct insn *insn, struct encoded *encoded,
                uint32_t target)
{
    uint32_t index = 0;

    if (insn->index != INSN_NO_REG && insn->index != insn->base) {
        index = rng_below(&program->rng, 16);
        code_load(&item->code, insn->index, index);
        index <<= insn->scale;
    }
    if (insn->base == RSP) {
        if (encoded->disp_size == 4) {
            store_le32(encoded->bytes + encoded->disp_at, rng_below(&program->rng, 64) - index);
        }
    } else if (insn->base == INSN_NO_REG) {
        store_le32(encoded->bytes + encoded->disp_at, target - index);
    } else if (insn->index == insn->base) {
        code_load(&item->code, insn->base, (target - (uint32_t)insn->disp) / (1 + (1u << insn->scale)));
    } else {
        code_load(&item->code, insn->base, target - (uint32_t)insn->disp - index);
    }
}

/* A bit offset that stays near. */
static void tame_bit_offset(struct program *program, struct item *item, const struct insn *insn)
{
    const char *name = insn->opcode->mnemonic;

    if (name[0] == 'b' && name[1] == 't' && strchr(insn->opcode->operands, 'G') && insn->reg != insn->base &&
        insn->reg != insn->index && insn->reg != RSP) {
        code_load(&item->code, insn->reg, rng_below(&program->rng, 512) - 128);
    }
}

static uint32_t segment_base(enum sreg seg)
{
    return seg == SEG_FS ? BASE_A : seg == SEG_GS ? BASE_B : 0;
}

static void put_row(struct program *program, struct item *item, bool fpu)
{
    struct rng *rng = &program->rng;
    const struct opcode *row = choose_row(program, fpu);
    bool plain = program->mode->straight || (row->flags & OPF_MEM_WRITE) || !rng_once_in(rng, 8);
    struct encoded encoded;
    struct insn insn;
    bool based = !program->mode->straight && rng_once_in(rng, 16);

    if (!encode_random(&rng->state, row, plain, &encoded) || encoded.length > 13 ||
        insn_decode(encoded.bytes, encoded.length, true, program->machine->cpu->features, &insn) !=
            DECODE_OK) {
        OP(&item->code, 0x90);
        return;
    }
    bool memory = insn.memory || (encoded.disp_size == 4 && strchr(row->operands, 'O'));
    enum sreg seg = based && plain && memory ? (rng_once_in(rng, 2) ? SEG_FS : SEG_GS) : SEG_DS;
    if (memory && insn.addrsize == 4 && !rng_once_in(rng, 30)) {
        uint32_t target = choose_address(program);
        tame_bit_offset(program, item, &insn);
        aim(program, item, &insn, &encoded, target - segment_base(seg));
    }
    if (seg != SEG_DS) {
        OP(&item->code, seg == SEG_FS ? 0x64 : 0x65);
    }
    code_bytes(&item->code, encoded.bytes, encoded.length);
}

/* ---- control flow ---- */

static void set_fix(struct item *item, enum fix fix, int target)
{
    item->fix_at = item->code.length;
    item->fix = fix;
    item->target = target;
    code_put(&item->code, 0, fix == FIX_REL8 ? 1 : 4);
}

/* Functions stand behind the main part. */
static int function_start(struct program *program)
{
    return (int)(program->main_count + FUNCTION_ITEMS * rng_below(&program->rng, FUNCTIONS));
}

static int near_item(struct program *program, int self)
{
    return self + 1 + (int)rng_below(&program->rng, 4);
}

static int any_item(struct program *program)
{
    return (int)rng_below(&program->rng, program->main_count);
}

static void put_conditional(struct program *program, struct item *item, int self)
{
    uint8_t condition = (uint8_t)rng_below(&program->rng, 16);

    if (rng_once_in(&program->rng, 2)) {
        OP(&item->code, 0x70 | condition);
        set_fix(item, FIX_REL8, near_item(program, self));
    } else {
        OP(&item->code, 0x0f, 0x80 | condition);
        set_fix(item, FIX_REL32,
                rng_once_in(&program->rng, 8) ? any_item(program) : near_item(program, self));
    }
}

/* Back to the loop's head: LOOPcc or DEC ECX, JNZ. */
static void put_loop(struct program *program, struct item *item, int self)
{
    if (program->loop_head < 0 || self - program->loop_head < 2) {
        code_load(&item->code, RCX, rng_range(&program->rng, 1, 40));
        program->loop_head = self;
        return;
    }
    if (rng_once_in(&program->rng, 2)) {
        OP(&item->code, (uint8_t)(0xe0 + rng_below(&program->rng, 4)));
        set_fix(item, FIX_REL8, program->loop_head + 1);
    } else {
        OP(&item->code, 0x49, 0x0f, 0x85);
        set_fix(item, FIX_REL32, program->loop_head + 1);
    }
    program->loop_head = -1;
}

static void put_indirect(struct program *program, struct item *item)
{
    uint32_t label = AT_LABELS + 4 * rng_below(&program->rng, LABEL_COUNT);

    switch (rng_below(&program->rng, 6)) {
    case 0: /* jmp [label] */
        OP(&item->code, 0xff, 0x25);
        code_put32(&item->code, label);
        break;
    case 1: /* mov eax, item; jmp eax */
        OP(&item->code, 0xb8);
        set_fix(item, FIX_ABS32, any_item(program));
        OP(&item->code, 0xff, 0xe0);
        break;
    case 2: /* mov edx, function; call edx */
        OP(&item->code, 0xba);
        set_fix(item, FIX_ABS32, function_start(program));
        OP(&item->code, 0xff, 0xd2);
        break;
    case 3: /* and eax, 63; jmp [labels+eax*4] */
        OP(&item->code, 0x83, 0xe0, LABEL_COUNT - 1, 0xff, 0x24, 0x85);
        code_put32(&item->code, AT_LABELS);
        break;
    case 4: /* push item; ret */
        OP(&item->code, 0x68);
        set_fix(item, FIX_ABS32, any_item(program));
        OP(&item->code, 0xc3);
        break;
    default: /* call [label] */
        OP(&item->code, 0xff, 0x15);
        code_put32(&item->code, label);
        break;
    }
}

static void put_jump(struct program *program, struct item *item, int self)
{
    switch (rng_below(&program->rng, 4)) {
    case 0:
        OP(&item->code, 0xe9);
        set_fix(item, FIX_REL32, near_item(program, self));
        break;
    case 1:
        OP(&item->code, 0xeb);
        set_fix(item, FIX_REL8, near_item(program, self));
        break;
    default:
        OP(&item->code, 0xe8);
        set_fix(item, FIX_REL32, function_start(program));
        break;
    }
}

/* A routine of the window, and now and then a page remapped behind it. */
static void put_window_call(struct program *program, struct item *item)
{
    uint32_t page = rng_below(&program->rng, WINDOW_PAGES);
    uint32_t address = AT_WINDOW + page * PAGE_SIZE + WINDOW_ROUTINE;

    if (rng_once_in(&program->rng, 3)) {
        OP(&item->code, 0xbf); /* mov edi, routine; call edi */
        code_put32(&item->code, address);
        OP(&item->code, 0xff, 0xd7);
    } else {
        OP(&item->code, 0xe8);
        set_fix(item, FIX_OUTSIDE, (int)address);
    }
    if (rng_once_in(&program->rng, 4)) {
        code_load(&item->code, RDX, page);
        OP(&item->code, 0xcd, (uint8_t)(VECTOR_SERVICE + SERVICE_REMAP));
    }
}

static void put_return(struct program *program, struct item *item)
{
    if (rng_once_in(&program->rng, 8)) { /* the caller's caller, or what else is there */
        OP(&item->code, 0x83, 0xc4, 0x04);
    }
    if (rng_once_in(&program->rng, 8)) {
        OP(&item->code, 0xc2, (uint8_t)(4 * rng_below(&program->rng, 4)), 0x00);
    } else {
        OP(&item->code, 0xc3);
    }
}

/* ---- stack, strings, self-modification, system ---- */

static void put_stack(struct program *program, struct item *item)
{
    struct rng *rng = &program->rng;
    uint8_t reg = (uint8_t)rng_below(rng, 8);

    switch (rng_below(rng, 9)) {
    case 0:
        OP(&item->code, 0x50 | reg);
        break;
    case 1:
        OP(&item->code, 0x58 | (reg == RSP ? RAX : reg));
        break;
    case 2:
        OP(&item->code, 0x60, 0x61); /* pushad, popad */
        break;
    case 3:
        OP(&item->code, 0x9c, 0x9d);
        break;
    case 4: /* mov ebp, esp; push; leave */
        OP(&item->code, 0x89, 0xe5, 0x50, 0xc9);
        break;
    case 5:
        OP(&item->code, 0xc8, (uint8_t)(4 * rng_below(rng, 16)), 0x00, (uint8_t)rng_below(rng, 3), 0xc9);
        break;
    case 6: /* push, pop [memory] */
        OP(&item->code, 0xff, 0x35);
        code_put32(&item->code, choose_address(program));
        OP(&item->code, 0x8f, 0x05);
        code_put32(&item->code, choose_address(program));
        break;
    case 7: /* pop [esp+n]; push [esp+n] */
        OP(&item->code, 0x8f, 0x44, 0x24, 0x08, 0xff, 0x74, 0x24, 0x04);
        break;
    default: /* the stack somewhere else for a moment, at the end of a page */
        OP(&item->code, 0x89, 0xe5);
        code_load(&item->code, RSP, page_end(program, AT_DATA, 8));
        OP(&item->code, 0x50, 0x66, 0x53, 0x51, 0x58, 0x89, 0xec);
        break;
    }
}

static void put_string(struct program *program, struct item *item)
{
    static const uint8_t ops[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
    struct rng *rng = &program->rng;

    uint32_t source = choose_address(program);

    code_load(&item->code, RSI, source);
    code_load(&item->code, RDI,
              rng_once_in(rng, 6) ? source + rng_below(rng, 16) - 8 : choose_address(program));
    code_load(&item->code, RCX, rng_once_in(rng, 4) ? rng_below(rng, 0x800) : rng_below(rng, 20));
    OP(&item->code, rng_once_in(rng, 3) ? 0xfd : 0xfc);
    if (rng_once_in(rng, 3)) {
        OP(&item->code, 0x66);
    }
    if (!rng_once_in(rng, 4)) {
        OP(&item->code, rng_once_in(rng, 2) ? 0xf2 : 0xf3);
    }
    OP(&item->code, ops[rng_below(rng, ARRAY_LEN(ops))]);
}

/* MOV r32, imm32: what self-modifying code changes. */
static void put_patchable(struct program *program, struct item *item, int self)
{
    unsigned reg = rng_below(&program->rng, 8);

    code_load(&item->code, reg == RSP ? RAX : reg, rng_u32(&program->rng));
    program->patchable = self;
}

/* Write into the immediate or the opcode of a MOV, here or through the alias. */
static void put_patch(struct program *program, struct item *item)
{
    struct rng *rng = &program->rng;

    if (program->patchable < 0) {
        OP(&item->code, 0x90);
        return;
    }
    OP(&item->code, 0xba); /* mov edx, the instruction's address */
    set_fix(item, FIX_ABS32, program->patchable);
    if (rng_once_in(rng, 3)) {
        OP(&item->code, 0x81, 0xc2);
        code_put32(&item->code, alias_of_code(program) - AT_CODE);
    }
    switch (rng_below(rng, 4)) {
    case 0: /* mov dword [edx+1], eax */
        OP(&item->code, 0x89, 0x42, 0x01);
        break;
    case 1: /* inc byte [edx+1] */
        OP(&item->code, 0xfe, 0x42, 0x01);
        break;
    case 2: /* mov byte [edx], another MOV */
        OP(&item->code, 0xc6, 0x02, (uint8_t)(0xb8 + rng_below(rng, 4)));
        break;
    default: /* mov edi, edx; inc edi; stosb */
        OP(&item->code, 0x89, 0xd7, 0x47, 0xfc, 0xaa);
        break;
    }
}

/* The item behind is changed by the one before it: the next instruction. */
static void put_patch_ahead(struct program *program, struct item *item, int self)
{
    (void)program;
    OP(&item->code, 0xa2); /* mov [item+6], al: MOV EBX's immediate */
    set_fix(item, FIX_ABS32, self);
    store_le32(item->code.bytes + item->fix_at, 6);
    code_load(&item->code, RBX, 0x11223344);
}

/* RFLAGS through the stack, selectors to registers and memory, and accesses in the shadow of an STI. */
static void put_flags_and_selectors(struct program *program, struct item *item)
{
    struct rng *rng = &program->rng;

    switch (rng_below(rng, 6)) {
    case 0: /* push imm; popfd: seldom TF, NT, AC */
        OP(&item->code, 0x68);
        code_put32(&item->code, rng_u32(rng) & (rng_once_in(rng, 8) ? 0x247fd5 : 0x3ad5));
        OP(&item->code, 0x9d);
        break;
    case 1: /* cli; pushfd; pop ebx; sti; mov al, [memory] */
        OP(&item->code, 0xfa, 0x9c, 0x5b, 0xfb, 0xa0);
        code_put32(&item->code, choose_address(program));
        break;
    case 2: /* mov r32, sreg; mov [memory], sreg */
        OP(&item->code, 0x8c, (uint8_t)(0xc0 | rng_below(rng, 6) << 3 | rng_below(rng, 4)), 0x8c,
           (uint8_t)(0x05 | rng_below(rng, 6) << 3));
        code_put32(&item->code, choose_address(program));
        break;
    case 3: /* push sreg; pop ecx; push fs; pop [memory] */
        OP(&item->code, (uint8_t)(0x06 | rng_below(rng, 4) << 3), 0x59, 0x0f, 0xa0, 0x8f, 0x05);
        code_put32(&item->code, choose_address(program));
        break;
    case 4: /* push eax; pop [esp+4] */
        OP(&item->code, 0x50, 0x8f, 0x44, 0x24, 0x04);
        break;
    default: /* mov ebx, table; xlat */
        code_load(&item->code, RBX, choose_address(program));
        OP(&item->code, 0xd7);
        break;
    }
}

/* Data segment registers loaded with what they held, with another selector, with a null one. */
static void put_segment_loads(struct program *program, struct item *item)
{
    struct rng *rng = &program->rng;
    uint8_t fs_or_gs = (uint8_t)(rng_once_in(rng, 2) ? 0xe0 : 0xe8);

    switch (rng_below(rng, 4)) {
    case 0: /* mov eax, ds; mov es, eax; mov ds, eax */
        OP(&item->code, 0x8c, 0xd8, 0x8e, 0xc0, 0x8e, 0xd8);
        break;
    case 1: /* push ds; push fs; pop fs; pop es */
        OP(&item->code, 0x1e, 0x0f, 0xa0, 0x0f, 0xa1, 0x07);
        break;
    case 2: /* fs or gs null, and back */
        OP(&item->code, 0x66, 0xb8, (uint8_t)rng_below(rng, 4), 0x00, 0x8e, fs_or_gs, 0x40, 0x66, 0xb8,
           (uint8_t)(SEL_BASE_A + 8 * rng_below(rng, 2) + 3), 0x00, 0x8e, fs_or_gs);
        break;
    default: /* the same, through the stack */
        OP(&item->code, 0x6a, (uint8_t)(SEL_BASE_A + 8 * rng_below(rng, 2) + 3), 0x0f,
           fs_or_gs == 0xe0 ? 0xa1 : 0xa9);
        break;
    }
}

static void put_system(struct program *program, struct item *item)
{
    struct rng *rng = &program->rng;

    switch (rng_below(rng, 18)) {
    case 14:
    case 15:
        put_flags_and_selectors(program, item);
        break;
    case 16:
    case 17:
        put_segment_loads(program, item);
        break;
    case 0:
        OP(&item->code, 0xfa, 0xfb); /* cli; sti */
        break;
    case 1:
        OP(&item->code, 0xfa);
        break;
    case 2: /* mov cr3 */
        OP(&item->code, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8);
        break;
    case 3:
        OP(&item->code, 0x0f, 0x01, 0x3d);
        code_put32(&item->code, choose_address(program));
        break;
    case 4:
        OP(&item->code, 0x0f, 0x06); /* clts */
        break;
    case 5: /* in, out */
        OP(&item->code, 0xba);
        code_put32(&item->code, rng_below(rng, 64));
        OP(&item->code, (uint8_t)(0xec + rng_below(rng, 4)));
        break;
    case 6:
        OP(&item->code, 0x0f, 0xa2); /* cpuid */
        break;
    case 7:
        OP(&item->code, 0x0f, 0x31); /* rdtsc */
        break;
    case 8: /* mov fs or gs, selector */
        OP(&item->code, 0x66, 0xb8, (uint8_t)(SEL_BASE_A + 8 * rng_below(rng, 3) + 3), 0x00, 0x8e,
           rng_once_in(rng, 2) ? 0xe0 : 0xe8);
        break;
    case 9: /* mov ss, ax: a shadow */
        OP(&item->code, 0x66, 0x8c, 0xd0, 0x8e, 0xd0, 0x43);
        break;
    case 10: /* int3, into */
        OP(&item->code, rng_once_in(rng, 2) ? 0xcc : 0xce);
        break;
    case 11: /* pushfd; or byte [esp+1], 1; popfd: TF */
        OP(&item->code, 0x9c, 0x80, 0x4c, 0x24, 0x01, 0x01, 0x9d);
        break;
    case 12: /* mov dr0, esi; mov dr7, a data breakpoint or nothing */
        OP(&item->code, 0x0f, 0x23, 0xc6, 0xb8);
        code_put32(&item->code, rng_once_in(rng, 3) ? 0xd0701 : 0x700);
        OP(&item->code, 0x0f, 0x23, 0xf8);
        break;
    default: /* a selector that is short, for one access */
        OP(&item->code, 0x1e, 0x66, 0xb8, SEL_SHORT | 3, 0x00, 0x8e, 0xd8, 0x8b, 0x1d);
        code_put32(&item->code, rng_below(rng, 0x5004));
        OP(&item->code, 0x1f);
        break;
    }
}

/* Rows that stand in no run of ordinary instructions. Privileged ones fault at CPL 3. */
static void put_rare(struct program *program, struct item *item)
{
    static const uint8_t two_bytes[][2] = {
        {0x0f, 0x0b},               /* ud2 */
        {0x0f, 0xaa},               /* rsm */
        {0x0f, 0x08}, {0x0f, 0x09}, /* invd, wbinvd */
        {0x0f, 0x34}, {0x0f, 0x35}, /* sysenter, sysexit */
        {0x0f, 0x32}, {0x0f, 0x33}, /* rdmsr, rdpmc */
        {0x16, 0x17}, {0x1e, 0x1f}, /* push and pop of a segment register */
        {0x06, 0x07}, {0xf1, 0x90}, /* ...; int1 */
    };
    static const uint8_t three_bytes[][3] = {
        {0x0f, 0xff, 0xc1}, {0x0f, 0xb9, 0xd3}, /* ud0, ud1 */
        {0x0f, 0x01, 0xc8}, {0x0f, 0x01, 0xc9}, /* monitor, mwait */
        {0x0f, 0x21, 0xf0}, {0x0f, 0x21, 0xc3}, /* mov eax, dr6; mov ebx, dr0 */
        {0x0f, 0x20, 0xd1}, {0x0f, 0x20, 0xe0}, /* mov ecx, cr2; mov eax, cr4 */
        {0x0f, 0x22, 0xd1},                     /* mov cr2, ecx */
    };
    struct rng *rng = &program->rng;

    if (rng_once_in(rng, 2)) {
        code_bytes(&item->code, two_bytes[rng_below(rng, ARRAY_LEN(two_bytes))], 2);
    } else {
        code_bytes(&item->code, three_bytes[rng_below(rng, ARRAY_LEN(three_bytes))], 3);
    }
}

/* System registers loaded with what they hold, and an MSR with what it may hold. */
static void put_system_register(struct program *program, struct item *item)
{
    struct rng *rng = &program->rng;
    uint32_t place = AT_DATA + 8 * rng_below(rng, 64);

    switch (rng_below(rng, 6)) {
    case 0: /* smsw ax; lmsw ax */
        OP(&item->code, 0x0f, 0x01, 0xe0, 0x0f, 0x01, 0xf0);
        break;
    case 1: /* sldt ax; lldt ax */
        OP(&item->code, 0x0f, 0x00, 0xc0, 0x0f, 0x00, 0xd0);
        break;
    case 2: /* str ax; ltr ax: busy, #GP */
        OP(&item->code, 0x0f, 0x00, 0xc8, 0x0f, 0x00, 0xd8);
        break;
    case 3: /* sgdt, lgdt [place] */
        OP(&item->code, 0x0f, 0x01, 0x05);
        code_put32(&item->code, place);
        OP(&item->code, 0x0f, 0x01, 0x15);
        code_put32(&item->code, place);
        break;
    case 4: /* sidt, lidt [place] */
        OP(&item->code, 0x0f, 0x01, 0x0d);
        code_put32(&item->code, place);
        OP(&item->code, 0x0f, 0x01, 0x1d);
        code_put32(&item->code, place);
        break;
    default: /* mov ecx, SYSENTER_ESP; wrmsr; rdmsr */
        code_load(&item->code, RCX, 0x175);
        OP(&item->code, 0x0f, 0x30, 0x0f, 0x32);
        break;
    }
}

/* LES, LDS, LSS, LFS and LGS of a pointer with a selector that is good, or is not. */
static void put_far_pointer(struct program *program, struct item *item)
{
    static const uint16_t selectors[] = {SEL_DATA3 | 3, SEL_BASE_A | 3, SEL_SHORT | 3, 0, SEL_CODE0};
    static const uint8_t loads[][2] = {{0x90, 0xc4}, {0x90, 0xc5}, {0x0f, 0xb2}, {0x0f, 0xb4}, {0x0f, 0xb5}};
    struct rng *rng = &program->rng;
    uint32_t place = AT_DATA + rng_below(rng, 0x800);

    OP(&item->code, 0x36, 0xc7, 0x05); /* mov dword ss:[place+4], selector */
    code_put32(&item->code, place + 4);
    code_put32(&item->code, selectors[rng_once_in(rng, 2) ? rng_below(rng, ARRAY_LEN(selectors)) : 0]);
    OP(&item->code, 0x36);
    const uint8_t *load = loads[rng_below(rng, ARRAY_LEN(loads))];
    if (load[0] == 0x90) {
        OP(&item->code, load[1], 0x0d); /* ecx */
    } else {
        OP(&item->code, load[0], load[1], 0x0d);
    }
    code_put32(&item->code, place);
}

/* A far transfer to another item at the same level: by memory, by the stack, by IRET. */
static void put_far_transfer(struct program *program, struct item *item)
{
    struct rng *rng = &program->rng;
    uint32_t place = AT_DATA + 8 * rng_below(rng, 64);

    switch (rng_below(rng, 4)) {
    case 0:
    case 1: /* mov dword [place], item; mov [place+4], cs; jmp or call far [place] */
        OP(&item->code, 0x8c, 0x0d);
        code_put32(&item->code, place + 4);
        OP(&item->code, 0xc7, 0x05);
        code_put32(&item->code, place);
        set_fix(item, FIX_ABS32, any_item(program));
        OP(&item->code, 0xff, rng_once_in(rng, 2) ? 0x2d : 0x1d);
        code_put32(&item->code, place);
        break;
    case 2: /* push cs; push item; retf */
        OP(&item->code, 0x0e, 0x68);
        set_fix(item, FIX_ABS32, any_item(program));
        OP(&item->code, 0xcb);
        break;
    default: /* pushfd; push cs; push item; iretd */
        OP(&item->code, 0x9c, 0x0e, 0x68);
        set_fix(item, FIX_ABS32, any_item(program));
        OP(&item->code, 0xcf);
        break;
    }
}

/* INS, OUTS, IN and OUT with an immediate port, and sleep. */
static void put_port(struct program *program, struct item *item)
{
    static const uint8_t strings[] = {0x6c, 0x6d, 0x6e, 0x6f};
    struct rng *rng = &program->rng;

    switch (rng_below(rng, 8)) {
    case 0: /* hlt: an interrupt ends it, or nothing does */
        OP(&item->code, 0xfb, 0xf4);
        break;
    case 1:
    case 2: /* in or out, immediate port */
        OP(&item->code, (uint8_t)(0xe4 + rng_below(rng, 4)), (uint8_t)rng_below(rng, 64));
        break;
    default:
        code_load(&item->code, RDX, rng_below(rng, 64));
        code_load(&item->code, RSI, choose_address(program));
        code_load(&item->code, RDI, choose_address(program));
        code_load(&item->code, RCX, rng_below(rng, 12));
        if (rng_once_in(rng, 2)) {
            OP(&item->code, 0xf3);
        }
        OP(&item->code, strings[rng_below(rng, ARRAY_LEN(strings))]);
        break;
    }
}

static void put_unusual(struct program *program, struct item *item)
{
    switch (rng_below(&program->rng, 5)) {
    case 0:
        put_rare(program, item);
        break;
    case 1:
        put_system_register(program, item);
        break;
    case 2:
        put_far_pointer(program, item);
        break;
    case 3:
        put_far_transfer(program, item);
        break;
    default:
        put_port(program, item);
        break;
    }
}

static void put_service(struct program *program, struct item *item)
{
    uint32_t which = rng_below(&program->rng, SERVICE_COUNT);

    if (which >= SERVICE_TS && !rng_once_in(&program->rng, 4)) {
        which = SERVICE_ABSENT;
    }
    code_load(&item->code, RDX, rng_below(&program->rng, WINDOW_PAGES));
    OP(&item->code, 0xcd, (uint8_t)(VECTOR_SERVICE + which));
}

/* ---- programs ---- */

static void put_item(struct program *program, int self)
{
    struct item *item = &program->items[self];
    uint32_t choice = program->mode->straight ? rng_below(&program->rng, 60) : rng_below(&program->rng, 100);

    if (program->flavour == FLAVOUR_FPU && rng_once_in(&program->rng, 2)) {
        put_row(program, item, true);
    } else if (program->flavour == FLAVOUR_SYSTEM && rng_once_in(&program->rng, 6)) {
        put_unusual(program, item);
    } else if (choice < 48) {
        put_row(program, item, false);
    } else if (choice < 56) {
        put_row(program, item, true);
    } else if (choice < 60) {
        put_stack(program, item);
    } else if (choice < 70) {
        put_conditional(program, item, self);
    } else if (choice < 74) {
        put_loop(program, item, self);
    } else if (choice < 78) {
        put_jump(program, item, self);
    } else if (choice < 81) {
        put_indirect(program, item);
    } else if (choice < 83) {
        put_window_call(program, item);
    } else if (choice < 86) {
        put_string(program, item);
    } else if (choice < 89) {
        put_patchable(program, item, self);
    } else if (choice < 91) {
        put_patch(program, item);
    } else if (choice < 92) {
        put_patch_ahead(program, item, self);
    } else if (choice < 95) {
        put_system(program, item);
    } else if (choice < 97) {
        put_service(program, item);
    } else {
        put_row(program, item, false);
        if (rng_once_in(&program->rng, 2)) {
            code_load(&item->code, RSP, AT_STACK - 4 * rng_below(&program->rng, 64));
        }
    }
}

static void put_all(struct program *program)
{
    for (unsigned i = 0; i + 1 < program->main_count; i++) {
        put_item(program, (int)i);
    }
    OP(&program->items[program->main_count - 1].code, 0xe9);
    set_fix(&program->items[program->main_count - 1], FIX_REL32, 0);
    program->loop_head = -1;
    for (unsigned i = program->main_count; i < program->count; i++) {
        if ((i - program->main_count) % FUNCTION_ITEMS == FUNCTION_ITEMS - 1) {
            put_return(program, &program->items[i]);
            program->loop_head = -1;
        } else {
            put_item(program, (int)i);
        }
    }
}

static void place(struct program *program)
{
    uint32_t address = AT_PROGRAM + rng_below(&program->rng, 0x1000);

    for (unsigned i = 0; i < program->count; i++) {
        program->items[i].address = address;
        address += program->items[i].code.length;
    }
}

/* A short branch reaches so far and no further: it may have to do with the next item. */
static uint32_t target_address(struct program *program, unsigned self)
{
    struct item *item = &program->items[self];
    int target = MIN(item->target, (int)program->count - 1);
    uint32_t address = program->items[target].address, from = item->address + item->code.length;

    if (item->fix == FIX_REL8 && (int8_t)(address - from) != (int32_t)(address - from)) {
        return from;
    }
    return address;
}

static void resolve(struct program *program, unsigned self)
{
    struct item *item = &program->items[self];
    uint8_t *field = item->code.bytes + item->fix_at;
    uint32_t after = item->address + item->fix_at;

    switch (item->fix) {
    case FIX_NONE:
        break;
    case FIX_REL8:
        *field = (uint8_t)(target_address(program, self) - (after + 1));
        break;
    case FIX_REL32:
        store_le32(field, target_address(program, self) - (after + 4));
        break;
    case FIX_OUTSIDE:
        store_le32(field, (uint32_t)item->target - (after + 4));
        break;
    case FIX_ABS32: { /* the field holds an addend */
        uint32_t addend;
        memcpy(&addend, field, sizeof(addend));
        store_le32(field, target_address(program, self) + addend);
        break;
    }
    }
}

static void write_program(struct program *program)
{
    uint32_t label, alias = alias_of_code(program) - AT_CODE;

    for (unsigned i = 0; i < program->count; i++) {
        const struct item *item = &program->items[i];
        resolve(program, i);
        machine_write(program->machine, item->address, item->code.bytes, item->code.length);
    }
    for (unsigned i = 0; i < LABEL_COUNT; i++) {
        label = program->items[any_item(program)].address;
        if (!program->mode->straight && rng_once_in(&program->rng, 8)) {
            label += alias;
        }
        machine_write(program->machine, AT_LABELS + 4 * i, &label, sizeof(label));
    }
}

void program_write(const struct mode *mode, uint64_t seed, struct fuzz_machine *machine)
{
    struct program program = {
        .mode = mode, .machine = machine, .rng = {.state = seed}, .loop_head = -1, .patchable = -1};

    if (!mode->straight) {
        program.flavour = (enum flavour)rng_below(&program.rng, FLAVOUR_COUNT);
    }
    program.main_count = rng_range(&program.rng, 10, ITEMS_MAX - FUNCTIONS * FUNCTION_ITEMS);
    program.count = program.main_count + FUNCTIONS * FUNCTION_ITEMS;
    program.items = calloc(program.count, sizeof(*program.items));
    if (!program.items) {
        abort();
    }
    put_all(&program);
    place(&program);
    write_program(&program);
    free(program.items);
}
