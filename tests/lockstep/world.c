/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The world of structured programs: descriptors, gates, handlers, services, page tables, and the processor's state.
 *
 * Every exception but #PF in the window sends the program to `recover`, which loads sane registers and goes to the
 * next label of the program's table: programs go on whatever they do. Services (INT 30h and up) change what the
 * translator depends on: rights of pages, CR0, CR3, CR4, the privilege level, the mode.
 *
 * Everything that handlers touch is addressed through SS, which delivery has made flat; page tables are mapped far away
 * from everything else, so that no stray store changes them without a flush.
 */
#include "tests/lockstep/code.h"
#include "tests/lockstep/lockstep.h"

enum { FRAME_SIZE = 4096, LEVELS = 2, TABLE_FRAMES = 16 };

struct world {
    const struct mode *mode;
    struct fuzz_machine *machine;
    struct rng rng;
    unsigned frames;     /* of AT_PAGES given out */
    uint32_t root[2];    /* CR3 */
    uint32_t window_pte; /* linear address of the window's first entry, first root */
};

static bool is_pae(const struct world *world)
{
    return world->mode->paging == FUZZ_PAGING_PAE;
}

static bool is_paged(const struct world *world)
{
    return world->mode->paging != FUZZ_PAGING_OFF;
}

static unsigned entry_size(const struct world *world)
{
    return is_pae(world) ? 8 : 4;
}

/* ---- page tables ---- */

static uint64_t peek(struct world *world, gpa_t at)
{
    uint64_t value = 0;

    addr_space_peek(world->machine->mem, at, &value, entry_size(world));
    return value;
}

static void poke(struct world *world, gpa_t at, uint64_t value)
{
    machine_write(world->machine, at, &value, entry_size(world));
}

static uint32_t new_frame(struct world *world)
{
    static const uint8_t zero[FRAME_SIZE];
    uint32_t frame = AT_PAGES + FRAME_SIZE * (world->frames++ % TABLE_FRAMES);

    machine_write(world->machine, frame, zero, sizeof(zero));
    return frame;
}

/* The entry at `at`, pointing to a table of its own. */
static uint32_t table_below(struct world *world, gpa_t at, uint32_t rights)
{
    uint64_t entry = peek(world, at);

    if (!(entry & 1)) {
        entry = new_frame(world) | rights;
        poke(world, at, entry);
    }
    return (uint32_t)entry & ~0xfffu;
}

/* Where the directory entry of `linear` lies. */
static gpa_t directory_entry(struct world *world, uint32_t root, uint32_t linear)
{
    if (is_pae(world)) {
        return table_below(world, root + 8 * (linear >> 30), 1) + 8 * (linear >> 21 & 511);
    }
    return root + 4 * (linear >> 22);
}

static gpa_t table_entry(struct world *world, uint32_t root, uint32_t linear)
{
    uint32_t table = table_below(world, directory_entry(world, root, linear), 7);

    return table + (is_pae(world) ? 8 * (linear >> 12 & 511) : 4 * (linear >> 12 & 1023));
}

static void map(struct world *world, uint32_t root, uint32_t linear, uint32_t frame, uint32_t rights)
{
    poke(world, table_entry(world, root, linear), frame | rights);
}

static uint32_t window_rights(struct world *world)
{
    return rng_once_in(&world->rng, 2) ? 7 : rng_below(&world->rng, 8);
}

static void map_low(struct world *world, uint32_t root, bool first)
{
    for (uint32_t page = 0; page < LOW_END >> PAGE_SHIFT; page++) {
        uint32_t at = page << PAGE_SHIFT, rights = page < AT_PAGES >> PAGE_SHIFT ? 3 : 7;
        if (at >= AT_PAGES && at < AT_PAGES_END) {
            continue;
        }
        if (page - (AT_WINDOW >> PAGE_SHIFT) < WINDOW_PAGES) {
            rights = first ? window_rights(world) : 7;
        } else if (page % 4 == 3) {
            rights |= 0x160; /* global; A and D set: how long it stays cached is not to be seen */
        }
        map(world, root, at, !first && at >= AT_WINDOW && at < AT_WINDOW + 0x8000 ? at ^ 0x1000 : at, rights);
    }
}

static void map_all(struct world *world, unsigned which)
{
    uint32_t root = world->root[which];

    map_low(world, root, which == 0);
    for (uint32_t at = 0; at < AT_CODE_END - AT_CODE; at += FRAME_SIZE) {
        map(world, root, LINEAR_ALIAS + at, AT_CODE + at, 7);
    }
    for (uint32_t at = AT_PAGES; at < AT_PAGES_END; at += FRAME_SIZE) {
        map(world, root, LINEAR_TABLES + at - AT_PAGES, at, 3);
    }
    if (world->mode->paging != FUZZ_PAGING_32BIT) { /* low memory once more */
        poke(world, directory_entry(world, root, LINEAR_LARGE), 0x87);
    }
}

static void write_pages(struct world *world)
{
    for (unsigned i = 0; i < 2 && is_paged(world); i++) {
        world->root[i] = new_frame(world);
        map_all(world, i);
    }
    if (is_paged(world)) {
        world->window_pte =
            (uint32_t)table_entry(world, world->root[0], AT_WINDOW) - AT_PAGES + LINEAR_TABLES;
    }
}

/* ---- descriptors ---- */

static void write_descriptor(struct world *world, uint16_t selector, uint32_t base, uint32_t limit,
                             uint8_t attr, uint8_t flags)
{
    uint64_t value = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)attr << 40 |
                     (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 |
                     (uint64_t)(base >> 24) << 56;

    machine_write(world->machine, AT_GDT + selector, &value, sizeof(value));
}

static void write_gate(struct world *world, unsigned vector, uint32_t offset, bool user)
{
    uint64_t value = (offset & 0xffff) | (uint64_t)SEL_CODE0 << 16 | (uint64_t)(user ? 0xee : 0x8e) << 40 |
                     (uint64_t)(offset >> 16) << 48;

    machine_write(world->machine, AT_IDT + 8 * vector, &value, sizeof(value));
}

/* ---- handlers ---- */

static void write_code(struct world *world, uint32_t at, const struct code *code)
{
    machine_write(world->machine, at, code->bytes, code->length);
}

static void jump(struct code *code, uint32_t from, uint32_t to)
{
    OP(code, 0xe9);
    code_put32(code, to - (from + code->length + 4));
}

static bool has_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* With an error code on the stack: go on at `recover`, on the same level. */
static void write_common(struct world *world)
{
    struct code code = {.length = 0};

    OP(&code, 0x36, 0xff, 0x05); /* inc dword [counter] */
    code_put32(&code, AT_COUNTERS + 4);
    OP(&code, 0x83, 0xc4, 0x04); /* add esp, 4 */
    OP(&code, 0xc7, 0x04, 0x24); /* mov dword [esp], recover */
    code_put32(&code, AT_RECOVER);
    OP(&code, 0xf7, 0x44, 0x24, 0x08, 0x00, 0x00, 0x02, 0x00); /* test dword [esp+8], VM */
    OP(&code, 0x75, 0x07);                                     /* jnz user */
    OP(&code, 0xf6, 0x44, 0x24, 0x04, 0x03);                   /* test byte [esp+4], 3 */
    OP(&code, 0x74, 0x12);                                     /* jz kernel */
    OP(&code, 0xc7, 0x44, 0x24, 0x04, SEL_CODE3 | 3, 0, 0, 0); /* user: CS, SS */
    OP(&code, 0xc7, 0x44, 0x24, 0x10, SEL_DATA3 | 3, 0, 0, 0);
    OP(&code, 0xeb, 0x08);                                     /* jmp flags */
    OP(&code, 0xc7, 0x44, 0x24, 0x04, SEL_CODE0, 0, 0, 0);     /* kernel */
    OP(&code, 0x81, 0x64, 0x24, 0x08, 0xd5, 0x3e, 0x00, 0x00); /* flags: drop TF, NT, VM, AC */
    OP(&code, 0xcf);
    write_code(world, AT_COMMON, &code);
}

/* #PF: mend the window, else as any exception. */
static void write_page_fault(struct world *world, uint32_t at)
{
    struct code code = {.length = 0}, mend = {.length = 0};

    OP(&mend, 0xc1, 0xe8, 0x0c);                              /* shr eax, 12 */
    OP(&mend, 0x36, 0x83, 0x0c, is_pae(world) ? 0xc5 : 0x85); /* or dword ss:[pte+eax*size], 7 */
    code_put32(&mend, world->window_pte);
    OP(&mend, 0x07);
    OP(&mend, 0x0f, 0x20, 0xd0, 0x36, 0x0f, 0x01, 0x38); /* mov eax, cr2; invlpg ss:[eax] */
    OP(&mend, 0x58, 0x83, 0xc4, 0x04, 0xcf);             /* pop eax; add esp, 4; iretd */
    OP(&code, 0x50, 0x36, 0xff, 0x05);                   /* push eax; inc dword [counter] */
    code_put32(&code, AT_COUNTERS + 8);
    OP(&code, 0x0f, 0x20, 0xd0, 0x2d); /* mov eax, cr2; sub eax, window */
    code_put32(&code, AT_WINDOW);
    OP(&code, 0x3d); /* cmp eax, size; jae */
    code_put32(&code, WINDOW_PAGES * FRAME_SIZE);
    OP(&code, 0x73, (uint8_t)mend.length);
    code_bytes(&code, mend.bytes, mend.length);
    OP(&code, 0x58);
    jump(&code, at, AT_COMMON);
    write_code(world, at, &code);
}

static void write_irq(struct world *world, uint32_t at)
{
    struct code code = {.length = 0};

    OP(&code, 0x50, 0x36, 0xff, 0x05); /* push eax; inc dword [counter] */
    code_put32(&code, AT_COUNTERS + 12);
    OP(&code, 0xe4, 0x20, 0x58, 0xcf); /* in al, 20h; pop eax; iretd */
    write_code(world, at, &code);
}

static void write_handlers(struct world *world)
{
    const uint32_t page_fault = AT_COMMON + 0x100, irq = AT_COMMON + 0x200;

    write_common(world);
    write_page_fault(world, page_fault);
    write_irq(world, irq);
    for (unsigned vector = 0; vector < 256; vector++) {
        struct code code = {.length = 0};
        uint32_t at = AT_HANDLERS32 + HANDLER_SIZE * vector, to = AT_COMMON;
        if (vector >= VECTOR_IRQ && vector < VECTOR_IRQ + 16) {
            to = irq;
        } else if (vector >= VECTOR_SERVICE && vector < VECTOR_SERVICE + SERVICE_COUNT) {
            to = AT_SERVICES + SERVICE_SIZE * (vector - VECTOR_SERVICE);
        } else if (vector == EXC_PF && is_paged(world)) {
            to = page_fault;
        } else if (!has_error_code(vector)) {
            OP(&code, 0x6a, 0x00);
        }
        jump(&code, at, to);
        write_code(world, at, &code);
        write_gate(world, vector, at, vector == 3 || vector == 4 || vector >= VECTOR_SERVICE);
    }
}

/* ---- services ---- */

/* Change the window's entry number EDX: `op` is /reg of 81 (and, or, xor). */
static void change_entry(struct world *world, struct code *code, uint8_t op, uint32_t value)
{
    if (!is_paged(world)) {
        return;
    }
    OP(code, 0x83, 0xe2, WINDOW_PAGES - 1);                                    /* and edx, 7 */
    OP(code, 0x36, 0x81, (uint8_t)(op << 3 | 4), is_pae(world) ? 0xd5 : 0x95); /* ss:[pte+edx*size] */
    code_put32(code, world->window_pte);
    code_put32(code, value);
}

static void flush_entry(struct code *code)
{
    OP(code, 0xc1, 0xe2, 0x0c, 0x36, 0x0f, 0x01, 0xba); /* shl edx, 12; invlpg ss:[edx+window] */
    code_put32(code, AT_WINDOW);
}

/* MOV EAX, CRn; XOR EAX, value; MOV CRn, EAX */
static void flip_control(struct code *code, unsigned number, uint32_t value)
{
    OP(code, 0x0f, 0x20, (uint8_t)(0xc0 | number << 3), 0x35);
    code_put32(code, value);
    OP(code, 0x0f, 0x22, (uint8_t)(0xc0 | number << 3));
}

static void push(struct code *code, uint32_t value)
{
    OP(code, 0x68);
    code_put32(code, value);
}

static void enter_v86(struct code *code)
{
    for (unsigned i = 0; i < 4; i++) {
        push(code, AT_DATA >> 4);
    }
    push(code, AT_STACK >> 4);
    push(code, 0x1000);
    push(code, 0x23202);
    push(code, (AT_CODE86 >> 4) - 0x100);
    push(code, 0x1000);
    OP(code, 0xcf);
}

static void enter_user(struct code *code)
{
    push(code, SEL_DATA3 | 3);
    push(code, AT_STACK);
    push(code, 0x3202);
    push(code, SEL_CODE3 | 3);
    push(code, AT_RECOVER);
    OP(code, 0xcf);
}

/* Those that do not come back to where they were called. */
static bool write_transfer(struct code *code, unsigned which, uint32_t at)
{
    switch (which) {
    case SERVICE_USER:
        enter_user(code);
        return true;
    case SERVICE_KERNEL:
        jump(code, at, AT_RECOVER);
        return true;
    case SERVICE_CODE16:
        OP(code, 0xea); /* jmp code16 */
        code_put32(code, AT_CODE16 - AT_CODE);
        code_put(code, SEL_CODE0_16, 2);
        return true;
    case SERVICE_V86:
        enter_v86(code);
        return true;
    default:
        return false;
    }
}

static void write_change(struct world *world, struct code *code, unsigned which)
{
    static const uint32_t cleared[] = {[SERVICE_ABSENT] = ~1u,
                                       [SERVICE_READONLY] = ~2u,
                                       [SERVICE_SUPERVISOR] = ~4u,
                                       [SERVICE_FORGET] = ~0x60u};

    switch (which) {
    case SERVICE_ABSENT:
    case SERVICE_READONLY:
    case SERVICE_FORGET:
        change_entry(world, code, 4, cleared[which]);
        flush_entry(code);
        break;
    case SERVICE_SUPERVISOR:
        change_entry(world, code, 4, cleared[which]);
        flip_control(code, 3, 0);
        break;
    case SERVICE_REMAP:
        change_entry(world, code, 6, 0x1000);
        flush_entry(code);
        break;
    case SERVICE_WP:
        flip_control(code, 0, CR0_WP);
        break;
    case SERVICE_CR3:
        flip_control(code, 3, world->root[0] ^ world->root[1]);
        break;
    case SERVICE_PGE:
        flip_control(code, 4, CR4_PGE);
        break;
    case SERVICE_SHORT_DS:
        OP(code, 0xb8, SEL_SHORT | 3, 0, 0, 0, 0x8e, 0xd8); /* mov eax, ..; mov ds, ax */
        break;
    case SERVICE_TS:
        flip_control(code, 0, CR0_TS);
        break;
    case SERVICE_AM:
        flip_control(code, 0, CR0_AM);
        OP(code, 0x81, 0x74, 0x24, 0x28, 0x00, 0x00, 0x04, 0x00); /* xor dword [esp+40], AC */
        break;
    case SERVICE_IF:
        OP(code, 0x81, 0x74, 0x24, 0x28, 0x00, 0x02, 0x00, 0x00); /* xor dword [esp+40], IF */
        break;
    default:
        break;
    }
}

static void write_services(struct world *world)
{
    for (unsigned i = 0; i < SERVICE_COUNT; i++) {
        struct code code = {.length = 0};
        uint32_t at = AT_SERVICES + SERVICE_SIZE * i;
        if (!write_transfer(&code, i, at)) {
            OP(&code, 0x60); /* pushad */
            write_change(world, &code, i);
            OP(&code, 0x61, 0xcf); /* popad; iretd */
        }
        write_code(world, at, &code);
    }
}

/* ---- recovery, and the other modes' code ---- */

static void load_selector(struct code *code, uint8_t reg, uint16_t selector)
{
    OP(code, 0x66, 0xb8);
    code_put(code, selector, 2);
    OP(code, 0x8e, (uint8_t)(0xc0 | reg << 3));
}

static void write_recover(struct world *world)
{
    static const uint16_t based[] = {SEL_BASE_A | 3, SEL_BASE_B | 3, SEL_DATA3 | 3, SEL_SHORT | 3, 0};
    struct code code = {.length = 0};
    struct rng *rng = &world->rng;

    load_selector(&code, SEG_DS, SEL_DATA3 | 3);
    load_selector(&code, SEG_ES, SEL_DATA3 | 3);
    load_selector(&code, SEG_FS, based[rng_once_in(rng, 4) ? rng_below(rng, ARRAY_LEN(based)) : 0]);
    load_selector(&code, SEG_GS, based[rng_once_in(rng, 4) ? rng_below(rng, ARRAY_LEN(based)) : 1]);
    code_load(&code, RSP, AT_STACK - 4 * rng_below(rng, 16));
    OP(&code, 0xff, 0x05); /* inc dword [counter] */
    code_put32(&code, AT_COUNTERS);
    OP(&code, 0xa1); /* mov eax, [counter] */
    code_put32(&code, AT_COUNTERS);
    OP(&code, 0x83, 0xe0, LABEL_COUNT - 1, 0xff, 0x34, 0x85); /* and eax, 63; push dword [labels+eax*4] */
    code_put32(&code, AT_LABELS);
    for (unsigned i = 0; i < 8; i++) {
        if (i != RSP) {
            uint32_t value = rng_once_in(rng, 3) ? rng_below(rng, 64) : AT_DATA + rng_below(rng, 0x20000);
            code_load(&code, i, value);
        }
    }
    OP(&code, 0xc3);
    write_code(world, AT_RECOVER, &code);
}

/* A few instructions without memory operands to speak of, and the way back. */
static void write_other_modes(struct world *world)
{
    struct code code = {.length = 0}, code86 = {.length = 0};

    for (unsigned i = 0; i < 12; i++) {
        static const uint8_t insns[][3] = {{0x40, 0x90, 0x90}, {0x01, 0xd8, 0x90}, {0xd1, 0xe0, 0x90},
                                           {0x11, 0xca, 0x90}, {0x50, 0x5b, 0xf8}, {0x88, 0xe1, 0x4e},
                                           {0x89, 0x07, 0x90}, {0xaa, 0x90, 0x90}, {0x66, 0x40, 0x90}};
        const uint8_t *insn = insns[rng_below(&world->rng, ARRAY_LEN(insns))];
        code_bytes(&code, insn, 3);
        code_bytes(&code86, insn, 3);
    }
    OP(&code, 0x66, 0xea); /* jmp recover, 32 bits */
    code_put32(&code, AT_RECOVER);
    code_put(&code, SEL_CODE0, 2);
    OP(&code86, rng_once_in(&world->rng, 2) ? 0xf4 : 0xcc); /* hlt: #GP; int3 */
    write_code(world, AT_CODE16, &code);
    write_code(world, AT_CODE86, &code86);
}

/*
 * In every frame of the window a routine of its own, that goes on in the next page: remapping changes what runs.
 *
 *   +800  add ebx, n    jmp next page's +840        +840  xor esi, n    ret
 */
static void write_routines(struct world *world)
{
    for (unsigned i = 0; i < WINDOW_PAGES; i++) {
        uint32_t at = AT_WINDOW + i * PAGE_SIZE + WINDOW_ROUTINE;
        uint32_t next = AT_WINDOW + (i + 1) % WINDOW_PAGES * PAGE_SIZE + WINDOW_ROUTINE + 0x40;
        struct code first = {.length = 0}, second = {.length = 0};
        OP(&first, 0x81, 0xc3);
        code_put32(&first, rng_u32(&world->rng));
        jump(&first, at, next);
        OP(&second, 0x81, 0xf6);
        code_put32(&second, rng_u32(&world->rng));
        OP(&second, 0xc3);
        write_code(world, at, &first);
        write_code(world, at + 0x40, &second);
    }
}

/* ---- the processor ---- */

static struct segment segment(uint16_t selector, bool code, bool user)
{
    uint32_t attr = SEG_P | SEG_S | SEG_G | SEG_DB | SEG_TYPE_ACCESSED | SEG_TYPE_RW;

    return (struct segment){.selector = (uint16_t)(selector | (user ? 3 : 0)),
                            .attr =
                                attr | (code ? (uint32_t)SEG_TYPE_CODE : 0) | (user ? (uint32_t)SEG_DPL : 0),
                            .limit = UINT32_MAX};
}

static void set_control(struct world *world)
{
    struct vcpu *cpu = world->machine->cpu;

    cpu->cr0 =
        CR0_ET | CR0_PE | CR0_NE | CR0_MP | (is_paged(world) ? CR0_PG : 0) | (rng_next(&world->rng) & CR0_WP);
    cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | (rng_next(&world->rng) & CR4_PGE) |
               (world->mode->paging == FUZZ_PAGING_PSE ? CR4_PSE : 0) | (is_pae(world) ? CR4_PAE : 0);
    cpu->cr3 = world->root[0];
    for (unsigned i = 0; i < 4 && is_pae(world); i++) {
        cpu->pdpte[i] = peek(world, world->root[0] + 8 * i);
    }
}

static void set_processor(struct world *world)
{
    struct vcpu *cpu = world->machine->cpu;
    bool user = world->mode->user;

    set_control(world);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] = i == SEG_CS ? segment(user ? SEL_CODE3 : SEL_CODE0, true, user)
                                  : segment(user ? SEL_DATA3 : SEL_DATA0, false, user);
    }
    cpu->tr = (struct segment){.selector = SEL_TSS, .attr = SEG_P | 0xb, .limit = TSS_LIMIT, .base = AT_TSS};
    cpu->gdtr = (struct table_register){.base = AT_GDT, .limit = 8 * GDT_ENTRIES - 1};
    cpu->idtr = (struct table_register){.base = AT_IDT, .limit = 0x7ff};
    cpu->rflags = RFLAGS_FIXED1 | (rng_next(&world->rng) & (RFLAGS_ARITH | RFLAGS_IF)) |
                  (rng_once_in(&world->rng, 2) ? RFLAGS_IOPL : 0);
    rng_fill(&world->rng, cpu->fpu.xmm, 128);
    cpu->rip = cpu->next_rip = AT_RECOVER;
    cpu->gpr[RSP] = AT_STACK;
    vcpu_sync(cpu);
}

static void write_data(struct world *world)
{
    uint8_t bytes[4096];

    for (uint32_t at = AT_DATA; at < AT_DATA_END; at += sizeof(bytes)) {
        rng_fill(&world->rng, bytes, sizeof(bytes));
        machine_write(world->machine, at, bytes, rng_once_in(&world->rng, 2) ? sizeof(bytes) : 0);
    }
}

void world_write(const struct mode *mode, uint64_t seed, struct fuzz_machine *machine)
{
    struct world world = {.mode = mode, .machine = machine, .rng = {.state = seed ^ 0x5bd1e995}};
    struct life life = {.mode = mode->user ? MODE_USER32 : MODE_PROTECTED32, .sanity = 100};

    vcpu_reset(machine->cpu);
    tables_write(&life, &world.rng, machine);
    write_pages(&world);
    write_descriptor(&world, SEL_BASE_A, BASE_A, 0xfffff, 0xf2, 0xc);
    write_descriptor(&world, SEL_BASE_B, BASE_B, 0xfffff, 0xf2, 0xc);
    write_descriptor(&world, SEL_SHORT, AT_DATA, 0x4fff, 0xf2, 0x4);
    write_handlers(&world);
    write_services(&world);
    write_recover(&world);
    write_other_modes(&world);
    write_data(&world);
    write_routines(&world);
    set_processor(&world);
}
