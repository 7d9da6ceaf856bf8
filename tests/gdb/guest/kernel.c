/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A kernel for debuggers to look into: calls, a list, variables to watch, and loops that wait for somebody to let them go.
 * `release` chooses what comes next, and is written by the debugger only; the exit code says what the guest saw of it.
 */
enum { WAIT, SPIN, HALT, WORK, FAULT, END };

struct task {
    int id;
    const char *name;
    struct task *next;
};

static struct task idle = {0, "idle", 0};
static struct task shell = {7, "shell", &idle};
struct task *tasks = &shell;

volatile unsigned release;
volatile unsigned counter;
volatile unsigned long long turns;
volatile unsigned char bytes[16];
unsigned char boot_stack[8192];

static inline void out8(unsigned short port, unsigned char value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

__attribute__((noinline)) unsigned answer(void)
{
    return 42;
}

__attribute__((noinline)) unsigned sum_to(unsigned n)
{
    if (n == 0) {
        return 0;
    }
    return n + sum_to(n - 1);
}

__attribute__((noinline)) unsigned add(unsigned a, unsigned b)
{
    return a + b;
}

__attribute__((noinline)) void work(void)
{
    counter = answer();
    for (unsigned i = 0; i < 10; i++) {
        counter = add(counter, sum_to(i));
        bytes[i] = (unsigned char)(bytes[i] + i);
    }
}

__attribute__((noinline)) void spin(void)
{
    while (release == SPIN) {
        turns++;
    }
}

__attribute__((noinline)) void halt(void)
{
    while (release == HALT) {
        __asm__ volatile("hlt");
    }
}

/* No interrupt table: the third fault in a row. */
__attribute__((noinline)) void fault(void)
{
    static const struct {
        unsigned short limit;
        unsigned base;
    } __attribute__((packed)) none = {0, 0};

    __asm__ volatile("lidt %0; int3" : : "m"(none));
}

__attribute__((noinline)) void end(unsigned value)
{
    out8(0xf4, (unsigned char)value);
    for (;;) {
        __asm__ volatile("hlt");
    }
}

void kernel_main(void)
{
    counter = 1;
    for (;;) {
        switch (release) {
        case SPIN:
            spin();
            break;
        case HALT:
            halt();
            break;
        case WORK:
            release = WAIT;
            work();
            break;
        case FAULT:
            release = WAIT;
            fault();
            break;
        case END:
            end(answer());
            break;
        default:
            turns++;
            break;
        }
    }
}
