/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * vm/backtrace.h: programs run one instruction after the other, and before each of them the back trace is compared with the
 * calls and returns that have been seen so far.
 */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "tests/isa/bare_machine.h"
#include "vm/backtrace.h"

static struct symbols *make_symbols(const char *const *name, const uint32_t *address, unsigned count)
{
    struct symbols_batch *batch = symbols_batch_begin();
    struct symbols *symbols = NULL;

    for (unsigned i = 0; i < count; i++) {
        cr_assert(symbols_batch_add(batch, name[i], strlen(name[i]), address[i], 0, SYMBOL_CODE));
    }
    cr_assert_eq(symbols_batch_end(batch, &symbols, NULL), count);
    return symbols;
}

static uint32_t linear_pc(const struct vcpu *cpu)
{
    return (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
}

/* Run until HLT; how many instructions were looked at. */
static unsigned compare_all(struct bare_machine *bare, const struct symbols *symbols)
{
    struct backtrace_frame frame[BACKTRACE_MAX];
    uint32_t called[16];
    unsigned depth = 0, looked = 0;

    for (; looked < 200; looked++) {
        struct insn insn;
        unsigned count;
        bool call, ret;

        cr_assert(interp_peek(bare->cpu, &insn));
        if (!strcmp(insn.opcode->mnemonic, "hlt")) {
            break;
        }
        count = backtrace_chain(bare->cpu, symbols, frame, BACKTRACE_MAX, NULL, 0);
        cr_expect_eq(frame[0].address, linear_pc(bare->cpu));
        cr_assert_eq(count, depth + 1, "at %08x: %u frames, %u expected", linear_pc(bare->cpu), count,
                     depth + 1);
        for (unsigned i = 0; i < depth; i++) {
            cr_expect_eq(frame[i + 1].address, called[depth - 1 - i], "at %08x: frame %u",
                         linear_pc(bare->cpu), i + 1);
        }
        call = !strcmp(insn.opcode->mnemonic, "call");
        ret = !strncmp(insn.opcode->mnemonic, "ret", 3);
        if (call) {
            called[depth++] = linear_pc(bare->cpu) + insn.length;
        }
        cr_assert_eq(interp_run(bare->cpu, 1), VCPU_EXIT_BUDGET);
        if (ret) {
            cr_assert_gt(depth, 0);
            cr_expect_eq(linear_pc(bare->cpu), called[--depth]);
        }
    }
    return looked;
}

enum { PROGRAM = 0x10000, MAIN = 0x10010, OUTER = 0x10030, INNER = 0x10050, LEAF = 0x10060, STACK = 0x9000 };

/* clang-format off */
static const uint8_t program[] = {
    0xe8, 0x0b, 0x00, 0x00, 0x00,       /* start: call main */
    0xf4,                               /*        hlt */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0x55,                               /* main:  push ebp */
    0x89, 0xe5,                         /*        mov ebp, esp */
    0x6a, 0x02,                         /*        push 2 */
    0x6a, 0x01,                         /*        push 1 */
    0xe8, 0x14, 0x00, 0x00, 0x00,       /*        call outer */
    0x83, 0xc4, 0x08,                   /*        add esp, 8 */
    0xc9,                               /*        leave */
    0xc3,                               /*        ret */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0x55,                               /* outer: push ebp */
    0x89, 0xe5,                         /*        mov ebp, esp */
    0x83, 0xec, 0x10,                   /*        sub esp, 16 */
    0x6a, 0x07,                         /*        push 7 */
    0xb8, 0x50, 0x00, 0x01, 0x00,       /*        mov eax, inner */
    0xff, 0xd0,                         /*        call eax */
    0x83, 0xc4, 0x04,                   /*        add esp, 4 */
    0xc9,                               /*        leave */
    0xc3,                               /*        ret */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0x55,                               /* inner: push ebp */
    0x89, 0xe5,                         /*        mov ebp, esp */
    0x8b, 0x45, 0x08,                   /*        mov eax, [ebp + 8] */
    0xe8, 0x05, 0x00, 0x00, 0x00,       /*        call leaf */
    0x5d,                               /*        pop ebp */
    0xc3,                               /*        ret */
    0x90, 0x90, 0x90,
    0x53,                               /* leaf:  push ebx        has no frame */
    0x83, 0xec, 0x08,                   /*        sub esp, 8 */
    0x89, 0xc3,                         /*        mov ebx, eax */
    0xb9, 0x03, 0x00, 0x00, 0x00,       /*        mov ecx, 3 */
    0x49,                               /* again: dec ecx */
    0x75, 0xfd,                         /*        jnz again */
    0x83, 0xc4, 0x08,                   /*        add esp, 8 */
    0x5b,                               /*        pop ebx */
    0xc3,                               /*        ret */
};
/* clang-format on */

static const char *const names[] = {"start", "main", "outer", "inner", "leaf"};
static const uint32_t addresses[] = {PROGRAM, MAIN, OUTER, INNER, LEAF};

static void begin(struct bare_machine *bare)
{
    bare_init(bare);
    bare_enter_protected(bare, 32);
    bare_load(bare, PROGRAM, program, sizeof(program));
    bare->cpu->rip = PROGRAM;
    bare->cpu->gpr[RSP] = STACK;
    bare->cpu->gpr[RBP] = 0;
}

static void run_to(struct bare_machine *bare, uint32_t address)
{
    for (unsigned i = 0; i < 100 && bare->cpu->rip != address; i++) {
        cr_assert_eq(interp_run(bare->cpu, 1), VCPU_EXIT_BUDGET);
    }
    cr_assert_eq(bare->cpu->rip, address);
}

Test(backtrace, is_right_before_each_instruction)
{
    struct symbols *symbols = make_symbols(names, addresses, ARRAY_LEN(names));
    struct bare_machine bare;

    begin(&bare);
    cr_expect_eq(compare_all(&bare, symbols), 37);
    symbols_free(symbols);
    bare_fini(&bare);
}

Test(backtrace, needs_no_symbols_where_there_are_frames)
{
    struct bare_machine bare;
    struct backtrace_frame frame[8];

    begin(&bare);
    run_to(&bare, INNER);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(backtrace_chain(bare.cpu, NULL, frame, 8, NULL, 0), 4, "%08x", (unsigned)bare.cpu->rip);
        cr_expect_eq(frame[1].address, OUTER + 15);
        cr_expect_eq(frame[2].address, MAIN + 12);
        cr_expect_eq(frame[3].address, PROGRAM + 5);
        cr_assert_eq(interp_run(bare.cpu, 1), VCPU_EXIT_BUDGET);
    }
    bare_fini(&bare);
}

Test(backtrace, knows_arguments_that_callers_take_off_again)
{
    struct symbols *symbols = make_symbols(names, addresses, ARRAY_LEN(names));
    struct bare_machine bare;
    struct backtrace_frame frame[8];
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    begin(&bare);
    run_to(&bare, INNER + 3);
    cr_assert_eq(backtrace_chain(bare.cpu, symbols, frame, 8, NULL, 0), 4);
    cr_expect_eq(frame[0].arguments, 1);
    cr_expect_eq(frame[0].argument[0], 7);
    cr_expect_eq(frame[1].arguments, 2);
    cr_expect_eq(frame[1].argument[0], 1);
    cr_expect_eq(frame[1].argument[1], 2);
    cr_expect_eq(frame[2].arguments, 0);
    backtrace_print(out, symbols, frame, 4);
    fclose(out);
    cr_expect_str_eq(text, "#0   0x00010053 inner+0x3 (0x7)\n"
                           "#1   0x0001003f outer+0xf (0x1, 0x2)\n"
                           "#2   0x0001001c main+0xc\n"
                           "#3   0x00010005 start+0x5\n");
    free(text);
    symbols_free(symbols);
    bare_fini(&bare);
}

Test(backtrace, says_where_the_stack_will_be)
{
    struct symbols *symbols = make_symbols(names, addresses, ARRAY_LEN(names));
    struct bare_machine bare;
    struct backtrace_frame frame[8];

    begin(&bare);
    run_to(&bare, LEAF + 4);
    cr_assert_eq(backtrace_chain(bare.cpu, symbols, frame, 8, NULL, 0), 5);
    run_to(&bare, (uint32_t)frame[1].address);
    cr_expect_eq(reg32(bare.cpu, RSP), frame[1].stack);
    run_to(&bare, (uint32_t)frame[2].address);
    cr_expect_eq(reg32(bare.cpu, RSP), frame[2].stack);
    symbols_free(symbols);
    bare_fini(&bare);
}

Test(backtrace, ends_at_what_is_no_return_address)
{
    struct bare_machine bare;
    struct backtrace_frame frame[8];
    char why[80];

    begin(&bare);
    run_to(&bare, INNER + 3);
    bare_write32(&bare, reg32(bare.cpu, RBP) + 4, 0x10058);
    cr_expect_eq(backtrace_chain(bare.cpu, NULL, frame, 8, why, sizeof(why)), 1);
    cr_expect_str_eq(why, "00010058 is in a return address's place, and is none");
    bare.cpu->gpr[RBP] = 0xf0000000;
    cr_expect_eq(backtrace_chain(bare.cpu, NULL, frame, 8, why, sizeof(why)), 1);
    cr_expect_str_eq(why, "EBP is f0000000 there, where no frame can be read");
    bare_fini(&bare);
}

Test(backtrace, ends_where_the_chain_goes_round)
{
    struct bare_machine bare;
    struct backtrace_frame frame[BACKTRACE_MAX];
    char why[80];

    begin(&bare);
    run_to(&bare, INNER + 3);
    bare_write32(&bare, reg32(bare.cpu, RBP), reg32(bare.cpu, RBP));
    cr_expect_eq(backtrace_chain(bare.cpu, NULL, frame, BACKTRACE_MAX, why, sizeof(why)), 2);
    cr_expect(strstr(why, "leads backwards"), "%s", why);
    bare_write32(&bare, reg32(bare.cpu, RBP), reg32(bare.cpu, RBP) + 64); /* two that lead to each other */
    bare_write32(&bare, reg32(bare.cpu, RBP) + 64, reg32(bare.cpu, RBP));
    bare_write32(&bare, reg32(bare.cpu, RBP) + 68, MAIN + 12);
    cr_expect_lt(backtrace_chain(bare.cpu, NULL, frame, BACKTRACE_MAX, why, sizeof(why)), 32);
    cr_expect(strstr(why, "leads backwards"), "%s", why);
    bare_fini(&bare);
}

Test(backtrace, takes_no_more_than_there_is_room_for)
{
    struct bare_machine bare;
    struct backtrace_frame frame[2];
    char why[80];

    begin(&bare);
    run_to(&bare, INNER);
    cr_expect_eq(backtrace_chain(bare.cpu, NULL, frame, 1, why, sizeof(why)), 1);
    cr_expect_eq(backtrace_chain(bare.cpu, NULL, frame, 2, why, sizeof(why)), 2);
    cr_expect_str_eq(why, "there may be more");
    bare_fini(&bare);
}

Test(backtrace, scan_finds_return_addresses_without_a_chain)
{
    struct symbols *symbols = make_symbols(names, addresses, ARRAY_LEN(names));
    struct bare_machine bare;
    struct backtrace_frame frame[8];

    begin(&bare);
    run_to(&bare, LEAF + 6);
    bare.cpu->gpr[RBP] = 0x12345;
    bare_write32(&bare, reg32(bare.cpu, RSP), MAIN + 5); /* in code, but behind no call */
    cr_assert_eq(backtrace_scan(bare.cpu, symbols, frame, 8), 5);
    cr_expect_eq(frame[1].address, INNER + 11);
    cr_expect_eq(frame[2].address, OUTER + 15);
    cr_expect_eq(frame[3].address, MAIN + 12);
    cr_expect_eq(frame[4].address, PROGRAM + 5);
    cr_expect_eq(frame[4].source, BACKTRACE_FOUND);
    cr_expect_eq(backtrace_scan(bare.cpu, NULL, frame, 8), 5, "and without symbols");
    symbols_free(symbols);
    bare_fini(&bare);
}

/* ---- 16-bit code ---- */

/* clang-format off */
static const uint8_t real_main[] = {
    0xe8, 0x0d, 0x00,                   /* start: call main */
    0xf4,                               /*        hlt */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0x55,                               /* main:  push bp */
    0x89, 0xe5,                         /*        mov bp, sp */
    0x6a, 0x05,                         /*        push 5 */
    0x9a, 0x00, 0x00, 0x00, 0x20,       /*        call 2000:0000 */
    0x83, 0xc4, 0x02,                   /*        add sp, 2 */
    0x5d,                               /*        pop bp */
    0xc3,                               /*        ret */
};
static const uint8_t real_far[] = {
    0x55,                               /* 0:     push bp */
    0x89, 0xe5,                         /*        mov bp, sp */
    0xe8, 0x02, 0x00,                   /*        call 8 */
    0x5d,                               /*        pop bp */
    0xcb,                               /*        retf */
    0x55,                               /* 8:     push bp */
    0x89, 0xe5,                         /*        mov bp, sp */
    0x8b, 0x46, 0x02,                   /*        mov ax, [bp + 2] */
    0x5d,                               /*        pop bp */
    0xc3,                               /*        ret */
};
/* clang-format on */

Test(backtrace, of_real_mode_code_near_and_far)
{
    struct bare_machine bare;
    struct backtrace_frame frame[8];

    bare_init(&bare);
    bare_enter_real(&bare);
    bare_load(&bare, 0x10000, real_main, sizeof(real_main));
    bare_load(&bare, 0x20000, real_far, sizeof(real_far));
    segment_load_real(bare.cpu, SEG_CS, 0x1000);
    segment_load_real(bare.cpu, SEG_SS, 0x3000);
    vcpu_sync(bare.cpu);
    bare.cpu->rip = 0;
    bare.cpu->gpr[RSP] = 0x1000;
    bare.cpu->gpr[RBP] = 0;
    for (unsigned i = 0; i < 50 && linear_pc(bare.cpu) != 0x2000b; i++) {
        cr_assert_eq(interp_run(bare.cpu, 1), VCPU_EXIT_BUDGET);
    }
    cr_assert_eq(backtrace_chain(bare.cpu, NULL, frame, 8, NULL, 0), 4);
    cr_expect_eq(frame[0].address, 0x2000b);
    cr_expect_eq(frame[1].address, 0x20006);
    cr_expect_eq(frame[2].address, 0x1001a, "through a far call");
    cr_expect_eq(frame[2].stack, 0x31000 - 6);
    cr_expect_eq(frame[1].arguments, 1);
    cr_expect_eq(frame[1].argument[0], 5);
    cr_expect_eq(frame[3].address, 0x10003);
    bare_fini(&bare);
}

/* ---- Linux ---- */

/* The program and its stack 3 GiB higher, in pages of 4 MiB, as a kernel. */
static void begin_high(struct bare_machine *bare)
{
    begin(bare);
    bare_write32(bare, 0x2000, 0x83);
    bare_write32(bare, 0x2000 + 4 * 768, 0x83);
    bare->cpu->cr3 = 0x2000;
    bare->cpu->cr4 |= CR4_PSE;
    bare->cpu->cr0 |= CR0_PG;
    bare->cpu->rip |= 0xc0000000;
    bare->cpu->gpr[RSP] |= 0xc0000000;
    vcpu_sync(bare->cpu);
}

/* A struct pt_regs, and the mark that leads to it in the chain. */
static void forge_regs(struct bare_machine *bare, uint32_t at, uint32_t ebp, uint32_t eip, uint32_t cs,
                       uint32_t esp)
{
    bare_write32(bare, at + 20, ebp);
    bare_write32(bare, at + 48, eip);
    bare_write32(bare, at + 52, cs);
    bare_write32(bare, at + 56, 0x202);
    bare_write32(bare, at + 60, esp);
    bare_write32(bare, reg32(bare->cpu, RBP) & 0xffffff, 0x40000000 | at);
}

Test(backtrace, of_linux_goes_on_behind_an_interrupt)
{
    struct bare_machine bare;
    struct backtrace_frame frame[8];

    begin_high(&bare);
    run_to(&bare, 0xc0000000 | (OUTER + 3));
    /* main was called; what outer was called from is taken for the interrupted code */
    forge_regs(&bare, 0x5000, 0xc0000000 | (STACK - 8), 0xc0000000 | (MAIN + 5), 0x60,
               0xc0000000 | (STACK - 12));
    bare.cpu->gpr[RBP] |= 0xc0000000;
    cr_assert_eq(backtrace_chain(bare.cpu, NULL, frame, 8, NULL, 0), 4);
    cr_expect_eq(frame[1].address, 0xc0000000 | (MAIN + 12));
    cr_expect_eq(frame[2].source, BACKTRACE_INTERRUPTED);
    cr_expect_eq(frame[2].address, 0xc0000000 | (MAIN + 5));
    cr_expect_eq(frame[2].stack, 0xc0000000 | (STACK - 12));
    cr_expect_eq(frame[3].address, 0xc0000000 | (PROGRAM + 5));
    cr_expect_str_eq(backtrace_remark(&frame[2]), "interrupted here");
    bare_fini(&bare);
}

Test(backtrace, of_linux_ends_in_user_mode)
{
    struct bare_machine bare;
    struct backtrace_frame frame[8];

    begin_high(&bare);
    run_to(&bare, 0xc0000000 | (OUTER + 3));
    forge_regs(&bare, 0x5000, 0, 0x08048000, 0x73, 0xbffff000);
    cr_assert_eq(backtrace_chain(bare.cpu, NULL, frame, 8, NULL, 0), 3);
    cr_expect(frame[2].user);
    cr_expect_eq(frame[2].address, 0x08048000);
    cr_expect_str_eq(backtrace_remark(&frame[2]), "interrupted here, in user mode");
    bare_write32(&bare, 0x5000 + 56, 0x200); /* EFLAGS without its fixed bit: these are no saved registers */
    cr_expect_eq(backtrace_chain(bare.cpu, NULL, frame, 8, NULL, 0), 2);
    bare_fini(&bare);
}

/* As a processor that delivers an exception with an error code, or an interrupt, leaves the stack. */
Test(backtrace, begins_at_a_handler_with_what_it_interrupted)
{
    struct symbols *symbols = make_symbols(names, addresses, ARRAY_LEN(names));
    struct backtrace_frame frame[8];

    for (unsigned code = 0; code < 2; code++) {
        struct bare_machine bare;
        uint32_t sp;

        begin(&bare);
        run_to(&bare, INNER + 3);
        sp = reg32(bare.cpu, RSP) - 12 - 4 * code;
        bare_write32(&bare, sp, 0x1234);
        bare_write32(&bare, sp + 4 * code, INNER + 3);
        bare_write32(&bare, sp + 4 * code + 4, bare.cpu->seg[SEG_CS].selector);
        bare_write32(&bare, sp + 4 * code + 8, 0x202);
        bare.cpu->gpr[RSP] = sp;
        bare.cpu->rip = LEAF;
        cr_assert_eq(backtrace_chain(bare.cpu, symbols, frame, 8, NULL, 0), 5);
        cr_expect_eq(frame[1].source, BACKTRACE_INTERRUPTED);
        cr_expect_eq(frame[1].address, INNER + 3);
        cr_expect_eq(frame[1].stack, sp + 4 * code + 12);
        cr_expect_eq(frame[2].address, OUTER + 15);
        bare_fini(&bare);
    }
    symbols_free(symbols);
}

/* ---- anything at all ---- */

Test(backtrace, of_random_stacks_harms_nobody)
{
    static const uint32_t returns[] = {PROGRAM + 5, MAIN + 12, OUTER + 15, INNER + 11};
    struct symbols *symbols = make_symbols(names, addresses, ARRAY_LEN(names));
    struct backtrace_frame frame[BACKTRACE_MAX];
    struct bare_machine bare;
    uint32_t state = 1;
    unsigned most = 0;

    begin(&bare);
    for (unsigned round = 0; round < 1000; round++) {
        for (uint32_t at = STACK - 128; at < STACK; at += 4) {
            state = state * 1664525u + 1013904223u;
            bare_write32(&bare, at,
                         state >> 28 < 6    ? STACK - 128 + (state >> 8) % 32 * 4
                         : state >> 28 < 14 ? returns[(state >> 8) % ARRAY_LEN(returns)]
                                            : state);
        }
        state = state * 1664525u + 1013904223u;
        bare.cpu->rip = PROGRAM + (state >> 8) % 0x78;
        bare.cpu->gpr[RSP] = STACK - 128 + (state >> 20) % 128;
        bare.cpu->gpr[RBP] = STACK - 128 + (state >> 12) % 16 * (round % 3 + 2);
        most =
            MAX(most, backtrace_chain(bare.cpu, round % 2 ? symbols : NULL, frame, BACKTRACE_MAX, NULL, 0));
        backtrace_scan(bare.cpu, round % 2 ? symbols : NULL, frame, BACKTRACE_MAX);
    }
    cr_expect_gt(most, 3);
    symbols_free(symbols);
    bare_fini(&bare);
}
