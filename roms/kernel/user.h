/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a program sees of Alexandria: one function a system call, and printf.
 *
 * A program runs in ring 3 with 64 KiB of stack and 1 MiB of heap at USER_HEAP, both zero until written. It
 * has no writable static data (kernel.ld refuses it): the same code serves every task that runs it.
 */
#ifndef ROMS_KERNEL_USER_H
#define ROMS_KERNEL_USER_H

#include "roms/kernel/abi.h"

static inline int32_t system_call_raw(uint32_t number, uint32_t a, uint32_t b, uint32_t c)
{
    int32_t result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static inline int32_t write_console(const char *bytes, size_t length)
{
    return system_call_raw(SYS_WRITE, (uint32_t)bytes, length, 0);
}

static inline int read_key(void)
{
    return system_call_raw(SYS_READ, 0, 0, 0);
}

static inline void yield(void)
{
    system_call_raw(SYS_YIELD, 0, 0, 0);
}

static inline void sleep_ticks(uint32_t ticks)
{
    system_call_raw(SYS_SLEEP, ticks, 0, 0);
}

static inline int get_pid(void)
{
    return system_call_raw(SYS_GETPID, 0, 0, 0);
}

static inline uint32_t get_ticks(void)
{
    return (uint32_t)system_call_raw(SYS_GETTICKS, 0, 0, 0);
}

static inline int spawn(const char *name, uint32_t argument, uint32_t flags)
{
    return system_call_raw(SYS_SPAWN, (uint32_t)name, argument, flags);
}

static inline int wait_for(int pid)
{
    return system_call_raw(SYS_WAIT, (uint32_t)pid, 0, 0);
}

static inline int kill_task(int pid)
{
    return system_call_raw(SYS_KILL, (uint32_t)pid, 0, 0);
}

static inline int get_task_info(unsigned slot, struct task_info *info)
{
    return system_call_raw(SYS_TASKINFO, slot, (uint32_t)info, 0);
}

static inline int get_memory_info(struct memory_info *info)
{
    return system_call_raw(SYS_MEMINFO, (uint32_t)info, 0, 0);
}

static inline int get_program_info(unsigned index, struct program_info *info)
{
    return system_call_raw(SYS_PROGRAM, index, (uint32_t)info, 0);
}

static inline void machine(enum machine_request request)
{
    system_call_raw(SYS_MACHINE, request, 0, 0);
}

/* user_programs.c */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint32_t parse_number(const char *text); /* decimal digits; 0 if there are none */

/* user_shell.c, user_selftest.c: the programs in files of their own */
program_main shell_main, selftest_main;
program_main test_count_main, test_fpu_main, test_private_main, test_spin_main, test_fault_main;

#endif
