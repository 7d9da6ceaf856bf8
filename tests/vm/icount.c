/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Under -icount a guest sees the same whatever the host does meanwhile: who shares a pCPU has its slices ended at any
 * moment, and its disk's worker thread is as slow as the host. Each guest runs once undisturbed, and what it sees is
 * recorded: every port access and every interrupt, with instruction count, clock and registers. Then it runs again and
 * again, disturbed, and the first event that is another one is reported, and any difference at the end.
 *
 *   slices    end after so many instructions, in odd numbers or the same one
 *   accesses  the processor is kicked inside of port accesses, so that also every REP INS and OUTS gives way
 *   signals   another thread sends SIGALRM and kicks all the time, as hypervisor.c and disks do
 *
 * In all of them, and in the undisturbed run, the disk's worker sleeps at random, and port accesses arm timers of the
 * test's own, some for a time that has passed. Firing is an event, too.
 *
 * Guests: tests/snapshot/rom.asm (disk, timer), strings.asm (repeated string instructions, faults), hostile.asm with
 * random code (any device), and what --boot names. Both engines must show a guest the same.
 *
 * Exit status: 0 all was equal, 1 not, 2 usage.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "tests/fuzz/fuzz.h"
#include "vm/snapshot_state.h"
#include "vm/vm.h"

enum {
    ROM_BYTES = 0x10000,
    SEED_AT = 0xff0,
    CODE_AT = 0x1000,
    CODE_END = 0xfff0,
    WORDS_MAX = 64,
    LINE_SIZE = 1024,
    DISK_BYTES = 1 << 20,
    EVENTS_MAX = 1 << 22,
    ACCESSES_MAX = 1 << 20, /* a REP INS may have 4 G elements */
    ECHO_NS_MAX = 64,       /* the test's timers are due so soon at the latest */
    ECHO_IN = 4,            /* port accesses for each of them */
    STUCK_STEPS = 5000,     /* steps without anything done: it halts for good */
    BACKOFF_MAX = 24,
    WORKER_NS_MAX = 200000,
};

/* ---- the host's disk is slow ---- */

ssize_t __real_pread(int fd, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *pieces, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *pieces, int count, off_t offset);

static void dawdle(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    struct rng rng = {(uint64_t)time.tv_nsec};
    if (rng_once_in(&rng, 3)) {
        nanosleep(&(struct timespec){.tv_nsec = rng_below(&rng, WORKER_NS_MAX)}, NULL);
    }
}

ssize_t __wrap_pread(int fd, void *bytes, size_t count, off_t offset)
{
    dawdle();
    return __real_pread(fd, bytes, count, offset);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    dawdle();
    return __real_pwritev(fd, pieces, count, offset);
}

/* ---- what is compared ---- */

enum event_kind_seen { SEEN_READ, SEEN_WRITE, SEEN_INTERRUPT, SEEN_ECHO };

struct event {
    uint64_t insns, clock, registers;
    uint32_t rip, value;
    uint16_t port;
    uint8_t kind, size;
};

/* What a run came to. */
struct end {
    uint64_t insns, clock, state, memory;
    bool stuck; /* halted for good: where its clock then stands means nothing */
    enum vm_outcome outcome;
};

struct record {
    struct event *events;
    size_t count;
    struct end end;
};

enum disturbance { NONE, SLICES, ACCESSES, SIGNALS, DISTURBANCES };

struct run {
    struct vm *vm;
    struct record *record;
    bool recording, differs;
    size_t at; /* of the record */
    enum disturbance disturbance;
    unsigned every; /* SLICES: instructions; ACCESSES: accesses; 0: random */
    struct rng rng; /* of the disturbance */
    struct timer slice, echo;
    uint64_t slice_insns;            /* when the last one was ended */
    unsigned backoff;                /* while the guest halts they become longer */
    uint64_t accesses, accesses_max; /* max: there it ends */
    /* between the processor and the board */
    struct addr_space ports;
    struct region all;
    struct vcpu_wiring wiring;
    pthread_t main;
    bool over; /* atomic */
};

static void print_event(const char *who, const struct event *event)
{
    static const char *const names[] = {"in", "out", "interrupt", "timer"};

    printf("  %-11s %-9s %04x size %u value %08x at %08x, %llu instructions, %llu ns, registers %016llx\n",
           who, names[event->kind], event->port, event->size, event->value, event->rip,
           (unsigned long long)event->insns, (unsigned long long)event->clock,
           (unsigned long long)event->registers);
}

static void see(struct run *run, enum event_kind_seen kind, uint16_t port, unsigned size, uint32_t value)
{
    const struct vcpu *cpu = run->vm->cpu;
    struct event event;

    memset(&event, 0, sizeof(event));
    event.insns = cpu->insn_count;
    event.clock = clock_now(&run->vm->clock);
    event.registers = XXH3_64bits_withSeed(cpu->gpr, sizeof(cpu->gpr), cpu->rflags);
    event.rip = (uint32_t)cpu->rip;
    event.value = value;
    event.port = port;
    event.kind = (uint8_t)kind;
    event.size = (uint8_t)size;
    if (run->recording) {
        if (run->record->count < EVENTS_MAX) {
            run->record->events[run->record->count++] = event;
        }
    } else if (!run->differs && run->at < run->record->count) {
        const struct event *expected = &run->record->events[run->at++];
        if (memcmp(expected, &event, sizeof(event)) != 0) {
            run->differs = true;
            printf("event %zu differs:\n", run->at - 1);
            for (size_t i = MAX(run->at, 4u) - 4; i < run->at; i++) {
                print_event(i + 1 < run->at ? "both" : "undisturbed", &run->record->events[i]);
            }
            print_event("disturbed", &event);
        }
    }
}

/* ---- between the processor and the board ---- */

static void kick_in_access(struct run *run)
{
    if (++run->accesses == run->accesses_max) {
        vm_request_quit(run->vm);
    }
    if (run->disturbance == ACCESSES &&
        (run->every ? run->accesses % run->every == 0 : rng_once_in(&run->rng, 5))) {
        vcpu_kick(run->vm->cpu);
    }
}

static void arm_echo(struct run *run)
{
    uint64_t now = clock_now(&run->vm->clock);
    struct rng rng = {run->accesses};

    if (rng_once_in(&rng, ECHO_IN) && !timer_armed(&run->echo)) {
        timer_arm(&run->echo, now + rng_below(&rng, ECHO_NS_MAX));
    }
}

static void echo(void *opaque)
{
    see(opaque, SEEN_ECHO, 0, 0, 0);
}

static uint64_t port_read(void *opaque, uint64_t port, unsigned size)
{
    struct run *run = opaque;
    uint64_t value;

    kick_in_access(run);
    value = addr_space_read(run->wiring.io, port, size);
    see(run, SEEN_READ, (uint16_t)port, size, (uint32_t)value);
    arm_echo(run);
    return value;
}

static void port_write(void *opaque, uint64_t port, uint64_t value, unsigned size)
{
    struct run *run = opaque;

    see(run, SEEN_WRITE, (uint16_t)port, size, (uint32_t)value);
    addr_space_write(run->wiring.io, port, value, size);
    arm_echo(run);
    kick_in_access(run);
}

static uint8_t acknowledge(void *board)
{
    struct run *run = board;
    uint8_t vector = run->wiring.interrupt_acknowledge(run->wiring.board);

    see(run, SEEN_INTERRUPT, 0, 0, vector);
    return vector;
}

static void apic_base_changed(void *board, uint64_t value)
{
    struct run *run = board;

    run->wiring.apic_base_changed(run->wiring.board, value);
}

static void ferr(void *board, bool level)
{
    struct run *run = board;

    run->wiring.ferr(run->wiring.board, level);
}

static void stand_between(struct run *run)
{
    static const struct region_ops ops = {.read = port_read, .write = port_write, .max_size = 4};
    struct vcpu *cpu = run->vm->cpu;

    run->wiring = cpu->wiring;
    if (addr_space_init(&run->ports, "ports", 0xffff, NULL) < 0) {
        abort();
    }
    region_init_io(&run->all, "all", 0, 0x10000, &ops, run);
    addr_space_add(&run->ports, &run->all);
    cpu->wiring.io = &run->ports;
    cpu->wiring.board = run;
    cpu->wiring.interrupt_acknowledge = acknowledge;
    cpu->wiring.apic_base_changed = apic_base_changed;
    cpu->wiring.ferr = ferr;
}

static void stand_aside(struct run *run)
{
    run->vm->cpu->wiring = run->wiring;
    addr_space_fini(&run->ports);
}

/* ---- disturbances ---- */

static void end_slice(void *opaque)
{
    struct run *run = opaque;
    uint64_t insns = run->every ? run->every : 1 + rng_below(&run->rng, 1u << rng_below(&run->rng, 12));

    run->backoff =
        run->slice_insns == run->vm->cpu->insn_count ? MIN(run->backoff + 1, (unsigned)BACKOFF_MAX) : 0;
    run->slice_insns = run->vm->cpu->insn_count;
    insns <<= run->backoff;
    timer_arm(&run->slice, clock_now(&run->vm->clock) + (insns << run->vm->clock.icount_shift));
}

static void *send_signals(void *opaque)
{
    struct run *run = opaque;

    while (!__atomic_load_n(&run->over, __ATOMIC_ACQUIRE)) {
        struct timespec pause = {.tv_nsec = rng_below(&run->rng, 1u << rng_range(&run->rng, 1, 17))};

        nanosleep(&pause, NULL);
        if (rng_once_in(&run->rng, 8)) {
            vcpu_kick(run->vm->cpu);
        } else {
            pthread_kill(run->main, SIGALRM);
        }
    }
    return NULL;
}

/* ---- a run ---- */

static struct vm *create(const char *options, struct vm_config *config, char *line)
{
    char *word[WORDS_MAX], *save = NULL;
    struct error error = {{0}};
    enum config_action action;
    struct vm *vm = NULL;
    int count = 0;

    snprintf(line, LINE_SIZE,
             "hypatia -display none -nodefaults -serial null -vga none -rtc base=2020-02-02T02:02:02 "
             "-icount 3,sleep=off %s",
             options);
    for (char *at = strtok_r(line, " ", &save); at && count < WORDS_MAX; at = strtok_r(NULL, " ", &save)) {
        word[count++] = at;
    }
    config_init(config);
    if (config_parse(config, count, word, &action, &error) == 0) {
        vm = vm_create(config, &error);
    }
    if (!vm) {
        fprintf(stderr, "icount: %s\n", error.text);
        exit(2);
    }
    return vm;
}

/* Until its limit, or until it halts for good. */
static bool run_to_end(const struct run *run)
{
    uint64_t wait_ns, progress = 0;
    unsigned stuck = 0;

    while (stuck < STUCK_STEPS) {
        enum vm_next next = vm_step(run->vm, UINT64_MAX, &wait_ns);
        uint64_t before = progress;

        if (next == VM_NEXT_STOPPED) {
            return false;
        }
        if (next == VM_NEXT_WAIT) {
            break;
        }
        progress = run->vm->cpu->insn_count + run->accesses;
        stuck = progress == before ? stuck + 1 : 0;
    }
    return true;
}

static uint64_t hash_state(struct vm *vm)
{
    struct snap_writer writer;
    uint64_t hash;

    snap_writer_init(&writer);
    snapshot_state_save(&writer, vm);
    hash = XXH3_64bits(writer.data, writer.length);
    snap_writer_fini(&writer);
    return hash;
}

static struct end run_vm(struct run *run, const char *options)
{
    struct vm_config config; /* the VM borrows its strings, and the line's */
    char line[LINE_SIZE];
    struct alarm alarm;
    pthread_t thread;
    struct end end = {0};

    run->vm = create(options, &config, line);
    stand_between(run);
    timer_init(&run->slice, &run->vm->clock, "slice", end_slice, run);
    timer_init(&run->echo, &run->vm->clock, "echo", echo, run);
    if (run->disturbance == SLICES) {
        end_slice(run);
    }
    alarm_open(&alarm);
    pacer_attach(&run->vm->pacer, &alarm);
    run->main = pthread_self();
    if (run->disturbance == SIGNALS && pthread_create(&thread, NULL, send_signals, run) != 0) {
        abort();
    }
    end.stuck = run_to_end(run);
    __atomic_store_n(&run->over, true, __ATOMIC_RELEASE);
    if (run->disturbance == SIGNALS) {
        pthread_join(thread, NULL);
    }
    pacer_detach(&run->vm->pacer);
    alarm_close(&alarm);
    timer_disarm(&run->slice);
    timer_disarm(&run->echo);
    end.insns = run->vm->cpu->insn_count;
    end.outcome = run->vm->outcome;
    end.memory = vm_memory_hash(run->vm);
    if (!end.stuck) {
        end.clock = clock_now(&run->vm->clock);
        end.state = hash_state(run->vm);
    }
    stand_aside(run);
    vm_destroy(run->vm);
    return end;
}

/* ---- guests ---- */

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

static bool write_random_rom(uint64_t seed)
{
    static uint8_t rom[ROM_BYTES];
    struct generator generator;
    struct rng rng = {seed};
    FILE *file = fopen(HOSTILE_ROM, "r");
    bool read = file && fread(rom, 1, sizeof(rom), file) == sizeof(rom) && generator_init(&generator, true);

    if (file) {
        fclose(file);
    }
    if (!read) {
        return false;
    }
    store_le32(rom + SEED_AT, rng_u32(&rng));
    stream_fill(&generator, &rng, true, rom + CODE_AT, CODE_END - CODE_AT);
    generator_fini(&generator);
    return write_file("hostile.rom", rom, sizeof(rom));
}

struct guest {
    const char *name, *options;
    uint64_t insns;    /* to run */
    uint64_t accesses; /* of ports; it ends before that. 0: as many as it likes */
};

static const struct guest guests[] = {
    {"working", "-bios " WORKING_ROM " -m 2 -hda disk.img -snapshot", 300000, 0},
    {"strings", "-bios " STRINGS_ROM " -m 4 -hda disk.img -snapshot", 100000, 0},
    {"hostile",
     "-bios hostile.rom -m 8 -hda disk.img -drive file=disk.iso,media=cdrom,format=raw -snapshot "
     "-nic switch,segment=lan,model=e1000 -nic switch,segment=lan,model=ne2k_pci",
     300000, ACCESSES_MAX},
    {"boot", NULL, 30000000, 0},
};

static const char *const engines[] = {"interp", "dbt"};
static const char *const disturbance_names[] = {"none", "slices", "accesses", "signals"};

struct options {
    const char *guest, *engine, *how, *boot; /* NULL: all; boot: none */
    uint64_t seed, insns;
    unsigned rounds;
};

/* A guest that is compared with its first run. */
struct comparison {
    const struct options *options;
    const struct guest *guest;
    const char *engine;
    struct record record;
    uint64_t seed;
    unsigned count, different;
};

static void print_end(const char *who, const struct end *end)
{
    printf("  %-11s %llu instructions, %llu ns, state %016llx, memory %016llx%s, %s\n", who,
           (unsigned long long)end->insns, (unsigned long long)end->clock, (unsigned long long)end->state,
           (unsigned long long)end->memory, end->stuck ? ", halted" : "", vm_outcome_name(end->outcome));
}

static struct end run_guest(const struct comparison *comparison, struct run *run)
{
    const struct guest *guest = comparison->guest;
    uint64_t insns = comparison->options->insns ? comparison->options->insns : guest->insns;
    char line[LINE_SIZE];

    run->accesses_max = guest->accesses;
    snprintf(line, sizeof(line), "%s -accel %s -limit insns=%llu",
             guest->options ? guest->options : comparison->options->boot, comparison->engine,
             (unsigned long long)insns);
    return run_vm(run, line);
}

static bool same_end(const struct end *a, const struct end *b)
{
    return a->insns == b->insns && a->clock == b->clock && a->state == b->state && a->memory == b->memory &&
           a->stuck == b->stuck && a->outcome == b->outcome;
}

/* Again, `every` so often disturbed. */
static void compare(struct comparison *comparison, enum disturbance disturbance, unsigned every)
{
    const char *how = comparison->options->how;
    struct record *record = &comparison->record;
    struct run run = {.record = record,
                      .disturbance = disturbance,
                      .every = every,
                      .rng = {comparison->seed + comparison->count}};

    if (how && strcmp(how, disturbance_names[disturbance]) != 0) {
        return;
    }
    struct end end = run_guest(comparison, &run);
    comparison->count++;
    if (run.differs || run.at != record->count || !same_end(&end, &record->end)) {
        comparison->different++;
        printf("FAILED: %s, %s, disturbance %s, every %u; %zu of %zu events\n", comparison->guest->name,
               comparison->engine, disturbance_names[disturbance], every, run.at, record->count);
        print_end("undisturbed", &record->end);
        print_end("disturbed", &end);
    }
}

static void compare_all(struct comparison *comparison)
{
    static const unsigned slices[] = {1, 2, 3, 7, 0, 0}, accesses[] = {1, 2, 3, 0, 0};

    compare(comparison, NONE, 0);
    for (size_t i = 0; i < ARRAY_LEN(slices); i++) {
        compare(comparison, SLICES, slices[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(accesses); i++) {
        compare(comparison, ACCESSES, accesses[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        compare(comparison, SIGNALS, 0);
    }
}

/* True: all was equal. Whichever engine ran first, the other one must show the guest the same. */
static bool test_guest(const struct guest *guest, const struct options *options, uint64_t seed)
{
    struct comparison comparison = {.options = options,
                                    .guest = guest,
                                    .record.events = malloc(EVENTS_MAX * sizeof(struct event)),
                                    .engine = options->engine ? options->engine : engines[0],
                                    .seed = seed};
    struct run run = {.record = &comparison.record, .recording = true};

    if (!comparison.record.events) {
        abort();
    }
    comparison.record.end = run_guest(&comparison, &run);
    for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
        if (!options->engine || !strcmp(options->engine, engines[i])) {
            comparison.engine = engines[i];
            compare_all(&comparison);
        }
    }
    printf("%s, seed %llu: %u runs, %u different; %zu events, %llu instructions%s\n", guest->name,
           (unsigned long long)seed, comparison.count, comparison.different, comparison.record.count,
           (unsigned long long)comparison.record.end.insns, comparison.record.end.stuck ? ", halted" : "");
    fflush(stdout);
    free(comparison.record.events);
    return comparison.different == 0;
}

static bool parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"guest", required_argument, NULL, 'g'},  {"engine", required_argument, NULL, 'e'},
        {"how", required_argument, NULL, 'h'},    {"boot", required_argument, NULL, 'b'},
        {"seed", required_argument, NULL, 's'},   {"insns", required_argument, NULL, 'n'},
        {"rounds", required_argument, NULL, 'r'}, {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'g':
            options->guest = optarg;
            break;
        case 'e':
            options->engine = optarg;
            break;
        case 'h':
            options->how = optarg;
            break;
        case 'b':
            options->boot = optarg;
            break;
        case 's':
            options->seed = strtoull(optarg, NULL, 0);
            break;
        case 'n':
            options->insns = strtoull(optarg, NULL, 0);
            break;
        case 'r':
            options->rounds = (unsigned)strtoul(optarg, NULL, 0);
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

/* The guests asked for, with other random code each round. */
static bool test_all(const struct options *options)
{
    bool equal = true;

    for (unsigned round = 0; round < options->rounds; round++) {
        if (!write_random_rom(options->seed + round)) {
            perror("icount");
            return false;
        }
        for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
            bool wanted = !options->guest || !strcmp(options->guest, guests[i].name);
            if (wanted && (guests[i].options || options->boot)) {
                equal &= test_guest(&guests[i], options, options->seed + round);
            }
        }
    }
    return equal;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .rounds = 1};
    char folder[] = "/tmp/hypatia-icount-XXXXXX", command[64];

    if (!parse(&options, argc, argv)) {
        fprintf(stderr,
                "usage: %s [--guest working|strings|hostile|boot] [--engine interp|dbt] [--how "
                "none|slices|accesses|signals]\n"
                "       [--boot OPTIONS] [--seed S] [--insns N] [--rounds N]\n",
                argv[0]);
        return 2;
    }
    if (!mkdtemp(folder) || chdir(folder) < 0 || !write_disk("disk.img", 1) || !write_disk("disk.iso", 2)) {
        perror("icount");
        return 2;
    }
    bool equal = test_all(&options);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    if (system(command) != 0) {
        perror("icount");
    }
    return equal ? 0 : 1;
}
