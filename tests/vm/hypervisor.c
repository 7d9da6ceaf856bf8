/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Several VMs on shared threads: that all of them end, that whoever holds one has it to himself, that they come and go
 * while others run, that nobody waits for ever, and that the books are right.
 *
 * hypervisor_run() is the test's own thread; what a user does meanwhile is a thread beside it. Guests are ROMs of a few
 * bytes and the teaching kernel, which tests itself and switches off.
 */
#include "vm/hypervisor.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "vm/trace.h"

#define MS 1000000ull

enum { ROM_SIZE = 65536, RESET = 0xfff0, WORDS_MAX = 32, VMS_MAX = 64, TEXT_SIZE = 512 };

static char folder[64];

/* What a VM borrows, until the test is over. */
static struct given {
    struct vm_config config;
    char line[TEXT_SIZE];
    struct given *next;
} * given;
static pthread_mutex_t given_lock = PTHREAD_MUTEX_INITIALIZER;

static void enter(void)
{
    strcpy(folder, "/tmp/hypatia-hypervisor-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void leave(void)
{
    char text[100];

    while (given) {
        struct given *next = given->next;

        free(given);
        given = next;
    }
    snprintf(text, sizeof(text), "rm -rf '%s'", folder);
    cr_assert_eq(system(text), 0);
}

TestSuite(hypervisor, .init = enter, .fini = leave);

/* ---- guests ---- */

/* Computes for ever: jmp $ */
static const uint8_t spin[] = {0xeb, 0xfe};
/* Sleeps for ever: cli; hlt; jmp back */
static const uint8_t halt[] = {0xfa, 0xf4, 0xeb, 0xfd};
/* Triple fault: lidt of six zero bytes; int3 */
static const uint8_t fault[] = {0x2e, 0x0f, 0x01, 0x1e, 0x00, 0x00, 0xcc};
/* Sleeps, and is woken by the timer every 4 ms: jmp to code below */
static const uint8_t nap[] = {0xe9, 0x0d, 0x00};
static const uint8_t nap_code[] = {
    0x31, 0xc0,                               /* xor ax, ax */
    0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x70, /* mov ds, ax; mov ss, ax; mov sp, 7000h */
    0xc7, 0x06, 0x20, 0x00, 0x3b, 0x00,       /* mov word [20h], 3bh */
    0xc7, 0x06, 0x22, 0x00, 0x00, 0xf0,       /* mov word [22h], f000h */
    0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x04, 0xe6,       /* i8259: ICW1..ICW4, mask */
    0x21, 0xb0, 0x01, 0xe6, 0x21, 0xb0, 0xfe, 0xe6, 0x21,                   /* all but IRQ 0 */
    0xb0, 0x34, 0xe6, 0x43, 0xb0, 0xa5, 0xe6, 0x40, 0xb0, 0x12, 0xe6, 0x40, /* i8254: mode 2, 12a5h */
    0xfb, 0xf4, 0xeb, 0xfc,                                                 /* sti; hlt; jmp back */
    0x00, 0x00,                                                             /* 3bh: */
    0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf,                               /* push ax; EOI; pop ax; iret */
};

static void write_rom(const char *path, const uint8_t *reset, size_t size, const uint8_t *code,
                      size_t code_size)
{
    static uint8_t rom[ROM_SIZE];
    FILE *file = fopen(path, "w");

    memset(rom, 0, sizeof(rom));
    memcpy(rom + RESET, reset, size);
    if (code) {
        memcpy(rom, code, code_size);
    }
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(rom, 1, sizeof(rom), file), sizeof(rom));
    cr_assert_eq(fclose(file), 0);
}

/* A VM with these options. */
static struct vm *make_vm(const char *options)
{
    struct given *mine = calloc(1, sizeof(*mine));
    char *word[WORDS_MAX], *save = NULL;
    struct error error = {{0}};
    enum config_action action;
    struct vm *vm;
    int count = 0;

    pthread_mutex_lock(&given_lock);
    mine->next = given;
    given = mine;
    pthread_mutex_unlock(&given_lock);
    snprintf(mine->line, TEXT_SIZE, "hypatia -m 16 -vga none -display none -serial null %s", options);
    for (char *at = strtok_r(mine->line, " ", &save); at && count < WORDS_MAX;
         at = strtok_r(NULL, " ", &save)) {
        word[count++] = at;
    }
    config_init(&mine->config);
    cr_assert_eq(config_parse(&mine->config, count, word, &action, &error), 0, "%s", error.text);
    vm = vm_create(&mine->config, &error);
    cr_assert_not_null(vm, "%s", error.text);
    return vm;
}

static struct vm *add(struct hypervisor *hv, const char *name, const char *options)
{
    struct vm *vm = make_vm(options);
    struct error error = {{0}};

    cr_assert_eq(hypervisor_add(hv, vm, name, SCHED_WEIGHT_DEFAULT, 0, &error), 0, "%s", error.text);
    return vm;
}

static struct vm *add_rom(struct hypervisor *hv, const char *name, const uint8_t *reset, size_t size)
{
    char options[100];

    snprintf(options, sizeof(options), "-bios %s.rom", name);
    if (reset == nap) {
        write_rom(options + 6, reset, size, nap_code, sizeof(nap_code));
    } else {
        write_rom(options + 6, reset, size, NULL, 0);
    }
    return add(hv, name, options);
}

#define ADD_ROM(hv, name, rom) add_rom(hv, name, rom, sizeof(rom))

#define SELFTEST "-bios builtin -kernel builtin -append selftest"

/* ---- runs ---- */

static struct hypervisor *hv;

/* Whom the hypervisor told of what. */
static struct told {
    const struct vm *vm;
    enum vm_outcome outcome;
    unsigned times;
} told[VMS_MAX];
static unsigned told_count;
static pthread_t run_thread;

static void on_stop(void *opaque, struct vm *vm)
{
    unsigned i = 0;

    cr_assert_eq(opaque, &told);
    cr_assert(pthread_equal(pthread_self(), run_thread));
    while (i < told_count && told[i].vm != vm) {
        i++;
    }
    cr_assert_lt(i, VMS_MAX);
    told_count = MAX(told_count, i + 1);
    told[i] = (struct told){.vm = vm, .outcome = vm->outcome, .times = told[i].times + 1};
}

static void create(unsigned pcpus)
{
    struct error error = {{0}};

    hv = hypervisor_create(pcpus, &error);
    cr_assert_not_null(hv, "%s", error.text);
    hypervisor_on_stop(hv, on_stop, &told);
}

/* Run with somebody beside it, who ends it. */
static void run_with(void *(*user)(void *opaque), void *opaque)
{
    struct error error = {{0}};
    pthread_t thread;

    run_thread = pthread_self();
    if (user) {
        cr_assert_eq(pthread_create(&thread, NULL, user, opaque), 0);
    }
    cr_assert_eq(hypervisor_run(hv, &error), 0, "%s", error.text);
    if (user) {
        pthread_join(thread, NULL);
    }
    for (unsigned i = 0; i < told_count; i++) {
        cr_assert_eq(told[i].times, 1);
    }
}

static struct hypervisor_account account_of(const char *name)
{
    struct hypervisor_account account[VMS_MAX];
    unsigned count = hypervisor_accounts(hv, account, VMS_MAX);

    for (unsigned i = 0; i < count; i++) {
        if (!strcmp(account[i].name, name)) {
            return account[i];
        }
    }
    cr_assert_fail("there is no %s", name);
    return account[0];
}

/* Wait until the VM has got so much processor time beyond what it has now. */
static void await_progress(const char *name, uint64_t ns)
{
    uint64_t target = account_of(name).entity.charged_ns + ns;

    for (unsigned i = 0; account_of(name).entity.charged_ns < target; i++) {
        cr_assert_lt(i, 60000, "%s makes no progress", name);
        usleep(1000);
    }
}

static void await_state(const char *name, enum hypervisor_state state, enum vm_state life)
{
    for (unsigned i = 0; account_of(name).state != state || account_of(name).life != life; i++) {
        cr_assert_lt(i, 60000, "%s is %s, %s", name, hypervisor_state_name(account_of(name).state),
                     vm_state_name(account_of(name).life));
        usleep(1000);
    }
}

static uint64_t process_time(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * NS_PER_SEC +
           ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
}

/* ---- they end ---- */

static void all_finish(unsigned pcpus, unsigned count)
{
    char name[16];

    create(pcpus);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "vm%u", i);
        add(hv, name, i % 2 ? SELFTEST : SELFTEST " -accel interp");
    }
    run_with(NULL, NULL);
    cr_assert_eq(told_count, count);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(told[i].outcome, VM_OUTCOME_SHUTDOWN);
    }
    hypervisor_destroy(hv);
}

Test(hypervisor, all_vms_finish_on_one_pcpu)
{
    all_finish(1, 4);
}

Test(hypervisor, all_vms_finish_on_two_pcpus)
{
    all_finish(2, 5);
}

Test(hypervisor, there_may_be_more_pcpus_than_vms)
{
    all_finish(4, 2);
}

Test(hypervisor, no_vm_at_all_ends_at_once)
{
    create(2);
    run_with(NULL, NULL);
    hypervisor_destroy(hv);
}

static void *quit_soon(void *opaque)
{
    usleep(50000);
    hypervisor_quit(hv);
    return opaque;
}

Test(hypervisor, quit_ends_those_that_compute_sleep_and_are_paused)
{
    create(2);
    ADD_ROM(hv, "spin", spin);
    ADD_ROM(hv, "halt", halt);
    ADD_ROM(hv, "nap", nap);
    add(hv, "paused", "-bios spin.rom -S");
    run_with(quit_soon, NULL);
    cr_assert_eq(told_count, 4);
    for (unsigned i = 0; i < told_count; i++) {
        cr_assert_eq(told[i].outcome, VM_OUTCOME_QUIT);
    }
    hypervisor_destroy(hv);
}

static void *quit_after_fault(void *opaque)
{
    struct error error;
    struct vm *vm;

    await_state("fault", HYPERVISOR_STOPPED, VM_STOPPED);
    await_progress("spin", 30 * MS);
    vm = hypervisor_hold(hv, "fault", &error);
    cr_assert_eq(vm->outcome, VM_OUTCOME_TRIPLE_FAULT);
    cr_assert_eq(vm_change_state(vm, VM_RUNNING, &error), -ESHUTDOWN);
    cr_assert_str_eq(error.text, "VM 'hypatia' has stopped: triple fault");
    hypervisor_release(hv, vm);
    cr_assert_eq(hypervisor_remove(hv, "fault", &error), 0);
    hypervisor_quit(hv);
    return opaque;
}

Test(hypervisor, triple_fault_stops_one_vm_alone)
{
    create(1);
    ADD_ROM(hv, "spin", spin);
    ADD_ROM(hv, "fault", fault);
    run_with(quit_after_fault, NULL);
    cr_assert_eq(told_count, 2);
    hypervisor_destroy(hv);
}

/* ---- names ---- */

Test(hypervisor, names_are_unique_and_not_too_long)
{
    struct error error;
    char name[HYPERVISOR_NAME_SIZE + 1];
    struct vm *vm;

    create(1);
    ADD_ROM(hv, "spin", spin);
    vm = make_vm("-bios spin.rom");
    cr_assert_eq(hypervisor_add(hv, vm, "spin", 256, 0, &error), -EEXIST);
    cr_assert_str_eq(error.text, "there is a VM 'spin' already");
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_assert_eq(hypervisor_add(hv, vm, name, 256, 0, &error), -EINVAL);
    name[sizeof(name) - 2] = '\0';
    cr_assert_eq(hypervisor_add(hv, vm, name, 256, 0, &error), 0);
    cr_assert_null(hypervisor_hold(hv, "nobody", &error));
    cr_assert_str_eq(error.text, "there is no VM 'nobody'");
    cr_assert_eq(hypervisor_remove(hv, "nobody", &error), -ENOENT);
    cr_assert_eq(hypervisor_set_weight(hv, "nobody", 1, &error), -ENOENT);
    cr_assert_eq(hypervisor_set_cap(hv, "nobody", 1, &error), -ENOENT);
    hypervisor_destroy(hv);
}

/* ---- holding ---- */

enum { HOLDERS = 4, HOLDS = 150 };

static void *hold_often(void *opaque)
{
    static const char *const names[] = {"a", "b", "c"};
    unsigned seed = (unsigned)(uintptr_t)opaque;

    for (unsigned i = 0; i < HOLDS; i++) {
        struct error error;
        struct vm *vm = hypervisor_hold(hv, names[rand_r(&seed) % ARRAY_LEN(names)], &error);
        uint64_t insns;

        cr_assert_not_null(vm, "%s", error.text);
        insns = vm->cpu->insn_count;
        usleep(100);
        cr_assert_eq(vm->cpu->insn_count, insns);
        vm->cpu->insn_count = insns; /* a write that nobody else may see */
        hypervisor_release(hv, vm);
    }
    return NULL;
}

static void *hold_from_threads(void *opaque)
{
    pthread_t thread[HOLDERS];

    for (uintptr_t i = 0; i < HOLDERS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, hold_often, (void *)(i + 1)), 0);
    }
    for (unsigned i = 0; i < HOLDERS; i++) {
        pthread_join(thread[i], NULL);
    }
    await_progress("a", MS);
    await_progress("b", MS);
    hypervisor_quit(hv);
    return opaque;
}

static void hold_while_running(unsigned pcpus)
{
    create(pcpus);
    ADD_ROM(hv, "a", spin);
    ADD_ROM(hv, "b", nap);
    add(hv, "c", "-bios a.rom -accel interp");
    run_with(hold_from_threads, NULL);
    hypervisor_destroy(hv);
}

Test(hypervisor, who_holds_a_vm_has_it_alone)
{
    hold_while_running(1);
}

Test(hypervisor, who_holds_a_vm_has_it_alone_on_two_pcpus)
{
    hold_while_running(2);
}

static void *pause_and_resume(void *opaque)
{
    struct error error;
    struct vm *vm;
    uint64_t before;

    for (unsigned i = 0; i < 5; i++) {
        await_progress("spin", 5 * MS);
        vm = hypervisor_hold(hv, "spin", &error);
        cr_assert_eq(vm_change_state(vm, VM_PAUSED, &error), 0);
        cr_assert_eq(vm_change_state(vm, VM_PAUSED, &error), -EALREADY);
        cr_assert_str_eq(error.text, "VM 'hypatia' is paused already");
        hypervisor_release(hv, vm);
        cr_assert_eq(account_of("spin").life, VM_PAUSED);
        await_state("spin", HYPERVISOR_WATCHED, VM_PAUSED);
        before = account_of("spin").entity.charged_ns;
        usleep(20000);
        cr_assert_eq(account_of("spin").entity.charged_ns, before);
        vm = hypervisor_hold(hv, "spin", &error);
        cr_assert_eq(vm_change_state(vm, VM_RUNNING, &error), 0);
        cr_assert_eq(vm_change_state(vm, VM_RUNNING, &error), -EALREADY);
        hypervisor_release(hv, vm);
    }
    hypervisor_quit(hv);
    return opaque;
}

Test(hypervisor, paused_vm_gets_no_time_until_it_is_resumed)
{
    create(1);
    ADD_ROM(hv, "spin", spin);
    run_with(pause_and_resume, NULL);
    hypervisor_destroy(hv);
}

static void *reset_paused(void *opaque)
{
    struct error error;
    struct vm *vm;

    await_progress("spin", 5 * MS);
    vm = hypervisor_hold(hv, "spin", &error);
    vm_pause(vm);
    vm->cpu->gpr[RAX] = 0x1234;
    vm_request_reset(vm);
    hypervisor_release(hv, vm);
    await_state("spin", HYPERVISOR_WATCHED, VM_PAUSED);
    vm = hypervisor_hold(hv, "spin", &error);
    cr_assert_eq(vm->state, VM_PAUSED);
    cr_assert_eq(vm->cpu->gpr[RAX], 0);
    hypervisor_release(hv, vm);
    hypervisor_quit(hv);
    return opaque;
}

Test(hypervisor, reset_keeps_a_paused_vm_paused)
{
    create(1);
    ADD_ROM(hv, "spin", spin);
    run_with(reset_paused, NULL);
    hypervisor_destroy(hv);
}

/* ---- VMs whose threads want other VMs ---- */

/* A descriptor that is always ready: its VM's thread holds another VM each time it looks. */
struct wanter {
    struct loop_source source;
    const char *other;
    unsigned taken, refused; /* atomic */
};

static void want(void *opaque, short revents)
{
    struct wanter *wanter = opaque;
    struct error error;
    struct vm *vm = hypervisor_hold(hv, wanter->other, &error);

    (void)revents;
    if (vm) {
        uint64_t insns = vm->cpu->insn_count;
        usleep(50);
        cr_assert_eq(vm->cpu->insn_count, insns);
        hypervisor_release(hv, vm);
        __atomic_add_fetch(&wanter->taken, 1, __ATOMIC_RELAXED);
    } else {
        cr_assert_not_null(strstr(error.text, "cannot be stopped now"), "%s", error.text);
        __atomic_add_fetch(&wanter->refused, 1, __ATOMIC_RELAXED);
    }
}

static void add_wanter(struct wanter *wanter, const char *name, const char *other)
{
    struct vm *vm = ADD_ROM(hv, name, spin);

    *wanter = (struct wanter){
        .source = {.fd = eventfd(1, 0), .events = POLLIN, .ready = want, .opaque = wanter}, .other = other};
    loop_add(&vm->loop, &wanter->source);
}

static void *await_wanters(void *opaque)
{
    struct wanter *wanter = opaque;

    for (unsigned i = 0; wanter[i].other; i++) {
        for (unsigned waited = 0; __atomic_load_n(&wanter[i].taken, __ATOMIC_RELAXED) < 30; waited++) {
            cr_assert_lt(waited, 60000);
            usleep(1000);
        }
    }
    hypervisor_quit(hv);
    return NULL;
}

static void want_each_other(unsigned pcpus, unsigned count)
{
    static const char *const name[] = {"a", "b", "c", "d"};
    struct wanter wanter[5] = {0};

    create(pcpus);
    for (unsigned i = 0; i < count; i++) {
        add_wanter(&wanter[i], name[i], name[(i + 1) % count]);
    }
    run_with(await_wanters, wanter);
    hypervisor_destroy(hv);
    for (unsigned i = 0; i < count; i++) {
        close(wanter[i].source.fd);
    }
}

Test(hypervisor, two_vms_hold_each_other)
{
    want_each_other(2, 2);
}

Test(hypervisor, two_vms_on_one_pcpu_hold_each_other)
{
    want_each_other(1, 2);
}

Test(hypervisor, four_vms_hold_each_other_in_a_circle)
{
    want_each_other(4, 4);
}

/* A VM's thread may remove another VM, but not its own. */
static void remove_others(void *opaque, short revents)
{
    struct wanter *wanter = opaque;
    struct error error;

    (void)revents;
    wanter->source.events = 0;
    cr_assert_eq(hypervisor_remove(hv, "self", &error), -EBUSY);
    cr_assert_str_eq(error.text, "VM 'self' cannot remove itself");
    cr_assert_eq(hypervisor_remove(hv, "other", &error), 0);
    vm_request_quit(hypervisor_hold(hv, "self", &error));
}

Test(hypervisor, thread_of_a_vm_removes_others_only)
{
    struct wanter wanter;

    create(2);
    ADD_ROM(hv, "other", spin);
    add_wanter(&wanter, "self", "other");
    wanter.source.ready = remove_others;
    run_with(NULL, NULL);
    cr_assert_eq(told_count, 1);
    hypervisor_destroy(hv);
    close(wanter.source.fd);
}

/* ---- coming and going ---- */

enum { COMINGS = 40 };

static void *come_and_go(void *opaque)
{
    const char *own = opaque;
    unsigned seed = (unsigned)own[0];
    struct error error;
    char name[3][16];

    for (unsigned i = 0; i < COMINGS; i++) {
        static const char *const options[] = {"-bios stays.rom", "-bios naps.rom", SELFTEST};
        unsigned slot = i % 3;

        if (i >= 3) {
            cr_assert_eq(hypervisor_remove(hv, name[slot], &error), 0, "%s", error.text);
        }
        snprintf(name[slot], sizeof(name[slot]), "%s%u", own, i);
        add(hv, name[slot], options[rand_r(&seed) % ARRAY_LEN(options)]);
        cr_assert_eq(hypervisor_set_weight(hv, name[slot], 1 + (uint32_t)rand_r(&seed) % 1000, &error), 0);
        cr_assert_eq(hypervisor_set_cap(hv, name[slot], (uint32_t)rand_r(&seed) % 101, &error), 0);
        usleep((useconds_t)rand_r(&seed) % 3000);
    }
    return NULL;
}

static void *two_come_and_go(void *opaque)
{
    pthread_t thread;
    char x[] = "x", y[] = "y";

    cr_assert_eq(pthread_create(&thread, NULL, come_and_go, x), 0);
    come_and_go(y);
    pthread_join(thread, NULL);
    await_progress("stays", 10 * MS);
    hypervisor_quit(hv);
    return opaque;
}

Test(hypervisor, vms_come_and_go_while_others_run, .timeout = 120)
{
    create(2);
    ADD_ROM(hv, "stays", spin);
    ADD_ROM(hv, "naps", nap);
    run_with(two_come_and_go, NULL);
    hypervisor_destroy(hv);
}

/* ---- time ---- */

static void *measure_shares(void *opaque)
{
    await_progress("light", 300 * MS);
    hypervisor_quit(hv);
    return opaque;
}

Test(hypervisor, time_is_shared_by_weight)
{
    struct error error;
    double ratio;

    create(1);
    ADD_ROM(hv, "light", spin);
    ADD_ROM(hv, "heavy", spin);
    cr_assert_eq(hypervisor_set_weight(hv, "heavy", 768, &error), 0);
    run_with(measure_shares, NULL);
    ratio = (double)account_of("heavy").entity.charged_ns / (double)account_of("light").entity.charged_ns;
    cr_assert(ratio > 2.7 && ratio < 3.3, "%.3f", ratio);
    hypervisor_destroy(hv);
}

static uint64_t spent_ns;

static void *measure_idleness(void *opaque)
{
    uint64_t before;

    await_state("halt", HYPERVISOR_WATCHED, VM_RUNNING);
    before = process_time();
    usleep(300000);
    spent_ns = process_time() - before;
    hypervisor_quit(hv);
    return opaque;
}

/* With as many pCPUs as there are ways to wait: one polls, others wait to be told. */
static void idleness(unsigned pcpus)
{
    create(pcpus);
    ADD_ROM(hv, "halt", halt);
    add(hv, "too", "-bios halt.rom");
    add(hv, "paused", "-bios halt.rom -S");
    run_with(measure_idleness, NULL);
    cr_assert_lt(account_of("halt").entity.slices, 20);
    cr_assert_lt(spent_ns, 30 * MS, "%llu us", (unsigned long long)(spent_ns / 1000));
    hypervisor_destroy(hv);
}

Test(hypervisor, idle_vms_cost_nothing)
{
    idleness(1);
}

Test(hypervisor, idle_vms_cost_nothing_on_three_pcpus)
{
    idleness(3);
}

static void *measure_cap(void *opaque)
{
    uint64_t before, began;

    await_progress("spin", 10 * MS);
    before = account_of("spin").entity.charged_ns;
    began = pacer_host_now();
    usleep(1000000);
    *(double *)opaque =
        100.0 * (double)(account_of("spin").entity.charged_ns - before) / (double)(pacer_host_now() - began);
    hypervisor_quit(hv);
    return NULL;
}

/* Beside one that naps, so that the capped one is released now by a pCPU that polls, now by one that comes from work. */
Test(hypervisor, cap_holds_on_idle_pcpus)
{
    struct error error;
    double share;

    create(2);
    ADD_ROM(hv, "spin", spin);
    ADD_ROM(hv, "nap", nap);
    cr_assert_eq(hypervisor_set_cap(hv, "spin", 25, &error), 0);
    run_with(measure_cap, &share);
    cr_assert(share > 2 && share < 28, "%.2f %%", share);
    hypervisor_destroy(hv);
}

static void *measure_wakes(void *opaque)
{
    for (unsigned i = 0; account_of("nap").entity.wakes < 50; i++) {
        cr_assert_lt(i, 60000);
        usleep(1000);
    }
    hypervisor_quit(hv);
    return opaque;
}

Test(hypervisor, one_that_sleeps_is_woken_beside_one_that_computes)
{
    create(1);
    ADD_ROM(hv, "spin", spin);
    ADD_ROM(hv, "nap", nap);
    run_with(measure_wakes, NULL);
    const struct hypervisor_account nap_account = account_of("nap");
    cr_assert_lt(sched_latency(&nap_account.entity, 50), HYPERVISOR_SLICE_NS);
    hypervisor_destroy(hv);
}

/* ---- events ---- */

enum { EVENTS = 40 };

static unsigned served; /* atomic */

static void serve(void *opaque, short revents)
{
    struct loop_source *source = opaque;
    uint64_t count;

    (void)revents;
    cr_assert_eq(read(source->fd, &count, sizeof(count)), (ssize_t)sizeof(count));
    __atomic_add_fetch(&served, 1, __ATOMIC_RELEASE);
}

static void *send_events(void *opaque)
{
    const struct loop_source *source = opaque;
    const uint64_t one = 1;

    for (unsigned i = 0; i < EVENTS; i++) {
        cr_assert_eq(write(source->fd, &one, sizeof(one)), (ssize_t)sizeof(one));
        for (unsigned waited = 0; __atomic_load_n(&served, __ATOMIC_ACQUIRE) == i; waited++) {
            cr_assert_lt(waited, 600000);
            usleep(100);
        }
    }
    hypervisor_quit(hv);
    return NULL;
}

/* A VM that has just slept looks at what woke it at once, and does not run in vain until it does. */
Test(hypervisor, one_event_is_one_slice)
{
    struct loop_source source = {.fd = eventfd(0, EFD_NONBLOCK), .events = POLLIN, .ready = serve};
    struct vm *vm;

    create(1);
    vm = ADD_ROM(hv, "halt", halt);
    source.opaque = &source;
    loop_add(&vm->loop, &source);
    run_with(send_events, &source);
    cr_assert_lt(account_of("halt").entity.slices, 3 * EVENTS);
    hypervisor_destroy(hv);
    close(source.fd);
}

/* ---- state machines ---- */

/* The drawings of vm/hypervisor.h and vm/vm.h, a row a state and a column a successor. */
Test(hypervisor, states_follow_each_other_as_drawn)
{
    static const char *const drawn[] = {
        [HYPERVISOR_CREATED] = ".q.....", [HYPERVISOR_QUEUED] = "..o.h..", [HYPERVISOR_ON_PCPU] = ".q.whs.",
        [HYPERVISOR_WATCHED] = ".q..h..", [HYPERVISOR_HELD] = ".q...sg",   [HYPERVISOR_STOPPED] = "......g",
        [HYPERVISOR_GONE] = ".......",
    };
    static const char *const life[] = {[VM_RUNNING] = ".ps", [VM_PAUSED] = "r.s", [VM_STOPPED] = "..."};

    for (unsigned from = 0; from < ARRAY_LEN(drawn); from++) {
        for (unsigned to = 0; to < ARRAY_LEN(drawn); to++) {
            cr_assert_eq(hypervisor_may_change(from, to), drawn[from][to] != '.', "from %s to %s",
                         hypervisor_state_name(from), hypervisor_state_name(to));
        }
    }
    for (unsigned from = 0; from < ARRAY_LEN(life); from++) {
        for (unsigned to = 0; to < ARRAY_LEN(life); to++) {
            cr_assert_eq(vm_may_change(from, to), life[from][to] != '.');
        }
    }
}

/* ---- the trace ---- */

static size_t count_why(const struct trace *trace, uint32_t vm, enum trace_why why)
{
    size_t count = 0;

    for (size_t i = 0; i < trace_count(trace); i++) {
        count += trace_at(trace, i)->vm == vm && trace_at(trace, i)->why == why;
    }
    return count;
}

/* Until the capped VM, too, has met the end of its time: on a busy host slices may end before that. */
static void *trace_for_a_while(void *opaque)
{
    size_t throttled = 0;

    await_progress("spin", 100 * MS);
    for (unsigned i = 0; throttled == 0; i++) {
        struct error error;
        struct trace *trace = hypervisor_trace_copy(hv, &error);

        cr_assert_lt(i, 10000);
        throttled = count_why(trace, 3, TRACE_THROTTLED);
        trace_destroy(trace);
        usleep(5000);
    }
    hypervisor_quit(hv);
    return opaque;
}

/* Slices of one pCPU, or of one VM, follow each other; returns the time charged for the VM named. */
static uint64_t check_slices(const struct trace *trace, uint32_t vm)
{
    uint64_t used = 0, pcpu_end[2] = {0}, vm_end[8] = {0};
    size_t count = 0;

    for (size_t i = 0; i < trace_count(trace); i++) {
        const struct trace_event *event = trace_at(trace, i);

        cr_assert_lt(event->vm, 8);
        cr_assert_leq(event->begin_ns, event->end_ns);
        if (event->why == TRACE_WOKEN) {
            continue;
        }
        cr_assert_lt(event->pcpu, 2);
        cr_assert_geq(event->begin_ns, pcpu_end[event->pcpu]);
        cr_assert_geq(event->begin_ns, vm_end[event->vm]);
        pcpu_end[event->pcpu] = vm_end[event->vm] = event->end_ns;
        used += event->vm == vm ? event->used_ns : 0;
        count += event->vm == vm;
    }
    cr_assert_gt(count, 0);
    return used;
}

/* The JSON of a trace: one object a slice for each of the two views, with times that follow each other. */
static void check_json(const struct trace *trace)
{
    struct error error;
    json_error_t where;
    json_t *root, *events, *event;
    double end[2] = {0};
    size_t index, slices = 0, wakes = 0, recorded = 0;

    cr_assert_eq(trace_save(trace, "trace.json", 0, &error), 0, "%s", error.text);
    root = json_load_file("trace.json", 0, &where);
    cr_assert_not_null(root, "%d: %s", where.line, where.text);
    events = json_object_get(root, "traceEvents");
    json_array_foreach(events, index, event)
    {
        const char *phase = json_string_value(json_object_get(event, "ph"));
        long long thread = json_integer_value(json_object_get(event, "tid"));
        double at = json_number_value(json_object_get(event, "ts"));

        wakes += !strcmp(phase, "i");
        if (!strcmp(phase, "X") && json_integer_value(json_object_get(event, "pid")) == 1) {
            cr_assert(thread == 0 || thread == 1);
            cr_assert_geq(at, end[thread] - 0.002);
            end[thread] = at + json_number_value(json_object_get(event, "dur"));
            slices++;
        }
    }
    for (size_t i = 0; i < trace_count(trace); i++) {
        recorded += trace_at(trace, i)->why != TRACE_WOKEN;
    }
    cr_assert_eq(slices, recorded);
    cr_assert_eq(wakes, trace_count(trace) - recorded);
    json_decref(root);
}

Test(hypervisor, trace_agrees_with_the_books)
{
    struct error error;
    struct trace *trace;

    create(2);
    cr_assert_null(hypervisor_trace_copy(hv, &error));
    ADD_ROM(hv, "spin", spin);
    cr_assert_eq(hypervisor_trace(hv, true, &error), 0);
    ADD_ROM(hv, "nap", nap);
    add(hv, "capped", "-bios spin.rom");
    add(hv, "limited", "-bios spin.rom -limit insns=200");
    cr_assert_eq(hypervisor_set_cap(hv, "capped", 10, &error), 0);
    run_with(trace_for_a_while, NULL);
    trace = hypervisor_trace_copy(hv, &error);
    cr_assert_not_null(trace, "%s", error.text);
    cr_assert_eq(check_slices(trace, 1), account_of("spin").entity.charged_ns);
    cr_assert_eq(check_slices(trace, 2), account_of("nap").entity.charged_ns);
    cr_assert_eq(check_slices(trace, 3), account_of("capped").entity.charged_ns);
    cr_assert_gt(count_why(trace, 1, TRACE_OVER), 0);
    cr_assert_gt(count_why(trace, 2, TRACE_SLEPT), 0);
    cr_assert_gt(count_why(trace, 2, TRACE_WOKEN), 0);
    cr_assert_gt(count_why(trace, 3, TRACE_THROTTLED), 0);
    cr_assert_eq(count_why(trace, 4, TRACE_STOPPED), 1);
    check_json(trace);
    trace_destroy(trace);
    hypervisor_destroy(hv);
}

static struct trace_event slice_of(uint32_t vm, uint16_t pcpu, uint64_t begin_ms, uint64_t end_ms)
{
    return (struct trace_event){.begin_ns = begin_ms * MS,
                                .end_ns = end_ms * MS,
                                .used_ns = (end_ms - begin_ms) * MS,
                                .vm = vm,
                                .pcpu = pcpu};
}

static char *read_text(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "r");

    cr_assert_not_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

Test(hypervisor, trace_is_drawn_a_row_a_vm_and_a_colour_a_pcpu)
{
    struct trace *trace = trace_create();
    struct error error;
    char *text;

    trace_name(trace, 1, "a<b");
    trace_name(trace, 2, "other");
    trace_slice(trace, &(struct trace_event){.begin_ns = 1000 * MS, .end_ns = 1010 * MS, .vm = 1});
    trace_wake(trace, 2, 1010 * MS);
    trace_slice(trace, &(struct trace_event){.begin_ns = 1010 * MS, .end_ns = 1040 * MS, .vm = 2, .pcpu = 1});
    cr_assert_eq(trace_save(trace, "t.svg", 0, &error), 0, "%s", error.text);
    text = read_text("t.svg");
    cr_assert_not_null(strstr(text, ">a&lt;b</text>"));
    cr_assert_not_null(strstr(text, ">other</text>"));
    cr_assert_not_null(strstr(text, "<rect x='130.00' y='40' width='250.00' height='16' fill='#0072b2'>"));
    cr_assert_not_null(strstr(text, "<rect x='380.00' y='66' width='750.00' height='16' fill='#e69f00'>"));
    cr_assert_not_null(strstr(text, ">40</text>"));
    cr_assert_not_null(strstr(text, "</svg>"));
    cr_assert_eq(trace_save(trace, "t.svg", 20 * MS, &error), 0);
    cr_assert_null(strstr(read_text("t.svg"), "a&lt;b"));
    cr_assert_eq(trace_save(trace, "t.png", 0, &error), -EINVAL);
    cr_assert_str_eq(error.text, "t.png: a trace's file is called .json or .svg");
    cr_assert_eq(trace_save(trace, "nowhere/t.svg", 0, &error), -ENOENT);
    trace_destroy(trace);
}

Test(hypervisor, trace_keeps_the_last_events)
{
    struct trace *trace = trace_create();

    for (uint64_t i = 0; i < TRACE_EVENTS + 10; i++) {
        struct trace_event event = slice_of((uint32_t)(i % 3), 0, i, i + 1);
        trace_slice(trace, &event);
    }
    cr_assert_eq(trace_count(trace), TRACE_EVENTS);
    cr_assert_eq(trace_at(trace, 0)->begin_ns, 10 * MS);
    cr_assert_eq(trace_at(trace, TRACE_EVENTS - 1)->begin_ns, (TRACE_EVENTS + 9) * MS);
    trace_destroy(trace);
}
