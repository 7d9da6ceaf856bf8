/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Host signals inside translated code.
 *
 *   SIGSEGV  an unusable shadow entry (an address in the host kernel's half), a page that a window does not show, or the
 *            poll at the end of the budget
 *   SIGBUS   #AC: a misaligned operand
 *   SIGFPE   DIV, IDIV
 *
 * The handler decides nothing: it stores the guest's registers as the signal frame has them, notes where and what, and
 * leaves to the dispatcher like the exit thunk does: by the stack that the C caller of translated code left behind. It
 * does not return to the kernel. That spares a system call as long as the delivery itself, and nothing is left undone:
 * signals are not masked while the handler runs (SA_NODEFER), and the kernel goes by the stack pointer to know whether
 * the signal stack is in use.
 *
 *   SIGSEGV  a push that found the stack of translated code full: emptied, and the push is repeated; this returns
 *
 * The handler runs on a stack of its own, because that last one leaves no other. It begins with AC, which the kernel
 * leaves as it was, and DF clear, as the calling convention demands. The kernel has given it fresh x87 and SSE units.
 *
 * A fault outside translated code is none of ours: it goes to whom binxlate_on_host_fault() named on this thread, and has
 * the default action when that is nobody.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "binxlate/engine.h"

/* The engine that runs translated code on this thread: a signal handler has no other way to know. */
static _Thread_local struct binxlate *current_engine;
/* Whose signal stack this thread uses, and the one it had before. */
static _Thread_local const uint8_t *current_signal_stack;
static _Thread_local stack_t outer_signal_stack;
/* Who hears of this thread's faults outside translated code. */
static _Thread_local void (*current_fault_handler)(int signal_number, siginfo_t *info, void *context);

#define SIGNAL_STACK_SIZE ((size_t)(64 * KIB))

void fault_attach(struct binxlate *x)
{
    current_engine = x;
    x->gs_base = 0;
    if (current_signal_stack != x->signal_stack) {
        const stack_t stack = {.ss_sp = x->signal_stack, .ss_size = SIGNAL_STACK_SIZE};
        sigaltstack(&stack, current_signal_stack ? NULL : &outer_signal_stack);
        current_signal_stack = x->signal_stack;
    }
}

void fault_detach(void)
{
    current_engine = NULL;
}

static void restore_signal_stack(void)
{
    if (current_signal_stack) {
        sigaltstack(&outer_signal_stack, NULL);
        current_signal_stack = NULL;
    }
}

void fault_leave_thread(const struct binxlate *x)
{
    if (current_signal_stack == x->signal_stack) {
        restore_signal_stack();
    }
}

void binxlate_abandon_thread(void)
{
    current_engine = NULL;
    restore_signal_stack();
}

void binxlate_on_host_fault(void (*handler)(int signal_number, siginfo_t *info, void *context))
{
    current_fault_handler = handler;
}

void fault_fini(struct binxlate *x)
{
    if (!x->signal_stack) {
        return;
    }
    fault_leave_thread(x);
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

/* What the exit thunk stores (thunk.c), from the signal frame. */
static void store_guest(struct binxlate *x, const mcontext_t *frame)
{
    static const uint8_t from[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_R12, REG_RBP, REG_RSI, REG_RDI};
    const greg_t *regs = frame->gregs;

    for (unsigned n = RAX; n <= RDI; n++) {
        x->cpu->gpr[n] = (uint64_t)regs[from[n]];
    }
    x->run.flags = (uint64_t)regs[REG_EFL];
    x->run.stack = (uint64_t)regs[REG_RSP];
    x->run.left = regs[REG_R11];
    x->run.linear = (uint64_t)regs[REG_R8];
    if (x->run.fpu_live) {
        /* The frame begins as FXSAVE lays it out; what the kernel adds lies in the bytes that are free for software. */
        memcpy(&x->cpu->fpu, frame->fpregs, offsetof(struct fxsave, reserved4));
    }
}

/* Goes on in translated code, without C code having a look: a stop that comes meanwhile must find it there, not here. The
 * frame has the mask to return with. */
static void repeat_push(const struct binxlate *x, greg_t *regs)
{
    sigset_t stops;

    sigemptyset(&stops);
    sigaddset(&stops, SIGALRM);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    if (x->run.stop && regs[REG_R11] > RUN_STOP / 2) {
        regs[REG_R11] += RUN_STOP;
    }
    regs[REG_RSP] = (greg_t)x->stack_top;
}

/* Called from the stub below. The stack to leave with, or 0: continue where the fault was. */
uint64_t fault_handle(int signal_number, siginfo_t *info, void *context);

uint64_t fault_handle(int signal_number, siginfo_t *info, void *context)
{
    struct binxlate *x = current_engine;
    mcontext_t *frame = &((ucontext_t *)context)->uc_mcontext;
    const uint8_t *pc = (const uint8_t *)(uintptr_t)frame->gregs[REG_RIP];

    if (x && in_code(x, pc, 0) && stack_is_full(x, info)) { /* a call, or PUSHFQ of a thunk */
        repeat_push(x, frame->gregs);
        return 0;
    }
    if (!x || !in_code(x, pc, x->code.fixed)) {
        if (current_fault_handler) {
            current_fault_handler(signal_number, info, context);
        }
        signal(signal_number, SIG_DFL);
        return 0;
    }
    x->run.fault_pc = pc;
    x->run.fault_address = (uint64_t)(uintptr_t)info->si_addr;
    x->run.fault_kind = (uint32_t)kind_of(signal_number, info);
    store_guest(x, frame);
    return x->run.host_stack;
}

_Static_assert(EXIT_FAULT == 5, "what the stub below leaves with");

/* SDM: Volume 1, "EFLAGS Register": AC is bit 18, DF bit 10. What is popped, the entry thunk has pushed. The unwinder comes
 * by here when a report wants to know who called the function that faulted. */
__asm__(".pushsection .text\n"
        ".globl fault_entry\n"
        ".hidden fault_entry\n"
        ".type fault_entry, @function\n"
        "fault_entry:\n\t"
        ".cfi_startproc\n\t"
        "pushfq\n\t"
        "andl $~0x40400, (%rsp)\n\t"
        "popfq\n\t"
        "subq $8, %rsp\n\t"
        ".cfi_adjust_cfa_offset 8\n\t"
        "call fault_handle\n\t"
        "addq $8, %rsp\n\t"
        ".cfi_adjust_cfa_offset -8\n\t"
        "testq %rax, %rax\n\t"
        "jz 1f\n\t"
        "movq %rax, %rsp\n\t"
        "popq %r15\n\t"
        "popq %r14\n\t"
        "popq %r13\n\t"
        "popq %r12\n\t"
        "popq %rbx\n\t"
        "popq %rbp\n\t"
        "movl $5, %eax\n"
        "1:\n\t"
        "ret\n\t"
        ".cfi_endproc\n"
        ".size fault_entry, . - fault_entry\n"
        ".popsection");

/*
 * r11 holds the budget from the entry thunk's addition of run.stop on; interrupted before that, the addition will see to
 * the stop. Once is enough: dispatch.c takes it off again once.
 */
void binxlate_stop(struct binxlate *x, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *pc = (const uint8_t *)(uintptr_t)regs[REG_RIP];

    if (x->run.stop == 0 && in_code(x, pc, 0) && pc >= (const uint8_t *)x->entered) {
        regs[REG_R11] += RUN_STOP;
    }
    x->run.stop = RUN_STOP;
}

int binxlate_handle_faults(struct error *error)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
    struct sigaction action = {.sa_sigaction = fault_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    sigemptyset(&action.sa_mask);
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
        if (sigaction(signals[i], &action, NULL) < 0) {
            return error_set(error, -errno, "translator: cannot handle host faults: %s", strerror(errno));
        }
    }
    return (int)ARRAY_LEN(signals);
}

int fault_init(struct binxlate *x, struct error *error)
{
    int result = binxlate_handle_faults(error);

    return result < 0 ? result : map_signal_stack(x, error);
}
