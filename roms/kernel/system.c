/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The system calls: INT 80h ends here. abi.h lists them for programs.
 *
 * Ring 3 is not trusted: a number, a pointer, a length is checked before it is used. A pointer that passes
 * may still fault while the kernel follows it, if the page has not been touched yet; memory.c then supplies
 * it, as always.
 */
#include "roms/kernel/kernel.h"

typedef int32_t call(const struct trap_frame *frame);

static int32_t call_exit(const struct trap_frame *frame)
{
    task_exit((int)(frame->ebx & 0xff));
}

static int32_t call_write(const struct trap_frame *frame)
{
    const char *bytes = (const char *)frame->ebx;

    if (!memory_readable(bytes, frame->ecx)) {
        return ERR_FAULT;
    }
    console_write(bytes, frame->ecx);
    return (int32_t)frame->ecx;
}

static int32_t call_read(const struct trap_frame *frame)
{
    int c;

    (void)frame;
    while ((c = input_read()) < 0) {
        task_wait_for_input();
    }
    return c;
}

static int32_t call_yield(const struct trap_frame *frame)
{
    (void)frame;
    task_schedule();
    return 0;
}

static int32_t call_sleep(const struct trap_frame *frame)
{
    task_sleep(frame->ebx);
    return 0;
}

static int32_t call_getpid(const struct trap_frame *frame)
{
    (void)frame;
    return task_current()->pid;
}

static int32_t call_getticks(const struct trap_frame *frame)
{
    (void)frame;
    return (int32_t)chips_ticks();
}

/* The name may be shorter than NAME_SIZE and stand at the end of what is readable: copy it byte by byte. */
static int32_t call_spawn(const struct trap_frame *frame)
{
    const char *from = (const char *)frame->ebx;
    char name[NAME_SIZE];
    unsigned i = 0;

    do {
        if (!memory_readable(from + i, 1)) {
            return ERR_FAULT;
        }
        name[i] = from[i];
    } while (name[i] != '\0' && ++i < sizeof name);
    return i == sizeof name ? ERR_NO_SUCH : task_spawn(name, frame->ecx, frame->edx & SPAWN_DETACHED);
}

static int32_t call_wait(const struct trap_frame *frame)
{
    return task_wait((int)frame->ebx);
}

static int32_t call_kill(const struct trap_frame *frame)
{
    return task_kill((int)frame->ebx, STATUS_KILLED);
}

static int32_t call_taskinfo(const struct trap_frame *frame)
{
    struct task_info *info = (struct task_info *)frame->ecx;

    if (!memory_writable(info, sizeof *info)) {
        return ERR_FAULT;
    }
    return frame->ebx >= TASK_COUNT ? ERR_INVALID : task_info_get(frame->ebx, info);
}

static int32_t call_meminfo(const struct trap_frame *frame)
{
    struct memory_info *info = (struct memory_info *)frame->ebx;

    if (!memory_writable(info, sizeof *info)) {
        return ERR_FAULT;
    }
    memory_info_get(info);
    return 0;
}

static int32_t call_machine(const struct trap_frame *frame)
{
    switch (frame->ebx) {
    case MACHINE_REBOOT:
        chips_reboot();
    case MACHINE_POWEROFF:
        chips_poweroff();
    default:
        return ERR_INVALID;
    }
}

static int32_t call_program(const struct trap_frame *frame)
{
    struct program_info *info = (struct program_info *)frame->ecx;

    if (!memory_writable(info, sizeof *info)) {
        return ERR_FAULT;
    }
    for (uint32_t i = 0; programs[i].name != NULL; i++) {
        if (i == frame->ebx) {
            string_copy(info->name, programs[i].name, sizeof info->name);
            string_copy(info->help, programs[i].help ? programs[i].help : "", sizeof info->help);
            return 1;
        }
    }
    return 0;
}

static call *const calls[SYS_COUNT] = {
    [SYS_EXIT] = call_exit,         [SYS_WRITE] = call_write,       [SYS_READ] = call_read,
    [SYS_YIELD] = call_yield,       [SYS_SLEEP] = call_sleep,       [SYS_GETPID] = call_getpid,
    [SYS_GETTICKS] = call_getticks, [SYS_SPAWN] = call_spawn,       [SYS_WAIT] = call_wait,
    [SYS_KILL] = call_kill,         [SYS_TASKINFO] = call_taskinfo, [SYS_MEMINFO] = call_meminfo,
    [SYS_MACHINE] = call_machine,   [SYS_PROGRAM] = call_program,
};

void system_call(struct trap_frame *frame)
{
    frame->eax = (uint32_t)(frame->eax < SYS_COUNT ? calls[frame->eax](frame) : ERR_NO_CALL);
}
