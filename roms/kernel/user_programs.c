/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The programs of the image, the small demonstrations among them, and the library of ring 3.
 *
 * Each demonstration shows one thing a kernel is for: sharing the processor (spin, count) and surviving a
 * program's mistakes (crash, divide). The entries without a help text are pieces of the self test.
 */
#include "roms/kernel/user.h"

void print(const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    write_console(text, format_text(text, sizeof text, format, arguments));
    va_end(arguments);
}

uint32_t parse_number(const char *text)
{
    uint32_t value = 0;

    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (uint32_t)(*text - '0');
    }
    return value;
}

/* Compute for some seconds without ever giving the processor up: only preemption lets others run meanwhile. */
static int spin_main(uint32_t seconds)
{
    uint32_t end = get_ticks() + (seconds ? seconds : 5) * TICKS_PER_SECOND;

    while ((int32_t)(end - get_ticks()) > 0) {
        for (volatile uint32_t i = 0; i < 100000; i++) {
            continue;
        }
    }
    return 0;
}

static int count_main(uint32_t last)
{
    for (uint32_t i = 1; i <= (last ? last : 5); i++) {
        print("task %d counts %u\n", get_pid(), i);
        sleep_ticks(TICKS_PER_SECOND / 2);
    }
    return 0;
}

static int crash_main(uint32_t address)
{
    *(volatile uint32_t *)address = 1;
    return 0;
}

static int divide_main(uint32_t divisor)
{
    volatile uint32_t dividend = 1;

    __asm__ volatile("divl %0" : : "r"(divisor), "a"(dividend), "d"(0) : "cc");
    return 0;
}

const struct program programs[] = {
    {"shell", "another shell", shell_main},
    {"spin", "compute for N seconds (5)", spin_main},
    {"count", "count to N (5), twice a second", count_main},
    {"crash", "write to address N (0), which is not ours", crash_main},
    {"divide", "divide by N (0)", divide_main},
    {"selftest", "test the kernel from outside", selftest_main},
    {"t-count", NULL, test_count_main},
    {"t-fpu", NULL, test_fpu_main},
    {"t-private", NULL, test_private_main},
    {"t-spin", NULL, test_spin_main},
    {"t-fault", NULL, test_fault_main},
    {NULL, NULL, NULL},
};
