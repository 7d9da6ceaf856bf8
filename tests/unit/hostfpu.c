/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The cache of stubs: when it overflows, what it does to the host's state, and the protection of its pages.
 */
#include "tests/unit/fpu_fixture.h"

#include <stdio.h>

/* PSHUFD with each immediate and form, and more rows with one: more stubs than the cache holds. */
Test(hostfpu, forgets_and_regenerates_when_full)
{
    struct random random = {.state = 10};
    uint8_t *code = native_create();
    struct fixture f;

    fixture_init(&f, ALL_FEATURES);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < opcode_count; i++) {
            const struct opcode *row = &opcode_table[i];
            if (row->exec32 != exec_simd || !strstr(row->operands, ",Ib")) {
                continue;
            }
            for (unsigned imm = 0; imm < 256; imm += 3) {
                uint8_t bytes[15];
                struct trial trial;
                unsigned length = row_encode(row, false, 1, 2, (uint8_t)imm, bytes);
                native_compile(code, bytes, length);
                random_trial(&random, &trial, false);
                compare_runs(&f, code, row, false, bytes, length, &trial);
            }
        }
    }
    native_destroy(code);
    fixture_fini(&f);
}

Test(hostfpu, no_page_is_writable_and_executable)
{
    struct error error;
    struct hostfpu *hostfpu = hostfpu_create(&error);
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned writable = 0, executable = 0;
    char line[512];

    cr_assert_not_null(hostfpu);
    cr_assert_not_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        char rights[5];
        if (strstr(line, "hypatia-hostfpu") && sscanf(line, "%*s %4s", rights) == 1) {
            cr_assert(rights[1] != 'w' || rights[2] != 'x', "%s", line);
            writable += rights[1] == 'w';
            executable += rights[2] == 'x';
        }
    }
    fclose(maps);
    cr_assert_eq(writable, 1);
    cr_assert_eq(executable, 1);
    hostfpu_destroy(hostfpu);
    hostfpu_destroy(NULL);
}

Test(hostfpu, host_rounding_and_masks_survive)
{
    uint32_t mxcsr = 0x5f80, got_mxcsr; /* round up */
    uint32_t normal = MXCSR_INIT;
    uint16_t got_fcw;
    struct fixture f;

    fixture_init(&f, ALL_FEATURES);
    f.cpu->fpu.fcw = 0x0e40;
    f.cpu->fpu.mxcsr = 0x7f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    bool done = RUN(&f, 0xd9, 0xe8) && RUN(&f, 0x0f, 0x58, 0xc1) && RUN(&f, 0x0f, 0xef, 0xc1);
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1\n\tldmxcsr %2" : "=m"(got_mxcsr), "=m"(got_fcw) : "m"(normal));
    cr_assert(done);
    cr_assert_eq(got_mxcsr, mxcsr);
    cr_assert_eq(got_fcw, FCW_INIT);
    uint8_t env[28];
    __asm__ volatile("fnstenv %0\n\tfldenv %0" : "+m"(env));
    cr_assert_eq(load_le16(env + 8), 0xffff); /* the host's x87 stack is empty, MMX use is over */
    fixture_fini(&f);
}

/* Two processors with different states, turn by turn. */
Test(hostfpu, processors_are_independent)
{
    struct fixture a, b;

    fixture_init(&a, ALL_FEATURES);
    fixture_init(&b, ALL_FEATURES);
    a.cpu->fpu.fcw = 0x0b7f; /* round up */
    b.cpu->fpu.fcw = 0x077f; /* round down */
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_DONE(&a, 0xd9, 0xe8); /* fld1 */
        EXPECT_DONE(&b, 0xd9, 0xe8);
    }
    memset(guest_data(&a, GUEST_DATA), 0, 16);
    store_le32(guest_data(&a, GUEST_DATA), 0x40400000); /* 3.0 */
    memcpy(guest_data(&b, GUEST_DATA), guest_data(&a, GUEST_DATA), 16);
    EXPECT_DONE(&a, 0xd8, 0x35, 0x00, 0x20, 0x00, 0x00); /* fdiv dword [2000h] */
    EXPECT_DONE(&b, 0xd8, 0x35, 0x00, 0x20, 0x00, 0x00);
    cr_assert_eq(load_le64(a.cpu->fpu.st[0]), 0xaaaaaaaaaaaaaaab);
    cr_assert_eq(load_le64(b.cpu->fpu.st[0]), 0xaaaaaaaaaaaaaaaa);
    fixture_fini(&a);
    fixture_fini(&b);
}
