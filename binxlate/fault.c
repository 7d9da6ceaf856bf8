/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Host signals inside translated code.
 *
 *   SIGSEGV  an unusable shadow entry (a non-canonical address), or the poll at the end of the budget
 *   SIGBUS   #AC: a misaligned operand; also a non-canonical address relative to RSP or RBP
 *   SIGFPE   DIV, IDIV
 *
 * The handler decides nothing: it notes where and what, and lets the thread continue at the exit thunk, which stores
 * the guest's registers as they were at the fault. The dispatcher does the rest in ordinary C.
 *
 *   SIGSEGV  a push that found the stack of translated code full: emptied, and the push is repeated
 *
 * The handler runs on a stack of its own, because that last one leaves no other. It begins with AC, which the kernel
 * leaves as it was, and DF clear, as the calling convention demands.
 *
 * A fault outside translated code is none of ours: the default action is restored and the instruction faults again.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "binxlate/engine.h"

/* The engine that runs translated code on this thread: a signal handler has no other way to know. */
static _Thread_local struct binxlate *current_engine;
/* Whose signal stack this thread uses. */
static _Thread_local const uint8_t *current_signal_stack;

#define SIGNAL_STACK_SIZE ((size_t)(64 * KIB))

void fault_attach(struct binxlate *x)
{
    current_engine = x;
    if (current_signal_stack != x->signal_stack) {
        const stack_t stack = {.ss_sp = x->signal_stack, .ss_size = SIGNAL_STACK_SIZE};
        sigaltstack(&stack, NULL);
        current_signal_stack = x->signal_stack;
    }
}

void fault_detach(void)
{
    current_engine = NULL;
}

void fault_fini(struct binxlate *x)
{
    if (!x->signal_stack) {
        return;
    }
    if (current_signal_stack == x->signal_stack) {
        const stack_t none = {.ss_flags = SS_DISABLE};
        sigaltstack(&none, NULL);
        current_signal_stack = NULL;
    }
    munmap(x->signal_stack, SIGNAL_STACK_SIZE);
}

static int map_signal_stack(struct binxlate *x, struct error *error)
{
    void *stack = mmap(NULL, SIGNAL_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (stack == MAP_FAILED) {
        return error_set(error, -errno, "translator: cannot map a signal stack: %s", strerror(errno));
    }
    x->signal_stack = stack;
    return 0;
}

static enum fault_kind kind_of(int signal_number, const siginfo_t *info)
{
    if (signal_number == SIGFPE) {
        return FAULT_ARITHMETIC;
    }
    return signal_number == SIGBUS && info->si_code == BUS_ADRALN ? FAULT_ALIGNMENT : FAULT_ADDRESS;
}

static bool stack_is_full(const struct binxlate *x, const siginfo_t *info)
{
    size_t offset = (size_t)((const uint8_t *)info->si_addr - x->stack_limit);

    return info->si_signo == SIGSEGV && info->si_code == SEGV_ACCERR && offset < STACK_LIMIT_SIZE;
}

/* Is pc in the code buffer, past its first `skip` bytes? */
static bool in_code(const struct binxlate *x, const uint8_t *pc, size_t skip)
{
    return pc >= x->code.exec + skip && pc < x->code.exec + x->code.size;
}

/* Called from the stub below. */
void fault_handle(int signal_number, siginfo_t *info, void *context);

void fault_handle(int signal_number, siginfo_t *info, void *context)
{
    struct binxlate *x = current_engine;
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *pc = (const uint8_t *)(uintptr_t)regs[REG_RIP];

    if (x && in_code(x, pc, 0) && stack_is_full(x, info)) { /* a call, or PUSHFQ of a thunk */
        regs[REG_RSP] = (greg_t)x->stack_top;
        return;
    }
    if (!x || !in_code(x, pc, x->code.fixed)) {
        signal(signal_number, SIG_DFL);
        return;
    }
    x->run.fault_pc = pc;
    x->run.fault_kind = (uint32_t)kind_of(signal_number, info);
    regs[REG_RIP] = (greg_t)(uintptr_t)x->exit[EXIT_FAULT];
}

/* SDM: Volume 1, "EFLAGS Register": AC is bit 18, DF bit 10. */
void fault_entry(int signal_number, siginfo_t *info, void *context);
__asm__(".pushsection .text\n"
        ".globl fault_entry\n"
        ".hidden fault_entry\n"
        ".type fault_entry, @function\n"
        "fault_entry:\n\t"
        "pushfq\n\t"
        "andl $~0x40400, (%rsp)\n\t"
        "popfq\n\t"
        "jmp fault_handle\n"
        ".size fault_entry, . - fault_entry\n"
        ".popsection");

int fault_init(struct binxlate *x, struct error *error)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
    struct sigaction action = {.sa_sigaction = fault_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
        if (sigaction(signals[i], &action, NULL) < 0) {
            return error_set(error, -errno, "translator: cannot handle host faults: %s", strerror(errno));
        }
    }
    return map_signal_stack(x, error);
}
