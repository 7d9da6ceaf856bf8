/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Whole programs, all of them busybox applets: a loop in the shell, and sort and gzip over pseudo-random
 * lines. Start, run, output through a pipe and exit are timed together. The checksum is that of the output.
 */
#include "hbench.h"

enum { READ_SIZE = 65536 };

/* A line: a number of eight hexadecimal digits, a word of the list and a number again. */
static char *make_line(char *at, uint32_t *state)
{
    static const char *const words[8] = {"window", "page",  "frame",  "selector",
                                         "guest",  "block", "shadow", "register"};
    const uint32_t first = next_random(state), second = next_random(state);

    for (int shift = 28; shift >= 0; shift -= 4) {
        *at++ = "0123456789abcdef"[first >> shift & 15];
    }
    *at++ = ' ';
    for (const char *word = words[second >> 29]; *word; word++) {
        *at++ = *word;
    }
    *at++ = ' ';
    for (uint32_t rest = second >> 16 & 0xfff; rest; rest /= 10) {
        *at++ = (char)('0' + rest % 10);
    }
    *at++ = '\n';
    return at;
}

/* The text lies in a memory file, which the programs get as their standard input: nothing is left behind. */
void text_prepare(struct bench *b)
{
    char *at = (char *)b->arena;
    uint32_t state = 2024;

    b->fd = bench_call(b, SYS_memfd_create, (uint32_t) "text", 0, 0);
    if (b->fd < 0) {
        fail("memfd_create", b->fd);
    }
    for (uint32_t i = 0; i < TEXT_LINES; i++) {
        at = make_line(at, &state);
    }
    write_all(b->fd, b->arena, (size_t)(at - (char *)b->arena));
}

static _Noreturn void become(const struct bench *b, const char *const *arguments, const int32_t ends[2])
{
    if (b->fd >= 0) {
        bench_call(b, SYS_lseek, (uint32_t)b->fd, 0, 0);
        bench_call(b, SYS_dup2, (uint32_t)b->fd, 0, 0);
    }
    bench_call(b, SYS_dup2, (uint32_t)ends[1], 1, 0);
    bench_call(b, SYS_close, (uint32_t)ends[0], 0, 0);
    bench_call(b, SYS_close, (uint32_t)ends[1], 0, 0);
    bench_call(b, SYS_execve, (uint32_t)b->busybox, (uint32_t)arguments, (uint32_t)b->environment);
    fail(b->busybox, 0);
}

/* Runs busybox with these arguments and returns the hash of what it writes and of its exit status. */
static uint32_t run_busybox(struct bench *b, const char *const *arguments)
{
    uint8_t *buffer = b->arena;
    uint32_t hash = (uint32_t)HASH_START, status = ~0u;
    int32_t ends[2], process, size;

    if (bench_call(b, SYS_pipe, (uint32_t)ends, 0, 0) < 0) {
        fail("pipe", 0);
    }
    process = bench_call(b, SYS_fork, 0, 0, 0);
    if (process < 0) {
        fail("fork", process);
    }
    if (process == 0) {
        become(b, arguments, ends);
    }
    bench_call(b, SYS_close, (uint32_t)ends[1], 0, 0);
    while ((size = bench_call(b, SYS_read, (uint32_t)ends[0], (uint32_t)buffer, READ_SIZE)) > 0) {
        hash = hash_bytes(hash, buffer, (size_t)size);
    }
    bench_call(b, SYS_close, (uint32_t)ends[0], 0, 0);
    bench_call(b, SYS_waitpid, (uint32_t)process, (uint32_t)&status, 0);
    if (status != 0) {
        fail("busybox failed", 0);
    }
    return hash;
}

uint32_t shell_loop_pass(struct bench *b)
{
    const char *const arguments[] = {
        "busybox", "sh", "-c",
        "i=0; s=0; while [ $i -lt 4000 ]; do s=$(((s * 31 + i) & 65535)); i=$((i + 1)); done; echo $s", NULL};

    return run_busybox(b, arguments);
}

uint32_t sort_file_pass(struct bench *b)
{
    const char *const arguments[] = {"busybox", "sort", NULL};

    return run_busybox(b, arguments);
}

uint32_t gzip_pass(struct bench *b)
{
    const char *const arguments[] = {"busybox", "gzip", "-c", NULL};

    return run_busybox(b, arguments);
}
