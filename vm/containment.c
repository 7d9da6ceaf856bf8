/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Faults of ours, contained. See vm/containment.h.
 *
 * Who gets the signals: SIGSEGV, SIGBUS and SIGFPE are the translator's (binxlate/fault.c), which passes on those that are
 * not about translated code; SIGILL, SIGABRT and the timer's SIGVTALRM come here. In a build without the translator all of
 * them do. Where nothing is to be contained, the default action follows.
 *
 * The handler does little, for what it interrupted may have been anything: it notes where and jumps. The callers are found
 * by the unwinder, which may itself stumble over a broken stack; the second fault then jumps at once.
 *
 * The timer's signal may come anywhere. It jumps only out of our own or translated code, never out of a library: that one may
 * hold a lock just then, and will have returned by the next tick.
 *
 * Not done: faults of threads that have not called containment_open() (snapshot writers, the thread of hypervisor_run()) end
 * the process.
 */
#include "vm/containment.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/clock.h"
#include "binxlate/binxlate.h"

#define STACK_SIZE  ((size_t)(64 * KIB))
#define STACK_GUARD ((size_t)PAGE_SIZE)

enum { EXIT_INTERNAL = 2, SI_KERNEL_MIN = 1 };

/* The calling thread's: a signal handler has no other way to it. */
static _Thread_local struct containment *current_containment;

/* ---- In signal handlers ------------------------------------------------------------------------------------ */

static void *interrupted_pc(const void *context)
{
    return (void *)(uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

static void *interrupted_return(const void *context)
{
    return *(void **)(uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RSP];
}

/* From where the fault was outwards. Behind a jump to nowhere the unwinder is lost, but the return address is there. */
static void note_frames(struct containment_report *report, const void *context)
{
    void *found[2 * CONTAINMENT_FRAMES];
    void *pc = interrupted_pc(context);
    int count, at = 0;

    report->frame[0] = pc;
    report->frames = 1;
    if (report->addressed && report->address == (uint64_t)(uintptr_t)pc) {
        report->frame[1] = interrupted_return(context);
        report->frames = 2;
        return;
    }
    count = backtrace(found, ARRAY_LEN(found));
    while (at < count && found[at] != pc) {
        at++;
    }
    for (at++; at < count && report->frames < CONTAINMENT_FRAMES; at++) {
        report->frame[report->frames++] = found[at];
    }
}

_Noreturn static void escape(struct containment *containment, const void *context)
{
    if (!containment->handling) {
        containment->handling = true;
        note_frames(&containment->report, context);
    }
    siglongjmp(containment->escape, 1);
}

/* Comes back when there is nothing to contain. */
static void contain_fault(int signal_number, siginfo_t *info, void *context)
{
    struct containment *containment = current_containment;

    if (!containment || !containment->inside) {
        return;
    }
    if (!containment->handling) {
        containment->report = (struct containment_report){
            .signal_number = signal_number,
            .addressed = info->si_code >= SI_KERNEL_MIN && signal_number != SIGABRT,
            .address = (uint64_t)(uintptr_t)info->si_addr,
            .shared = (unsigned)containment->shared,
        };
    }
    escape(containment, context);
}

void containment_handle_fault(int signal_number, siginfo_t *info, void *context);
void containment_handle_tick(int signal_number, siginfo_t *info, void *context);

void containment_handle_fault(int signal_number, siginfo_t *info, void *context)
{
    contain_fault(signal_number, info, context);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* The program's own code, or translated code, which belongs to no file. */
static bool in_own_code(void *pc)
{
    struct dl_find_object object, own;

    return _dl_find_object(pc, &object) != 0 || (_dl_find_object((void *)(uintptr_t)in_own_code, &own) == 0 &&
                                                 own.dlfo_map_start == object.dlfo_map_start);
}

void containment_handle_tick(int signal_number, siginfo_t *info, void *context)
{
    struct containment *containment = current_containment;

    (void)signal_number;
    (void)info;
    if (!containment || !containment->inside || containment->handling || containment->unwatched) {
        return;
    }
    if (++containment->ticks < CONTAINMENT_TICKS || containment->shared ||
        !in_own_code(interrupted_pc(context))) {
        return;
    }
    containment->report =
        (struct containment_report){.wedged = true, .patience_ns = containment->patience_ns};
    escape(containment, context);
}

/*
 * Translated code runs with RFLAGS.AC and DF as the guest likes; compiled code wants both clear. The kernel's frame
 * restores them.
 *
 * SDM: Volume 1, "EFLAGS Register": DF is bit 10, AC bit 18.
 */
#define ENTRY(name, handler)                                                                                 \
    void name(int signal_number, siginfo_t *info, void *context);                                            \
    __asm__(".pushsection .text\n"                                                                           \
            ".globl " #name "\n"                                                                             \
            ".hidden " #name "\n"                                                                            \
            ".type " #name ", @function\n" #name ":\n\t"                                                     \
            ".cfi_startproc\n\t"                                                                             \
            "pushfq\n\t"                                                                                     \
            "andl $~0x40400, (%rsp)\n\t"                                                                     \
            "popfq\n\t"                                                                                      \
            "jmp " #handler "\n\t"                                                                           \
            ".cfi_endproc\n"                                                                                 \
            ".size " #name ", . - " #name "\n"                                                               \
            ".popsection")

ENTRY(containment_fault_entry, containment_handle_fault);
ENTRY(containment_tick_entry, containment_handle_tick);

/* ---- A thread ------------------------------------------------------------------------------------------------ */

/* The first three are the translator's, where there is one. */
static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/* Translated code may be running on other threads: its signals must not be anybody else's for a moment. */
static int install_handlers(struct error *error)
{
    struct sigaction fault = {.sa_sigaction = containment_fault_entry,
                              .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct sigaction tick = {.sa_sigaction = containment_tick_entry,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    int handled = binxlate_handle_faults(error), result = 0;

    if (handled < 0) {
        return handled;
    }
    sigemptyset(&fault.sa_mask);
    sigemptyset(&tick.sa_mask);
    for (unsigned i = (unsigned)handled; i < ARRAY_LEN(faults) && result == 0; i++) {
        result = sigaction(faults[i], &fault, NULL);
    }
    if (result < 0 || sigaction(SIGVTALRM, &tick, NULL) < 0) {
        return error_set(error, -errno, "cannot handle host faults: %s", strerror(errno));
    }
    return 0;
}

static int map_stack(struct containment *containment, struct error *error)
{
    uint8_t *area = mmap(NULL, STACK_GUARD + STACK_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {.ss_size = STACK_SIZE};

    if (area == MAP_FAILED || mprotect(area + STACK_GUARD, STACK_SIZE, PROT_READ | PROT_WRITE) < 0) {
        int code = error_set(error, -errno, "cannot map a signal stack: %s", strerror(errno));

        if (area != MAP_FAILED) {
            munmap(area, STACK_GUARD + STACK_SIZE);
        }
        return code;
    }
    containment->stack = area;
    stack.ss_sp = area + STACK_GUARD;
    sigaltstack(&stack, &containment->stack_before);
    return 0;
}

/* Without a timer a slice that does not end is not found; everything else is. */
static void start_timer(struct containment *containment)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGVTALRM};
    uint64_t tick_ns = containment->patience_ns / CONTAINMENT_TICKS;
    const struct timespec interval = {.tv_sec = (time_t)(tick_ns / NS_PER_SEC),
                                      .tv_nsec = (long)(tick_ns % NS_PER_SEC)};
    const struct itimerspec when = {.it_value = interval, .it_interval = interval};

    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    containment->timed = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &containment->timer) == 0 &&
                         timer_settime(containment->timer, 0, &when, NULL) == 0;
}

int containment_open(struct containment *containment, uint64_t patience_ns, struct error *error)
{
    void *frame[1];
    sigset_t signals;
    int result;

    *containment = (struct containment){.patience_ns = patience_ns};
    backtrace(frame, 1); /* the first call loads a library, which no handler may do */
    result = install_handlers(error);
    if (result == 0) {
        result = map_stack(containment, error);
    }
    if (result < 0) {
        return result;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGVTALRM);
    for (unsigned i = 0; i < ARRAY_LEN(faults); i++) {
        sigaddset(&signals, faults[i]);
    }
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    pthread_sigmask(SIG_BLOCK, NULL, &containment->mask);
    current_containment = containment;
    binxlate_on_host_fault(contain_fault);
    start_timer(containment);
    return 0;
}

void containment_close(struct containment *containment)
{
    if (containment->timed) {
        timer_delete(containment->timer);
    }
    binxlate_on_host_fault(NULL);
    current_containment = NULL;
    if (containment->stack) {
        sigaltstack(&containment->stack_before, NULL);
        munmap(containment->stack, STACK_GUARD + STACK_SIZE);
    }
    *containment = (struct containment){.timed = false};
}

/* After the jump: what the handlers' way out and the interrupted code have left behind on this thread. */
static void recover(struct containment *containment)
{
    containment->inside = containment->handling = containment->unwatched = containment->shared = false;
    binxlate_abandon_thread();
    pthread_sigmask(SIG_SETMASK, &containment->mask, NULL);
}

bool containment_run(struct containment *containment, void (*work)(void *opaque), void *opaque)
{
    containment->ticks = 0;
    if (sigsetjmp(containment->escape, 0) == 0) {
        containment->inside = true;
        work(opaque);
        containment->inside = false;
        return true;
    }
    recover(containment);
    return false;
}

void containment_adopt(const struct containment_report *report)
{
    struct containment *containment = current_containment;

    if (containment && containment->inside) {
        containment->report = *report;
        containment->report.shared = (unsigned)containment->shared;
        siglongjmp(containment->escape, 1);
    }
}

void containment_share(void)
{
    if (current_containment) {
        current_containment->shared++;
    }
}

void containment_unshare(void)
{
    if (current_containment) {
        current_containment->shared--;
    }
}

void containment_watch(bool on)
{
    if (current_containment) {
        current_containment->unwatched = !on;
        current_containment->ticks = 0;
    }
}

/* ---- Reports --------------------------------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Functions of the C library that may be left in the middle: they hold no lock, or are about to end us anyway. */
static bool may_be_left(const char *function)
{
    static const char *const harmless[] = {"abort",    "raise",         "gsignal",       "pthread_kill",
                                           "__assert", "__assert_fail", "clock_gettime", "__chk_fail"};

    for (unsigned i = 0; i < ARRAY_LEN(harmless); i++) {
        if (!strcmp(function, harmless[i])) {
            return true;
        }
    }
    return starts_with(function, "mem") || starts_with(function, "str");
}

/*
 * The allocator and the streams are the process's. A fault inside them (a heap that somebody has spoilt, a bad argument)
 * may have left their locks held. Only the library's entry points have names; what they call has none.
 */
static const char *left_in_library(const struct containment_report *report)
{
    Dl_info library, info;

    if (!dladdr((void *)(uintptr_t)gnu_get_libc_version, &library)) {
        return NULL;
    }
    for (unsigned i = 0; i < report->frames; i++) {
        if (!dladdr((uint8_t *)report->frame[i] - (i > 0), &info) || info.dli_fbase != library.dli_fbase) {
            return NULL;
        }
        if (info.dli_sname && !may_be_left(info.dli_sname)) {
            return info.dli_sname;
        }
    }
    return NULL;
}

const char *containment_spreads(const struct containment_report *report)
{
    if (report->shared > 0) {
        return "it held a lock that all VMs share";
    }
    return left_in_library(report) ? "it was inside the C library, which all VMs share" : NULL;
}

static const char *signal_name(int signal_number)
{
    const char *name = sigabbrev_np(signal_number);

    return name ? name : "?";
}

/* "function+0x12", "program+0x3456", or where neither is known. */
static void place(char *text, size_t size, void *address, bool is_return)
{
    uint8_t *at = (uint8_t *)address - is_return;
    const char *file;
    Dl_info info;

    if (!dladdr(at, &info) || !info.dli_fname) {
        snprintf(text, size, "%p (no file's code)", address);
        return;
    }
    file = strrchr(info.dli_fname, '/') ? strrchr(info.dli_fname, '/') + 1 : info.dli_fname;
    if (info.dli_sname) {
        snprintf(text, size, "%s+0x%tx (%s+0x%tx)", info.dli_sname,
                 (uint8_t *)address - (uint8_t *)info.dli_saddr, file, at - (uint8_t *)info.dli_fbase);
    } else {
        snprintf(text, size, "%s+0x%tx", file, at - (uint8_t *)info.dli_fbase);
    }
}

void containment_describe_frame(const struct containment_report *report, unsigned frame, char *text,
                                size_t size)
{
    int length = snprintf(text, size, "  #%u ", frame);

    place(text + length, size - (size_t)length, report->frame[frame], frame > 0);
}

void containment_describe(const struct containment_report *report, char *text, size_t size)
{
    char what[80], where[160], guest[64] = "";

    if (report->wedged) {
        snprintf(what, sizeof(what), "it did not give up the processor in %llu.%llu s of processor time,",
                 (unsigned long long)(report->patience_ns / NS_PER_SEC),
                 (unsigned long long)(report->patience_ns / (NS_PER_SEC / 10) % 10));
    } else if (report->addressed) {
        snprintf(what, sizeof(what), "SIG%s at address %#llx", signal_name(report->signal_number),
                 (unsigned long long)report->address);
    } else {
        snprintf(what, sizeof(what), "SIG%s", signal_name(report->signal_number));
    }
    place(where, sizeof(where), report->frame[0], false);
    if (report->guest_known) {
        snprintf(guest, sizeof(guest), "; the guest was at %04x:%08llx", report->guest_cs,
                 (unsigned long long)report->guest_rip);
    }
    snprintf(text, size, "internal error: %s in %s%s", what, where, guest);
}

static void say(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));

    (void)n; /* nobody is left to be told */
}

_Noreturn void containment_give_up(const struct containment_report *report, const char *why)
{
    char line[512];

    say("hypatia: ");
    say(report->name ? report->name : "a VM");
    say(": ");
    containment_describe(report, line, sizeof(line));
    say(line);
    say("\n");
    for (unsigned i = 0; i < report->frames; i++) {
        containment_describe_frame(report, i, line, sizeof(line));
        say(line);
        say("\n");
    }
    say("hypatia: this ends all VMs: ");
    say(why);
    say("\n");
    _exit(EXIT_INTERNAL);
}
