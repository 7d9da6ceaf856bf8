/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a program and the kernel agree on: system calls by INT 80h.
 *
 *      EAX = number, EBX, ECX, EDX = arguments; EAX = result, negative on error; all other registers survive
 *
 * And the library both sides use (lib.c), which lies in memory that ring 3 may read.
 */
#ifndef ROMS_KERNEL_ABI_H
#define ROMS_KERNEL_ABI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TICKS_PER_SECOND 100

enum system_call {
    SYS_EXIT,     /* status; does not return */
    SYS_WRITE,    /* bytes, length -> length */
    SYS_READ,     /* -> one character typed; waits for it */
    SYS_YIELD,    /* let others run */
    SYS_SLEEP,    /* ticks */
    SYS_GETPID,   /* -> own number */
    SYS_GETTICKS, /* -> timer ticks since the start */
    SYS_SPAWN,    /* name, argument, flags -> number of the new task */
    SYS_WAIT,     /* number -> exit status of that child, once it has ended */
    SYS_KILL,     /* number */
    SYS_TASKINFO, /* slot, struct task_info * -> 1, or 0 if the slot is empty */
    SYS_MEMINFO,  /* struct memory_info * */
    SYS_MACHINE,  /* enum machine_request; does not return */
    SYS_PROGRAM,  /* index, struct program_info * -> 1, or 0 past the last */
    SYS_COUNT
};

enum { SPAWN_DETACHED = 1 }; /* nobody will wait for it */
enum machine_request { MACHINE_REBOOT, MACHINE_POWEROFF };

enum { ERR_NO_SUCH = -2, ERR_AGAIN = -11, ERR_FAULT = -14, ERR_INVALID = -22, ERR_NO_CALL = -38 };

/* Exit status: 0 to 255 is the program's own; STATUS_TRAP + vector for a fault; STATUS_KILLED by SYS_KILL. */
enum { STATUS_TRAP = 0x100, STATUS_KILLED = 0x200 };

/* What ring 3 sees besides the shared text: two areas that get zeroed pages when touched. */
#define USER_HEAP      0x40000000u
#define USER_HEAP_END  0x40100000u
#define USER_STACK     0x7fff0000u
#define USER_STACK_END 0x80000000u

#define NAME_SIZE  16
#define TASK_COUNT 16

struct task_info {
    int pid, parent;
    uint32_t ticks;    /* timer ticks that found it running */
    uint32_t switches; /* times the processor was given to it */
    uint32_t frames;   /* of memory it owns, page tables included */
    char name[NAME_SIZE];
    char state[NAME_SIZE];
};

struct memory_info {
    uint32_t total, free; /* frames of 4 KiB */
    uint32_t kernel;      /* frames of the kernel's image */
    uint32_t faults;      /* pages given on demand since the start */
};

struct program_info {
    char name[NAME_SIZE];
    char help[64]; /* empty: of no interest to a user */
};

/* The programs in this image (user_programs.c). */
typedef int program_main(uint32_t argument);
struct program {
    const char *name, *help; /* help NULL: not listed */
    program_main *main;
};
extern const struct program programs[]; /* user_programs.c; ends with a NULL name */

/* lib.c. The compiler itself calls the first three. */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t string_length(const char *s);
bool string_equal(const char *a, const char *b);
void string_copy(char *to, const char *from, size_t size); /* cut to fit, always terminated */
/* %c %s %d %u %x %%, with a width and a leading 0 or -. Returns the length, cut to fit. */
size_t format_text(char *buffer, size_t size, const char *format, va_list arguments);

#endif
