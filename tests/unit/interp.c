/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The interpreter's loop and the integer instructions, on a bare machine: budgets, faults that change nothing,
 * repeated string instructions across faults, self-modifying code, page-crossing code, attention.
 *
 * Flags and results of single instructions are compared with real processors elsewhere (tests/isa); here are the
 * cases that need a machine around them.
 */
#include <criterion/criterion.h>

#include "cpu/debug.h"
#include "tests/isa/bare_machine.h"

#define CODE     0x1000u
#define STACK    0x8000u
#define RUN(...) run((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct bare_machine bare;

static void setup(void)
{
    bare_init(&bare);
    bare_enter_protected(&bare, 32);
    bare.cpu->rip = CODE;
    set_reg32(bare.cpu, RSP, STACK);
}

static void teardown(void)
{
    bare_fini(&bare);
}

TestSuite(interp, .init = setup, .fini = teardown);

/* Execute until HLT (add one) or shutdown. */
static enum vcpu_exit run(const uint8_t *code, size_t count)
{
    static const uint8_t hlt = 0xf4;

    bare_load(&bare, bare.cpu->rip, code, count);
    bare_load(&bare, bare.cpu->rip + count, &hlt, 1);
    return interp_run(bare.cpu, 100000);
}

static void expect_fault(enum vcpu_exit why, uint8_t vector, uint32_t error_code, uint32_t rip)
{
    cr_assert_eq(why, VCPU_EXIT_SHUTDOWN);
    cr_expect_eq(bare.cpu->shutdown.vector[0], vector, "vector %u", bare.cpu->shutdown.vector[0]);
    cr_expect_eq(bare.cpu->shutdown.error_code[0], error_code, "error %x", bare.cpu->shutdown.error_code[0]);
    cr_expect_eq(bare.cpu->shutdown.rip, rip, "rip %x", (uint32_t)bare.cpu->shutdown.rip);
}

/* Identity-map the RAM with 4 KiB pages: directory at 1 MiB, tables above it; all rights. */
#define DIRECTORY 0x100000u
#define TABLES    0x101000u

static void set_pte(uint32_t linear, uint32_t pte)
{
    bare_write32(&bare, TABLES + (linear >> 12) * 4, pte);
    tlb_flush(bare.cpu->tlb, false);
}

static void enable_paging(void)
{
    for (uint32_t i = 0; i < BARE_RAM_SIZE >> 22; i++) {
        bare_write32(&bare, DIRECTORY + i * 4, (TABLES + i * 0x1000) | 7);
    }
    for (uint32_t page = 0; page < BARE_RAM_SIZE; page += PAGE_SIZE) {
        bare_write32(&bare, TABLES + (page >> 12) * 4, page | 7);
    }
    bare.cpu->cr3 = DIRECTORY;
    bare.cpu->cr0 |= CR0_PG | CR0_WP;
    vcpu_sync(bare.cpu);
}

/* ---- Budget and counting -------------------------------------------------------------------------------- */

Test(interp, budget_is_exact)
{
    static const uint8_t nops[64] = {[0 ... 62] = 0x90, [63] = 0xf4};

    bare_load(&bare, CODE, nops, sizeof(nops));
    cr_expect_eq(interp_run(bare.cpu, 7), VCPU_EXIT_BUDGET);
    cr_expect_eq(bare.cpu->rip, CODE + 7);
    cr_expect_eq(bare.cpu->insn_count, 7);
    cr_expect_eq(interp_run(bare.cpu, 0), VCPU_EXIT_BUDGET);
    cr_expect_eq(bare.cpu->insn_count, 7);
    cr_expect_eq(interp_run(bare.cpu, 50), VCPU_EXIT_BUDGET);
    cr_expect_eq(bare.cpu->rip, CODE + 57);
    cr_expect_eq(interp_run(bare.cpu, 50), VCPU_EXIT_HALT);
    cr_expect_eq(bare.cpu->insn_count, 64, "HLT retires");
    cr_expect_eq(interp_run(bare.cpu, 50), VCPU_EXIT_HALT, "and nothing wakes it");
}

Test(interp, a_kick_leaves_at_once_and_is_used_up)
{
    RUN(0x90);
    bare.cpu->halted = false;
    bare.cpu->rip = CODE;
    uint64_t before = bare.cpu->insn_count;
    vcpu_kick(bare.cpu);
    cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_BUDGET);
    cr_expect_eq(bare.cpu->insn_count, before);
    cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_HALT);
}

static uint64_t port_count;

static uint64_t read_count(void *opaque, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    port_count++;
    return *(uint64_t *)opaque;
}

static void write_port(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    *(uint64_t *)opaque = value;
}

static const struct region_ops count_ops = {.read = read_count, .write = write_port};

Test(interp, a_device_sees_the_exact_instruction_count)
{
    struct region device;

    region_init_io(&device, "count", 0x80000000, 0x1000, &count_ops, &bare.cpu->insn_count);
    addr_space_add(&bare.mem, &device);
    /* nop; nop; nop; mov eax,[0x80000000] */
    RUN(0x90, 0x90, 0x90, 0xa1, 0, 0, 0, 0x80);
    cr_expect_eq(reg32(bare.cpu, RAX), 3);
}

Test(interp, a_repeated_instruction_counts_once)
{
    set_reg32(bare.cpu, RCX, 5000);
    set_reg32(bare.cpu, RDI, 0x20ff1);
    RUN(0xf3, 0xaa);
    cr_expect_eq(bare.cpu->insn_count, 2);
    cr_expect_eq(reg32(bare.cpu, RCX), 0);
    cr_expect_eq(reg32(bare.cpu, RDI), 0x20ff1 + 5000);
}

/* ---- Faults change nothing ------------------------------------------------------------------------------ */

Test(interp, division_faults_before_it_divides)
{
    set_reg32(bare.cpu, RDX, 5);
    set_reg32(bare.cpu, RBX, 5);
    expect_fault(RUN(0xf7, 0xf3), EXC_DE, 0, CODE);
    cr_expect_eq(reg32(bare.cpu, RDX), 5);
}

Test(interp, signed_division_overflow_faults)
{
    set_reg32(bare.cpu, RDX, 0x80000000);
    set_reg32(bare.cpu, RBX, 0xffffffff);
    expect_fault(RUN(0xf7, 0xfb), EXC_DE, 0, CODE);
}

Test(interp, signed_division_of_the_least_quotient_does_not_fault)
{
    set_reg32(bare.cpu, RAX, 0x80000000);
    set_reg32(bare.cpu, RDX, 0xffffffff);
    set_reg32(bare.cpu, RBX, 1);
    cr_expect_eq(RUN(0xf7, 0xfb), VCPU_EXIT_HALT);
    cr_expect_eq(reg32(bare.cpu, RAX), 0x80000000);
    cr_expect_eq(reg32(bare.cpu, RDX), 0);
}

Test(interp, a_store_across_a_missing_page_writes_nothing)
{
    enable_paging();
    set_pte(0x21000, 0);
    bare_write32(&bare, 0x20ffe, 0x11111111);
    /* mov [0x20ffe],eax */
    set_reg32(bare.cpu, RAX, 0x22222222);
    expect_fault(RUN(0xa3, 0xfe, 0x0f, 0x02, 0x00), EXC_PF, PF_W, CODE);
    cr_expect_eq(bare.cpu->shutdown.cr2, 0x21000);
    cr_expect_eq(bare_read32(&bare, 0x20ffe), 0x11111111);
}

Test(interp, a_read_modify_write_needs_write_rights_and_leaves_flags)
{
    enable_paging();
    set_pte(0x20000, 0x20005);
    bare.cpu->rflags |= RFLAGS_CF;
    /* add dword [0x20000],1 */
    expect_fault(RUN(0x83, 0x05, 0, 0, 2, 0, 1), EXC_PF, PF_P | PF_W, CODE);
    cr_expect(bare.cpu->rflags & RFLAGS_CF);
}

Test(interp, a_faulting_push_leaves_the_stack_pointer)
{
    enable_paging();
    set_pte(0x7000, 0);
    set_reg32(bare.cpu, RSP, 0x8002);
    expect_fault(RUN(0x50), EXC_PF, PF_W, CODE);
    cr_expect_eq(reg32(bare.cpu, RSP), 0x8002);
}

Test(interp, pusha_proves_all_its_stores_first)
{
    enable_paging();
    set_pte(0x7000, 0);
    set_reg32(bare.cpu, RSP, 0x8010);
    bare_write32(&bare, 0x800c, 0x55555555);
    expect_fault(RUN(0x60), EXC_PF, PF_W, CODE);
    cr_expect_eq(bare_read32(&bare, 0x800c), 0x55555555);
    cr_expect_eq(reg32(bare.cpu, RSP), 0x8010);
}

Test(interp, enter_restores_registers_on_a_fault)
{
    enable_paging();
    set_pte(0x7000, 0);
    set_reg32(bare.cpu, RSP, 0x8010);
    set_reg32(bare.cpu, RBP, 0x1234);
    /* enter 0x100,0 */
    expect_fault(RUN(0xc8, 0x00, 0x01, 0x00), EXC_PF, PF_W, CODE);
    cr_expect_eq(reg32(bare.cpu, RSP), 0x8010);
    cr_expect_eq(reg32(bare.cpu, RBP), 0x1234);
}

Test(interp, pop_to_memory_addresses_with_the_popped_stack_pointer)
{
    bare_write32(&bare, STACK, 0xcafe);
    /* pop dword [esp] */
    RUN(0x8f, 0x04, 0x24);
    cr_expect_eq(reg32(bare.cpu, RSP), STACK + 4);
    cr_expect_eq(bare_read32(&bare, STACK + 4), 0xcafe);
}

Test(interp, a_faulting_pop_to_memory_restores_the_stack_pointer)
{
    enable_paging();
    set_pte(0x20000, 0);
    /* pop dword [0x20000] */
    expect_fault(RUN(0x8f, 0x05, 0, 0, 2, 0), EXC_PF, PF_W, CODE);
    cr_expect_eq(reg32(bare.cpu, RSP), STACK);
}

Test(interp, push_and_pop_of_the_stack_pointer)
{
    /* push esp; pop eax; push 0x7000; pop esp */
    RUN(0x54, 0x58, 0x68, 0x00, 0x70, 0, 0, 0x5c);
    cr_expect_eq(reg32(bare.cpu, RAX), STACK);
    cr_expect_eq(reg32(bare.cpu, RSP), 0x7000);
}

Test(interp, cmov_reads_its_source_even_when_the_condition_is_false)
{
    enable_paging();
    set_pte(0x20000, 0);
    /* cmovc eax,[0x20000] with CF = 0 */
    expect_fault(RUN(0x0f, 0x42, 0x05, 0, 0, 2, 0), EXC_PF, 0, CODE);
}

/* ---- Segments ------------------------------------------------------------------------------------------- */

Test(interp, limits_are_checked_for_the_whole_operand)
{
    bare_set_segment(&bare, SEG_DS, 0x20000, 0xfff, BARE_ATTR_DATA);
    vcpu_sync(bare.cpu);
    /* mov eax,[0xffc]; mov eax,[0xffd] */
    expect_fault(RUN(0xa1, 0xfc, 0x0f, 0, 0, 0xa1, 0xfd, 0x0f, 0, 0), EXC_GP, 0, CODE + 5);
}

Test(interp, expand_down_segments_have_their_limit_below)
{
    bare_set_segment(&bare, SEG_ES, 0, 0xfff, BARE_ATTR_DATA | SEG_TYPE_ED);
    vcpu_sync(bare.cpu);
    /* mov al,[es:0x1000]; mov al,[es:0xfff] */
    expect_fault(RUN(0x26, 0xa0, 0x00, 0x10, 0, 0, 0x26, 0xa0, 0xff, 0x0f, 0, 0), EXC_GP, 0, CODE + 6);
}

Test(interp, stack_segment_violations_are_stack_faults)
{
    bare_set_segment(&bare, SEG_SS, 0, 0xfff, BARE_ATTR_DATA);
    vcpu_sync(bare.cpu);
    /* mov eax,[ebp] */
    set_reg32(bare.cpu, RBP, 0x2000);
    expect_fault(RUN(0x8b, 0x45, 0x00), EXC_SS, 0, CODE);
}

Test(interp, code_segments_are_not_writable)
{
    /* mov [cs:0x20000],eax */
    expect_fault(RUN(0x2e, 0xa3, 0, 0, 2, 0), EXC_GP, 0, CODE);
}

Test(interp, read_only_segments_are_not_writable)
{
    bare_set_segment(&bare, SEG_DS, 0, UINT32_MAX, BARE_ATTR_DATA & ~(uint32_t)SEG_TYPE_RW);
    vcpu_sync(bare.cpu);
    expect_fault(RUN(0xa1, 0, 0, 2, 0, 0xa3, 0, 0, 2, 0), EXC_GP, 0, CODE + 5);
}

Test(interp, unusable_segments_fault)
{
    bare_set_segment(&bare, SEG_FS, 0, UINT32_MAX, SEG_UNUSABLE);
    vcpu_sync(bare.cpu);
    expect_fault(RUN(0x64, 0xa1, 0, 0, 2, 0), EXC_GP, 0, CODE);
}

Test(interp, linear_addresses_wrap_at_4_gib)
{
    bare_set_segment(&bare, SEG_GS, 0x20000, UINT32_MAX, BARE_ATTR_DATA);
    vcpu_sync(bare.cpu);
    bare_write32(&bare, 0x1fff0, 0xabcd);
    /* mov eax,[gs:-16] */
    RUN(0x65, 0xa1, 0xf0, 0xff, 0xff, 0xff);
    cr_expect_eq(reg32(bare.cpu, RAX), 0xabcd);
}

Test(interp, alignment_is_checked_at_privilege_level_3_only)
{
    bare.cpu->cr0 |= CR0_AM;
    bare.cpu->rflags |= RFLAGS_AC;
    cr_expect_eq(RUN(0xa1, 1, 0, 2, 0), VCPU_EXIT_HALT);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        bare.cpu->seg[i].attr |= 3 << SEG_DPL_SHIFT;
        bare.cpu->seg[i].selector |= 3;
    }
    bare.cpu->halted = false;
    vcpu_sync(bare.cpu);
    bare.cpu->rip = CODE;
    cr_expect_eq(bare.cpu->cpl, 3);
    /* #AC is benign, so what the report begins with is the #GP for the missing gate: its index, IDT and EXT bits. */
    expect_fault(RUN(0xa1, 1, 0, 2, 0), EXC_GP, EXC_AC << 3 | 3, CODE);
}

/* ---- Fetching ------------------------------------------------------------------------------------------- */

Test(interp, an_instruction_across_pages_runs)
{
    enable_paging();
    bare.cpu->rip = 0x20ffe;
    cr_expect_eq(RUN(0xb8, 0x78, 0x56, 0x34, 0x12), VCPU_EXIT_HALT);
    cr_expect_eq(reg32(bare.cpu, RAX), 0x12345678);
}

Test(interp, a_frame_of_which_no_code_is_kept_is_not_watched)
{
    bare.cpu->rip = 0x1ffe;            /* the first frame holds the head of one instruction only */
    RUN(0xb8, 0x78, 0x56, 0x34, 0x12); /* mov eax, 12345678h */
    cr_expect_eq(reg32(bare.cpu, RAX), 0x12345678u);
    cr_expect_not(ram_watched(&bare.ram, 0x1000), "data beside it would be written the slow way for ever");
    cr_expect(ram_watched(&bare.ram, 0x2000), "the HLT behind it was kept");
}

Test(interp, an_instruction_across_pages_follows_the_page_tables)
{
    enable_paging();
    set_pte(0x21000, 0x30007);
    bare_write32(&bare, 0x30000, 0xf41234f4);
    bare.cpu->rip = 0x20fff;
    bare_load(&bare, 0x20fff, (const uint8_t[]){0xb0}, 1);
    cr_expect_eq(interp_run(bare.cpu, 1), VCPU_EXIT_BUDGET);
    cr_expect_eq(reg32(bare.cpu, RAX), 0xf4);
    set_pte(0x21000, 0x31007);
    bare_write32(&bare, 0x31000, 0x55);
    bare.cpu->rip = 0x20fff;
    interp_run(bare.cpu, 1);
    cr_expect_eq(reg32(bare.cpu, RAX), 0x55);
}

Test(interp, a_fetch_fault_in_the_second_page_names_that_page)
{
    enable_paging();
    set_pte(0x21000, 0);
    bare_load(&bare, 0x20ffe, (const uint8_t[]){0xb8, 1}, 2);
    bare.cpu->rip = 0x20ffe;
    expect_fault(interp_run(bare.cpu, 10), EXC_PF, 0, 0x20ffe);
    cr_expect_eq(bare.cpu->shutdown.cr2, 0x21000);
}

Test(interp, code_beyond_the_limit_faults)
{
    bare_set_segment(&bare, SEG_CS, 0, CODE + 3, BARE_ATTR_CODE);
    vcpu_sync(bare.cpu);
    /* two NOPs fit; the five-byte MOV does not */
    expect_fault(RUN(0x90, 0x90, 0xb8, 1, 2, 3, 4), EXC_GP, 0, CODE + 2);
}

Test(interp, a_run_decoded_under_a_wide_limit_obeys_a_narrow_one)
{
    static const uint8_t code[] = {0x90, 0x90, 0xb8, 1, 2, 3, 4, 0xf4};

    cr_assert_eq(run(code, sizeof(code)), VCPU_EXIT_HALT);
    bare.cpu->halted = false;
    bare_set_segment(&bare, SEG_CS, 0, CODE + 3, BARE_ATTR_CODE);
    vcpu_sync(bare.cpu);
    bare.cpu->rip = CODE;
    expect_fault(interp_run(bare.cpu, 100), EXC_GP, 0, CODE + 2);
}

Test(interp, a_branch_beyond_the_limit_faults_at_the_branch)
{
    bare_set_segment(&bare, SEG_CS, 0, 0x1fff, BARE_ATTR_CODE);
    vcpu_sync(bare.cpu);
    /* call 0x3000: nothing is pushed */
    expect_fault(RUN(0xe8, 0xfb, 0x1f, 0, 0), EXC_GP, 0, CODE);
    cr_expect_eq(reg32(bare.cpu, RSP), STACK);
}

Test(interp, too_long_an_instruction_is_a_general_protection_fault)
{
    uint8_t code[16];

    memset(code, 0x66, sizeof(code));
    code[15] = 0x90;
    expect_fault(run(code, sizeof(code)), EXC_GP, 0, CODE);
}

Test(interp, one_frame_decodes_separately_for_16_and_32_bits)
{
    static const uint8_t code[] = {0xb8, 0x34, 0x12, 0xf4, 0x90, 0xf4};

    run(code, sizeof(code)); /* mov eax,0x90f41234; hlt */
    cr_expect_eq(reg32(bare.cpu, RAX), 0x90f41234);
    bare.cpu->halted = false;
    bare_set_segment(&bare, SEG_CS, 0, UINT32_MAX, BARE_ATTR_CODE & ~BARE_ATTR_16BIT);
    vcpu_sync(bare.cpu);
    bare.cpu->rip = CODE;
    set_reg32(bare.cpu, RAX, 0);
    interp_run(bare.cpu, 100); /* mov ax,0x1234; hlt */
    cr_expect_eq(reg32(bare.cpu, RAX), 0x1234);
    cr_expect_eq(bare.cpu->rip, CODE + 4);
}

static uint64_t read_nop(void *opaque, uint64_t offset, unsigned size)
{
    static const uint8_t code[] = {0xb0, 0x77, 0xf4};

    (void)opaque;
    port_count += size;
    return offset < sizeof(code) ? code[offset] : 0;
}

Test(interp, code_in_a_device_is_read_no_further_than_needed)
{
    static const struct region_ops ops = {.read = read_nop, .write = write_port};
    struct region device;

    port_count = 0;
    region_init_io(&device, "code", 0x80000000, 0x1000, &ops, NULL);
    addr_space_add(&bare.mem, &device);
    bare.cpu->rip = 0x80000000;
    cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_HALT);
    cr_expect_eq(reg8(bare.cpu, RAX), 0x77);
    cr_expect_eq(port_count, 3);
}

Test(interp, peek_neither_faults_nor_executes)
{
    struct insn insn;

    enable_paging();
    set_pte(0x20000, 0);
    bare.cpu->rip = 0x20000;
    cr_expect_not(interp_peek(bare.cpu, &insn));
    cr_expect_not(bare.cpu->exception.pending);
    bare_load(&bare, CODE, (const uint8_t[]){0x01, 0xd8}, 2);
    bare.cpu->rip = CODE;
    cr_assert(interp_peek(bare.cpu, &insn));
    cr_expect_str_eq(insn.opcode->mnemonic, "add");
    cr_expect_eq(bare.cpu->rip, CODE);
}

/* ---- Self-modifying code -------------------------------------------------------------------------------- */

Test(interp, a_store_to_the_next_instruction_is_seen)
{
    /* mov byte [CODE+8],0x42; mov al,0x00  ->  mov al,0x42 */
    static const uint8_t code[] = {0xc6, 0x05, 0x08, 0x10, 0, 0, 0x42, 0xb0, 0x00, 0xf4};

    run(code, sizeof(code));
    cr_expect_eq(reg8(bare.cpu, RAX), 0x42);
}

Test(interp, code_that_was_run_before_is_decoded_again_after_a_store)
{
    /* L: mov al,1; cmp al,2; je end; mov byte [L+1],2; jmp L; end: hlt */
    static const uint8_t code[] = {0xb0, 1, 0x3c, 2, 0x74, 9, 0xc6, 0x05, 0x01, 0x10, 0, 0, 2, 0xeb, 0xf1};

    cr_expect_eq(run(code, sizeof(code)), VCPU_EXIT_HALT);
    cr_expect_eq(reg8(bare.cpu, RAX), 2);
}

Test(interp, a_store_through_another_linear_address_is_seen)
{
    enable_paging();
    set_pte(0x50000, CODE | 7);
    /* mov byte [0x50008],0x42; mov al,0 */
    static const uint8_t code[] = {0xc6, 0x05, 0x08, 0x00, 0x05, 0, 0x42, 0xb0, 0x00, 0xf4};

    run(code, sizeof(code));
    cr_expect_eq(reg8(bare.cpu, RAX), 0x42);
}

Test(interp, dma_onto_code_is_seen)
{
    static const uint8_t code[] = {0xb0, 1, 0xf4};

    run(code, sizeof(code));
    bare.cpu->halted = false;
    cr_assert(dma_write(&bare.mem, CODE + 1, (const uint8_t[]){9}, 1));
    bare.cpu->rip = CODE;
    interp_run(bare.cpu, 10);
    cr_expect_eq(reg8(bare.cpu, RAX), 9);
}

static unsigned protects;

static void count_protect(void *opaque, uint64_t frame)
{
    (void)opaque;
    (void)frame;
    protects++;
}

/* A watch that is set anew for each version of the code costs a search of all cached translations. */
Test(interp, code_that_is_rewritten_again_and_again_stays_watched)
{
    static struct ram_protect_listener listener = {.protect = count_protect};
    const uint8_t *watch = &bare.mem.ram->watch[0x6000 >> PAGE_SHIFT];

    ram_add_listener(bare.mem.ram, &listener);
    for (unsigned n = 0; n < 100; n++) {
        cr_assert(dma_write(&bare.mem, 0x6000, (const uint8_t[]){0xb0, (uint8_t)n, 0xf4}, 3));
        bare.cpu->halted = false;
        bare.cpu->rip = 0x6000;
        interp_run(bare.cpu, 10);
        cr_expect_eq(reg8(bare.cpu, RAX), n);
    }
    cr_expect_lt(protects, 20);
    for (unsigned n = 0; n < 300; n++) {
        cr_assert(dma_write(&bare.mem, 0x6000, (const uint8_t[]){0xb0, 7, 0xf4}, 3));
    }
    cr_expect_eq(*watch & BIT(RAM_WATCH_CODE), 0, "it has become data");
    bare.cpu->halted = false;
    bare.cpu->rip = 0x6000;
    interp_run(bare.cpu, 10);
    cr_expect_eq(reg8(bare.cpu, RAX), 7);
    cr_expect_neq(*watch & BIT(RAM_WATCH_CODE), 0);
}

Test(interp, a_string_store_over_itself_ends_with_the_new_code)
{
    /* mov ecx,5; mov edi,here; mov al,0x90; here: rep stosb; hlt; inc ecx; hlt: NOPs up to the HLT that follows */
    static const uint8_t code[] = {0xb9, 5,    0,    0,    0,    0xbf, 0x0c, 0x10, 0,
                                   0,    0xb0, 0x90, 0xf3, 0xaa, 0xf4, 0x41, 0xf4};

    run(code, sizeof(code));
    cr_expect_eq(reg32(bare.cpu, RCX), 0);
    cr_expect_eq(bare.cpu->rip, CODE + 0x12);
}

Test(interp, data_beside_code_does_not_disturb_it)
{
    /* mov ecx,1000; L: inc dword [CODE+0x40]; loop L */
    static const uint8_t code[] = {0xb9, 0xe8, 3, 0, 0, 0xff, 0x05, 0x40, 0x10, 0, 0, 0xe2, 0xf8};

    cr_expect_eq(run(code, sizeof(code)), VCPU_EXIT_HALT);
    cr_expect_eq(bare_read32(&bare, CODE + 0x40), 1000);
}

/* ---- String instructions -------------------------------------------------------------------------------- */

Test(interp, rep_movs_stops_at_a_missing_page_with_exact_registers)
{
    enable_paging();
    set_pte(0x31000, 0);
    set_reg32(bare.cpu, RSI, 0x20000);
    set_reg32(bare.cpu, RDI, 0x30ff0);
    set_reg32(bare.cpu, RCX, 16);
    bare_write32(&bare, 0x20000, 0x01020304);
    expect_fault(RUN(0xf3, 0xa5), EXC_PF, PF_W, CODE);
    cr_expect_eq(reg32(bare.cpu, RCX), 12);
    cr_expect_eq(reg32(bare.cpu, RSI), 0x20010);
    cr_expect_eq(reg32(bare.cpu, RDI), 0x31000);
    cr_expect_eq(bare_read32(&bare, 0x30ff0), 0x01020304);
}

Test(interp, rep_movs_with_a_misaligned_page_crossing_element)
{
    enable_paging();
    for (unsigned i = 0; i < 64; i++) {
        bare_write32(&bare, 0x20ff1 - 64 + 4 * i, 0x1000 + i);
    }
    set_reg32(bare.cpu, RSI, 0x20ff1 - 64);
    set_reg32(bare.cpu, RDI, 0x30fe3);
    set_reg32(bare.cpu, RCX, 64);
    cr_expect_eq(RUN(0xf3, 0xa5), VCPU_EXIT_HALT);
    for (unsigned i = 0; i < 64; i++) {
        cr_expect_eq(bare_read32(&bare, 0x30fe3 + 4 * i), 0x1000 + i);
    }
}

Test(interp, overlapping_rep_movs_propagates)
{
    bare_load(&bare, 0x20000, "abcd", 4);
    set_reg32(bare.cpu, RSI, 0x20000);
    set_reg32(bare.cpu, RDI, 0x20001);
    set_reg32(bare.cpu, RCX, 3);
    RUN(0xf3, 0xa4);
    cr_expect_eq(bare_read32(&bare, 0x20000), 0x61616161);
}

Test(interp, string_instructions_go_down_with_df_set)
{
    bare_load(&bare, 0x20000, "abcdefgh", 8);
    set_reg32(bare.cpu, RSI, 0x20007);
    set_reg32(bare.cpu, RDI, 0x20107);
    set_reg32(bare.cpu, RCX, 8);
    RUN(0xfd, 0xf3, 0xa4);
    cr_expect_eq(bare_read32(&bare, 0x20100), 0x64636261);
    cr_expect_eq(bare_read32(&bare, 0x20104), 0x68676665);
    cr_expect_eq(reg32(bare.cpu, RSI), 0x1ffff);
}

Test(interp, sixteen_bit_string_addresses_wrap)
{
    set_reg32(bare.cpu, RDI, 0xabcdfffe);
    set_reg32(bare.cpu, RCX, 0x12340004);
    set_reg32(bare.cpu, RAX, 0x5a);
    RUN(0x67, 0xf3, 0xaa);
    cr_expect_eq(reg32(bare.cpu, RDI), 0xabcd0002);
    cr_expect_eq(reg32(bare.cpu, RCX), 0x12340000);
    cr_expect_eq(bare_read32(&bare, 0xfffe) & 0xffff, 0x5a5a);
    cr_expect_eq(bare_read32(&bare, 0) & 0xffff, 0x5a5a);
}

Test(interp, repne_scasb_finds_the_terminator)
{
    bare_load(&bare, 0x20fff - 5, "hello world", 12);
    set_reg32(bare.cpu, RDI, 0x20fff - 5);
    set_reg32(bare.cpu, RCX, 0xffffffff);
    RUN(0xf2, 0xae);
    cr_expect_eq(reg32(bare.cpu, RCX), 0xffffffff - 12);
    cr_expect(bare.cpu->rflags & RFLAGS_ZF);
}

Test(interp, repe_cmpsb_stops_at_the_difference)
{
    bare_load(&bare, 0x20000, "abcdef", 6);
    bare_load(&bare, 0x30000, "abcxef", 6);
    set_reg32(bare.cpu, RSI, 0x20000);
    set_reg32(bare.cpu, RDI, 0x30000);
    set_reg32(bare.cpu, RCX, 6);
    RUN(0xf3, 0xa6);
    cr_expect_eq(reg32(bare.cpu, RCX), 2);
    cr_expect_eq(reg32(bare.cpu, RSI), 0x20004);
    cr_expect(bare.cpu->rflags & RFLAGS_CF, "'d' is below 'x'");
    cr_expect_not(bare.cpu->rflags & RFLAGS_ZF);
}

Test(interp, a_repeat_count_of_zero_does_nothing)
{
    bare.cpu->rflags |= RFLAGS_ZF | RFLAGS_CF;
    set_reg32(bare.cpu, RSI, 0xfffffff0);
    RUN(0xf3, 0xa6);
    cr_expect_eq(reg32(bare.cpu, RSI), 0xfffffff0);
    cr_expect_eq(bare.cpu->rflags & RFLAGS_ARITH, RFLAGS_ZF | RFLAGS_CF);
}

Test(interp, ins_does_not_read_the_port_when_the_memory_faults)
{
    struct region device;

    enable_paging();
    set_pte(0x20000, 0);
    port_count = 0;
    region_init_io(&device, "data", 0x1f0, 4, &count_ops, &bare.cpu->insn_count);
    addr_space_add(&bare.io, &device);
    set_reg32(bare.cpu, RDX, 0x1f0);
    set_reg32(bare.cpu, RDI, 0x20000);
    expect_fault(RUN(0x6c), EXC_PF, PF_W, CODE);
    cr_expect_eq(port_count, 0);
}

Test(interp, a_kick_interrupts_a_long_repeat_between_elements)
{
    set_reg32(bare.cpu, RCX, 100);
    set_reg32(bare.cpu, RDI, 0x20000);
    bare_load(&bare, CODE, (const uint8_t[]){0xfd, 0xf3, 0xaa, 0xf4}, 4);
    interp_run(bare.cpu, 1);
    /* A kick in the middle: a device in the destination raises it. */
    vcpu_kick(bare.cpu);
    cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_BUDGET);
    cr_expect_eq(bare.cpu->rip, CODE + 1);
    cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_HALT);
    cr_expect_eq(reg32(bare.cpu, RCX), 0);
}

static void kick_on_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)value;
    (void)size;
    vcpu_kick(opaque);
}

Test(interp, a_repeat_that_gives_way_resumes_where_it_was)
{
    static const struct region_ops ops = {.read = read_count, .write = kick_on_write};
    struct region device;

    region_init_io(&device, "kick", 0x80000000, 0x1000, &ops, bare.cpu);
    addr_space_add(&bare.mem, &device);
    set_reg32(bare.cpu, RCX, 10);
    set_reg32(bare.cpu, RDI, 0x80000000);
    bare_load(&bare, CODE, (const uint8_t[]){0xf3, 0xaa, 0xf4}, 3);
    for (unsigned left = 9; left > 0; left--) {
        cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_BUDGET);
        cr_expect_eq(reg32(bare.cpu, RCX), left);
        cr_expect_eq(bare.cpu->rip, CODE);
        cr_expect_eq(bare.cpu->insn_count, 0, "it has not retired");
        cr_expect(bare.cpu->rflags & RFLAGS_RF);
    }
    cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_BUDGET);
    cr_expect_eq(bare.cpu->insn_count, 1);
    cr_expect_not(bare.cpu->rflags & RFLAGS_RF);
}

/* REP LODSD of 4 G elements from where nobody answers. */
Test(interp, a_repeat_without_end_comes_back, .timeout = 10)
{
    uint32_t left = UINT32_MAX;

    set_reg32(bare.cpu, RCX, left);
    set_reg32(bare.cpu, RSI, 0x80000000);
    bare_load(&bare, CODE, (const uint8_t[]){0xf3, 0xad, 0xf4}, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_BUDGET);
        cr_expect_lt(reg32(bare.cpu, RCX), left);
        cr_expect_eq(bare.cpu->rip, CODE);
        cr_expect_eq(bare.cpu->insn_count, 0);
        left = reg32(bare.cpu, RCX);
    }
    cr_expect_gt(left, UINT32_MAX - 1000000);
}

/* ---- Branches and loops --------------------------------------------------------------------------------- */

Test(interp, loop_counts_in_the_address_size)
{
    set_reg32(bare.cpu, RCX, 0x10000);
    RUN(0x67, 0xe2, 0xfd); /* loop with CX: 65536 turns */
    cr_expect_eq(reg32(bare.cpu, RCX), 0x10000, "CX wrapped through 0xffff to 0, the upper half stands");
    cr_expect_eq(bare.cpu->insn_count, 0x10001);
}

Test(interp, sixteen_bit_branches_truncate_the_target)
{
    bare_load(&bare, 0x0ffe, (const uint8_t[]){0xf4}, 1);
    bare.cpu->rip = 0x21000;
    bare_load(&bare, 0x21000, (const uint8_t[]){0x66, 0xe9, 0xfa, 0xff}, 4); /* to 0x20ffe, cut to 0x0ffe */
    cr_expect_eq(interp_run(bare.cpu, 10), VCPU_EXIT_HALT);
    cr_expect_eq(bare.cpu->rip, 0x0fff);
}

Test(interp, ret_with_an_immediate_frees_the_arguments)
{
    bare_write32(&bare, STACK, CODE + 0x100);
    bare_load(&bare, CODE + 0x100, (const uint8_t[]){0xf4}, 1);
    RUN(0xc2, 0x0c, 0x00);
    cr_expect_eq(reg32(bare.cpu, RSP), STACK + 16);
    cr_expect_eq(bare.cpu->rip, CODE + 0x101);
}

/* ---- Bits and exchanges --------------------------------------------------------------------------------- */

Test(interp, bit_strings_reach_below_their_base)
{
    /* bts [0x20000],eax with EAX = -1: bit 31 of 0x1fffc */
    set_reg32(bare.cpu, RAX, 0xffffffff);
    RUN(0x0f, 0xab, 0x05, 0, 0, 2, 0);
    cr_expect_eq(bare_read32(&bare, 0x1fffc), 0x80000000);
    cr_expect_not(bare.cpu->rflags & RFLAGS_CF);
}

Test(interp, xadd_of_a_register_with_itself_doubles_it)
{
    set_reg32(bare.cpu, RAX, 21);
    RUN(0x0f, 0xc1, 0xc0);
    cr_expect_eq(reg32(bare.cpu, RAX), 42);
}

Test(interp, cmpxchg8b_both_ways)
{
    bare_write32(&bare, 0x20000, 1);
    bare_write32(&bare, 0x20004, 2);
    set_reg32(bare.cpu, RBX, 7);
    set_reg32(bare.cpu, RCX, 8);
    /* cmpxchg8b [0x20000], twice: the first loads EDX:EAX, the second stores */
    RUN(0x0f, 0xc7, 0x0d, 0, 0, 2, 0, 0x0f, 0xc7, 0x0d, 0, 0, 2, 0);
    cr_expect_eq(reg32(bare.cpu, RAX), 1);
    cr_expect_eq(reg32(bare.cpu, RDX), 2);
    cr_expect_eq(bare_read32(&bare, 0x20000), 7);
    cr_expect_eq(bare_read32(&bare, 0x20004), 8);
    cr_expect(bare.cpu->rflags & RFLAGS_ZF);
}

Test(interp, high_byte_registers)
{
    set_reg32(bare.cpu, RAX, 0x12345678);
    set_reg32(bare.cpu, RBX, 0x9abcdef0);
    RUN(0x88, 0xfc, 0x86, 0xc3); /* mov ah,bh; xchg bl,al */
    cr_expect_eq(reg32(bare.cpu, RAX), 0x1234def0);
    cr_expect_eq(reg32(bare.cpu, RBX), 0x9abcde78);
}

/* ---- Attention ------------------------------------------------------------------------------------------ */

/* An IDT of `count` interrupt gates at 0x40000 that all lead to `handler`. */
static void set_idt(unsigned count, uint32_t handler)
{
    for (unsigned i = 0; i < count; i++) {
        bare_write32(&bare, 0x40000 + 8 * i, (8 * (SEG_CS + 1)) << 16 | (handler & 0xffff));
        bare_write32(&bare, 0x40004 + 8 * i, (handler & 0xffff0000) | 0x8e00);
    }
    bare.cpu->idtr = (struct table_register){.base = 0x40000, .limit = (uint16_t)(8 * count - 1)};
    /* descriptor for CS in a GDT at 0x50000 */
    bare_write32(&bare, 0x50000 + 8 * (SEG_CS + 1), 0x0000ffff);
    bare_write32(&bare, 0x50004 + 8 * (SEG_CS + 1), 0x00cf9b00);
    bare.cpu->gdtr = (struct table_register){.base = 0x50000, .limit = 0xff};
    bare_load(&bare, handler, (const uint8_t[]){0xf4}, 1);
}

static uint8_t vector_33(void *board)
{
    (void)board;
    vcpu_set_intr(bare.cpu, false);
    return 33;
}

Test(interp, an_interrupt_wakes_a_halted_processor)
{
    set_idt(64, 0x3000);
    bare.cpu->wiring.interrupt_acknowledge = vector_33;
    bare.cpu->rflags |= RFLAGS_IF;
    cr_assert_eq(RUN(0x90), VCPU_EXIT_HALT);
    cr_expect_eq(bare.cpu->rip, CODE + 2);
    vcpu_set_intr(bare.cpu, true);
    cr_assert_eq(interp_run(bare.cpu, 100), VCPU_EXIT_HALT);
    cr_expect_eq(bare.cpu->rip, 0x3001);
    cr_expect_eq(bare_read32(&bare, reg32(bare.cpu, RSP)), CODE + 2);
    cr_expect_not(bare.cpu->rflags & RFLAGS_IF);
}

Test(interp, sti_holds_interrupts_back_for_one_instruction)
{
    set_idt(64, 0x3000);
    bare.cpu->wiring.interrupt_acknowledge = vector_33;
    vcpu_set_intr(bare.cpu, true);
    /* sti; nop; nop */
    RUN(0xfb, 0x90, 0x90);
    cr_expect_eq(bare.cpu->rip, 0x3001);
    cr_expect_eq(bare_read32(&bare, reg32(bare.cpu, RSP)), CODE + 2);
}

Test(interp, single_step_traps_after_each_instruction)
{
    set_idt(64, 0x3000);
    bare.cpu->rflags |= RFLAGS_TF;
    vcpu_sync(bare.cpu);
    RUN(0x90, 0x90);
    cr_expect_eq(bare.cpu->rip, 0x3001);
    cr_expect_eq(bare_read32(&bare, reg32(bare.cpu, RSP)), CODE + 1);
    cr_expect(bare.cpu->dr[6] & DR6_BS);
    cr_expect_not(bare.cpu->rflags & RFLAGS_TF);
}

Test(interp, single_step_traps_after_each_iteration_of_a_repeat)
{
    set_idt(64, 0x3000);
    bare.cpu->rflags |= RFLAGS_TF;
    vcpu_sync(bare.cpu);
    set_reg32(bare.cpu, RCX, 5);
    set_reg32(bare.cpu, RDI, 0x20000);
    RUN(0xf3, 0xaa);
    cr_expect_eq(bare_read32(&bare, reg32(bare.cpu, RSP)), CODE);
    cr_expect_eq(reg32(bare.cpu, RCX), 4);
}

Test(interp, an_instruction_breakpoint_faults_before_and_rf_passes_it)
{
    set_idt(64, 0x3000);
    bare.cpu->dr[0] = CODE + 1;
    bare.cpu->dr[7] |= 1;
    vcpu_sync(bare.cpu);
    RUN(0x90, 0x40, 0x40);
    cr_expect_eq(bare.cpu->rip, 0x3001);
    cr_expect_eq(reg32(bare.cpu, RAX), 0);
    cr_expect_eq(bare_read32(&bare, reg32(bare.cpu, RSP)), CODE + 1);
    /* The debugger sets RF in the image and returns. */
    gpa_t image = reg32(bare.cpu, RSP) + 8;
    cr_expect_not(bare_read32(&bare, image) & RFLAGS_RF);
    bare_write32(&bare, image, bare_read32(&bare, image) | RFLAGS_RF);
    bare.cpu->halted = false;
    bare_load(&bare, 0x3001, (const uint8_t[]){0xcf}, 1);
    cr_expect_eq(interp_run(bare.cpu, 100), VCPU_EXIT_HALT);
    cr_expect_eq(reg32(bare.cpu, RAX), 2);
}

Test(interp, a_data_breakpoint_traps_after_the_instruction)
{
    set_idt(64, 0x3000);
    bare.cpu->dr[1] = 0x20000;
    bare.cpu->dr[7] |= 1 << 2 | 0xdu << 20; /* L1; write, 4 bytes */
    vcpu_sync(bare.cpu);
    /* mov eax,[0x20000] (no hit); mov [0x20002],al */
    RUN(0xa1, 0, 0, 2, 0, 0xa2, 2, 0, 2, 0, 0x40);
    cr_expect_eq(bare.cpu->rip, 0x3001);
    cr_expect_eq(bare_read32(&bare, reg32(bare.cpu, RSP)), CODE + 10);
    cr_expect_eq(bare.cpu->dr[6] & DR6_B, DR6_B0 << 1);
}

static unsigned stops;

static bool stop_at_third(void *board)
{
    (void)board;
    return ++stops == 3;
}

Test(interp, the_debugger_is_asked_before_every_instruction)
{
    stops = 0;
    bare.cpu->wiring.debug_stop = stop_at_third;
    bare.cpu->attention |= ATTENTION_DEBUG;
    cr_expect_eq(RUN(0x90, 0x90, 0x90, 0x90), VCPU_EXIT_DEBUG);
    cr_expect_eq(bare.cpu->insn_count, 2);
}

Test(interp, a_guest_that_faults_for_ever_does_not_hold_the_host)
{
    /* Vector 6 leads to UD2, in a segment where pushing never fails: the stack wraps. */
    set_idt(64, 0x3000);
    bare_load(&bare, 0x3000, (const uint8_t[]){0x0f, 0x0b}, 2);
    bare_load(&bare, CODE, (const uint8_t[]){0x0f, 0x0b}, 2);
    bare_set_segment(&bare, SEG_SS, 0x60000, 0xffff, BARE_ATTR_DATA & ~BARE_ATTR_16BIT);
    vcpu_sync(bare.cpu);
    cr_expect_eq(interp_run(bare.cpu, 10), VCPU_EXIT_BUDGET);
    cr_expect_eq(bare.cpu->insn_count, 0);
}
