/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hbench: the benchmark's kernels, in one static i386 program that runs on any Linux, natively or in a guest.
 *
 * It is freestanding: no C library, no start files, so that it needs no 32-bit development packages and so
 * that the same instructions run everywhere. A kernel is a function that does one fixed piece of work, a
 * *pass*, and returns a checksum of it. Every pass starts from the same state and must give the same
 * checksum, on every engine, so the number of passes may differ from engine to engine and the times of one
 * pass still compare.
 *
 * System calls and structures follow Linux' i386 ABI (arch/x86/entry/syscalls/syscall_32.tbl and the man
 * pages).
 */
#ifndef TESTS_BENCH_SUITE_HBENCH_H
#define TESTS_BENCH_SUITE_HBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOINLINE __attribute__((noinline))
/* Keeps the compiler from joining, hoisting or if-converting what stands on both sides. */
#define KEEP() __asm__ volatile("" ::: "memory")

enum {
    ARENA_SIZE = 16 << 20, /* bytes */
    PAGE_SIZE = 4096,
    TEXT_LINES = 10000, /* that the program kernels read */
};

/* What the kernels share. */
struct bench {
    uint8_t *arena; /* ARENA_SIZE bytes, page aligned, small pages, contents left by the kernel's last pass */
    void *kernel_entry;  /* __kernel_vsyscall of the vDSO, or NULL: then int 0x80 stands in */
    const char *self;    /* path of this program */
    const char *busybox; /* path of a static busybox */
    char *const *environment;
    int fd; /* of the kernel's own use, between prepare and finish */
};

enum bench_group { GROUP_USER, GROUP_SYSTEM };

struct kernel {
    const char *name;
    enum bench_group group;
    uint32_t operations;               /* in one pass; times are given for one operation */
    uint32_t (*pass)(struct bench *b); /* returns the checksum */
    void (*prepare)(struct bench *b);  /* once before the passes, not timed; may be NULL */
    void (*finish)(struct bench *b);   /* once after them, not timed; may be NULL */
};

/* ---- runtime.c ---- */

/* Linux system calls by int 0x80: the result, or -errno. */
int32_t system_call(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
/* The same through the vDSO's __kernel_vsyscall: the fastest instruction that processor and kernel know. */
int32_t bench_call(const struct bench *bench, uint32_t number, uint32_t a, uint32_t b, uint32_t c);

enum {
    SYS_fork = 2,
    SYS_read = 3,
    SYS_write = 4,
    SYS_open = 5,
    SYS_close = 6,
    SYS_waitpid = 7,
    SYS_execve = 11,
    SYS_lseek = 19,
    SYS_getpid = 20,
    SYS_pipe = 42,
    SYS_dup2 = 63,
    SYS_getppid = 64,
    SYS_mmap = 90,
    SYS_munmap = 91,
    SYS_mprotect = 125,
    SYS_rt_sigreturn = 173,
    SYS_rt_sigaction = 174,
    SYS_rt_sigqueueinfo = 178,
    SYS_madvise = 219,
    SYS_sched_setaffinity = 241,
    SYS_exit_group = 252,
    SYS_getcpu = 318,
    SYS_memfd_create = 356,
    SYS_clock_gettime64 = 403,
};

uint64_t clock_ns(const struct bench *b); /* CLOCK_MONOTONIC */
void *map_memory(const struct bench *b,
                 size_t size); /* private, small pages; ends the program where that fails */
void write_all(int fd, const void *bytes, size_t size);
void put_text(const char *text); /* to standard output */
void put_number(uint64_t value); /* decimal */
void put_hex(uint32_t value);    /* eight digits */
_Noreturn void quit(int status);
_Noreturn void fail(const char *what, int32_t error); /* a line on standard error, status 1 */
uint32_t divide(uint64_t *value, uint32_t divisor);   /* in place; returns the remainder */
size_t text_length(const char *text);
bool text_equal(const char *a, const char *b);
uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t size); /* FNV-1a, continued from `hash` */

enum { HASH_START = (int)0x811c9dc5 };

/* A linear congruential generator; the upper bits are the good ones. */
static inline uint32_t next_random(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

int bench_main(int argc, char **argv, char *const *environment, void *kernel_entry); /* main.c */

/* ---- the kernels ---- */

uint32_t integer_pass(struct bench *b); /* integer.c */
uint32_t branchy_pass(struct bench *b);
uint32_t call_pass(struct bench *b);
uint32_t indirect_pass(struct bench *b);
uint32_t dispatch_pass(struct bench *b);
uint32_t recursion_pass(struct bench *b);
uint32_t division_pass(struct bench *b);
void smc_prepare(struct bench *b); /* the arena's first page may be executed from here on */
uint32_t smc_pass(struct bench *b);
void smc_finish(struct bench *b);
void bytes_prepare(struct bench *b); /* fills the arena with pseudo-random bytes */

uint32_t sort_pass(struct bench *b); /* memory.c */
uint32_t sieve_pass(struct bench *b);
void chase_prepare(struct bench *b);
uint32_t chase_pass(struct bench *b);
void chase_far_prepare(struct bench *b);
uint32_t chase_far_pass(struct bench *b);
uint32_t stream_pass(struct bench *b);
uint32_t rep_movs_pass(struct bench *b);
uint32_t rep_stos_pass(struct bench *b);
uint32_t rep_stosb_pass(struct bench *b);
uint32_t rep_short_pass(struct bench *b);

void crc32_prepare(struct bench *b); /* hash.c */
uint32_t crc32_pass(struct bench *b);
uint32_t sha256_pass(struct bench *b);

uint32_t x87_pass(struct bench *b); /* float.c */
uint32_t sse2_matrix_pass(struct bench *b);
uint32_t sincos_pass(struct bench *b);

enum { /* operations in a pass of system.c */
       NULL_CALLS = 1000,
       READS = 2000,
       ROUND_TRIPS = 200,
       RING_PROCESSES = 8,
       RING_ROUNDS = 25,
       SIGNALS = 500,
       FAULT_PAGES = 512,
       MAPPINGS = 250,
       FORKS = 5,
};

uint32_t null_int80_pass(struct bench *b); /* system.c */
uint32_t null_sysenter_pass(struct bench *b);
void read_prepare(struct bench *b);
uint32_t read_pass(struct bench *b);
void close_finish(struct bench *b);
uint32_t pipe_pingpong_pass(struct bench *b);
uint32_t context_switch_pass(struct bench *b);
uint32_t signal_pass(struct bench *b);
uint32_t page_fault_pass(struct bench *b);
uint32_t mmap_pass(struct bench *b);
uint32_t fork_exit_pass(struct bench *b);
uint32_t fork_exec_pass(struct bench *b);

void text_prepare(struct bench *b); /* programs.c */
uint32_t shell_loop_pass(struct bench *b);
uint32_t sort_file_pass(struct bench *b);
uint32_t gzip_pass(struct bench *b);

#endif
