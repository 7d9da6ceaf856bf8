/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The translator where lock-step's random programs seldom go: the stack of its own, the exact end of a budget, traits
 * of sites, code that changes under it, and what it counts.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>

#include "binxlate/binxlate.h"
#include "cpu/interp.h"
#include "tests/isa/bare_machine.h"

enum { CODE = 0x10000, DATA = 0x20000, STACK = 0x800000 };

struct fixture {
    struct bare_machine bare;
    struct binxlate *x;
};

static struct fixture f;

static void set_up(void)
{
    struct error error;

    if (binxlate_supported(&error) < 0) {
        cr_skip_test("%s", error.text);
    }
    bare_init(&f.bare);
    bare_enter_protected(&f.bare, 32);
    f.x = binxlate_create(f.bare.cpu, &error);
    cr_assert_not_null(f.x, "%s", error.text);
    f.bare.cpu->rip = CODE;
    f.bare.cpu->gpr[RSP] = STACK;
}

static void tear_down(void)
{
    binxlate_destroy(f.x);
    bare_fini(&f.bare);
}

#define LOAD(...)                                                                                            \
    do {                                                                                                     \
        static const uint8_t bytes[] = {__VA_ARGS__};                                                        \
        bare_load(&f.bare, CODE, bytes, sizeof(bytes));                                                      \
    } while (0)

/* Run to HLT. */
static void run_to_halt(void)
{
    cr_assert_eq(binxlate_run(f.x, 100000000), VCPU_EXIT_HALT);
}

TestSuite(binxlate, .init = set_up, .fini = tear_down);

Test(binxlate, ends_a_budget_at_the_exact_instruction)
{
    LOAD(0x40, 0x43, 0x41, 0x42, 0xeb, 0xfa); /* inc eax, ebx, ecx, edx; jmp $-4 */
    uint64_t before = f.bare.cpu->insn_count, total = 0;
    for (unsigned budget = 1; budget < 40; budget++) {
        cr_assert_eq(binxlate_run(f.x, budget), VCPU_EXIT_BUDGET);
        total += budget;
        cr_assert_eq(f.bare.cpu->insn_count - before, total, "budget %u", budget);
    }
    cr_assert_eq(f.bare.cpu->gpr[RAX], (total + 4) / 5);
    cr_assert_eq(f.bare.cpu->gpr[RDX], (total + 1) / 5);
}

Test(binxlate, survives_calls_nested_deeper_than_its_stack)
{
    /* mov ecx,100000; call f; hlt; f: dec ecx; jz out; call f; out: ret */
    LOAD(0xb9, 0xa0, 0x86, 0x01, 0x00, 0xe8, 0x01, 0x00, 0x00, 0x00, 0xf4, 0x49, 0x74, 0x05, 0xe8, 0xf8, 0xff,
         0xff, 0xff, 0xc3);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->rip, CODE + 11);
    cr_assert_eq(f.bare.cpu->gpr[RSP], STACK);
    cr_assert_eq(f.bare.cpu->gpr[RCX], 0);
}

Test(binxlate, survives_calls_that_never_return)
{
    /* mov ecx,200000; f: pushf (a call-out); pop eax; dec ecx; jz out; call g; g: add esp,4; jmp f; out: hlt */
    LOAD(0xb9, 0x40, 0x0d, 0x03, 0x00, 0x9c, 0x58, 0x49, 0x74, 0x0a, 0xe8, 0x00, 0x00, 0x00, 0x00, 0x83, 0xc4,
         0x04, 0xeb, 0xf1, 0xf4);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->rip, CODE + 21);
    cr_assert_eq(f.bare.cpu->gpr[RSP], STACK);
}

Test(binxlate, returns_to_where_the_guest_says)
{
    /* push CODE+16; ret; NOPs; CODE+16: hlt. No call has been made */
    LOAD(0x68, 0x10, 0x00, 0x01, 0x00, 0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
         0xf4);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->rip, CODE + 17);
    cr_assert_eq(f.bare.cpu->gpr[RSP], STACK);
}

Test(binxlate, sees_a_store_to_the_next_instruction)
{
    /* mov byte [CODE+7],0x41 (inc ecx); inc eax, overwritten; hlt */
    LOAD(0xc6, 0x05, 0x07, 0x00, 0x01, 0x00, 0x41, 0x40, 0xf4);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 0);
    cr_assert_eq(f.bare.cpu->gpr[RCX], 1);
    bare_load(&f.bare, CODE + 7, "\x40", 1);
    f.bare.cpu->rip = CODE;
    f.bare.cpu->halted = false;
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 0);
    cr_assert_eq(f.bare.cpu->gpr[RCX], 2);
}

Test(binxlate, sees_what_the_board_writes_to_translated_code)
{
    LOAD(0x40, 0xf4); /* inc eax; hlt */
    run_to_halt();
    bare_load(&f.bare, CODE, "\x43", 1); /* inc ebx */
    f.bare.cpu->rip = CODE;
    f.bare.cpu->halted = false;
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 1);
    cr_assert_eq(f.bare.cpu->gpr[RBX], 1);
    cr_assert_gt(binxlate_stats(f.x)->blocks_invalidated, 0);
}

Test(binxlate, splits_what_straddles_two_pages)
{
    /* mov eax,[ebx]; add [ebx],ecx; add ebx,1; dec edx; jnz; hlt */
    LOAD(0x8b, 0x03, 0x01, 0x0b, 0x83, 0xc3, 0x01, 0x4a, 0x75, 0xf6, 0xf4);
    f.bare.cpu->gpr[RBX] = DATA + 0xff8;
    f.bare.cpu->gpr[RDX] = 16;
    f.bare.cpu->gpr[RCX] = 0x01000000;
    run_to_halt();
    /* The top byte of each doubleword was raised once: bytes 3 to 18 */
    for (unsigned i = 0; i < 6; i++) {
        static const uint32_t expected[6] = {0x01000000, 0x01010101, 0x01010101, 0x01010101, 0x00010101, 0};
        cr_assert_eq(bare_read32(&f.bare, DATA + 0xff8 + 4 * i), expected[i], "doubleword %u", i);
    }
    cr_assert_gt(binxlate_stats(f.x)->misaligned_sites, 0);
}

/* Reads, writes and both, of words and doublewords, over a page's end: all that the interpreter leaves behind. */
Test(binxlate, misaligned_operands_act_as_in_the_interpreter)
{
    static const uint8_t code[] = {
        0x03, 0x03,             /* l: add eax,[ebx] */
        0x11, 0x43, 0x05,       /* adc [ebx+5],eax */
        0x66, 0x13, 0x43, 0x09, /* adc ax,[ebx+9] */
        0x66, 0x31, 0x43, 0x0d, /* xor [ebx+13],ax */
        0x89, 0x43, 0x11,       /* mov [ebx+17],eax */
        0x87, 0x43, 0x13,       /* xchg [ebx+19],eax */
        0xff, 0x43, 0x15,       /* inc dword [ebx+21] */
        0x0f, 0xb7, 0x73, 0x17, /* movzx esi,word [ebx+23] */
        0x0f, 0xc1, 0x73, 0x1b, /* xadd [ebx+27],esi */
        0x0f, 0xb1, 0x4b, 0x1d, /* cmpxchg [ebx+29],ecx */
        0xd1, 0x53, 0x1f,       /* rcl dword [ebx+31],1 */
        0x8d, 0x5b, 0x01,       /* lea ebx,[ebx+1] */
        0x4a, 0x75, 0xd3, 0xf4  /* dec edx; jnz l; hlt */
    };
    static struct bare_machine other;
    uint8_t expected[0x100], got[0x100];
    bare_init(&other);
    bare_enter_protected(&other, 32);
    for (unsigned i = 0; i < sizeof(got); i++) {
        got[i] = (uint8_t)(i * 167 + 13);
    }
    for (struct bare_machine *bare = &other;; bare = &f.bare) {
        bare_load(bare, CODE, code, sizeof(code));
        bare_load(bare, DATA + 0xf80, got, sizeof(got));
        bare->cpu->rip = CODE;
        bare->cpu->gpr[RBX] = DATA + 0xfa1;
        bare->cpu->gpr[RCX] = 0x12345678;
        bare->cpu->gpr[RDX] = 100;
        if (bare == &f.bare) {
            break;
        }
    }
    run_to_halt();
    cr_assert_eq(interp_run(other.cpu, 100000000), VCPU_EXIT_HALT);
    addr_space_peek(&other.mem, DATA + 0xf80, expected, sizeof(expected));
    addr_space_peek(&f.bare.mem, DATA + 0xf80, got, sizeof(got));
    cr_assert_arr_eq(got, expected, sizeof(expected));
    cr_assert_eq(f.bare.cpu->gpr[RAX], other.cpu->gpr[RAX]);
    cr_assert_eq(f.bare.cpu->gpr[RSI], other.cpu->gpr[RSI]);
    cr_assert_eq(f.bare.cpu->insn_count, other.cpu->insn_count);
    cr_assert_gt(binxlate_stats(f.x)->misaligned_sites, 10);
    bare_fini(&other);
}

Test(binxlate, moves_doubles_that_are_aligned_to_four_bytes)
{
    /* l: fld qword [ebx]; fadd st0,st0; fstp qword [ebx+8]; add ebx,4; dec edx; jnz l; hlt */
    LOAD(0xdd, 0x03, 0xdc, 0xc0, 0xdd, 0x5b, 0x08, 0x83, 0xc3, 0x04, 0x4a, 0x75, 0xf3, 0xf4);
    double one = 1.5, got;
    bare_load(&f.bare, DATA + 0xfec, &one, sizeof(one));
    f.bare.cpu->fpu.fcw = 0x037f;
    f.bare.cpu->fpu.ftw = 0;
    f.bare.cpu->gpr[RDX] = 1;
    f.bare.cpu->gpr[RBX] = DATA + 0xfec;
    for (unsigned pass = 0; pass < 4; pass++) { /* ..., 0x0ffc: across the page's end */
        f.bare.cpu->rip = CODE;
        f.bare.cpu->halted = false;
        f.bare.cpu->gpr[RDX] = 1;
        run_to_halt();
        f.bare.cpu->gpr[RBX] += 4;
    }
    addr_space_peek(&f.bare.mem, DATA + 0xfec + 32, &got, sizeof(got));
    cr_assert_eq(got, 24.0);
}

/* ---- Code that crosses a page, and blocks that go on behind jumps ---- */

enum { NEXT_PAGE = CODE + 0x1000, DIRECTORY = 0x100000, TABLE = 0x101000 };

static void start_at(uint32_t address)
{
    f.bare.cpu->rip = address;
    f.bare.cpu->halted = false;
}

Test(binxlate, translates_a_loop_that_crosses_a_page)
{
    /* NEXT_PAGE-4: l: inc ebx; add eax,0x01020304, half of it in the next page; dec ecx; jnz l; hlt */
    bare_load(&f.bare, NEXT_PAGE - 4, "\x43\x05\x04\x03\x02\x01\x49\x75\xf7\xf4", 10);
    f.bare.cpu->gpr[RCX] = 1000;
    start_at(NEXT_PAGE - 4);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RAX], (uint32_t)(1000u * 0x01020304u));
    cr_assert_eq(f.bare.cpu->gpr[RBX], 1000);
    cr_assert_lt(binxlate_stats(f.x)->interpreted, 10);
}

Test(binxlate, sees_writes_to_both_parts_of_an_instruction_that_crosses_a_page)
{
    bare_load(&f.bare, NEXT_PAGE - 3, "\xb8\x11\x11\x22\x22\xf4", 6); /* mov eax,0x22221111; hlt */
    start_at(NEXT_PAGE - 3);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 0x22221111);
    bare_load(&f.bare, NEXT_PAGE + 1, "\x33", 1);
    start_at(NEXT_PAGE - 3);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 0x33221111);
    bare_load(&f.bare, NEXT_PAGE - 3, "\xbb", 1); /* mov ebx */
    start_at(NEXT_PAGE - 3);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RBX], 0x33221111);
    cr_assert_eq(binxlate_stats(f.x)->interpreted, 0);
}

/* 4 MiB mapped to themselves. */
static void enable_paging(void)
{
    bare_write32(&f.bare, DIRECTORY, TABLE | 3);
    for (uint32_t page = 0; page < 1024; page++) {
        bare_write32(&f.bare, TABLE + 4 * page, page << 12 | 3);
    }
    f.bare.cpu->cr3 = DIRECTORY;
    f.bare.cpu->cr0 |= CR0_PG;
    vcpu_sync(f.bare.cpu);
}

Test(binxlate, finds_the_second_page_of_an_instruction_where_it_is_mapped_now)
{
    enable_paging();
    /* mov cr3,edx; mov eax,imm32, two bytes of it in the next page; hlt */
    bare_load(&f.bare, NEXT_PAGE - 6, "\x0f\x22\xda\xb8\x11\x11", 6);
    bare_load(&f.bare, NEXT_PAGE, "\x22\x22\xf4", 3);
    bare_load(&f.bare, NEXT_PAGE + 0x1000, "\x33\x33\xf4", 3);
    f.bare.cpu->gpr[RDX] = DIRECTORY;
    for (unsigned pass = 0; pass < 4; pass++) {
        bare_write32(&f.bare, TABLE + 4 * (NEXT_PAGE >> 12), (NEXT_PAGE + pass % 2 * 0x1000) | 3);
        start_at(NEXT_PAGE - 6);
        run_to_halt();
        cr_assert_eq(f.bare.cpu->gpr[RAX], pass % 2 ? 0x33331111 : 0x22221111, "pass %u", pass);
    }
    bare_write32(&f.bare, TABLE + 4 * (NEXT_PAGE >> 12), 0);
    start_at(NEXT_PAGE - 6);
    cr_assert_eq(binxlate_run(f.x, 100), VCPU_EXIT_SHUTDOWN, "there is no handler for the page fault");
    cr_assert_eq(f.bare.cpu->cr2, NEXT_PAGE);
    cr_assert_eq(f.bare.cpu->rip, NEXT_PAGE - 3, "of the instruction, not of what came before it");
}

Test(binxlate, returns_into_the_page_as_the_callee_has_mapped_it)
{
    enum { FUNCTION = 0x30000, OTHER = 0x15000 };
    enable_paging();
    LOAD(0xe8, 0xfb, 0xff, 0x01, 0x00, 0x40, 0xeb, 0xf8);     /* l: call FUNCTION; inc eax; jmp l */
    bare_load(&f.bare, OTHER, "\xe8\xfb\xff\x01\x00\xf4", 6); /* call FUNCTION; hlt */
    /* dec ecx; jnz out; mov [TABLE+0x40],edx: CODE is OTHER; invlpg [CODE]; out: ret */
    bare_load(&f.bare, FUNCTION, "\x49\x75\x0d\x89\x15\x40\x10\x10\x00\x0f\x01\x3d\x00\x00\x01\x00\xc3", 17);
    f.bare.cpu->gpr[RCX] = 5;
    f.bare.cpu->gpr[RDX] = OTHER | 3;
    f.bare.cpu->gpr[RSP] = 0x300000;
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 4);
    cr_assert_eq(f.bare.cpu->rip, CODE + 6);
}

Test(binxlate, counts_what_is_left_out_by_a_jump_out_of_a_block)
{
    /* l: test al,1; jz e; inc ebx; jmp o; e: inc edx; o: inc eax; jmp l */
    LOAD(0xa8, 0x01, 0x74, 0x03, 0x43, 0xeb, 0x01, 0x42, 0x40, 0xeb, 0xf5);
    uint64_t before = f.bare.cpu->insn_count, total = 0;
    for (unsigned budget = 1; budget < 60; budget++) {
        cr_assert_eq(binxlate_run(f.x, budget), VCPU_EXIT_BUDGET);
        total += budget;
        cr_assert_eq(f.bare.cpu->insn_count - before, total, "budget %u", budget);
    }
    /* An even turn takes 5 instructions, an odd one 6. */
    uint64_t turns = total / 11 * 2, rest = total % 11;
    cr_assert_eq(f.bare.cpu->gpr[RAX], turns + (rest >= 4) + (rest >= 10));
    cr_assert_eq(f.bare.cpu->gpr[RDX], turns / 2 + (rest >= 3));
    cr_assert_eq(f.bare.cpu->gpr[RBX], turns / 2 + (rest >= 8));
}

Test(binxlate, sees_a_store_to_code_that_its_block_has_jumped_to)
{
    /* mov byte [CODE+16],0x41 (inc ecx); jmp CODE+16; ...; CODE+16: inc eax, overwritten; hlt */
    LOAD(0xc6, 0x05, 0x10, 0x00, 0x01, 0x00, 0x41, 0xeb, 0x07, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x40,
         0xf4);
    run_to_halt();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 0);
    cr_assert_eq(f.bare.cpu->gpr[RCX], 1);
}

enum { DIVISOR = 0x80000000, DIVISIONS = 1000 };

/* A device that is 1 for a while, and then 0 and the end of the budget. */
static uint64_t divisor_read(void *opaque, uint64_t offset, unsigned size)
{
    unsigned *reads = opaque;

    (void)offset;
    (void)size;
    if (++*reads <= DIVISIONS) {
        return 1;
    }
    vcpu_shorten(f.bare.cpu, 0);
    return 0;
}

Test(binxlate, delivers_an_exception_of_the_last_instruction_of_a_budget)
{
    static const struct region_ops ops = {.read = divisor_read};
    struct region device;
    unsigned reads = 0;

    region_init_io(&device, "divisor", DIVISOR, PAGE_SIZE, &ops, &reads);
    addr_space_add(&f.bare.mem, &device);
    /* l: mov eax,1; xor edx,edx; div dword [DIVISOR]; jmp l: the site is a call-out soon */
    LOAD(0xb8, 0x01, 0x00, 0x00, 0x00, 0x31, 0xd2, 0xf7, 0x35, 0x00, 0x00, 0x00, 0x80, 0xeb, 0xf1);
    cr_assert_eq(binxlate_run(f.x, 100000), VCPU_EXIT_SHUTDOWN, "there is no IDT");
    cr_assert_eq(reads, DIVISIONS + 1);
    cr_assert(!f.bare.cpu->exception.pending);
}

Test(binxlate, forgets_everything_on_demand)
{
    LOAD(0x40, 0xf4);
    run_to_halt();
    uint64_t made = binxlate_stats(f.x)->blocks_made;
    binxlate_reset(f.x);
    f.bare.cpu->rip = CODE;
    f.bare.cpu->halted = false;
    run_to_halt();
    cr_assert_gt(binxlate_stats(f.x)->blocks_made, made);
    cr_assert_eq(f.bare.cpu->gpr[RAX], 2);
}

/* mov eax,imm32 across a page end; dec ecx; jnz back; hlt */
static const uint8_t crossing[] = {0xb8, 0x11, 0x22, 0x33, 0x44, 0x49, 0x75, 0xf8, 0xf4};
enum { CROSSING = CODE + 0xffd };

static void run_crossing(void)
{
    f.bare.cpu->rip = CROSSING;
    f.bare.cpu->halted = false;
    f.bare.cpu->gpr[RCX] = 1000;
    run_to_halt();
}

Test(binxlate, translates_an_instruction_that_crosses_a_page)
{
    bare_load(&f.bare, CROSSING, crossing, sizeof(crossing));
    run_crossing();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 0x44332211);
    cr_assert_lt(binxlate_stats(f.x)->interpreted, 20);
    cr_assert_lt(binxlate_stats(f.x)->callouts, 20);
}

Test(binxlate, sees_a_change_of_the_far_half_of_an_instruction)
{
    bare_load(&f.bare, CROSSING, crossing, sizeof(crossing));
    run_crossing();
    bare_load(&f.bare, CODE + 0x1001, "\x55", 1);
    run_crossing();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 0x55332211);
    bare_load(&f.bare, CODE + 0x1000, "\x66", 1);
    run_crossing();
    cr_assert_eq(f.bare.cpu->gpr[RAX], 0x55662211);
    cr_assert_lt(binxlate_stats(f.x)->interpreted, 40);
}

Test(binxlate_host, says_in_one_line_what_is_missing)
{
    struct binxlate_host host = {.bmi2 = true, .alignment_check = true};
    struct error error;

    cr_assert_eq(binxlate_check_host(&host, &error), 0, "FSGSBASE is not needed");
    host.alignment_check = false;
    cr_assert_eq(binxlate_check_host(&host, &error), -ENOTSUP);
    cr_assert_not_null(strstr(error.text, "alignment checking"));
    cr_assert_not_null(strstr(error.text, "-accel interp"));
    cr_assert_null(strchr(error.text, '\n'));
    host.bmi2 = false;
    cr_assert_eq(binxlate_check_host(&host, &error), -ENOTSUP);
    cr_assert_not_null(strstr(error.text, "BMI2"));
    cr_assert_null(strchr(error.text, '\n'));
}

Test(binxlate_host, probing_agrees_with_what_runs_and_leaves_no_trace)
{
    struct sigaction before, after;
    struct binxlate_host host;
    struct error error;

    cr_assert_eq(sigaction(SIGBUS, NULL, &before), 0);
    binxlate_probe_host(&host);
    cr_assert_eq(sigaction(SIGBUS, NULL, &after), 0);
    cr_assert_eq(after.sa_handler, before.sa_handler);
    uint64_t flags = __builtin_ia32_readeflags_u64();
    cr_assert_eq(flags & RFLAGS_AC, 0);
    cr_assert_eq(binxlate_check_host(&host, &error), binxlate_supported(&error));
    cr_assert_eq(host.fsgsbase, binxlate_windows_supported());
}

Test(binxlate, prints_what_it_counted)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    LOAD(0xb9, 0xe8, 0x03, 0x00, 0x00, 0x0f, 0xa2, 0x31, 0xc9,
         0xf4); /* mov ecx,1000; cpuid; xor ecx,ecx; hlt */
    run_to_halt();
    binxlate_print(f.x, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "instructions   4, of those"));
    cr_assert_not_null(strstr(text, "blocks         "));
    cr_assert_not_null(strstr(text, "           1  cpuid"), "%s", text);
    free(text);
}
