/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the snapshot tests share. See machine.h. SNAPSHOT_ROM is the path of the ROM that nasm made.
 */
#include "machine.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "binxlate/binxlate.h"
#include "binxlate/check.h"
#include "cpu/interp.h"
#include "vm/snapshot_state.h"

enum { WORDS_MAX = 32 };

uint32_t machine_random(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 16) % below);
}

/* ---- the folder ---- */

void machine_shell(const char *format, ...)
{
    char command[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    cr_assert_eq(system(command), 0, "%s", command);
}

void machine_enter(void)
{
    char memory[] = "/dev/shm/hypatia-snapshot-XXXXXX", folder[] = "/tmp/hypatia-snapshot-XXXXXX";
    static uint8_t bytes[DISK_BYTES];
    uint64_t random = 42;
    FILE *file;

    /* Where syncing costs nothing, if there is such a place. */
    cr_assert_eq(chdir(mkdtemp(memory) ? memory : mkdtemp(folder)), 0);
    for (size_t i = 0; i < DISK_BYTES / 2; i++) {
        bytes[i] = (uint8_t)machine_random(&random, 256);
    }
    file = fopen(DISK_FILE, "w");
    cr_assert_eq(fwrite(bytes, 1, DISK_BYTES, file), DISK_BYTES);
    cr_assert_eq(fclose(file), 0);
}

void machine_leave(void)
{
    char folder[256];

    cr_assert_not_null(getcwd(folder, sizeof(folder)));
    cr_assert_not_null(strstr(folder, "/hypatia-snapshot-"));
    machine_shell("rm -rf '%s'", folder);
}

/* ---- the VM ---- */

struct vm *machine_try(const char *options, struct error *error)
{
    static char line[1024];
    static struct vm_config config; /* the VM borrows its strings, and the line's */
    enum config_action action;
    char *word[WORDS_MAX], *save = NULL;
    int count = 0;

    snprintf(
        line, sizeof(line),
        "hypatia -m 2 -vga none -bios %s -display none -S -icount 3,sleep=off -nodefaults -serial null %s %s",
        SNAPSHOT_ROM, strstr(options, "-drive") ? "" : "-hda " DISK_FILE, options);
    for (char *at = strtok_r(line, " ", &save); at && count < WORDS_MAX; at = strtok_r(NULL, " ", &save)) {
        word[count++] = at;
    }
    config_init(&config);
    cr_assert_eq(config_parse(&config, count, word, &action, error), 0, "%s", error->text);
    return vm_create(&config, error);
}

struct vm *machine_create(const char *options)
{
    struct error error = {{0}};
    struct vm *vm = machine_try(options, &error);

    cr_assert_not_null(vm, "%s", error.text);
    return vm;
}

static enum vcpu_exit run_engine(struct vm *vm, uint64_t insns)
{
    if (vm->check) {
        return check_run(vm->check, insns);
    }
    return vm->binxlate ? binxlate_run(vm->binxlate, insns) : interp_run(vm->cpu, insns);
}

/* What a paused VM's owner may do by himself, to the instruction. */
bool machine_run_insns(struct vm *vm, uint64_t insns, bool lawful)
{
    uint64_t end = vm->cpu->insn_count + insns;

    for (unsigned halts = 0; vm->cpu->insn_count < end && halts < 100000;) {
        uint64_t now, next, left;
        enum vcpu_exit exit;

        clock_run_timers(&vm->clock);
        drives_serve(&vm->drives);
        now = clock_now(&vm->clock);
        next = clock_next_deadline(&vm->clock);
        left = next > now ? next - now : 0;
        exit = run_engine(vm, MIN((left >> vm->clock.icount_shift) + 1, end - vm->cpu->insn_count));
        if (exit == VCPU_EXIT_HALT && !vcpu_has_work(vm->cpu)) {
            now = clock_now(&vm->clock);
            next = clock_next_deadline(&vm->clock);
            if (next == CLOCK_NEVER) {
                return !lawful;
            }
            clock_skip(&vm->clock, next > now ? next - now : 0);
            halts++;
        } else if (exit != VCPU_EXIT_BUDGET && exit != VCPU_EXIT_HALT) {
            return !lawful && exit != VCPU_EXIT_INTERNAL;
        }
    }
    return true;
}

void machine_run_to(struct vm *vm, uint64_t insns)
{
    cr_assert_lt(vm->cpu->insn_count, insns);
    cr_assert(machine_run_insns(vm, insns - vm->cpu->insn_count, true));
    cr_assert_eq(vm->cpu->insn_count, insns);
}

/* ---- looking ---- */

static void hold(struct disk *disk, void *opaque)
{
    (void)opaque;
    disk_hold(disk);
}

static void release(struct disk *disk, void *opaque)
{
    (void)opaque;
    disk_release(disk);
}

static void hash_disk(struct disk *disk, void *opaque)
{
    uint64_t *hash = opaque;
    uint8_t *bytes = disk->image ? malloc(disk->image->size) : NULL;

    if (disk->image) {
        cr_assert_eq(image_read(disk->image, 0, bytes, disk->image->size), 0);
        *hash = XXH3_64bits_withSeed(bytes, disk->image->size, *hash);
    }
    free(bytes);
}

struct machine_look machine_look(struct vm *vm)
{
    struct machine_look look = {0};
    struct snap_writer writer;

    drives_for_each(&vm->drives, hold, NULL);
    snap_writer_init(&writer);
    snapshot_state_save(&writer, vm);
    cr_assert(!writer.failed);
    look.state = XXH3_64bits(writer.data, writer.length);
    look.memory = vm_memory_hash(vm);
    drives_for_each(&vm->drives, hash_disk, &look.disk);
    snap_writer_fini(&writer);
    drives_for_each(&vm->drives, release, NULL);
    return look;
}

void machine_expect(struct vm *vm, const struct machine_look *expected, const char *what)
{
    struct machine_look look = machine_look(vm);

    cr_assert_eq(look.state, expected->state, "%s: another state", what);
    cr_assert_eq(look.memory, expected->memory, "%s: other memory", what);
    cr_assert_eq(look.disk, expected->disk, "%s: another disk", what);
}

uint32_t machine_peek(struct vm *vm, uint32_t address)
{
    uint8_t bytes[4];

    cr_assert(addr_space_peek(pc_memory(vm->pc), address, bytes, sizeof(bytes)));
    return load_le32(bytes);
}

void machine_save(struct vm *vm, const char *name)
{
    struct error error = {{0}};

    cr_assert_eq(snapshot_save(vm, name, "", &error), 0, "%s", error.text);
    cr_assert_eq(snapshot_wait(vm, &error), 0, "%s", error.text);
}

void machine_load(struct vm *vm, const char *name)
{
    struct error error = {{0}};

    cr_assert_eq(snapshot_load(vm, name, &error), 0, "%s", error.text);
}
