/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * binxlate/inspect.h: what it says of blocks, held against programs whose blocks are known; and that counting executions
 * changes nothing but the count.
 */
#include <criterion/criterion.h>

#include "binxlate/inspect.h"
#include "tests/isa/bare_machine.h"

enum { CODE = 0x10000, STACK = 0x800000, BLOCKS = 16 };

static struct bare_machine bare;
static struct binxlate *x;

static struct {
    struct binxlate_block block[BLOCKS];
    unsigned count;
} seen;

static void set_up(void)
{
    struct error error;

    if (binxlate_supported(&error) < 0) {
        cr_skip_test("%s", error.text);
    }
    bare_init(&bare);
    bare_enter_protected(&bare, 32);
    x = binxlate_create(bare.cpu, &error);
    cr_assert_not_null(x, "%s", error.text);
    binxlate_set_windows(x, BINXLATE_WINDOWS_OFF);
    bare.cpu->rip = CODE;
    bare.cpu->gpr[RSP] = STACK;
}

static void tear_down(void)
{
    binxlate_destroy(x);
    bare_fini(&bare);
}

TestSuite(inspect_blocks, .init = set_up, .fini = tear_down);

static bool note(void *opaque, const struct binxlate_block *block)
{
    (void)opaque;
    if (seen.count < BLOCKS && !block->dead) {
        seen.block[seen.count++] = *block;
    }
    return true;
}

static void look(void)
{
    seen.count = 0;
    binxlate_each_block(x, note, NULL);
}

static const struct binxlate_block *block_at(uint32_t linear)
{
    look();
    for (unsigned i = 0; i < seen.count; i++) {
        if (seen.block[i].linear == linear) {
            return &seen.block[i];
        }
    }
    cr_assert_fail("there is no block at %x", linear);
    return NULL;
}

/* mov ecx,1000; l: push ecx; call f; pop ecx; dec ecx; jnz l; hlt; nop...; f: add eax,ecx; ret */
static const uint8_t calls[] = {0xb9, 0xe8, 0x03, 0x00, 0x00, 0x51, 0xe8, 0x10, 0x00, 0x00,
                                0x00, 0x59, 0x49, 0x75, 0xf6, 0xf4, 0x90, 0x90, 0x90, 0x90,
                                0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x01, 0xc8, 0xc3};
enum { F = CODE + 27, AFTER_CALL = CODE + 11, LOOP = CODE + 5 };

static void run_calls(void)
{
    bare_load(&bare, CODE, calls, sizeof(calls));
    cr_assert_eq(binxlate_run(x, 1000000), VCPU_EXIT_HALT);
    cr_assert_eq((uint32_t)bare.cpu->gpr[RAX], 500500);
}

Test(inspect_blocks, gives_each_instruction_its_piece_of_host_code)
{
    struct binxlate_part part[80];

    run_calls();
    const struct binxlate_block *block = block_at(F);
    cr_assert_eq(block->insns, 2);
    cr_assert_eq(block->guest_size, 3);
    unsigned count = binxlate_block_parts(block, part, 80);
    cr_assert_eq(count, 4, "head, two instructions, stubs; not %u", count);
    cr_assert_eq(part[0].kind, BINXLATE_HEAD);
    cr_assert_eq(part[3].kind, BINXLATE_STUBS);
    cr_assert_eq(part[1].guest, 0);
    cr_assert_eq(part[2].guest, 2);
    for (unsigned i = 0; i + 1 < count; i++) {
        cr_assert_eq(part[i].end, part[i + 1].from);
        cr_assert_leq(part[i].from, part[i].end);
    }
    cr_assert_eq(part[3].end, block->host_size);
    /* ADD is copied as it is */
    cr_assert_eq(memcmp(block->code + part[1].from, calls + 27, 2), 0);
}

Test(inspect_blocks, stores_no_more_parts_and_exits_than_there_is_room_for)
{
    struct binxlate_part part[2] = {0}, guard = {.index = 77};
    struct binxlate_exit exit[2] = {{.target = 77}, {.target = 77}};

    run_calls();
    const struct binxlate_block *block = block_at(F);
    part[1] = guard;
    cr_assert_eq(binxlate_block_parts(block, part, 1), 4);
    cr_assert_eq(part[1].index, 77);
    block = block_at(AFTER_CALL);
    cr_assert_geq(binxlate_block_exits(x, block, exit, 1), 2);
    cr_assert_eq(exit[1].target, 77);
}

Test(inspect_blocks, says_where_exits_lead)
{
    struct binxlate_exit exit[8];
    bool loops = false, leaves = false;

    run_calls();
    const struct binxlate_block *block = block_at(AFTER_CALL);
    unsigned count = binxlate_block_exits(x, block, exit, 8);
    for (unsigned i = 0; i < count; i++) {
        cr_assert(i == 0 || exit[i - 1].field < exit[i].field, "sorted");
        loops = loops || (exit[i].target == LOOP && exit[i].state == BINXLATE_EXIT_CHAINED);
        leaves = leaves || exit[i].target == CODE + 15;
    }
    cr_assert(loops, "JNZ is chained to the loop");
    cr_assert(leaves, "and has another way");
}

Test(inspect_blocks, tells_open_exits_and_dropped_blocks)
{
    struct binxlate_exit exit[8];

    /* cmp eax,1; je far away, never taken; hlt */
    static const uint8_t code[] = {0x83, 0xf8, 0x01, 0x0f, 0x84, 0xf7, 0x0f, 0x00, 0x00, 0xf4};
    bare_load(&bare, CODE, code, sizeof(code));
    cr_assert_eq(binxlate_run(x, 100), VCPU_EXIT_HALT);
    const struct binxlate_block *block = block_at(CODE);
    cr_assert_geq(binxlate_block_exits(x, block, exit, 8), 1);
    cr_assert_eq(exit[0].target, CODE + 0x1000);
    cr_assert_eq(exit[0].state, BINXLATE_EXIT_OPEN);
    bare_load(&bare, CODE, "\x90", 1);
    look();
    for (unsigned i = 0; i < seen.count; i++) {
        cr_assert_neq(seen.block[i].linear, CODE, "a rewritten block is dead");
    }
}

Test(inspect_blocks, counts_every_execution_and_nothing_when_off)
{
    run_calls();
    cr_assert_eq(block_at(F)->executions, 0);
    cr_assert_not(binxlate_counting(x));

    binxlate_set_counting(x, true);
    cr_assert(binxlate_counting(x));
    look();
    cr_assert_eq(seen.count, 0, "all blocks are to be made anew");
    bare.cpu->rip = CODE;
    bare.cpu->gpr[RAX] = 0;
    bare.cpu->halted = false;
    run_calls();
    cr_assert_eq(block_at(F)->executions, 1000);
    cr_assert_eq(block_at(AFTER_CALL)->executions, 1000);
    cr_assert_eq(block_at(CODE)->executions, 1);

    binxlate_set_counting(x, false);
    bare.cpu->rip = CODE;
    bare.cpu->gpr[RAX] = 0;
    bare.cpu->halted = false;
    run_calls();
    cr_assert_eq(block_at(F)->executions, 0);
}

/* stc; jmp to another page, which takes the carry with ADC and sees whether ZF, SF, OF came along. */
Test(inspect_blocks, counting_leaves_flags_alone)
{
    /* mov eax,80000000h; add eax,eax (CF ZF OF); jmp CODE+1000h */
    static const uint8_t first[] = {0xb8, 0x00, 0x00, 0x00, 0x80, 0x01, 0xc0, 0xe9, 0xf4, 0x0f, 0x00, 0x00};
    /* pushfd; hlt */
    static const uint8_t second[] = {0x9c, 0xf4};
    const uint32_t expected = RFLAGS_CF | RFLAGS_ZF | RFLAGS_OF | RFLAGS_PF;

    bare_load(&bare, CODE, first, sizeof(first));
    bare_load(&bare, CODE + 0x1000, second, sizeof(second));
    binxlate_set_counting(x, true);
    cr_assert_eq(binxlate_run(x, 100), VCPU_EXIT_HALT);
    cr_assert_eq(bare_read32(&bare, (uint32_t)bare.cpu->gpr[RSP]) & RFLAGS_ARITH, expected);
    cr_assert_eq(block_at(CODE + 0x1000)->executions, 1);
}

Test(inspect_blocks, names_host_addresses)
{
    char text[64];

    run_calls();
    const struct binxlate_block *block = block_at(F);
    cr_assert(binxlate_host_name(x, block->body, text, sizeof(text)));
    cr_assert_str_eq(text, "block 0001001b");
    cr_assert(binxlate_host_name(x, block->body + 1, text, sizeof(text)));
    cr_assert_str_eq(text, "block 0001001b inside");
    cr_assert_not(binxlate_host_name(x, &seen, text, sizeof(text)));
    cr_assert_not(binxlate_host_name(x, NULL, text, sizeof(text)));
    cr_assert_str_eq(binxlate_mode_name(block->mode, text, sizeof(text)), "cpl0 fs gs");
}

/* An instruction that crosses the page is a block with its tail elsewhere: its bytes are found all the same. */
Test(inspect_blocks, reads_guest_bytes_over_a_page_boundary)
{
    static const uint8_t code[] = {0xb8, 0x44, 0x33, 0x22, 0x11, 0xf4}; /* mov eax,11223344h; hlt */
    uint8_t bytes[15];

    bare_load(&bare, CODE + 0xffe, code, sizeof(code));
    bare.cpu->rip = CODE + 0xffe;
    cr_assert_eq(binxlate_run(x, 100), VCPU_EXIT_HALT);
    const struct binxlate_block *block = block_at(CODE + 0xffe);
    cr_assert_geq(binxlate_block_bytes(x, block, 0, bytes), 5);
    cr_assert_eq(memcmp(bytes, code, 5), 0);
}
