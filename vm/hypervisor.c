/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pCPUs, and the VMs they run. See vm/hypervisor.h.
 *
 * One lock protects everything in struct hypervisor and the scheduler. A pCPU takes it between slices only.
 *
 * Who sleeps on the descriptors of VMs that have nothing to do: with one VM, or as long as any pCPU is idle, an idle pCPU
 * itself, so that a wake costs no more than the poll. Only while all of them run guests does the watcher, a thread for
 * this, poll in their place; it then queues who woke, and ends the slice of one who must make way. `polling` says that
 * somebody does; there is never more than one, and it polls for all.
 *
 *   a VM comes to be watched while somebody polls     that one is woken, to look at this VM's descriptors, too
 *   a pCPU that polled begins to run a guest          another idle pCPU, or the watcher, takes over
 *
 * Waking the watcher for a guest that sleeps again at once costs more than what the guest does, so a pCPU that was alone to
 * poll does that only when GRACE_NS are over.
 */
#include "vm/hypervisor.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "vm/containment.h"
#include "vm/net_fabric.h"
#include "vm/trace.h"

#define GRACE_NS 300000u
#define NEAR_NS  20000u /* so little is not waited for */

struct pcpu {
    struct hypervisor *hv;
    unsigned index;
    pthread_t thread;
    struct hypervisor_vm *runs;      /* NULL: none */
    uint64_t began_ns;               /* host time at which it began to */
    struct hypervisor_vm *waits_for; /* the VM that what it runs wants to hold; NULL: none */
    bool give_up;                    /* end the slice; atomic */
    struct containment *containment;
};

struct hypervisor_vm {
    struct vm *vm;
    char name[HYPERVISOR_NAME_SIZE];
    uint32_t number;             /* in the order of creation */
    enum hypervisor_state state; /* by change_state() */
    enum vm_state life;          /* as of its last slice or hold */
    struct sched_entity entity;
    struct pcpu *on;     /* HYPERVISOR_ON_PCPU: where */
    bool held;           /* a thread has it, by hypervisor_hold() */
    struct pcpu *holder; /* held: the pCPU whose thread that is; NULL: none's */
    bool broken; /* HYPERVISOR_STOPPED by a bug of ours: neither used nor freed any more (vm/containment.h) */
    struct containment_report report; /* broken: what happened */
    void *owner;                      /* vm->closing_opaque, from before anything could happen to it */
    unsigned wanted;                  /* threads that wait for it there */
    bool told;                        /* HYPERVISOR_STOPPED: who is to know knows */
    uint64_t wake_ns;                 /* HYPERVISOR_WATCHED: host time of its next timer, UINT64_MAX: none */
    uint64_t poll;                    /* the poll that watches it, as numbered in hypervisor.poll */
    size_t first, count;              /* its part of that poll's descriptors */
    uint64_t insns;
    struct hypervisor_vm *next;
};

struct hypervisor {
    pthread_mutex_t lock;
    pthread_cond_t work;    /* pCPUs: a VM is queued, or somebody must poll */
    pthread_cond_t watch;   /* the watcher: all pCPUs are busy */
    pthread_cond_t settled; /* a VM left a pCPU or was released */
    struct sched sched;
    struct hypervisor_vm *vms; /* in the order of creation */
    unsigned count, alive;     /* alive: neither stopped nor gone */
    uint32_t created;          /* VMs there have been */
    struct trace *trace;       /* NULL: none so far */
    bool tracing;
    struct pcpu *pcpu;
    unsigned pcpus, idle; /* idle: pCPUs that run nothing */
    uint64_t patience_ns; /* processor time after which a slice that should have ended is taken for a bug */
    pthread_t watcher;
    bool running, ending;
    bool lost; /* a VM is broken: what it has of the fabric stays */

    bool polling, watcher_polls; /* somebody; the watcher */
    uint64_t poll;               /* number of the poll, from 1 */
    uint64_t polled_ns;          /* host time at which the last one ended */
    struct pollfd *pollfds;
    size_t pollfds_capacity;
    int wake_fd; /* ends a poll */

    struct net_fabric *fabric; /* between the VMs */
    struct loop loop;          /* of the thread that runs hypervisor_run() */
    void (*stopped)(void *opaque, struct vm *vm);
    void *stopped_opaque;
};

/* ---- Creation -------------------------------------------------------------------------------------------- */

/* A thread that faults inside a VM must be able to find out that it had the lock. */
static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t checked;

    pthread_mutexattr_init(&checked);
    pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(lock, &checked);
    pthread_mutexattr_destroy(&checked);
}

struct hypervisor *hypervisor_create(unsigned pcpus, struct error *error)
{
    struct hypervisor *hv = calloc(1, sizeof(*hv));

    if (!hv) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    hv->pcpus = MIN(MAX(pcpus, 1u), (unsigned)HYPERVISOR_PCPUS_MAX);
    hv->pcpu = calloc(hv->pcpus, sizeof(*hv->pcpu));
    hv->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    hv->fabric = net_fabric_create();
    hv->patience_ns = CONTAINMENT_PATIENCE_NS;
    init_lock(&hv->lock);
    pthread_cond_init(&hv->work, NULL);
    pthread_cond_init(&hv->watch, NULL);
    pthread_cond_init(&hv->settled, NULL);
    sched_init(&hv->sched, hv->pcpus, HYPERVISOR_SLICE_NS);
    if (!hv->pcpu || hv->wake_fd < 0 || !hv->fabric || loop_init(&hv->loop, error) < 0) {
        error_set(error, -errno, "cannot create the hypervisor: %s", strerror(errno));
        hypervisor_destroy(hv);
        return NULL;
    }
    return hv;
}

static void free_vm(struct hypervisor_vm *of)
{
    if (!of->broken) {
        vm_destroy(of->vm);
        free(of);
    }
}

void hypervisor_destroy(struct hypervisor *hv)
{
    if (!hv) {
        return;
    }
    while (hv->vms) {
        struct hypervisor_vm *next = hv->vms->next;

        free_vm(hv->vms);
        hv->vms = next;
    }
    if (!hv->lost) {
        net_fabric_destroy(hv->fabric);
    }
    loop_fini(&hv->loop);
    if (hv->wake_fd >= 0) {
        close(hv->wake_fd);
    }
    pthread_cond_destroy(&hv->settled);
    pthread_cond_destroy(&hv->watch);
    pthread_cond_destroy(&hv->work);
    pthread_mutex_destroy(&hv->lock);
    trace_destroy(hv->trace);
    free(hv->pollfds);
    free(hv->pcpu);
    free(hv);
}

/* ---- States (the lock is held) -------------------------------------------------------------------------------- */

#define TO(state) (1u << HYPERVISOR_##state)

bool hypervisor_may_change(enum hypervisor_state from, enum hypervisor_state to)
{
    static const uint8_t next[] = {
        [HYPERVISOR_CREATED] = TO(QUEUED),
        [HYPERVISOR_QUEUED] = TO(ON_PCPU) | TO(HELD),
        [HYPERVISOR_ON_PCPU] = TO(QUEUED) | TO(WATCHED) | TO(HELD) | TO(STOPPED),
        [HYPERVISOR_WATCHED] = TO(QUEUED) | TO(HELD),
        [HYPERVISOR_HELD] = TO(QUEUED) | TO(STOPPED) | TO(GONE),
        [HYPERVISOR_STOPPED] = TO(GONE),
        [HYPERVISOR_GONE] = 0,
    };

    return (next[from] & (1u << to)) != 0;
}

/* The only way from one state to another. What is not drawn is a bug of ours: refused, with a line. */
static bool change_state(struct hypervisor *hv, struct hypervisor_vm *of, enum hypervisor_state to)
{
    if (!hypervisor_may_change(of->state, to)) {
        fprintf(stderr, "hypatia: VM '%s' cannot become %s: it is %s\n", of->name, hypervisor_state_name(to),
                hypervisor_state_name(of->state));
        return false;
    }
    if (of->state != HYPERVISOR_STOPPED && (to == HYPERVISOR_STOPPED || to == HYPERVISOR_GONE)) {
        hv->alive--;
        loop_wake(&hv->loop);
    }
    of->state = to;
    return true;
}

/* ---- Waking and preempting (the lock is held) --------------------------------------------------------------- */

static void end_poll(struct hypervisor *hv)
{
    uint64_t one = 1;

    if (hv->polling) {
        ssize_t n = write(hv->wake_fd, &one, sizeof(one));

        (void)n; /* EAGAIN: it has been told */
    }
}

/* End the slice of a pCPU. */
static void preempt(struct pcpu *pcpu)
{
    __atomic_store_n(&pcpu->give_up, true, __ATOMIC_RELEASE);
    pthread_kill(pcpu->thread, SIGALRM);
}

/* Of the VMs that run, the one to make way for `of`; NULL: none need. */
static struct pcpu *victim_for(struct hypervisor *hv, const struct hypervisor_vm *of, uint64_t now)
{
    struct pcpu *victim = NULL;

    for (unsigned i = 0; i < hv->pcpus; i++) {
        struct pcpu *pcpu = &hv->pcpu[i];
        uint64_t ran = now > pcpu->began_ns ? now - pcpu->began_ns : 0;

        if (pcpu->runs && !pcpu->give_up && sched_preempts(&of->entity, &pcpu->runs->entity, ran) &&
            (!victim || pcpu->runs->entity.vtime > victim->runs->entity.vtime)) {
            victim = pcpu;
        }
    }
    return victim;
}

/* A VM is queued: see that it runs soon. */
static void find_pcpu(struct hypervisor *hv, const struct hypervisor_vm *of, uint64_t now)
{
    if (hv->idle > 0) {
        pthread_cond_signal(&hv->work);
        end_poll(hv); /* the idle pCPU may be the one that polls */
        return;
    }
    struct pcpu *victim = victim_for(hv, of, now);
    if (victim) {
        preempt(victim);
    }
}

static struct hypervisor_vm *vm_of(struct sched_entity *entity)
{
    return (struct hypervisor_vm *)((char *)entity - offsetof(struct hypervisor_vm, entity));
}

/* A pCPU has picked a VM to run. Another one that woke, too, may have counted on it. */
static void place_woken(struct hypervisor *hv)
{
    uint64_t now = pacer_host_now();
    struct sched_entity *entity = sched_peek(&hv->sched, now);

    if (entity && entity->woken) {
        find_pcpu(hv, vm_of(entity), now);
    }
}

static void queue_vm(struct hypervisor *hv, struct hypervisor_vm *of)
{
    uint64_t now = pacer_host_now();

    if (!change_state(hv, of, HYPERVISOR_QUEUED)) {
        return;
    }
    sched_wake(&hv->sched, &of->entity, now);
    if (hv->tracing) {
        trace_wake(hv->trace, of->number, now);
    }
    if (hv->running) {
        find_pcpu(hv, of, now);
    }
}

/* ---- Watching ------------------------------------------------------------------------------------------------- */

static bool anything_watched(const struct hypervisor *hv)
{
    for (const struct hypervisor_vm *of = hv->vms; of; of = of->next) {
        if (of->state == HYPERVISOR_WATCHED) {
            return true;
        }
    }
    return false;
}

static bool reserve_pollfds(struct hypervisor *hv, size_t count)
{
    if (count > hv->pollfds_capacity) {
        struct pollfd *grown = realloc(hv->pollfds, count * sizeof(*grown));

        if (!grown) {
            return false;
        }
        hv->pollfds = grown;
        hv->pollfds_capacity = count;
    }
    return true;
}

/* The descriptors of all VMs that are watched, behind our own; *until: the first of their timers and of the caps. */
static size_t collect_watched(struct hypervisor *hv, uint64_t *until)
{
    size_t count = 1;

    *until = sched_next_release(&hv->sched);
    hv->poll++;
    if (!reserve_pollfds(hv, 1)) {
        return 0;
    }
    hv->pollfds[0] = (struct pollfd){.fd = hv->wake_fd, .events = POLLIN};
    for (struct hypervisor_vm *of = hv->vms; of; of = of->next) {
        if (of->state != HYPERVISOR_WATCHED || !reserve_pollfds(hv, count + of->vm->loop.count)) {
            continue;
        }
        memcpy(hv->pollfds + count, of->vm->loop.pollfds, of->vm->loop.count * sizeof(*hv->pollfds));
        of->poll = hv->poll;
        of->first = count;
        of->count = of->vm->loop.count;
        count += of->count;
        *until = MIN(*until, of->wake_ns);
    }
    return count;
}

static bool has_event(const struct hypervisor *hv, const struct hypervisor_vm *of, uint64_t now)
{
    if (now >= of->wake_ns) {
        return true;
    }
    for (size_t i = 0; i < of->count; i++) {
        if (hv->pollfds[of->first + i].revents) {
            return true;
        }
    }
    return false;
}

/* Sleep until one of the watched VMs has something to do, and queue those that have. The lock is given up meanwhile. */
static void poll_watched(struct hypervisor *hv)
{
    uint64_t until, now = pacer_host_now(), poll_number;
    size_t count = collect_watched(hv, &until);
    uint64_t wait = until > now ? until - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait / NS_PER_SEC), .tv_nsec = (long)(wait % NS_PER_SEC)};
    int ready;

    hv->polling = true;
    poll_number = hv->poll;
    pthread_mutex_unlock(&hv->lock);
    ready = ppoll(hv->pollfds, count, until == UINT64_MAX ? NULL : &timeout, NULL);
    pthread_mutex_lock(&hv->lock);
    hv->polling = false;
    if (ready > 0 && hv->pollfds[0].revents) {
        ssize_t n = read(hv->wake_fd, &(uint64_t){0}, sizeof(uint64_t));

        (void)n; /* EAGAIN: there is nothing left to spend */
    }
    now = hv->polled_ns = pacer_host_now();
    for (struct hypervisor_vm *of = hv->vms; of; of = of->next) {
        if (of->state == HYPERVISOR_WATCHED && of->poll == poll_number && ready >= 0 &&
            has_event(hv, of, now)) {
            vm_look_outside(of->vm);
            queue_vm(hv, of);
        }
    }
}

/* Sleeps of the calling thread end when they are due, not some 50 us later together with others. */
static void be_punctual(void)
{
    prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0);
}

static void *watcher_main(void *opaque)
{
    struct hypervisor *hv = opaque;

    be_punctual();
    pthread_mutex_lock(&hv->lock);
    while (!hv->ending) {
        if (hv->idle == 0 && !hv->polling && anything_watched(hv)) {
            hv->watcher_polls = true;
            poll_watched(hv);
            hv->watcher_polls = false;
            pthread_cond_signal(&hv->work); /* a pCPU that has become idle takes over */
        } else {
            pthread_cond_wait(&hv->watch, &hv->lock);
        }
    }
    pthread_mutex_unlock(&hv->lock);
    return NULL;
}

/* Somebody must poll for those that are watched, and be it another pCPU or the watcher. */
static void see_that_somebody_polls(struct hypervisor *hv)
{
    if (hv->polling || !anything_watched(hv)) {
        return;
    }
    pthread_cond_signal(hv->idle > 0 ? &hv->work : &hv->watch);
}

/* ---- pCPUs ----------------------------------------------------------------------------------------------------- */

static uint64_t thread_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

struct slice {
    struct pcpu *pcpu;
    struct alarm *alarm;
    struct vm *vm;
    uint64_t until, wait_ns;
    uint64_t grace_until; /* nobody polls: when somebody must begin to; 0: somebody does */
    enum vm_next next;
};

/* The slice lasts: the watcher takes over. */
static void end_grace(struct slice *slice)
{
    slice->grace_until = 0;
    pthread_mutex_lock(&slice->pcpu->hv->lock);
    see_that_somebody_polls(slice->pcpu->hv);
    pthread_mutex_unlock(&slice->pcpu->hv->lock);
}

/* One slice, without the lock. */
static void run_vm(void *opaque)
{
    struct slice *slice = opaque;
    struct vm *vm = slice->vm;
    bool over = false;

    slice->next = VM_NEXT_RUN;
    pacer_attach(&vm->pacer, slice->alarm); /* a signal before this was for nothing, so give_up comes first */
    while (slice->next == VM_NEXT_RUN && !over && !__atomic_load_n(&slice->pcpu->give_up, __ATOMIC_ACQUIRE)) {
        uint64_t until;

        if (slice->grace_until && pacer_host_now() + NEAR_NS >= slice->grace_until) {
            end_grace(slice);
        }
        until = slice->grace_until ? MIN(slice->grace_until, slice->until) : slice->until;
        slice->next = vm_step(vm, until, &slice->wait_ns);
        over = pacer_host_now() >= slice->until;
    }
    if (slice->next == VM_NEXT_WAIT) {
        slice->wait_ns = loop_prepare(&vm->loop, slice->wait_ns);
    }
    pacer_detach(&vm->pacer);
}

/* What becomes of a VM that left its pCPU. */
static void settle(struct hypervisor *hv, struct hypervisor_vm *of, enum vm_next next, uint64_t wait_ns)
{
    uint64_t now = pacer_host_now();

    of->life = of->vm->state;
    of->insns = of->vm->cpu->insn_count;
    if (next == VM_NEXT_STOPPED) {
        change_state(hv, of, HYPERVISOR_STOPPED);
    } else if (of->wanted > 0) {
        change_state(hv, of, HYPERVISOR_HELD);
    } else if (next == VM_NEXT_RUN) {
        change_state(hv, of, HYPERVISOR_QUEUED);
    } else {
        change_state(hv, of, HYPERVISOR_WATCHED);
        of->wake_ns = wait_ns < UINT64_MAX - now ? now + wait_ns : UINT64_MAX;
        end_poll(hv);
    }
    pthread_cond_broadcast(&hv->settled);
}

/* ---- Bugs of ours (vm/containment.h) ---- */

struct guest_place {
    const struct vm *vm;
    struct containment_report *report;
};

/* Contained in its turn: there is no telling what the VM's pointers are worth. */
static void find_guest(void *opaque)
{
    struct guest_place *place = opaque;
    const struct vcpu *cpu = place->vm->cpu;

    place->report->guest_cs = cpu->seg[SEG_CS].selector;
    place->report->guest_rip = cpu->rip;
    place->report->guest_known = true;
}

/* The slice ended in a bug, which must be this VM's own affair; else everything ends here. */
static void judge_break(struct hypervisor *hv, struct pcpu *pcpu, struct alarm *alarm,
                        struct hypervisor_vm *of)
{
    const char *spreads;

    of->report = pcpu->containment->report;
    of->report.name = of->name;
    of->report.owner = of->owner;
    pacer_abandon(alarm);
    spreads = containment_spreads(&of->report);
    if (spreads) {
        containment_give_up(&of->report, spreads);
    }
    containment_run(pcpu->containment, find_guest, &(struct guest_place){of->vm, &of->report});
    if (pthread_mutex_lock(&hv->lock) == EDEADLK) {
        containment_give_up(&of->report, "it held the hypervisor's lock");
    }
}

/* It says why it has ended, and nothing else of it is touched from now on. */
static void bury(struct hypervisor *hv, struct hypervisor_vm *of)
{
    struct vm *vm = of->vm;

    of->broken = true;
    of->held = false;
    of->holder = NULL;
    hv->lost = true;
    of->life = VM_STOPPED;
    if (of->state != HYPERVISOR_STOPPED) {
        change_state(hv, of, HYPERVISOR_STOPPED);
    }
    vm->broken = &of->report;
    vm->state = VM_STOPPED;
    vm->outcome = VM_OUTCOME_INTERNAL;
    containment_describe(&of->report, vm->reason, sizeof(vm->reason));
}

/* With the VM go those that its monitor had in hand: the fault may have been in the middle of them. */
static void bury_all(struct hypervisor *hv, struct pcpu *pcpu, struct hypervisor_vm *of)
{
    bury(hv, of);
    for (struct hypervisor_vm *other = hv->vms; other; other = other->next) {
        if (other->holder == pcpu) {
            other->report = of->report;
            other->report.name = other->name;
            other->report.owner = other->owner;
            bury(hv, other);
        }
    }
    pcpu->waits_for = NULL;
    loop_wake(&hv->loop);
    pthread_cond_broadcast(&hv->settled);
}

static enum trace_why why_ended(const struct pcpu *pcpu, const struct hypervisor_vm *of, enum vm_next next)
{
    return next == VM_NEXT_STOPPED ? TRACE_STOPPED
           : next == VM_NEXT_WAIT  ? of->vm->state == VM_PAUSED ? TRACE_PAUSED : TRACE_SLEPT
           : of->wanted > 0        ? TRACE_HELD
           : pcpu->give_up         ? TRACE_PREEMPTED
           : of->entity.throttled  ? TRACE_THROTTLED
                                   : TRACE_OVER;
}

static void record_slice(const struct pcpu *pcpu, const struct hypervisor_vm *of, enum vm_next next,
                         uint64_t used_ns)
{
    const struct trace_event event = {.begin_ns = pcpu->began_ns,
                                      .end_ns = pacer_host_now(),
                                      .used_ns = used_ns,
                                      .vm = of->number,
                                      .pcpu = (uint16_t)pcpu->index,
                                      .why = (uint8_t)why_ended(pcpu, of, next)};

    trace_slice(pcpu->hv->trace, &event);
}

static void run_slice(struct pcpu *pcpu, struct alarm *alarm, struct hypervisor_vm *of, uint64_t slice_ns)
{
    struct hypervisor *hv = pcpu->hv;
    struct slice slice = {.pcpu = pcpu, .alarm = alarm, .vm = of->vm};
    uint64_t began = thread_time(), used;
    bool whole;

    pcpu->runs = of;
    pcpu->began_ns = pacer_host_now();
    pcpu->give_up = false;
    change_state(hv, of, HYPERVISOR_ON_PCPU);
    of->on = pcpu;
    place_woken(hv);
    if (hv->idle > 0) {
        see_that_somebody_polls(hv);
    } else if (!hv->polling && anything_watched(hv)) {
        slice.grace_until = hv->polled_ns + GRACE_NS;
    }
    pthread_mutex_unlock(&hv->lock);
    slice.until = pcpu->began_ns + slice_ns;
    whole = containment_run(pcpu->containment, run_vm, &slice);
    used = thread_time() - began;
    if (whole) {
        pthread_mutex_lock(&hv->lock);
    } else {
        judge_break(hv, pcpu, alarm, of);
    }
    pcpu->runs = NULL;
    of->on = NULL;
    sched_put(&hv->sched, &of->entity, used, whole && slice.next == VM_NEXT_RUN && of->wanted == 0,
              pacer_host_now());
    if (hv->tracing) {
        record_slice(pcpu, of, whole ? slice.next : VM_NEXT_STOPPED, used);
    }
    if (whole) {
        settle(hv, of, slice.next, slice.wait_ns);
    } else {
        bury_all(hv, pcpu, of);
    }
}

static void *pcpu_main(void *opaque)
{
    struct pcpu *pcpu = opaque;
    struct hypervisor *hv = pcpu->hv;
    struct alarm alarm;
    struct containment containment;
    struct error error;

    be_punctual();
    alarm_open(&alarm);
    if (containment_open(&containment, hv->patience_ns, &error) < 0) {
        fprintf(stderr, "hypatia: %s\n", error.text); /* it runs VMs all the same */
    }
    pcpu->containment = &containment;
    pthread_mutex_lock(&hv->lock);
    while (!hv->ending) {
        uint64_t slice_ns;
        struct sched_entity *entity = sched_pick(&hv->sched, pacer_host_now(), &slice_ns);

        if (entity) {
            run_slice(pcpu, &alarm, vm_of(entity), slice_ns);
            continue;
        }
        hv->idle++;
        if (hv->polling) {
            if (hv->watcher_polls || sched_next_release(&hv->sched) != UINT64_MAX) {
                end_poll(hv); /* it does not know of us, or of a cap that holds a VM back since */
            }
            pthread_cond_wait(&hv->work, &hv->lock);
        } else {
            poll_watched(hv);
        }
        hv->idle--;
    }
    pthread_mutex_unlock(&hv->lock);
    containment_close(&containment);
    alarm_close(&alarm);
    return NULL;
}

/* ---- The list ------------------------------------------------------------------------------------------------- */

/* NULL, with the text where one is wanted: there is none. */
static struct hypervisor_vm *find_vm(struct hypervisor *hv, const char *name, struct error *error)
{
    struct hypervisor_vm *of = hv->vms;

    while (of && (of->state == HYPERVISOR_GONE || strcmp(of->name, name) != 0)) {
        of = of->next;
    }
    if (!of) {
        error_set(error, -ENOENT, "there is no VM '%s'", name);
    }
    return of;
}

static int check_new(struct hypervisor *hv, const char *name, struct error *error)
{
    if (find_vm(hv, name, NULL)) {
        return error_set(error, -EEXIST, "there is a VM '%s' already", name);
    }
    if (hv->count == HYPERVISOR_VMS_MAX) {
        return error_set(error, -ENOSPC, "%s: there are %d VMs already", name, HYPERVISOR_VMS_MAX);
    }
    return 0;
}

/* Put a new one on the list, and in the queue. */
static void link_vm(struct hypervisor *hv, struct hypervisor_vm *of, uint32_t weight, uint32_t cap)
{
    struct hypervisor_vm **last = &hv->vms;
    uint64_t now = pacer_host_now();

    sched_add(&hv->sched, &of->entity, now);
    sched_set_weight(&hv->sched, &of->entity, weight);
    sched_set_cap(&hv->sched, &of->entity, cap, now);
    while (*last) {
        last = &(*last)->next;
    }
    *last = of;
    hv->count++;
    hv->alive++;
    of->number = ++hv->created;
    of->life = of->vm->state;
    if (hv->trace) {
        trace_name(hv->trace, of->number, of->name);
    }
    queue_vm(hv, of);
}

int hypervisor_add(struct hypervisor *hv, struct vm *vm, const char *name, uint32_t weight, uint32_t cap,
                   struct error *error)
{
    struct hypervisor_vm *of;
    int result;

    if (strlen(name) >= HYPERVISOR_NAME_SIZE) {
        return error_set(error, -EINVAL, "%s: the name is too long", name);
    }
    of = calloc(1, sizeof(*of));
    if (!of) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    memcpy(of->name, name, strlen(name) + 1);
    of->vm = vm;
    of->owner = vm->closing_opaque;
    pthread_mutex_lock(&hv->lock);
    result = check_new(hv, name, error);
    if (result == 0) {
        link_vm(hv, of, weight, cap);
    }
    pthread_mutex_unlock(&hv->lock);
    if (result < 0) {
        free(of);
    }
    return result;
}

static void unlink_vm(struct hypervisor *hv, struct hypervisor_vm *of)
{
    struct hypervisor_vm **link = &hv->vms;

    while (*link != of) {
        link = &(*link)->next;
    }
    *link = of->next;
    hv->count--;
    sched_remove(&hv->sched, &of->entity);
}

/* ---- Holding --------------------------------------------------------------------------------------------------- */

/* The pCPU that the calling thread is; NULL: none. */
static struct pcpu *this_pcpu(struct hypervisor *hv)
{
    for (unsigned i = 0; hv->running && i < hv->pcpus; i++) {
        if (pthread_equal(hv->pcpu[i].thread, pthread_self())) {
            return &hv->pcpu[i];
        }
    }
    return NULL;
}

static const struct pcpu *who_has(const struct hypervisor_vm *of)
{
    return of->on ? of->on : of->holder;
}

/* Would this pCPU wait for itself? Who has the VM may wait for another one, and so on. */
static bool waits_in_a_circle(const struct hypervisor_vm *of, const struct pcpu *self)
{
    const struct pcpu *has = who_has(of);

    for (unsigned i = 0; has && has != self && i < HYPERVISOR_PCPUS_MAX; i++) {
        has = has->waits_for ? who_has(has->waits_for) : NULL;
    }
    return has != NULL;
}

/* Wait until nobody has the VM. False: it was removed, or waiting would be for ever. */
static bool wait_for(struct hypervisor *hv, struct hypervisor_vm *of, struct pcpu *self)
{
    while (of->state != HYPERVISOR_GONE && (of->on || of->held)) {
        if (self && waits_in_a_circle(of, self)) {
            return false;
        }
        if (of->on) {
            preempt(of->on);
        }
        pthread_cond_wait(&hv->settled, &hv->lock);
    }
    return of->state != HYPERVISOR_GONE;
}

static int hold(struct hypervisor *hv, struct hypervisor_vm *of, struct error *error)
{
    struct pcpu *self = this_pcpu(hv);
    bool taken;

    if (self && of->on == self) {
        return 0;
    }
    of->wanted++;
    if (self) {
        self->waits_for = of;
    }
    taken = wait_for(hv, of, self);
    if (self) {
        self->waits_for = NULL;
    }
    of->wanted--;
    pthread_cond_broadcast(&hv->settled);
    if (of->broken) {
        return error_set(error, -EIO, "VM '%s' has met an internal error: nothing of it can be used",
                         of->name);
    }
    if (!taken) {
        if (of->state == HYPERVISOR_HELD && !of->held && of->wanted == 0) {
            queue_vm(hv, of);
        }
        return error_set(error, -EBUSY, "VM '%s' cannot be stopped now", of->name);
    }
    of->held = true;
    of->holder = self;
    if (of->state != HYPERVISOR_STOPPED && of->state != HYPERVISOR_HELD) {
        sched_block(&hv->sched, &of->entity);
        change_state(hv, of, HYPERVISOR_HELD);
    }
    return 0;
}

struct vm *hypervisor_hold(struct hypervisor *hv, const char *name, struct error *error)
{
    struct hypervisor_vm *of;
    struct vm *vm = NULL;

    pthread_mutex_lock(&hv->lock);
    of = find_vm(hv, name, error);
    if (of && hold(hv, of, error) == 0) {
        vm = of->vm;
    }
    pthread_mutex_unlock(&hv->lock);
    return vm;
}

void hypervisor_release(struct hypervisor *hv, struct vm *vm)
{
    struct hypervisor_vm *of;

    pthread_mutex_lock(&hv->lock);
    for (of = hv->vms; of && of->vm != vm; of = of->next) {
    }
    if (of && of->held) {
        of->held = false;
        of->holder = NULL;
        of->life = of->vm->state;
        if (of->state == HYPERVISOR_HELD && of->wanted == 0) {
            vm_look_outside(of->vm);
            queue_vm(hv, of);
        }
        pthread_cond_broadcast(&hv->settled);
    }
    pthread_mutex_unlock(&hv->lock);
}

int hypervisor_remove(struct hypervisor *hv, const char *name, struct error *error)
{
    struct hypervisor_vm *of;
    int result;

    pthread_mutex_lock(&hv->lock);
    of = find_vm(hv, name, error);
    result = of ? hold(hv, of, error) : -ENOENT;
    if (of && of->broken) {
        result = 0;
    } else if (result == 0 && !of->held) {
        result = error_set(error, -EBUSY, "VM '%s' cannot remove itself", name);
    }
    if (result == 0) {
        change_state(hv, of, HYPERVISOR_GONE);
        pthread_cond_broadcast(&hv->settled);
        while (of->wanted > 0) {
            pthread_cond_wait(&hv->settled, &hv->lock);
        }
        unlink_vm(hv, of);
    }
    pthread_mutex_unlock(&hv->lock);
    if (result == 0) {
        free_vm(of);
    }
    return result;
}

/* ---- Settings and accounts ------------------------------------------------------------------------------------- */

int hypervisor_set_weight(struct hypervisor *hv, const char *name, uint32_t weight, struct error *error)
{
    struct hypervisor_vm *of;

    pthread_mutex_lock(&hv->lock);
    of = find_vm(hv, name, error);
    if (of) {
        sched_set_weight(&hv->sched, &of->entity, weight);
    }
    pthread_mutex_unlock(&hv->lock);
    return of ? 0 : -ENOENT;
}

int hypervisor_set_cap(struct hypervisor *hv, const char *name, uint32_t cap, struct error *error)
{
    struct hypervisor_vm *of;

    pthread_mutex_lock(&hv->lock);
    of = find_vm(hv, name, error);
    if (of) {
        sched_set_cap(&hv->sched, &of->entity, cap, pacer_host_now());
        end_poll(hv);
    }
    pthread_mutex_unlock(&hv->lock);
    return of ? 0 : -ENOENT;
}

void hypervisor_set_slice(struct hypervisor *hv, uint64_t slice_ns)
{
    pthread_mutex_lock(&hv->lock);
    hv->sched.slice_ns = MAX(slice_ns, (uint64_t)HYPERVISOR_SLICE_MIN_NS);
    pthread_mutex_unlock(&hv->lock);
}

uint64_t hypervisor_slice(struct hypervisor *hv)
{
    uint64_t slice_ns;

    pthread_mutex_lock(&hv->lock);
    slice_ns = hv->sched.slice_ns;
    pthread_mutex_unlock(&hv->lock);
    return slice_ns;
}

unsigned hypervisor_pcpus(const struct hypervisor *hv)
{
    return hv->pcpus;
}

unsigned hypervisor_accounts(struct hypervisor *hv, struct hypervisor_account *account, unsigned max)
{
    unsigned count = 0;

    pthread_mutex_lock(&hv->lock);
    for (const struct hypervisor_vm *of = hv->vms; of; of = of->next) {
        if (of->state == HYPERVISOR_GONE) {
            continue;
        }
        if (count < max) {
            account[count] = (struct hypervisor_account){
                .state = of->state, .life = of->life, .entity = of->entity, .insns = of->insns};
            memcpy(account[count].name, of->name, sizeof(of->name));
        }
        count++;
    }
    pthread_mutex_unlock(&hv->lock);
    return count;
}

bool hypervisor_has(struct hypervisor *hv, const char *name)
{
    bool found;

    pthread_mutex_lock(&hv->lock);
    found = find_vm(hv, name, NULL) != NULL;
    pthread_mutex_unlock(&hv->lock);
    return found;
}

const char *hypervisor_state_name(enum hypervisor_state state)
{
    static const char *const names[] = {
        [HYPERVISOR_CREATED] = "created", [HYPERVISOR_QUEUED] = "queued", [HYPERVISOR_ON_PCPU] = "on a pCPU",
        [HYPERVISOR_WATCHED] = "asleep",  [HYPERVISOR_HELD] = "held",     [HYPERVISOR_STOPPED] = "stopped",
        [HYPERVISOR_GONE] = "gone",
    };

    return names[state];
}

static int start_trace(struct hypervisor *hv, struct error *error)
{
    struct trace *trace = trace_create();

    if (!trace) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    for (const struct hypervisor_vm *of = hv->vms; of; of = of->next) {
        trace_name(trace, of->number, of->name);
    }
    trace_destroy(hv->trace);
    hv->trace = trace;
    return 0;
}

int hypervisor_trace(struct hypervisor *hv, bool on, struct error *error)
{
    int result;

    pthread_mutex_lock(&hv->lock);
    result = on ? start_trace(hv, error) : 0;
    hv->tracing = on && result == 0;
    pthread_mutex_unlock(&hv->lock);
    return result;
}

struct trace *hypervisor_trace_copy(struct hypervisor *hv, struct error *error)
{
    struct trace *copy = NULL;

    pthread_mutex_lock(&hv->lock);
    if (!hv->trace) {
        error_set(error, -ENOENT, "there is no trace (sched trace on begins one)");
    } else {
        copy = trace_copy(hv->trace);
        if (!copy) {
            error_set(error, -ENOMEM, "out of memory");
        }
    }
    pthread_mutex_unlock(&hv->lock);
    return copy;
}

/* ---- Running --------------------------------------------------------------------------------------------------- */

struct loop *hypervisor_loop(struct hypervisor *hv)
{
    return &hv->loop;
}

struct net_fabric *hypervisor_fabric(struct hypervisor *hv)
{
    return hv->fabric;
}

/* Threads of ours take no signals but faults and those that alarm_open() and containment_open() let through. */
static int start_thread(pthread_t *thread, void *(*main)(void *), void *opaque)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t most, before;
    int result;

    sigfillset(&most);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        sigdelset(&most, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &most, &before);
    result = pthread_create(thread, NULL, main, opaque);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -result;
}

/* The pCPUs and the watcher, which wait for the lock that the caller has. Returns how many threads of pcpu[] there are. */
static unsigned start_pcpus(struct hypervisor *hv, int *result)
{
    unsigned started = 0;

    while (*result == 0 && started < hv->pcpus) {
        struct pcpu *pcpu = &hv->pcpu[started];

        *pcpu = (struct pcpu){.hv = hv, .index = started};
        *result = start_thread(&pcpu->thread, pcpu_main, pcpu);
        started += *result == 0;
    }
    return started;
}

void hypervisor_set_patience(struct hypervisor *hv, uint64_t patience_ns)
{
    hv->patience_ns = patience_ns;
}

void hypervisor_on_stop(struct hypervisor *hv, void (*stopped)(void *opaque, struct vm *vm), void *opaque)
{
    hv->stopped = stopped;
    hv->stopped_opaque = opaque;
}

/* A VM that has stopped and that nobody was told of; NULL: none. */
static struct hypervisor_vm *find_untold(struct hypervisor *hv)
{
    struct hypervisor_vm *of = hv->vms;

    while (of && (of->state != HYPERVISOR_STOPPED || of->told)) {
        of = of->next;
    }
    return of;
}

/* Nobody else has it, or will have it meanwhile: others wait until it is released. */
static void tell_of_stopped(struct hypervisor *hv)
{
    for (struct hypervisor_vm *of = find_untold(hv); of; of = find_untold(hv)) {
        of->told = true;
        if (hv->stopped && (of->broken || hold(hv, of, NULL) == 0)) {
            pthread_mutex_unlock(&hv->lock);
            hv->stopped(hv->stopped_opaque, of->vm);
            hypervisor_release(hv, of->vm);
            pthread_mutex_lock(&hv->lock);
        }
    }
}

int hypervisor_run(struct hypervisor *hv, struct error *error)
{
    unsigned started = 0;
    bool watched;
    int result;

    pthread_mutex_lock(&hv->lock);
    result = start_thread(&hv->watcher, watcher_main, hv);
    watched = result == 0;
    if (watched) {
        started = start_pcpus(hv, &result);
    }
    hv->running = result == 0;
    while (hv->running && hv->alive > 0) {
        pthread_mutex_unlock(&hv->lock);
        loop_poll(&hv->loop, UINT64_MAX);
        pthread_mutex_lock(&hv->lock);
        tell_of_stopped(hv);
    }
    hv->ending = true;
    end_poll(hv);
    pthread_cond_broadcast(&hv->work);
    pthread_cond_broadcast(&hv->watch);
    pthread_mutex_unlock(&hv->lock);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(hv->pcpu[i].thread, NULL);
    }
    if (watched) {
        pthread_join(hv->watcher, NULL);
    }
    hv->running = hv->ending = false;
    return result < 0 ? error_set(error, result, "cannot start a thread: %s", strerror(-result)) : 0;
}

void hypervisor_quit(struct hypervisor *hv)
{
    unsigned count = hypervisor_accounts(hv, NULL, 0);
    struct hypervisor_account *account = calloc(MAX(count, 1u), sizeof(*account));

    count = account ? MIN(count, hypervisor_accounts(hv, account, count)) : 0;
    for (unsigned i = 0; i < count; i++) {
        struct vm *vm = hypervisor_hold(hv, account[i].name, NULL);

        if (vm) {
            vm_request_quit(vm);
            hypervisor_release(hv, vm);
        }
    }
    free(account);
}
