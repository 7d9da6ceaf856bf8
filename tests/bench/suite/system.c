/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Kernels that exercise the operating system: system calls, processes that take turns, signals, page faults,
 * mappings, and new processes. In a guest they show what mode changes, page table changes and address space
 * switches cost.
 *
 * They call the system the way a C library does, through the vDSO; only null_int80 insists on its
 * instruction. Checksums count what succeeded, so a call that fails on one engine shows.
 */
#include "hbench.h"

uint32_t null_int80_pass(struct bench *b)
{
    uint32_t sum = 0;

    (void)b;
    for (uint32_t i = 0; i < NULL_CALLS; i++) {
        sum += system_call(SYS_getppid, 0, 0, 0, 0) >= 0;
    }
    return sum;
}

/*
 * SYSENTER returns to an address of the kernel's choice, in its vDSO, so it can only be used from there.
 * Natively, under a 64-bit kernel, the vDSO's entry may use SYSCALL instead; on a processor that has neither,
 * this is int 0x80 again.
 */
uint32_t null_sysenter_pass(struct bench *b)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < NULL_CALLS; i++) {
        sum += bench_call(b, SYS_getppid, 0, 0, 0) >= 0;
    }
    return sum;
}

void read_prepare(struct bench *b)
{
    b->fd = bench_call(b, SYS_open, (uint32_t) "/dev/zero", 0, 0);
    if (b->fd < 0) {
        fail("/dev/zero", b->fd);
    }
}

uint32_t read_pass(struct bench *b)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < READS; i++) {
        sum += (uint32_t)bench_call(b, SYS_read, (uint32_t)b->fd, (uint32_t)b->arena, 64);
    }
    return sum;
}

void close_finish(struct bench *b)
{
    bench_call(b, SYS_close, (uint32_t)b->fd, 0, 0);
    b->fd = -1;
}

static int32_t start_process(const struct bench *b)
{
    const int32_t process = bench_call(b, SYS_fork, 0, 0, 0);

    if (process < 0) {
        fail("fork", process);
    }
    return process;
}

/* Returns the exit status, or something above 255 where there is none. */
static uint32_t wait_for(const struct bench *b, int32_t process)
{
    uint32_t status = ~0u;
    const int32_t error = bench_call(b, SYS_waitpid, (uint32_t)process, (uint32_t)&status, 0);

    if (error < 0) {
        fail("waitpid", error);
    }
    return status & 0x7f ? status << 8 : status >> 8 & 0xff;
}

static void make_pipe(const struct bench *b, int32_t ends[2])
{
    const int32_t error = bench_call(b, SYS_pipe, (uint32_t)ends, 0, 0);

    if (error < 0) {
        fail("pipe", error);
    }
}

static bool take_token(const struct bench *b, int32_t from, uint8_t *token)
{
    return bench_call(b, SYS_read, (uint32_t)from, (uint32_t)token, 1) == 1;
}

static void pass_token(const struct bench *b, int32_t to, uint8_t token)
{
    bench_call(b, SYS_write, (uint32_t)to, (uint32_t)&token, 1);
}

static void close_pair(const struct bench *b, int32_t one, int32_t other)
{
    bench_call(b, SYS_close, (uint32_t)one, 0, 0);
    bench_call(b, SYS_close, (uint32_t)other, 0, 0);
}

/* Hands on what comes, plus one, until the writing end is closed. */
static _Noreturn void relay(const struct bench *b, int32_t from, int32_t to)
{
    uint8_t token;

    while (take_token(b, from, &token)) {
        pass_token(b, to, (uint8_t)(token + 1));
    }
    quit(0);
}

uint32_t pipe_pingpong_pass(struct bench *b)
{
    int32_t there[2], back[2], process;
    uint8_t token = 0;
    uint32_t sum = 0;

    make_pipe(b, there);
    make_pipe(b, back);
    process = start_process(b);
    if (process == 0) {
        close_pair(b, there[1], back[0]);
        relay(b, there[0], back[1]);
    }
    close_pair(b, there[0], back[1]);
    for (uint32_t i = 0; i < ROUND_TRIPS; i++) {
        pass_token(b, there[1], token);
        if (take_token(b, back[0], &token)) {
            sum += token;
        }
    }
    close_pair(b, there[1], back[0]);
    return sum * 31 + wait_for(b, process);
}

/*
 * A token goes round a ring of processes, this one and RING_PROCESSES - 1 others, each with its own address
 * space:
 *
 *   this -> pipe 0 -> process 1 -> pipe 1 -> ... -> process 7 -> pipe 7 -> this
 */
uint32_t context_switch_pass(struct bench *b)
{
    int32_t ends[RING_PROCESSES][2], process[RING_PROCESSES];
    const int32_t last = RING_PROCESSES - 1;
    uint8_t token = 0;
    uint32_t sum = 0;

    make_pipe(b, ends[0]);
    for (int32_t i = 1; i < RING_PROCESSES; i++) {
        make_pipe(b, ends[i]);
        process[i] = start_process(b);
        if (process[i] == 0) {
            close_pair(b, ends[0][1], ends[i][0]);
            relay(b, ends[i - 1][0], ends[i][1]);
        }
        close_pair(b, ends[i - 1][0], ends[i][1]);
    }
    for (uint32_t round = 0; round < RING_ROUNDS; round++) {
        pass_token(b, ends[0][1], token);
        if (take_token(b, ends[last][0], &token)) {
            sum += token;
        }
    }
    close_pair(b, ends[0][1], ends[last][0]);
    for (int32_t i = 1; i < RING_PROCESSES; i++) {
        sum = sum * 31 + wait_for(b, process[i]);
    }
    return sum;
}

enum { SIGUSR1 = 10, SI_QUEUE = -1, SA_SIGINFO = 4, SA_RESTORER = 0x04000000 };

/* Linux' i386 siginfo of a queued signal, 128 bytes. */
struct queued_signal {
    int32_t number, error, code;
    int32_t process, user;
    uint32_t *counter; /* the value the sender attached */
    uint32_t rest[26];
};

/* The kernel's struct sigaction on i386. */
struct signal_action {
    void (*handler)(int number, struct queued_signal *signal, void *context);
    uint32_t flags;
    void (*restorer)(void);
    uint32_t mask[2];
};

void signal_return(void);
__asm__(".globl signal_return\n"
        "signal_return:\n"
        "    movl $173, %eax\n" /* SYS_rt_sigreturn */
        "    int $0x80\n");

static void count_signal(int number, struct queued_signal *signal, void *context)
{
    (void)number;
    (void)context;
    ++*signal->counter;
}

/* The way back from a handler is int 0x80, as in C libraries. */
uint32_t signal_pass(struct bench *b)
{
    const struct signal_action action = {count_signal, SA_SIGINFO | SA_RESTORER, signal_return, {0, 0}};
    const int32_t self = bench_call(b, SYS_getpid, 0, 0, 0);
    uint32_t count = 0;
    const struct queued_signal signal = {
        .number = SIGUSR1, .code = SI_QUEUE, .process = self, .counter = &count};

    system_call(SYS_rt_sigaction, SIGUSR1, (uint32_t)&action, 0, sizeof(action.mask));
    for (uint32_t i = 0; i < SIGNALS; i++) {
        bench_call(b, SYS_rt_sigqueueinfo, (uint32_t)self, SIGUSR1, (uint32_t)&signal);
    }
    return *(volatile uint32_t *)&count;
}

/* First touch of fresh pages: a fault, a cleared frame, a page table entry; unmapping takes them away. */
uint32_t page_fault_pass(struct bench *b)
{
    volatile uint8_t *memory = map_memory(b, FAULT_PAGES * PAGE_SIZE);
    uint32_t sum = 0;

    for (uint32_t i = 0; i < FAULT_PAGES; i++) {
        memory[i * PAGE_SIZE] += 1;
        sum += memory[i * PAGE_SIZE];
    }
    bench_call(b, SYS_munmap, (uint32_t)memory, FAULT_PAGES * PAGE_SIZE, 0);
    return sum;
}

/* A mapping of 16 pages made, used in one place, and unmade. */
uint32_t mmap_pass(struct bench *b)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < MAPPINGS; i++) {
        volatile uint8_t *memory = map_memory(b, 16 * PAGE_SIZE);

        memory[5 * PAGE_SIZE] = 1;
        sum += bench_call(b, SYS_munmap, (uint32_t)memory, 16 * PAGE_SIZE, 0) == 0;
    }
    return sum;
}

uint32_t fork_exit_pass(struct bench *b)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < FORKS; i++) {
        const int32_t process = start_process(b);

        if (process == 0) {
            quit(7);
        }
        sum += wait_for(b, process);
    }
    return sum;
}

uint32_t fork_exec_pass(struct bench *b)
{
    const char *const arguments[] = {b->self, "nothing", NULL};
    uint32_t sum = 0;

    for (uint32_t i = 0; i < FORKS; i++) {
        const int32_t process = start_process(b);

        if (process == 0) {
            bench_call(b, SYS_execve, (uint32_t)b->self, (uint32_t)arguments, (uint32_t)b->environment);
            quit(1);
        }
        sum += wait_for(b, process) == 0;
    }
    return sum;
}
