/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The self test: the kernel's promises, tried out by a program that has nothing but system calls to do it
 * with.
 *
 * Prints a line a check and "selftest: N passed, N failed" at the end; with an argument other than 0 it then
 * powers the machine off. Not covered: the keyboard, the reset.
 */
#include "roms/kernel/user.h"

enum { FPU_ROUNDS = 50, SPIN_TICKS = 12, SECRET = 0x5ec2e7 };
enum {
    FAULT_NULL,
    FAULT_KERNEL,
    FAULT_TEXT,
    FAULT_CLI,
    FAULT_PORT,
    FAULT_INVALID,
    FAULT_DIVIDE,
    FAULT_COUNT
};

struct score {
    unsigned passed, failed;
};

static void check(struct score *score, bool good, const char *what)
{
    print("  %s %s\n", good ? "\x1b[32mok  \x1b[0m" : "\x1b[31mFAIL\x1b[0m", what);
    score->passed += good;
    score->failed += !good;
}

/* ---- pieces that run as tasks of their own ---- */

/* Give the processor away `turns` times; end with how often it was given back, seen by itself. */
int test_count_main(uint32_t turns)
{
    uint32_t done = 0;

    while (done < turns) {
        yield();
        done++;
    }
    return (int)done;
}

/* Never give the processor up. */
int test_spin_main(uint32_t argument)
{
    (void)argument;
    for (;;) {
        __asm__ volatile("" : : : "memory");
    }
}

/* The heap of a new task is zero, and nobody else's. 0: so it was. */
int test_private_main(uint32_t value)
{
    volatile uint32_t *heap = (volatile uint32_t *)USER_HEAP;

    if (*heap != 0) {
        return 1;
    }
    *heap = value;
    yield();
    return *heap == value ? 0 : 2;
}

static bool have_sse(void)
{
    uint32_t eax = 1, ebx, ecx, edx;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
    return (edx >> 25 & 1) != 0;
}

/* Keep a number in an x87 register, and one in XMM0 if there is one, while others use theirs. 0: they stayed. */
int test_fpu_main(uint32_t number)
{
    bool sse = have_sse();
    int32_t x87 = 0;
    uint32_t xmm = number;

    __asm__ volatile("fninit\n\tfildl %0" : : "m"(number));
    if (sse) {
        __asm__ volatile("movss %0, %%xmm0" : : "m"(number));
    }
    for (unsigned i = 0; i < FPU_ROUNDS; i++) {
        yield();
        __asm__ volatile("fistl %0" : "=m"(x87));
        if (sse) {
            __asm__ volatile("movss %%xmm0, %0" : "=m"(xmm));
        }
        if (x87 != (int32_t)number || xmm != number) {
            return 1;
        }
    }
    return 0;
}

/* Do what ring 3 must not. Coming back from it is the failure. */
int test_fault_main(uint32_t which)
{
    switch (which) {
    case FAULT_NULL:
        return *(volatile uint8_t *)(which * FAULT_COUNT);
    case FAULT_KERNEL:
        return *(volatile uint8_t *)0x100000;
    case FAULT_TEXT:
        *(volatile uint8_t *)test_fault_main = 0;
        break;
    case FAULT_CLI:
        __asm__ volatile("cli");
        break;
    case FAULT_PORT:
        __asm__ volatile("inb $0x61, %%al" : : : "eax");
        break;
    case FAULT_INVALID:
        __asm__ volatile("ud2");
        break;
    default:
        __asm__ volatile("divl %0" : : "r"(0), "a"(1), "d"(0) : "cc");
        break;
    }
    return 0;
}

/* ---- the checks ---- */

static bool find_task(int pid, struct task_info *info)
{
    int found;

    for (unsigned slot = 0; (found = get_task_info(slot, info)) >= 0; slot++) {
        if (found > 0 && info->pid == pid) {
            return true;
        }
    }
    return false;
}

static void check_system_calls(struct score *score)
{
    struct task_info info;
    int pid = get_pid();

    check(score, find_task(pid, &info) && string_equal(info.name, "selftest"),
          "system call: getpid names this task");
    check(score, system_call_raw(SYS_COUNT, 0, 0, 0) == ERR_NO_CALL,
          "system call: an unknown number is refused");
    check(score, write_console((const char *)0x100000, 4) == ERR_FAULT,
          "system call: kernel text is not for writing out");
    check(score, get_task_info(0, (struct task_info *)0x200000) == ERR_FAULT,
          "system call: results do not go to kernel memory");
    check(score, write_console((const char *)USER_HEAP, 0xf0000000u) == ERR_FAULT,
          "system call: a length that wraps is refused");
    check(score, spawn("no-such-program", 0, 0) == ERR_NO_SUCH,
          "system call: spawn knows what it does not know");
}

static void check_memory(struct score *score)
{
    struct memory_info before, after;
    volatile uint32_t *page = (volatile uint32_t *)(USER_HEAP + 0x8000);
    uint32_t first, second;
    int child;

    get_memory_info(&before);
    first = page[0];
    page[1] = SECRET;
    second = page[1024];
    get_memory_info(&after);
    check(score, first == 0 && second == 0 && page[1] == SECRET,
          "page fault: untouched pages read as zero and keep a value");
    check(score, after.faults - before.faults == 2, "page fault: one for each page touched");
    *(volatile uint32_t *)USER_HEAP = SECRET;
    child = spawn("t-private", 99, 0);
    check(score, wait_for(child) == 0, "paging: another task has another page at that address");
    check(score, *(volatile uint32_t *)USER_HEAP == SECRET, "paging: and could not change ours");
}

static void check_faults(struct score *score)
{
    static const struct {
        int status;
        const char *what;
    } expected[FAULT_COUNT] = {
        [FAULT_NULL] = {14, "fault: reading through NULL ends the task with #PF"},
        [FAULT_KERNEL] = {14, "fault: reading kernel memory does"},
        [FAULT_TEXT] = {14, "fault: writing program text does"},
        [FAULT_CLI] = {13, "fault: CLI ends it with #GP"},
        [FAULT_PORT] = {13, "fault: port input does"},
        [FAULT_INVALID] = {6, "fault: UD2 ends it with #UD"},
        [FAULT_DIVIDE] = {0, "fault: division by zero ends it with #DE"},
    };

    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        check(score, wait_for(spawn("t-fault", i, 0)) == STATUS_TRAP + expected[i].status, expected[i].what);
    }
}

static void check_switching(struct score *score)
{
    struct task_info info = {0};
    int a = spawn("t-count", 100, 0), b = spawn("t-count", 50, 0);
    uint32_t start;

    for (int i = 0; i < 20; i++) {
        yield();
    }
    check(score, find_task(a, &info) && info.switches >= 10, "context switch: yielding tasks take turns");
    check(score, wait_for(a) == 100 && wait_for(b) == 50, "context switch: and each keeps its own count");

    a = spawn("t-spin", 0, 0);
    start = get_ticks();
    while (get_ticks() - start < SPIN_TICKS) {
        continue;
    }
    check(score, find_task(a, &info) && info.ticks > 0, "preemption: a task that never yields got a share");
    check(score, info.ticks < SPIN_TICKS, "preemption: and not everything");
    check(score, kill_task(a) == 0 && wait_for(a) == STATUS_KILLED,
          "preemption: it can be ended from outside");

    start = get_ticks();
    sleep_ticks(5);
    check(score, get_ticks() - start >= 5, "sleep: lasts as long as asked for");
}

static void check_fpu(struct score *score)
{
    int pids[3];
    bool good = true;

    for (uint32_t i = 0; i < 3; i++) {
        pids[i] = spawn("t-fpu", 1000 + i, 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        good &= wait_for(pids[i]) == 0;
    }
    check(score, good, "FPU: each of three tasks keeps its registers");
}

static void check_leaks(struct score *score)
{
    struct memory_info before, after;

    wait_for(spawn("t-private", 1, 0));
    get_memory_info(&before);
    for (int i = 0; i < 20; i++) {
        wait_for(spawn(i % 2 ? "t-private" : "t-count", 1, 0));
    }
    get_memory_info(&after);
    check(score, before.free == after.free, "memory: ended tasks give back every frame");
}

int selftest_main(uint32_t power_off)
{
    struct score score = {0, 0};

    check_system_calls(&score);
    check_memory(&score);
    check_faults(&score);
    check_switching(&score);
    check_fpu(&score);
    check_leaks(&score);
    print("selftest: %u passed, %u failed\n", score.passed, score.failed);
    if (power_off != 0) {
        machine(MACHINE_POWEROFF);
    }
    return score.failed != 0;
}
