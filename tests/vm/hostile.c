/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hostile: guests that mean harm beside guests that compute, for so many seconds; the neighbours' results must be what they
 * are alone.
 *
 *   hostile [--seconds T] [--seed S] [--pcpus N]
 *
 *   hostile guest     hostile.asm and 56 KiB of random code from tests/fuzz, other code each time: all ports and MMIO
 *                     addresses, PCI configuration, e1000 rings and IDE tables at bad addresses, ring 0; on two networks,
 *                     with disks. It is reset all the time, and replaced when it has stopped or does nothing any more.
 *   computing guest   tests/vm/guest.asm, translated, under -icount: memory
 *   working guest     tests/snapshot/rom.asm, under -icount: memory, timers, interrupts, disk
 *
 *   listening guest   on the hostile guest's network, with 5% of a pCPU; it has no end, so the lab has none
 *
 * Both neighbours end after a fixed number of instructions, are compared (memory, disk) and begin anew. Failures: another
 * result, any VM stopped by a bug of ours, a neighbour that does not get on, descriptors or threads that become more. Exit
 * status: 0 all was well, 1 not, 2 usage.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "tests/fuzz/fuzz.h"
#include "vm/containment.h"
#include "vm/hypervisor.h"
#include "vm/vm.h"

enum {
    ROM_BYTES = 0x10000,
    SEED_AT = 0xff0,
    CODE_AT = 0x1000,
    CODE_END = 0xfff0,
    WORDS_MAX = 64,
    LINE_SIZE = 2048,
    TURN_MS = 2,
    LIFE_TURNS = 500, /* a hostile guest's life; the next one has other code */
    RESET_IN = 50,    /* one turn in so many; an NMI in the others */
    STALL_SECONDS = 60,
    DISK_BYTES = 1 << 20,
};

enum { HOSTILE, COMPUTING, WORKING, LISTENING, ROLES };

/* A VM of the lab that begins anew again and again. */
struct role {
    const char *name;
    const char *options; /* beside the common ones */
    const char *rom;     /* NULL: a random one each time */
    bool compared, disturbed;
    uint32_t cap;
    uint64_t memory; /* what it has when it is alone */
    unsigned lives, turns;
    uint64_t insns, all_insns; /* of this life; of those before */
    struct timespec began;
    struct vm_config *config; /* of the present life; the VM borrows its strings, and the line's */
    char *line;
};

struct lab_state {
    struct hypervisor *hv;
    struct generator generator;
    struct rng rng;
    uint64_t seed;
    unsigned seconds, pcpus;
    struct role role[ROLES];
    unsigned resets, outcomes[VM_OUTCOME_LIMIT + 1];
    bool failed;
    struct loop_source over; /* tells the thread of hypervisor_run() */
    unsigned descriptors;    /* when everything had begun */
};

static struct timespec now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time;
}

static unsigned seconds_since(const struct timespec *then)
{
    return (unsigned)(now().tv_sec - then->tv_sec);
}

static void fail(struct lab_state *lab, const struct role *role, const char *what)
{
    printf("FAILED: %s (life %u, --seed %llu): %s\n", role->name, role->lives, (unsigned long long)lab->seed,
           what);
    fflush(stdout);
    lab->failed = true;
}

/* ---- files ---- */

static bool write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");
    bool written = file && fwrite(bytes, 1, size, file) == size;

    return (!file || fclose(file) == 0) && written;
}

static bool write_disk(const char *path, uint64_t seed)
{
    static uint8_t bytes[DISK_BYTES];
    struct rng rng = {seed};

    rng_fill(&rng, bytes, sizeof(bytes));
    return write_file(path, bytes, sizeof(bytes));
}

static bool write_hostile_rom(struct lab_state *lab)
{
    static uint8_t rom[ROM_BYTES];
    FILE *file = fopen(HOSTILE_ROM, "r");
    bool read = file && fread(rom, 1, sizeof(rom), file) == sizeof(rom);

    if (file) {
        fclose(file);
    }
    if (!read) {
        return false;
    }
    store_le32(rom + SEED_AT, rng_u32(&lab->rng));
    stream_fill(&lab->generator, &lab->rng, true, rom + CODE_AT, CODE_END - CODE_AT);
    return write_file("hostile.rom", rom, sizeof(rom));
}

/* ---- lives ---- */

static void forget_config(struct role *role)
{
    free(role->config);
    free(role->line);
    role->config = NULL;
    role->line = NULL;
}

static struct vm *create(struct role *role, struct net_fabric *fabric, struct error *error)
{
    char *word[WORDS_MAX], *save = NULL;
    enum config_action action;
    int count = 0;

    role->config = calloc(1, sizeof(*role->config));
    role->line = malloc(LINE_SIZE);
    if (!role->config || !role->line) {
        abort();
    }
    snprintf(role->line, LINE_SIZE, "hypatia -name %s -display none -nodefaults -serial null -bios %s %s",
             role->name, role->rom ? role->rom : "hostile.rom", role->options);
    for (char *at = strtok_r(role->line, " ", &save); at && count < WORDS_MAX;
         at = strtok_r(NULL, " ", &save)) {
        word[count++] = at;
    }
    config_init(role->config);
    if (config_parse(role->config, count, word, &action, error) < 0) {
        return NULL;
    }
    role->config->fabric = fabric;
    return vm_create(role->config, error);
}

static bool begin(struct lab_state *lab, struct role *role)
{
    struct error error = {{0}};
    struct vm *vm;

    role->lives++;
    role->turns = 0;
    role->all_insns += role->insns;
    role->insns = 0;
    role->began = now();
    if (!role->rom && !write_hostile_rom(lab)) {
        fail(lab, role, "cannot write its ROM");
        return false;
    }
    vm = create(role, hypervisor_fabric(lab->hv), &error);
    if (!vm || hypervisor_add(lab->hv, vm, role->name, SCHED_WEIGHT_DEFAULT, role->cap, &error) < 0) {
        fail(lab, role, error.text);
        return false;
    }
    return true;
}

static void end(struct lab_state *lab, struct role *role)
{
    struct error error = {{0}};

    if (hypervisor_remove(lab->hv, role->name, &error) < 0) {
        fail(lab, role, error.text);
    }
    forget_config(role);
}

/* What a stopped one has come to. */
static void judge(struct lab_state *lab, struct role *role, const struct vm *vm)
{
    lab->outcomes[vm->outcome]++;
    if (vm->outcome == VM_OUTCOME_INTERNAL) {
        fail(lab, role, vm->reason);
    }
    if (role->compared && vm->outcome != VM_OUTCOME_LIMIT) {
        fail(lab, role, vm->reason);
    } else if (role->compared && vm_memory_hash(vm) != role->memory) {
        fail(lab, role, "its memory is not what it is alone");
    }
}

/* For whoever looks into a failure. */
static void print_accounts(struct lab_state *lab)
{
    struct hypervisor_account account[ROLES + 1];
    unsigned count = hypervisor_accounts(lab->hv, account, ARRAY_LEN(account));

    for (unsigned i = 0; i < MIN(count, ARRAY_LEN(account)); i++) {
        const struct sched_entity *entity = &account[i].entity;

        printf("  %s: %s, scheduler state %d, %llu instructions, %llu ms used, %llu ms waited, %llu slices\n",
               account[i].name, hypervisor_state_name(account[i].state), (int)entity->state,
               (unsigned long long)account[i].insns, (unsigned long long)(entity->charged_ns / 1000000),
               (unsigned long long)(entity->waited_ns / 1000000), (unsigned long long)entity->slices);
    }
}

static bool has_stopped(struct lab_state *lab, const struct role *role)
{
    struct hypervisor_account account[ROLES + 1];
    unsigned count = hypervisor_accounts(lab->hv, account, ARRAY_LEN(account));

    for (unsigned i = 0; i < MIN(count, ARRAY_LEN(account)); i++) {
        if (!strcmp(account[i].name, role->name)) {
            return account[i].state == HYPERVISOR_STOPPED;
        }
    }
    return false;
}

static void renew(struct lab_state *lab, struct role *role)
{
    struct error error = {{0}};
    struct vm *vm = hypervisor_hold(lab->hv, role->name, &error);

    if (!vm) {
        fail(lab, role, error.text); /* a broken one, too */
        return;
    }
    if (vm->state == VM_STOPPED) {
        judge(lab, role, vm);
    }
    hypervisor_release(lab->hv, vm);
    end(lab, role);
    begin(lab, role);
}

/* Reset it, or wake it from whatever it has got into. */
static void disturb(struct lab_state *lab, struct role *role)
{
    struct vm *vm = hypervisor_hold(lab->hv, role->name, NULL);
    bool reset = rng_once_in(&lab->rng, RESET_IN);

    if (!vm) {
        return; /* the next turn finds out why */
    }
    if (vm->state != VM_STOPPED && reset) {
        vm_request_reset(vm);
        lab->resets++;
    } else if (vm->state != VM_STOPPED) {
        vcpu_set_nmi(vm->cpu);
    }
    role->insns = MAX(role->insns, vm->cpu->insn_count);
    hypervisor_release(lab->hv, vm);
}

static void take_turn(struct lab_state *lab, struct role *role)
{
    role->turns++;
    if (has_stopped(lab, role) || (role->disturbed && role->turns >= LIFE_TURNS)) {
        renew(lab, role);
    } else if (role->disturbed) {
        disturb(lab, role);
    } else if (role->compared && seconds_since(&role->began) >= STALL_SECONDS) {
        fail(lab, role, "it does not get on");
        print_accounts(lab);
    }
}

/* ---- the run ---- */

static unsigned count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    while (folder && readdir(folder)) {
        count++;
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

static void *control(void *opaque)
{
    struct lab_state *lab = opaque;
    struct timespec began = now(), turn = {.tv_nsec = TURN_MS * 1000000};
    uint64_t one = 1;

    lab->descriptors = count_descriptors();
    while (!lab->failed && seconds_since(&began) < lab->seconds) {
        nanosleep(&turn, NULL);
        for (unsigned i = 0; i < ROLES && !lab->failed; i++) {
            take_turn(lab, &lab->role[i]);
        }
    }
    if (!lab->failed && count_descriptors() > lab->descriptors) {
        fail(lab, &lab->role[HOSTILE], "there are more descriptors than in the beginning");
    }
    if (write(lab->over.fd, &one, sizeof(one)) != (ssize_t)sizeof(one)) {
        abort();
    }
    return NULL;
}

static void quit(void *opaque, short revents)
{
    struct lab_state *lab = opaque;

    (void)revents;
    loop_remove(hypervisor_loop(lab->hv), &lab->over);
    hypervisor_quit(lab->hv);
}

/* What a neighbour's memory is when it has the host for itself. */
static bool run_alone(struct lab_state *lab, struct role *role)
{
    struct error error = {{0}};
    struct vm *vm = create(role, NULL, &error);
    uint64_t wait;

    if (!vm) {
        fail(lab, role, error.text);
        return false;
    }
    while (vm_step(vm, UINT64_MAX, &wait) != VM_NEXT_STOPPED) {
    }
    role->memory = vm_memory_hash(vm);
    if (vm->outcome != VM_OUTCOME_LIMIT) {
        fail(lab, role, vm->reason);
    }
    vm_destroy(vm);
    forget_config(role);
    return !lab->failed;
}

static bool run(struct lab_state *lab)
{
    struct error error = {{0}};
    pthread_t thread;

    lab->hv = hypervisor_create(lab->pcpus, &error);
    if (!lab->hv || !run_alone(lab, &lab->role[COMPUTING]) || !run_alone(lab, &lab->role[WORKING])) {
        return false;
    }
    for (unsigned i = 0; i < ROLES; i++) {
        if (!begin(lab, &lab->role[i])) {
            return false;
        }
    }
    lab->over =
        (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN, .ready = quit, .opaque = lab};
    loop_add(hypervisor_loop(lab->hv), &lab->over);
    if (pthread_create(&thread, NULL, control, lab) != 0 || hypervisor_run(lab->hv, &error) < 0) {
        return false;
    }
    pthread_join(thread, NULL);
    hypervisor_destroy(lab->hv);
    for (unsigned i = 0; i < ROLES; i++) {
        forget_config(&lab->role[i]);
    }
    close(lab->over.fd);
    return true;
}

static void print_summary(const struct lab_state *lab)
{
    printf("%u s, %u pCPUs, seed %llu: %u hostile guests, %llu million instructions, %u resets;",
           lab->seconds, lab->pcpus, (unsigned long long)lab->seed, lab->role[HOSTILE].lives,
           (unsigned long long)(lab->role[HOSTILE].all_insns / 1000000), lab->resets);
    for (unsigned i = 0; i < ARRAY_LEN(lab->outcomes); i++) {
        if (lab->outcomes[i]) {
            printf(" %s %u", vm_outcome_name(i), lab->outcomes[i]);
        }
    }
    printf("; neighbours compared: %u computing, %u working\n", lab->role[COMPUTING].lives - 1,
           lab->role[WORKING].lives - 1);
}

static bool parse(struct lab_state *lab, int argc, char **argv)
{
    static const struct option names[] = {{"seconds", required_argument, NULL, 't'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"pcpus", required_argument, NULL, 'p'},
                                          {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        char *rest = NULL;
        uint64_t number = optarg ? strtoull(optarg, &rest, 0) : 0;

        if (!rest || *rest || option == '?') {
            return false;
        }
        lab->seconds = option == 't' ? (unsigned)number : lab->seconds;
        lab->seed = option == 's' ? number : lab->seed;
        lab->pcpus = option == 'p' ? (unsigned)number : lab->pcpus;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/hypatia-hostile-XXXXXX", command[64];
    struct lab_state lab = {
        .seconds = 20,
        .seed = 1,
        .pcpus = 1,
        .role = {
            {.name = "hostile",
             .disturbed = true,
             .options = "-m 8 -hda hostile.img -drive file=hostile.iso,media=cdrom,format=raw -snapshot "
                        "-nic user,model=e1000,restrict=on -nic switch,segment=lan,model=e1000 "
                        "-nic switch,segment=lan,model=ne2k_pci -device isa-debug-exit"},
            {.name = "computing",
             .rom = GUEST_ROM,
             .compared = true,
             .options = "-m 1 -vga none -icount 3,sleep=off -limit insns=300000000"},
            {.name = "working",
             .rom = WORKING_ROM,
             .compared = true,
             .options =
                 "-m 2 -vga none -icount 3,sleep=off -limit insns=20000000 -hda working.img -snapshot"},
            {.name = "listening",
             .rom = GUEST_ROM,
             .cap = 5,
             .options = "-m 1 -vga none -nic switch,segment=lan,model=e1000"},

        }};

    if (!parse(&lab, argc, argv)) {
        fprintf(stderr, "usage: %s [--seconds T] [--seed S] [--pcpus N]\n", argv[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    lab.rng = (struct rng){lab.seed};
    if (!mkdtemp(folder) || chdir(folder) < 0 || !generator_init(&lab.generator, true) ||
        !write_disk("hostile.img", 1) || !write_disk("hostile.iso", 2) || !write_disk("working.img", 3)) {
        perror("hostile");
        return 2;
    }
    if (!run(&lab)) {
        lab.failed = true;
    }
    print_summary(&lab);
    generator_fini(&lab.generator);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    if (system(command) != 0) {
        perror("hostile");
    }
    return lab.failed ? 1 : 0;
}
