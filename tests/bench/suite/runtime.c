/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a C library would do for hbench: the entry point, system calls, numbers to text, and the functions
 * that compilers call on their own (memcpy and its kin).
 *
 * Follows the System V ABI, Intel386 supplement (process start, auxiliary vector) and Linux' i386 system call
 * convention: number in EAX, arguments in EBX, ECX, EDX, ESI; -errno or the result back in EAX.
 */
#include "hbench.h"

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
void start_c(uint32_t *stack);

enum { AT_SYSINFO = 32, CLOCK_MONOTONIC = 1, MADV_NOHUGEPAGE = 15 };

/* At entry ESP points at argc; C code expects it 16-byte aligned before a call pushes the return address. */
__asm__(".globl _start\n"
        "_start:\n"
        "    xorl %ebp, %ebp\n"
        "    movl %esp, %eax\n"
        "    andl $-16, %esp\n"
        "    subl $12, %esp\n"
        "    pushl %eax\n"
        "    call start_c\n"
        "    hlt\n");

/* The stack at process start: argc, argv..., 0, environment..., 0, pairs of the auxiliary vector..., 0. */
void start_c(uint32_t *stack)
{
    const int argc = (int)stack[0];
    char **argv = (char **)(stack + 1);
    char **environment = argv + argc + 1;
    char **at = environment;
    void *entry = NULL;

    while (*at) {
        at++;
    }
    for (const uint32_t *pair = (const uint32_t *)(at + 1); pair[0]; pair += 2) {
        if (pair[0] == AT_SYSINFO) {
            entry = (void *)pair[1];
        }
    }
    quit(bench_main(argc, argv, environment, entry));
}

int32_t system_call(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    int32_t result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

int32_t bench_call(const struct bench *bench, uint32_t number, uint32_t a, uint32_t b, uint32_t c)
{
    int32_t result;

    if (!bench->kernel_entry) {
        return system_call(number, a, b, c, 0);
    }
    __asm__ volatile("call *%1"
                     : "=a"(result)
                     : "D"(bench->kernel_entry), "a"(number), "b"(a), "c"(b), "d"(c)
                     : "memory", "cc");
    return result;
}

void quit(int status)
{
    for (;;) {
        system_call(SYS_exit_group, (uint32_t)status, 0, 0, 0);
    }
}

uint64_t clock_ns(const struct bench *b)
{
    struct {
        int64_t seconds, nanoseconds;
    } now = {0, 0};
    const int32_t error = bench_call(b, SYS_clock_gettime64, CLOCK_MONOTONIC, (uint32_t)&now, 0);

    if (error < 0) {
        fail("clock_gettime", error);
    }
    return (uint64_t)now.seconds * 1000000000u + (uint64_t)now.nanoseconds;
}

/*
 * A 32-bit guest has no transparent huge pages, so natively there shall be none either. (The advice may fail:
 * a kernel without them does not know it.)
 */
void *map_memory(const struct bench *b, size_t size)
{
    enum { READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22 };
    const uint32_t arguments[6] = {0, size, READ_WRITE, PRIVATE_ANONYMOUS, (uint32_t)-1, 0};
    const int32_t result = bench_call(b, SYS_mmap, (uint32_t)arguments, 0, 0);

    if (result < 0 && result > -PAGE_SIZE) {
        fail("mmap", result);
    }
    bench_call(b, SYS_madvise, (uint32_t)result, size, MADV_NOHUGEPAGE);
    return (void *)result;
}

void write_all(int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size) {
        const int32_t written = system_call(SYS_write, (uint32_t)fd, (uint32_t)at, size, 0);

        if (written <= 0) {
            quit(1);
        }
        at += written;
        size -= (size_t)written;
    }
}

void put_text(const char *text)
{
    write_all(1, text, text_length(text));
}

uint32_t divide(uint64_t *value, uint32_t divisor)
{
    const uint32_t high = (uint32_t)(*value >> 32);
    uint32_t quotient, remainder = high % divisor;

    __asm__("divl %4"
            : "=a"(quotient), "=d"(remainder)
            : "a"((uint32_t)*value), "d"(remainder), "rm"(divisor)
            : "cc");
    *value = (uint64_t)(high / divisor) << 32 | quotient;
    return remainder;
}

void put_number(uint64_t value)
{
    char digits[24];
    char *at = digits + sizeof(digits);

    *--at = '\0';
    do {
        *--at = (char)('0' + divide(&value, 10));
    } while (value);
    put_text(at);
}

void put_hex(uint32_t value)
{
    char digits[9] = {0};

    for (int i = 7; i >= 0; i--) {
        digits[i] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    put_text(digits);
}

void fail(const char *what, int32_t error)
{
    system_call(SYS_dup2, 2, 1, 0, 0);
    put_text("hbench: ");
    put_text(what);
    if (error) {
        put_text(": error ");
        put_number((uint64_t)-error);
    }
    put_text("\n");
    quit(1);
}

size_t text_length(const char *text)
{
    size_t length = 0;

    while (text[length]) {
        length++;
    }
    return length;
}

bool text_equal(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size--) {
        hash = (hash ^ *at++) * 16777619u;
    }
    return hash;
}

void *memcpy(void *to, const void *from, size_t size)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

void *memset(void *to, int value, size_t size)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;

    for (; size; size--, x++, y++) {
        if (*x != *y) {
            return *x - *y;
        }
    }
    return 0;
}
