/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The host's side: one 32- or 16-bit instruction on the real processor.
 *
 * A signal frame holds the whole user-visible state of a thread, so signals are the loader and the camera:
 *
 *   1. native_run() executes INT3; the handler keeps the frame (ours to come back to), writes the case's state into
 *      it and returns: the kernel loads every register, RIP in a 32-bit code segment, TF set
 *   2. the instruction runs; the trap behind it (or its fault) makes the kernel save every register into a new frame
 *   3. the handler takes the state from there, puts the first frame's contents back and returns
 *
 * The frame leaves out DS, ES, FS and GS: the handler loads and stores those. Loading FS destroys the thread pointer
 * of the C library, hence the assembly entry that restores it before any C runs. The handler finds its struct native
 * at the bottom of the signal stack, which is aligned to its size.
 *
 * Instructions that TF would disturb (PUSHF stores it; MOV SS holds the trap back; REP traps after every iteration)
 * run without it, up to a UD2 behind them.
 *
 * NOT covered: hidden parts of segment registers, and x87 instruction and data pointers, which some processors save
 * only when an exception is pending.
 */
#include "hostcmp.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { SIGNAL_STACK = 0x20000, FXSAVE_SIZE = 512, XSTATE_X87_SSE = 3 };

enum phase { PHASE_IDLE, PHASE_ENTER, PHASE_INSIDE };

struct native {
    uint64_t fs_base; /* offsets 0, 8, 10 are known to the assembly below */
    uint16_t fs, gs;
    volatile enum phase phase;
    const struct test_case *test;
    struct outcome *outcome;
    gregset_t home; /* native_run()'s registers */
    uint8_t home_fpu[FXSAVE_SIZE];
    bool have_ldt;
    int fd;          /* the window's memory */
    uint8_t *memory; /* the same, writable everywhere */
    struct sigaction old[NSIG];
    stack_t old_stack;
};

static const int signals[] = {SIGTRAP, SIGILL, SIGSEGV, SIGBUS, SIGFPE};

void native_signal(int signal, siginfo_t *info, void *context);
void native_signal_entry(int signal, siginfo_t *info, void *context);

/*
 * AC would make the compiler's code trap; NT and ID are cleared because the kernel leaves those to us; FS is restored
 * by arch_prctl(ARCH_SET_FS), system call 158.
 */
__asm__(".text\n"
        ".globl native_signal_entry\n"
        ".type native_signal_entry, @function\n"
        "native_signal_entry:\n"
        "   pushfq\n"
        "   andl $~0x244000, (%rsp)\n"
        "   popfq\n"
        "   cld\n"
        "   pushq %rdi\n"
        "   pushq %rsi\n"
        "   pushq %rdx\n"
        "   movq %rsp, %rdx\n"
        "   andq $-0x20000, %rdx\n"
        "   movw %fs, 8(%rdx)\n"
        "   movw %gs, 10(%rdx)\n"
        "   movq (%rdx), %rsi\n"
        "   movl $0x1002, %edi\n"
        "   movl $158, %eax\n"
        "   syscall\n"
        "   xorl %eax, %eax\n"
        "   movl %eax, %gs\n"
        "   popq %rdx\n"
        "   popq %rsi\n"
        "   popq %rdi\n"
        "   jmp native_signal\n"
        ".size native_signal_entry, . - native_signal_entry\n");

/* REG_CSGSFS: SS, FS, GS, CS from the top, 16 bits each. */
static void set_cs_ss(greg_t *gregs, uint16_t cs, uint16_t ss)
{
    uint64_t word = (uint64_t)gregs[REG_CSGSFS] & 0x0000ffffffff0000;

    gregs[REG_CSGSFS] = (greg_t)(word | cs | (uint64_t)ss << 48);
}

static const uint8_t greg_of[8] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI};

/* Put an FXSAVE image into the frame, and say in its XSAVE header that it counts. */
static void load_fpu(ucontext_t *context, const void *image)
{
    uint8_t *area = (uint8_t *)context->uc_mcontext.fpregs;
    uint8_t reserved[48];

    memcpy(reserved, area + FXSAVE_SIZE - sizeof(reserved), sizeof(reserved)); /* the kernel's marks */
    memcpy(area, image, FXSAVE_SIZE);
    memcpy(area + FXSAVE_SIZE - sizeof(reserved), reserved, sizeof(reserved));
    area[FXSAVE_SIZE] |= XSTATE_X87_SSE;
}

__attribute__((no_stack_protector)) static void enter(struct native *native, ucontext_t *context)
{
    const struct cpu_state *state = &native->test->before;
    greg_t *gregs = context->uc_mcontext.gregs;

    memcpy(native->home, gregs, sizeof(native->home));
    memcpy(native->home_fpu, context->uc_mcontext.fpregs, FXSAVE_SIZE);
    for (unsigned i = 0; i < 8; i++) {
        gregs[greg_of[i]] = state->gpr[i];
    }
    gregs[REG_RIP] = state->eip;
    gregs[REG_EFL] = state->eflags | (native->test->single_step ? (uint32_t)RFLAGS_TF : 0);
    set_cs_ss(gregs, state->selector[SEG_CS], state->selector[SEG_SS]);
    load_fpu(context, &state->fpu);
    native->phase = PHASE_INSIDE;
    /* From here to the return nothing may use thread-local data. */
    __asm__ volatile("mov %0, %%ds\n\tmov %1, %%es\n\tmov %2, %%fs\n\tmov %3, %%gs"
                     :
                     : "r"((uint32_t)state->selector[SEG_DS]), "r"((uint32_t)state->selector[SEG_ES]),
                       "r"((uint32_t)state->selector[SEG_FS]), "r"((uint32_t)state->selector[SEG_GS]));
}

/* Did the instruction end, as far as the signal tells? */
static bool ended(const struct native *native, const greg_t *gregs)
{
    const struct test_case *test = native->test;

    if (test->single_step) {
        return gregs[REG_TRAPNO] == EXC_DB;
    }
    return gregs[REG_TRAPNO] == EXC_UD && (uint32_t)gregs[REG_RIP] == test->before.eip + test->length;
}

static void leave(struct native *native, ucontext_t *context, uint32_t ds, uint32_t es)
{
    greg_t *gregs = context->uc_mcontext.gregs;
    struct outcome *outcome = native->outcome;
    struct cpu_state *state = &outcome->state;
    uint64_t segments = (uint64_t)gregs[REG_CSGSFS];

    outcome->vector = ended(native, gregs) ? -1 : (int)gregs[REG_TRAPNO];
    outcome->error_code = (uint32_t)gregs[REG_ERR];
    outcome->cr2 = (uint32_t)gregs[REG_CR2];
    for (unsigned i = 0; i < 8; i++) {
        state->gpr[i] = (uint32_t)gregs[greg_of[i]];
    }
    state->eip = (uint32_t)gregs[REG_RIP];
    state->eflags = (uint32_t)gregs[REG_EFL];
    state->selector[SEG_CS] = (uint16_t)segments;
    state->selector[SEG_SS] = (uint16_t)(segments >> 48);
    state->selector[SEG_DS] = (uint16_t)ds;
    state->selector[SEG_ES] = (uint16_t)es;
    state->selector[SEG_FS] = native->fs;
    state->selector[SEG_GS] = native->gs;
    memcpy(&state->fpu, context->uc_mcontext.fpregs, FXSAVE_SIZE);
    memcpy(gregs, native->home, sizeof(native->home));
    load_fpu(context, native->home_fpu);
    native->phase = PHASE_IDLE;
}

__attribute__((no_sanitize_address, no_stack_protector)) void native_signal(int signal, siginfo_t *info,
                                                                            void *context)
{
    uintptr_t bottom = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(SIGNAL_STACK - 1);
    struct native *native = (struct native *)bottom;
    uint32_t ds, es;

    (void)info;
    __asm__ volatile("mov %%ds, %0\n\tmov %%es, %1" : "=r"(ds), "=r"(es));
    switch (native->phase) {
    case PHASE_ENTER:
        enter(native, context);
        break;
    case PHASE_INSIDE:
        leave(native, context, ds, es);
        break;
    case PHASE_IDLE: /* a fault of this program: die of it */
        sigaction(signal, &native->old[signal], NULL);
        break;
    }
}

void native_run(struct native *native, const struct test_case *test, struct outcome *outcome)
{
    native->test = test;
    native->outcome = outcome;
    native->phase = PHASE_ENTER;
    __asm__ volatile("int3" ::: "memory");
}

/* ---- set-up ---- */

/* Is everything below 4 GiB ours alone? A stray store must not find anything else there. */
static bool low_memory_is_empty(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long start, end;
    bool empty = maps != NULL;

    while (maps && fscanf(maps, "%lx-%lx%*[^\n]", &start, &end) == 2) {
        if (start < 4 * GIB) {
            empty = false;
        }
    }
    if (maps) {
        fclose(maps);
    }
    return empty;
}

static bool map_page(const struct native *native, unsigned page)
{
    static const int protection[] = {
        [PAGE_RW] = PROT_READ | PROT_WRITE, [PAGE_RO] = PROT_READ, [PAGE_CODE] = PROT_READ | PROT_EXEC};
    uint64_t address = WINDOW_BASE + (uint64_t)page * PAGE_SIZE;

    if (window_page[page] == PAGE_HOLE) {
        return true;
    }
    void *at = mmap((void *)address, PAGE_SIZE, protection[window_page[page]],
                    MAP_SHARED | MAP_FIXED | MAP_POPULATE, native->fd, (off_t)page * PAGE_SIZE);
    if (at == MAP_FAILED) {
        return false;
    }
    (void)mlock(at, PAGE_SIZE); /* else a page that the kernel took away would fault as absent */
    return true;
}

static bool map_window(struct native *native)
{
    void *low = (void *)(uint64_t)(WINDOW_BASE - HOLE_SIZE);

    native->fd = memfd_create("hostcmp", MFD_CLOEXEC);
    if (native->fd < 0 || ftruncate(native->fd, WINDOW_SIZE) < 0) {
        return false;
    }
    native->memory =
        mmap(NULL, WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, native->fd, 0);
    if (native->memory == MAP_FAILED) {
        return false;
    }
    memset(native->memory, 0x0b, WINDOW_SIZE);
    if (mmap(low, 2 * HOLE_SIZE + WINDOW_SIZE, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) != low) {
        return false;
    }
    for (unsigned page = 0; page < WINDOW_PAGES; page++) {
        if (!map_page(native, page)) {
            return false;
        }
    }
    return true;
}

static bool install_ldt(void)
{
    for (unsigned i = 0; i < LDT_COUNT; i++) {
        const struct ldt_entry *entry = &layout_ldt[i];
        struct user_desc desc = {
            .entry_number = i,
            .base_addr = entry->base,
            .limit = entry->limit,
            .seg_32bit = entry->wide,
            .contents = entry->contents & 3,
            .read_exec_only = entry->read_exec_only,
            .seg_not_present = entry->absent,
            .useable = 1,
        };
        if (syscall(SYS_modify_ldt, 0x11, &desc, sizeof(desc)) != 0) {
            return false;
        }
    }
    return true;
}

static bool install_handlers(struct native *native)
{
    stack_t stack = {.ss_sp = native, .ss_size = SIGNAL_STACK};
    struct sigaction action = {.sa_sigaction = native_signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    if (syscall(SYS_arch_prctl, ARCH_GET_FS, &native->fs_base) != 0 ||
        sigaltstack(&stack, &native->old_stack) != 0) {
        return false;
    }
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
        if (sigaction(signals[i], &action, &native->old[signals[i]]) != 0) {
            return false;
        }
    }
    return true;
}

/* MOV EAX, imm32: does 32-bit code run at all? */
static bool probe(struct native *native)
{
    static const uint8_t code[] = {0xb8, 0x78, 0x56, 0x34, 0x12};
    struct test_case test = {.length = sizeof(code), .single_step = true};
    struct outcome outcome = {.vector = 0};

    memcpy(native->memory + CODE_PAGE, code, sizeof(code));
    test.before.eip = WINDOW_BASE + CODE_PAGE;
    test.before.eflags = RFLAGS_FIXED1 | RFLAGS_IF;
    test.before.selector[SEG_CS] = SEL_USER32_CS;
    test.before.selector[SEG_SS] = test.before.selector[SEG_DS] = test.before.selector[SEG_ES] = SEL_USER_DS;
    test.before.fpu.fcw = 0x37f;
    test.before.fpu.mxcsr = 0x1f80;
    native_run(native, &test, &outcome);
    return outcome.vector < 0 && outcome.state.gpr[RAX] == 0x12345678;
}

struct native *native_create(void)
{
    const char *what = "something lies below 4 GiB in this process (sanitizers do that)";

    if (!low_memory_is_empty()) {
        goto cannot;
    }
    what = "no memory for the signal stack";
    struct native *native =
        mmap(NULL, SIGNAL_STACK * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (native == MAP_FAILED) {
        goto cannot;
    }
    native = (struct native *)ALIGN_UP((uintptr_t)native, SIGNAL_STACK);
    native->fd = -1;
    what = "the window cannot be mapped";
    if (!map_window(native)) {
        goto cannot;
    }
    what = "no signal handlers";
    if (!install_handlers(native)) {
        goto cannot;
    }
    what = "the kernel does not run 32-bit code";
    if (!probe(native)) {
        goto cannot;
    }
    native->have_ldt = install_ldt();
    return native;

cannot:
    printf("hostcmp: skipped: %s\n", what);
    return NULL;
}

void native_destroy(struct native *native)
{
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
        sigaction(signals[i], &native->old[signals[i]], NULL);
    }
    sigaltstack(&native->old_stack, NULL);
    munmap((void *)(uint64_t)(WINDOW_BASE - HOLE_SIZE), 2 * HOLE_SIZE + WINDOW_SIZE);
    munmap(native->memory, WINDOW_SIZE);
    close(native->fd);
    munmap(native, SIGNAL_STACK);
}

bool native_have_ldt(const struct native *native)
{
    return native->have_ldt;
}

uint8_t *native_memory(struct native *native)
{
    return native->memory;
}
