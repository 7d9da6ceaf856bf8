/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Slices that end in time for the guest's timers. See vm/pacer.h.
 *
 * The signal is SIGALRM from a POSIX timer, for this thread only. Its handler kicks the processor; translated code, which
 * looks at nothing but its budget, is stopped through that (binxlate_stop). A signal that finds the processor elsewhere
 * leaves the kick behind, and the next slice ends at once.
 *
 * Setting the host timer is a system call, so it is left alone when it is set for earlier than needed: then a slice ends
 * without need, once. Deadlines that are nearer than NEAR_NS are met by counting alone.
 *
 * timer_create(2), sigaction(2).
 */
#include "vm/pacer.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "binxlate/binxlate.h"

#define NEAR_NS      30000u  /* sooner than this a signal comes too late to be of use */
#define LATE_MAX_NS  50000u  /* of the average: more is other processes' doing */
#define COUNTED_NS   200000u /* longest counted slice */
#define RATE_MIN     1u      /* instructions in 1024 ns */
#define RATE_START   20u
#define RATE_MAX     (1u << 14)
#define SAMPLE_NS    5000u /* shorter slices say little about the rate */
#define BUDGET_LARGE ((uint64_t)1 << 42)

/* The pacer of the VM that runs on this thread: a signal handler has no other way to know. */
static _Thread_local struct pacer *current_pacer;

uint64_t pacer_host_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* ---- The host timer ---- */

void pacer_handle_alarm(int signal_number, siginfo_t *info, void *context);

/*
 * Translated code runs with RFLAGS.AC = 1 and with the guest's DF. The kernel clears DF for a handler, as the calling
 * convention demands, but leaves AC, and compiled C may make misaligned accesses: the stub clears both, the kernel's
 * frame restores them.
 *
 * SDM: Volume 1, "EFLAGS Register": DF is bit 10, AC bit 18.
 */
void pacer_alarm_entry(int signal_number, siginfo_t *info, void *context);
__asm__(".pushsection .text\n"
        ".globl pacer_alarm_entry\n"
        ".hidden pacer_alarm_entry\n"
        ".type pacer_alarm_entry, @function\n"
        "pacer_alarm_entry:\n\t"
        "pushfq\n\t"
        "andl $~0x40400, (%rsp)\n\t"
        "popfq\n\t"
        "jmp pacer_handle_alarm\n"
        ".size pacer_alarm_entry, . - pacer_alarm_entry\n"
        ".popsection");

void pacer_handle_alarm(int signal_number, siginfo_t *info, void *context)
{
    struct pacer *pacer = current_pacer;

    (void)signal_number;
    (void)info;
    if (!pacer) {
        return;
    }
    vcpu_kick(pacer->cpu);
    if (pacer->engine) {
        binxlate_stop(pacer->engine, context);
    }
}

static void set_alarm(struct alarm *alarm, uint64_t at)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / NS_PER_SEC), .tv_nsec = (long)(at % NS_PER_SEC)}};

    alarm->at_ns = at;
    timer_settime(alarm->timer, TIMER_ABSTIME, &when, NULL);
}

static void clear_alarm(struct alarm *alarm)
{
    if (alarm && alarm->at_ns != CLOCK_NEVER) {
        set_alarm(alarm, 0);
        alarm->at_ns = CLOCK_NEVER;
    }
}

void alarm_open(struct alarm *alarm)
{
    struct sigaction action = {.sa_sigaction = pacer_alarm_entry,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    sigset_t signals;

    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    sigemptyset(&action.sa_mask);
    sigemptyset(&signals);
    sigaddset(&signals, SIGALRM);
    *alarm = (struct alarm){.at_ns = CLOCK_NEVER};
    alarm->open = sigaction(SIGALRM, &action, NULL) == 0 &&
                  pthread_sigmask(SIG_UNBLOCK, &signals, NULL) == 0 &&
                  timer_create(CLOCK_MONOTONIC, &event, &alarm->timer) == 0;
}

void alarm_close(struct alarm *alarm)
{
    if (alarm->open) {
        timer_delete(alarm->timer);
    }
    *alarm = (struct alarm){.at_ns = CLOCK_NEVER};
}

void pacer_init(struct pacer *pacer, struct vcpu *cpu, struct binxlate *engine)
{
    *pacer = (struct pacer){.cpu = cpu, .engine = engine, .rate = RATE_START};
}

void pacer_attach(struct pacer *pacer, struct alarm *alarm)
{
    pacer->alarm = alarm && alarm->open ? alarm : NULL;
    current_pacer = pacer;
}

void pacer_detach(struct pacer *pacer)
{
    clear_alarm(pacer->alarm);
    pacer->alarm = NULL;
    current_pacer = NULL;
    if (pacer->engine) {
        binxlate_leave_thread(pacer->engine);
    }
}

void pacer_abandon(struct alarm *alarm)
{
    current_pacer = NULL;
    clear_alarm(alarm);
}

/* ---- Slices ---- */

/* Instructions that take so long at the present rate. */
static uint64_t counted(const struct pacer *pacer, uint64_t left_ns)
{
    return MIN(left_ns, COUNTED_NS) * pacer->rate / 1024 + 1;
}

/* True: the host timer will come in time. */
static bool arrange_alarm(struct pacer *pacer, uint64_t now, uint64_t left_ns)
{
    struct alarm *alarm = pacer->alarm;

    if (!alarm || left_ns < NEAR_NS + alarm->late_ns) {
        return false;
    }
    uint64_t at = now + left_ns - alarm->late_ns;
    if (alarm->at_ns > at) {
        set_alarm(alarm, at);
    }
    return true;
}

uint64_t pacer_begin(struct pacer *pacer, uint64_t now, uint64_t left_ns)
{
    pacer->began_ns = now;
    pacer->began_insns = pacer->cpu->insn_count;
    return arrange_alarm(pacer, now, left_ns) ? BUDGET_LARGE : counted(pacer, left_ns);
}

static void learn_rate(struct pacer *pacer, uint64_t spent_ns)
{
    uint64_t rate = (pacer->cpu->insn_count - pacer->began_insns) * 1024 / spent_ns;
    uint64_t mean = (pacer->rate * 3 + rate) / 4;

    /* Slower at once, faster by and by: a timer that comes too soon costs another slice, one too late cannot be mended. */
    pacer->rate = MAX(RATE_MIN, MIN(MIN(rate, mean), RATE_MAX));
}

void pacer_end(struct pacer *pacer, uint64_t now)
{
    uint64_t spent = now - pacer->began_ns;
    struct alarm *alarm = pacer->alarm;

    if (spent >= SAMPLE_NS) {
        learn_rate(pacer, spent);
    }
    if (alarm && now >= alarm->at_ns) {
        uint64_t late = MIN(now - alarm->at_ns, LATE_MAX_NS);
        alarm->late_ns += late / 8 - alarm->late_ns / 8;
        alarm->at_ns = CLOCK_NEVER;
    }
}

void pacer_due(struct pacer *pacer, uint64_t left_ns)
{
    if (!arrange_alarm(pacer, pacer_host_now(), left_ns)) {
        vcpu_shorten(pacer->cpu, counted(pacer, left_ns));
    }
}

void pacer_idle(struct pacer *pacer, uint64_t wait_ns)
{
    if (wait_ns >= NEAR_NS) {
        clear_alarm(pacer->alarm);
    }
}
