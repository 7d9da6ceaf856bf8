/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two machines that are equal but for the engine, and what a guest could tell them apart by.
 *
 * On top of the hostile device of tests/fuzz lies a tame one, at 80000h and on all ports, that counts what is done to
 * it, raises interrupts and shortens the budget in the middle of an instruction. A page of data is watched as a dirty
 * tracker would watch it.
 */
#include "tests/lockstep/lockstep.h"

#include <stdlib.h>

enum { WATCHED_FRAME = 0x44, RAM_SIZE = 4 * 1024 * 1024 };

/* ---- the device ---- */

static void device_note(struct side_device *device, uint64_t what)
{
    device->hash = (device->hash ^ what) * 0x9e3779b97f4a7c15 + 1;
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    struct side_device *device = opaque;

    device->reads++;
    device_note(device, offset << 8 | size);
    return device->hash >> 13;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct side_device *device = opaque;

    device->writes++;
    device_note(device, offset << 8 | size);
    device_note(device, value);
    switch (offset % 32) {
    case 4:
        vcpu_set_intr(device->cpu, true);
        break;
    case 8:
        vcpu_shorten(device->cpu, value % 32);
        break;
    default:
        break;
    }
}

static const struct region_ops device_ops = {.read = device_read, .write = device_write, .max_size = 8};

static uint8_t acknowledge(void *opaque)
{
    struct fuzz_machine *machine = opaque;
    struct vcpu *cpu = machine->cpu;

    vcpu_set_intr(cpu, false);
    return (uint8_t)(VECTOR_IRQ + rng_below(&machine->outside, 16));
}

static void page_dirtied(void *opaque, roff_t roff, uint64_t length)
{
    struct side *side = opaque;

    (void)length;
    side->device.dirty |= BIT(roff >> PAGE_SHIFT & 63);
    ram_watch_clear(&side->machine->ram, roff >> PAGE_SHIFT, RAM_WATCH_DIRTY);
}

static void add_device(struct side *side)
{
    struct side_device *device = &side->device;
    struct fuzz_machine *machine = side->machine;

    device->cpu = machine->cpu;
    region_init_io(&device->registers, "tame registers", AT_DEVICE, PAGE_SIZE, &device_ops, device);
    region_init_io(&device->ports, "tame ports", 0, 0x10000, &device_ops, device);
    device->registers.priority = 3;
    device->ports.priority = 1;
    addr_space_add(machine->mem, &device->registers);
    addr_space_add(machine->io, &device->ports);
    machine->cpu->wiring.interrupt_acknowledge = acknowledge;
    ram_set_watcher(&machine->ram, RAM_WATCH_DIRTY, page_dirtied, side);
    ram_watch_set(&machine->ram, WATCHED_FRAME, RAM_WATCH_DIRTY);
}

/* ---- life ---- */

bool pair_create(struct pair *pair, const struct pair_options *wanted)
{
    struct machine_options options = {.ram_size = RAM_SIZE, .outside_seed = wanted->outside};
    struct error error = {.text = "out of memory"};

    *pair = (struct pair){0};
    if (cpu_model_parse(cpu_model_find(NULL)->name, &options.model, &options.features, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        options.trace = i == 0 ? wanted->trace : NULL;
        pair->side[i].machine = machine_create(&options);
        if (!pair->side[i].machine) {
            return false;
        }
        if (!wanted->hostile) {
            add_device(&pair->side[i]);
        }
    }
    pair->side[1].engine = binxlate_create(pair->side[1].machine->cpu, &error);
    if (!pair->side[1].engine) {
        fprintf(stderr, "%s\n", error.text);
        return false;
    }
    binxlate_set_windows(pair->side[1].engine, wanted->windows);
    return true;
}

void pair_destroy(struct pair *pair)
{
    binxlate_destroy(pair->side[1].engine);
    machine_destroy(pair->side[0].machine);
    machine_destroy(pair->side[1].machine);
}

/* ---- comparison ---- */

static bool differ(struct pair *pair, const char *what, uint64_t a, uint64_t b)
{
    if (a == b) {
        return false;
    }
    snprintf(pair->text, sizeof(pair->text), "%s: interpreter %llx, translator %llx", what,
             (unsigned long long)a, (unsigned long long)b);
    return true;
}

/*
 * The A flag of a page-table entry may be set for an access that does not come to pass (SDM: Volume 3A, "Accessed and
 * Dirty Flags"): the translator looks for code before it sees that the budget is used up, and how long a global
 * entry stays cached is the engine's own affair. What one side has set, the other gets.
 */
static void settle_accessed(struct pair *pair)
{
    const uint32_t accessed = 0x20;
    uint8_t *a = pair->side[0].machine->ram.host, *b = pair->side[1].machine->ram.host;

    for (gpa_t at = AT_PAGES; at < AT_PAGES_END; at += 4) {
        uint32_t x, y;
        memcpy(&x, a + at, sizeof(x));
        memcpy(&y, b + at, sizeof(y));
        if (x != y && (x | accessed) == (y | accessed)) {
            x |= accessed;
            memcpy(a + at, &x, sizeof(x));
            memcpy(b + at, &x, sizeof(x));
        }
    }
}

/* Reserved bytes of the image: FXSAVE clears those behind the x87 registers, the interpreter leaves them alone. */
static void settle_fpu(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        struct fxsave *fpu = &pair->side[i].machine->cpu->fpu;
        for (unsigned n = 0; n < ARRAY_LEN(fpu->st); n++) {
            memset(fpu->st[n] + 10, 0, sizeof(fpu->st[n]) - 10);
        }
    }
}

static bool memory_differs(struct pair *pair)
{
    const uint8_t *a = pair->side[0].machine->ram.host, *b = pair->side[1].machine->ram.host;
    uint64_t at = 0;

    if (pair->side[0].machine->cpu->cr0 & CR0_PG) {
        settle_accessed(pair);
    }
    if (memcmp(a, b, RAM_SIZE) == 0) {
        return false;
    }
    while (a[at] == b[at]) {
        at++;
    }
    snprintf(pair->text, sizeof(pair->text), "memory at %llx: interpreter %02x, translator %02x",
             (unsigned long long)at, a[at], b[at]);
    return true;
}

static bool outside_differs(struct pair *pair)
{
    const struct side *a = &pair->side[0], *b = &pair->side[1];

    return differ(pair, "exit", a->why, b->why) ||
           differ(pair, "device reads", a->device.reads, b->device.reads) ||
           differ(pair, "device writes", a->device.writes, b->device.writes) ||
           differ(pair, "device contents", a->device.hash, b->device.hash) ||
           differ(pair, "hostile device", a->machine->outside.state, b->machine->outside.state) ||
           differ(pair, "dirty pages", a->device.dirty, b->device.dirty);
}

bool pair_equal(struct pair *pair, bool memory)
{
    struct vcpu *a = pair->side[0].machine->cpu, *b = pair->side[1].machine->cpu;
    struct error error = {.text = ""};

    pair->text[0] = '\0';
    if (differ(pair, "instructions", a->insn_count, b->insn_count) || differ(pair, "rip", a->rip, b->rip)) {
        return false;
    }
    settle_fpu(pair);
    if (!snap_equal(&vcpu_snap, a, b, &error)) {
        snprintf(pair->text, sizeof(pair->text), "%s", error.text);
        return false;
    }
    return !outside_differs(pair) && !(memory && memory_differs(pair));
}
