/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bugs of ours, made by a device that only this test has: they stop one VM, and its neighbour, which shares the pCPU with it,
 * computes what it computes alone. Those that cannot be contained end the process with exit code 2.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests.h"
#include "vm/block_disk.h"
#include "vm/containment.h"

#define NEIGHBOUR "-icount 3,sleep=off -limit insns=30000000"
#define ENDLESS   "-icount 3,sleep=off"

enum { HARMLESS_READS = 20000 }; /* the guest's code is translated by then */

/* ---- bugs ---- */

static void bad_address(void *opaque)
{
    (void)opaque;
    __asm__ volatile("movl $1, 0x123" ::: "memory");
}

static void bad_call(void *opaque)
{
    void (*nowhere)(void) = (void (*)(void))(uintptr_t)0x123;

    (void)opaque;
    nowhere();
    __asm__ volatile("" ::: "memory");
}

static void bad_copy(void *opaque)
{
    volatile uintptr_t nowhere = 0x123;

    (void)opaque;
    memset((void *)nowhere, 1, 4096 + nowhere); /* inside the C library */
}

static void bus_error(void *opaque)
{
    int fd = memfd_create("empty", MFD_CLOEXEC);
    volatile uint8_t *beyond = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);

    (void)opaque;
    (void)*beyond;
}

static void bad_insn(void *opaque)
{
    (void)opaque;
    __asm__ volatile("ud2");
}

static void divide_by_zero(void *opaque)
{
    (void)opaque;
    __asm__ volatile("xorl %%ecx, %%ecx\n\tdivl %%ecx" ::: "eax", "ecx", "edx", "cc");
}

static void give_up(void *opaque)
{
    (void)opaque;
    abort();
}

static volatile unsigned recursion_ends;

static unsigned recurse(unsigned depth)
{
    volatile uint8_t frame[512];

    frame[0] = (uint8_t)depth;
    return depth == recursion_ends ? 0 : recurse(depth + 1) + frame[0];
}

static void overflow(void *opaque)
{
    (void)opaque;
    recursion_ends = UINT32_MAX;
    recurse(0);
}

static void spin(void *opaque)
{
    volatile bool forever = true;

    (void)opaque;
    while (forever) {
    }
}

struct bug {
    const char *name;
    void (*make)(void *opaque);
    int signal_number; /* 0: wedged */
};

static const struct bug bugs[] = {
    {"address", bad_address, SIGSEGV},
    {"call", bad_call, SIGSEGV},
    {"copy", bad_copy, SIGSEGV},
    {"bus", bus_error, SIGBUS},
    {"instruction", bad_insn, SIGILL},
    {"division", divide_by_zero, SIGFPE},
    {"abort", give_up, SIGABRT},
    {"stack", overflow, SIGSEGV},
    {"wedge", spin, 0},
};

/* ---- with a neighbour ---- */

struct told {
    unsigned count;
    const struct vm *broken;
};

static void tell(void *opaque, struct vm *vm)
{
    struct told *told = opaque;

    told->count++;
    if (vm->broken) {
        told->broken = vm;
    }
}

static struct hypervisor *new_hypervisor(struct told *told)
{
    struct error error = {{0}};
    struct hypervisor *hv = hypervisor_create(1, &error);

    cr_assert_not_null(hv, "%s", error.text);
    hypervisor_on_stop(hv, tell, told);
    hypervisor_set_patience(hv, 500000000);
    return hv;
}

static void add(struct hypervisor *hv, struct vm *vm)
{
    struct error error = {{0}};

    cr_assert_eq(hypervisor_add(hv, vm, vm->config.name, SCHED_WEIGHT_DEFAULT, 0, &error), 0, "%s",
                 error.text);
}

static void run(struct hypervisor *hv)
{
    struct error error = {{0}};

    cr_assert_eq(hypervisor_run(hv, &error), 0, "%s", error.text);
}

static void expect_report(const struct vm *vm, const struct bug *bug)
{
    char line[256];

    cr_assert_eq(vm_exit_code(vm), 2);
    cr_assert_str_eq(vm->broken->name, "victim");
    cr_assert_eq(vm->broken->wedged, bug->signal_number == 0);
    cr_assert_eq(vm->broken->signal_number, bug->signal_number);
    cr_assert(vm->broken->guest_known);
    cr_assert_eq(vm->broken->guest_cs, 8);
    cr_assert_eq(vm->broken->guest_rip >> 16, 0xf);
    cr_assert_geq(vm->broken->frames, 2u);
    cr_assert(strstr(vm->reason, "internal error: "), "%s", vm->reason);
    containment_describe_frame(vm->broken, 0, line, sizeof(line));
    cr_assert(strstr(line, "#0 "), "%s", line);
}

static void expect_refusal(struct hypervisor *hv)
{
    struct hypervisor_account account[2];
    struct error error = {{0}};

    cr_assert_eq(hypervisor_accounts(hv, account, 2), 2);
    cr_assert_eq(account[0].state, HYPERVISOR_STOPPED);
    cr_assert_null(hypervisor_hold(hv, "victim", &error));
    cr_assert(strstr(error.text, "internal error"), "%s", error.text);
    cr_assert_eq(hypervisor_remove(hv, "victim", &error), 0, "%s", error.text);
    cr_assert_eq(hypervisor_accounts(hv, account, 2), 1);
}

static void contain(const struct bug *bug, const char *engine)
{
    uint64_t alone = guest_run_alone(guest_create("alone", engine, NEIGHBOUR));
    struct vm *victim = guest_create("victim", engine, ENDLESS);
    struct vm *neighbour = guest_create("neighbour", engine, NEIGHBOUR);
    struct told told = {0};
    struct hypervisor *hv = new_hypervisor(&told);
    struct guest_device device;

    guest_add_device(&device, victim, HARMLESS_READS, bug->make, NULL);
    add(hv, victim);
    add(hv, neighbour);
    run(hv);
    cr_assert_eq(told.count, 2);
    cr_assert_eq(told.broken, victim, "the victim did not break");
    expect_report(victim, bug);
    cr_assert_eq(neighbour->outcome, VM_OUTCOME_LIMIT, "%s", neighbour->reason);
    cr_assert_eq(vm_memory_hash(neighbour), alone);
    expect_refusal(hv);
    hypervisor_destroy(hv);
}

/* By number: the processes that run the tests have functions at other addresses than the one that lists them. */
static struct criterion_test_params number_bugs(void)
{
    static unsigned numbers[ARRAY_LEN(bugs)];

    for (unsigned i = 0; i < ARRAY_LEN(bugs); i++) {
        numbers[i] = i;
    }
    return cr_make_param_array(unsigned, numbers, ARRAY_LEN(bugs));
}

ParameterizedTestParameters(containment, a_bug_stops_one_vm_under_the_translator)
{
    return number_bugs();
}

ParameterizedTest(const unsigned *number, containment, a_bug_stops_one_vm_under_the_translator)
{
    contain(&bugs[*number], "dbt");
}

ParameterizedTestParameters(containment, a_bug_stops_one_vm_under_the_interpreter)
{
    return number_bugs();
}

ParameterizedTest(const unsigned *number, containment, a_bug_stops_one_vm_under_the_interpreter)
{
    contain(&bugs[*number], "interp");
}

/* The pCPU's own structures, its host timer and its signal stacks survive any number of them. */
Test(containment, one_after_the_other)
{
    struct vm *neighbour = guest_create("neighbour", "dbt", "-limit insns=200000000");
    struct guest_device device[ARRAY_LEN(bugs)];
    struct told told = {0};
    struct hypervisor *hv = new_hypervisor(&told);

    for (unsigned i = 0; i < ARRAY_LEN(bugs); i++) {
        struct vm *victim = guest_create(bugs[i].name, i % 2 ? "dbt" : "interp", "");

        guest_add_device(&device[i], victim, HARMLESS_READS + 1000 * i, bugs[i].make, NULL);
        add(hv, victim);
    }
    add(hv, neighbour);
    run(hv);
    cr_assert_eq(told.count, ARRAY_LEN(bugs) + 1);
    cr_assert_eq(neighbour->outcome, VM_OUTCOME_LIMIT, "%s", neighbour->reason);
    hypervisor_destroy(hv);
}

static void fire(void *opaque)
{
    bad_address(opaque);
}

/* Not in a guest's access, but in a timer, between instructions. */
Test(containment, a_timer_breaks)
{
    static const struct bug bug = {"timer", NULL, SIGSEGV};
    struct vm *victim = guest_create("victim", "dbt", ENDLESS);
    struct told told = {0};
    struct hypervisor *hv = new_hypervisor(&told);
    struct timer timer;

    timer_init(&timer, &victim->clock, "test", fire, NULL);
    timer_arm(&timer, clock_now(&victim->clock) + 50000000);
    add(hv, victim);
    run(hv);
    cr_assert_eq(told.broken, victim);
    expect_report(victim, &bug);
    hypervisor_destroy(hv);
}

static void hold_and_break(void *opaque)
{
    cr_assert_not_null(hypervisor_hold(opaque, "held", NULL));
    bad_address(NULL);
}

/* ---- on a disk's thread ---- */

static int break_while_reading(struct image *image, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    (void)image;
    (void)offset;
    (void)bytes;
    (void)length;
    bad_address(NULL);
    return 0;
}

/* A format's code is met by images from anywhere, on a thread that is no pCPU's. */
static void break_image(const char *options)
{
    char path[] = "/tmp/hypatia-broken-XXXXXX", line[512];
    uint64_t alone = guest_run_alone(guest_create("alone", "dbt", NEIGHBOUR));
    int fd = mkstemp(path);
    struct vm *victim, *neighbour = guest_create("neighbour", "dbt", NEIGHBOUR);
    struct told told = {0};
    struct hypervisor *hv = new_hypervisor(&told);
    struct image_ops ops;
    struct image *image;

    cr_assert_eq(ftruncate(fd, 1 << 20), 0);
    snprintf(line, sizeof(line), "-m 2 -bios %s -hda %s %s", WORKING_ROM, path, options);
    victim = guest_create("victim", "dbt", line);
    image = drives_find(&victim->drives, "ide0-hd0")->image;
    ops = *image->ops;
    ops.read = break_while_reading;
    image->ops = &ops;
    add(hv, victim);
    add(hv, neighbour);
    run(hv);
    cr_assert_eq(told.broken, victim);
    cr_assert_eq(victim->broken->signal_number, SIGSEGV);
    cr_assert_eq(victim->broken->address, 0x123);
    cr_assert_eq(vm_memory_hash(neighbour), alone);
    hypervisor_destroy(hv);
    unlink(path);
    close(fd);
}

Test(containment, an_images_code_breaks)
{
    break_image("");
}

Test(containment, an_images_code_breaks_while_the_vm_waits_for_it)
{
    break_image(ENDLESS);
}

/* What the monitor of one was doing to another when it broke is as unfinished as the rest. */
Test(containment, a_vm_in_hand_goes_down_with_it)
{
    struct vm *victim = guest_create("victim", "dbt", ENDLESS);
    struct vm *held = guest_create("held", "dbt", ENDLESS);
    struct vm *neighbour = guest_create("neighbour", "dbt", NEIGHBOUR);
    struct told told = {0};
    struct hypervisor *hv = new_hypervisor(&told);
    struct guest_device device;

    guest_add_device(&device, victim, HARMLESS_READS, hold_and_break, hv);
    add(hv, victim);
    add(hv, held);
    add(hv, neighbour);
    run(hv);
    cr_assert_eq(told.count, 3);
    cr_assert_not_null(victim->broken);
    cr_assert_not_null(held->broken);
    cr_assert_str_eq(held->broken->name, "held");
    cr_assert_eq(neighbour->outcome, VM_OUTCOME_LIMIT);
    hypervisor_destroy(hv);
}

/* ---- what cannot be contained ---- */

static void end_with_the_process(void (*make)(void *opaque), void *opaque)
{
    struct vm *victim = guest_create("victim", "dbt", ENDLESS);
    struct told told = {0};
    struct hypervisor *hv = new_hypervisor(&told);
    struct guest_device device;

    guest_add_device(&device, victim, HARMLESS_READS, make, opaque);
    add(hv, victim);
    run(hv);
    cr_assert_fail("it went on");
}

static void break_while_sharing(void *opaque)
{
    containment_share();
    bad_address(opaque);
}

Test(containment, a_lock_of_all_was_held, .exit_code = 2)
{
    end_with_the_process(break_while_sharing, NULL);
}

static void break_the_stream(void *opaque)
{
    volatile uintptr_t nowhere = 0x123;

    (void)opaque;
    fputs((const char *)nowhere, stderr);
}

/* A sanitizer's own functions stand before the C library's. */
#ifdef __SANITIZE_ADDRESS__
#define INTERCEPTED true
#else
#define INTERCEPTED false
#endif

Test(containment, a_stream_of_all_was_in_use, .exit_code = 2, .disabled = INTERCEPTED)
{
    end_with_the_process(break_the_stream, NULL);
}

/* Sharing that is over is over. */
static void break_after_sharing(void *opaque)
{
    containment_share();
    containment_unshare();
    bad_address(opaque);
}

Test(containment, a_lock_of_all_was_given_back)
{
    static const struct bug bug = {"shared", break_after_sharing, SIGSEGV};

    contain(&bug, "dbt");
}

/* A command at the monitor may take its time. */
static void spin_unwatched(void *opaque)
{
    struct timespec now, begin;

    (void)opaque;
    containment_watch(false);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while (now.tv_sec - begin.tv_sec < 2);
    containment_watch(true);
    abort();
}

Test(containment, who_takes_time_with_leave_is_not_wedged)
{
    static const struct bug bug = {"unwatched", spin_unwatched, SIGABRT};

    contain(&bug, "dbt");
}

/* A disk's worker, say, whose VM is being made: it opens a containment of its own. */
static void *open_and_close(void *opaque)
{
    bool *ended = opaque;

    while (!__atomic_load_n(ended, __ATOMIC_ACQUIRE)) {
        struct containment own;
        struct error error = {{0}};

        if (containment_open(&own, 500000000, &error) < 0) {
            abort();
        }
        containment_close(&own);
    }
    return NULL;
}

Test(containment, threads_that_come_do_not_take_the_translators_faults)
{
    struct told told = {0};
    struct hypervisor *hv = new_hypervisor(&told);
    bool ended = false;
    pthread_t thread;

    for (unsigned i = 0; i < 8; i++) { /* new machines fill new tables: each entry begins as a fault */
        char name[16];

        snprintf(name, sizeof(name), "neighbour%u", i);
        add(hv, guest_create(name, "dbt", NEIGHBOUR));
    }
    cr_assert_eq(pthread_create(&thread, NULL, open_and_close, &ended), 0);
    run(hv);
    __atomic_store_n(&ended, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    cr_assert_eq(told.count, 8);
    cr_assert_null(told.broken, "a fault of translated code was taken for a bug of ours");
    hypervisor_destroy(hv);
}
