/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tasks: a fixed table of them, each with its own address space and kernel stack, taking turns on one
 * processor.
 *
 *                    spawn            turn           exit, fault, kill
 *      TASK_FREE ------------> READY <====> running --------------------> ZOMBIE --wait--> FREE
 *                                ^             |                          (detached: FREE at once)
 *                                +-- SLEEPING, WAITING (for a child), READING (for a key)
 *
 * The running task is TASK_READY too; `current` tells which it is. A turn lasts SLICE_TICKS unless the task
 * gives it up. Task 0 is the kernel's idle loop and runs when nobody else can. The FPU changes hands lazily:
 * only when a task that does not own it touches it (#NM, because CR0.TS is set).
 *
 * Not modelled: priorities, threads that share memory, signals.
 */
#include "roms/kernel/kernel.h"

#define SLICE_TICKS 2u
#define STACK_WORDS (FRAME_SIZE / sizeof(uint32_t))

extern char trap_return[]; /* entry.asm */
extern char user_start[];

static struct task tasks[TASK_COUNT];
static uint32_t stacks[TASK_COUNT][STACK_WORDS]; /* kernel stacks; task 0 has the one it was booted on */
static struct task *current = &tasks[0];
static struct task *fpu_owner;
static struct fpu_state fpu_fresh; /* what a task's first use of the FPU finds */
static bool have_fxsr;
static uint32_t slice_left = SLICE_TICKS;
static int last_pid;

struct task *task_current(void)
{
    return current;
}

static void fpu_save(struct fpu_state *state)
{
    if (have_fxsr) {
        __asm__ volatile("fxsave %0" : "=m"(*state));
    } else {
        __asm__ volatile("fnsave %0" : "=m"(*state));
    }
}

static void fpu_restore(const struct fpu_state *state)
{
    if (have_fxsr) {
        __asm__ volatile("fxrstor %0" : : "m"(*state));
    } else {
        __asm__ volatile("frstor %0" : : "m"(*state));
    }
}

static void set_ts(void)
{
    uint32_t cr0;

    __asm__ volatile("movl %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("movl %0, %%cr0" : : "r"(cr0 | 8));
}

void task_setup(void)
{
    uint32_t cr4;

    tasks[0] = (struct task){.state = TASK_READY, .directory = memory_kernel_directory(), .name = "idle"};
    __asm__ volatile("movl %%cr4, %0" : "=r"(cr4));
    have_fxsr = (cr4 & 0x200) != 0;
    __asm__ volatile("clts\n\tfninit");
    fpu_save(&fpu_fresh);
    set_ts();
}

/* #NM: hand the FPU to the running task. */
void task_fpu_fault(void)
{
    __asm__ volatile("clts");
    if (fpu_owner == current) {
        return;
    }
    if (fpu_owner != NULL) {
        fpu_save(&fpu_owner->fpu);
    }
    fpu_restore(current->fpu_used ? &current->fpu : &fpu_fresh);
    current->fpu_used = true;
    fpu_owner = current;
}

static struct task *task_find(int pid)
{
    for (unsigned i = 1; i < TASK_COUNT; i++) {
        if (tasks[i].state != TASK_FREE && tasks[i].pid == pid) {
            return &tasks[i];
        }
    }
    return NULL;
}

static const struct program *program_find(const char *name)
{
    for (const struct program *program = programs; program->name != NULL; program++) {
        if (string_equal(program->name, name)) {
            return program;
        }
    }
    return NULL;
}

/* A kernel stack as if the task had been interrupted just before its first instruction, and then switched away from. */
static uint32_t *first_stack(uint32_t *top, const struct program *program, uint32_t argument)
{
    struct trap_frame *frame = (struct trap_frame *)top - 1;
    uint32_t *sp = (uint32_t *)frame;

    *frame = (struct trap_frame){.gs = 0,
                                 .fs = 0,
                                 .es = USER_DATA,
                                 .ds = USER_DATA,
                                 .ebx = (uint32_t)program->main,
                                 .eax = argument,
                                 .eip = (uint32_t)user_start,
                                 .cs = USER_CODE,
                                 .eflags = EFLAGS_IF,
                                 .esp = USER_STACK_END,
                                 .ss = USER_DATA};
    *--sp = (uint32_t)trap_return; /* context_switch() returns to it */
    sp -= 4;                       /* and pops EDI, ESI, EBX, EBP before: whatever is there */
    return sp;
}

int task_spawn(const char *name, uint32_t argument, bool detached)
{
    const struct program *program = program_find(name);
    struct task *task = NULL;
    uint32_t directory;

    if (program == NULL) {
        return ERR_NO_SUCH;
    }
    for (unsigned i = 1; i < TASK_COUNT && task == NULL; i++) {
        task = tasks[i].state == TASK_FREE ? &tasks[i] : NULL;
    }
    directory = task == NULL ? 0 : memory_directory_new();
    if (directory == 0) {
        return ERR_AGAIN;
    }
    memset(task, 0, sizeof *task);
    string_copy(task->name, program->name, sizeof task->name);
    task->pid = ++last_pid;
    task->parent = current->pid;
    task->detached = detached;
    task->directory = directory;
    task->frames = 1;
    task->esp = first_stack(stacks[task - tasks] + STACK_WORDS, program, argument);
    task->state = TASK_READY;
    return task->pid;
}

/* Let the next task that can run have the processor: round robin, the idle task only if there is no other. */
void task_schedule(void)
{
    struct task *previous = current, *next = &tasks[0];
    unsigned start = (unsigned)(current - tasks);

    for (unsigned i = 1; i <= TASK_COUNT; i++) {
        unsigned slot = (start + i) % TASK_COUNT;
        if (slot != 0 && tasks[slot].state == TASK_READY) {
            next = &tasks[slot];
            break;
        }
    }
    slice_left = SLICE_TICKS;
    if (next == previous) {
        return;
    }
    current = next;
    next->switches++;
    cpu_set_kernel_stack((uint32_t)(stacks[next - tasks] + STACK_WORDS));
    memory_load_directory(next->directory);
    if (fpu_owner == next) {
        __asm__ volatile("clts");
    } else {
        set_ts();
    }
    context_switch(&previous->esp, next->esp);
}

/* IRQ 0: count, wake sleepers, and take the processor from a task whose slice is used up. */
void task_tick(void)
{
    current->ticks++;
    for (unsigned i = 1; i < TASK_COUNT; i++) {
        if (tasks[i].state == TASK_SLEEPING && (int32_t)(chips_ticks() - tasks[i].wake_tick) >= 0) {
            tasks[i].state = TASK_READY;
        }
    }
    if (slice_left == 0 || --slice_left == 0) {
        task_schedule();
    }
}

/* At the end of every interrupt: whoever it has woken need not wait for the idle task's slice. */
void task_reschedule_if_idle(void)
{
    if (current == &tasks[0]) {
        task_schedule();
    }
}

void task_sleep(uint32_t ticks)
{
    if (ticks == 0 || ticks > INT32_MAX) {
        return;
    }
    current->wake_tick = chips_ticks() + ticks;
    current->state = TASK_SLEEPING;
    task_schedule();
}

/* Give back all a task has but its place in the table, and that too unless someone is to wait for it. Its children end
 * with it. The running task may be among the dead afterwards: the caller sees to that. */
static void task_end(struct task *task, int status)
{
    if (fpu_owner == task) {
        fpu_owner = NULL;
    }
    if (task == current) {
        memory_load_directory(memory_kernel_directory());
    }
    memory_directory_free(task->directory);
    task->directory = memory_kernel_directory();
    task->frames = 0;
    task->status = status;
    task->state = task->detached ? TASK_FREE : TASK_ZOMBIE;
    for (unsigned i = 1; i < TASK_COUNT; i++) {
        if (tasks[i].state == TASK_WAITING && tasks[i].waiting_for == task->pid) {
            tasks[i].state = TASK_READY;
        }
        if (tasks[i].state != TASK_FREE && tasks[i].parent == task->pid) {
            tasks[i].detached = true; /* nobody can wait for it any more */
            if (tasks[i].state == TASK_ZOMBIE) {
                tasks[i].state = TASK_FREE;
            } else {
                task_end(&tasks[i], STATUS_KILLED);
            }
        }
    }
}

void task_exit(int status)
{
    task_end(current, status);
    task_schedule();
    console_panic("a task that ended was resumed", NULL);
}

int task_kill(int pid, int status)
{
    struct task *task = task_find(pid);

    if (task == NULL || task->state == TASK_ZOMBIE) {
        return ERR_NO_SUCH;
    }
    task_end(task, status);
    if (current->state == TASK_FREE || current->state == TASK_ZOMBIE) {
        task_schedule();
    }
    return 0;
}

int task_wait(int pid)
{
    struct task *child = task_find(pid);
    int status;

    if (child == NULL || child->parent != current->pid || child->detached) {
        return ERR_NO_SUCH;
    }
    current->waiting_for = pid;
    while (child->state != TASK_ZOMBIE) {
        current->state = TASK_WAITING;
        task_schedule();
    }
    status = child->status;
    child->state = TASK_FREE;
    return status;
}

bool task_interrupt(void)
{
    for (unsigned i = 1; i < TASK_COUNT; i++) {
        if (tasks[i].state == TASK_WAITING) {
            task_kill(tasks[i].waiting_for, STATUS_KILLED);
            return true;
        }
    }
    return false;
}

void task_wait_for_input(void)
{
    current->state = TASK_READING;
    task_schedule();
}

void task_input_arrived(void)
{
    for (unsigned i = 1; i < TASK_COUNT; i++) {
        if (tasks[i].state == TASK_READING) {
            tasks[i].state = TASK_READY;
        }
    }
}

bool task_info_get(unsigned slot, struct task_info *info)
{
    static const char *const states[] = {
        [TASK_FREE] = "free",       [TASK_READY] = "ready",     [TASK_SLEEPING] = "sleeping",
        [TASK_WAITING] = "waiting", [TASK_READING] = "reading", [TASK_ZOMBIE] = "zombie",
    };
    const struct task *task = &tasks[slot % TASK_COUNT];

    if (slot >= TASK_COUNT || task->state == TASK_FREE) {
        return false;
    }
    *info = (struct task_info){.pid = task->pid,
                               .parent = task->parent,
                               .ticks = task->ticks,
                               .switches = task->switches,
                               .frames = task->frames};
    string_copy(info->name, task->name, sizeof info->name);
    string_copy(info->state, task == current ? "running" : states[task->state], sizeof info->state);
    return true;
}
