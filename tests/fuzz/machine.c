/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The machines that random code runs on: a processor with memory and one hostile device, or the whole board.
 *
 *   bare machine   RAM from 0; one page of registers at 80000h that read as anything and whose writes move the pins and
 *                  the memory map in the middle of an instruction; the same on every port; a ROM and two windows that
 *                  show the code's frames at other addresses
 *   board          devices/pc.c with random firmware; serial peers that send anything, take some
 *
 * Time is a function of instructions retired in both, so that a round is a function of its seed.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { BIOS_SIZE = 64 * 1024, ICOUNT_SHIFT = 3 };

/* ---- hooks of the processor ---- */

static uint8_t hook_acknowledge(void *opaque)
{
    struct fuzz_machine *machine = opaque;

    return machine->pc ? pc_interrupt_acknowledge(machine->pc) : (uint8_t)rng_next(&machine->outside);
}

static void hook_apic_base(void *opaque, uint64_t value)
{
    struct fuzz_machine *machine = opaque;

    if (machine->pc) {
        pc_apic_base_changed(machine->pc, value);
    }
}

static void hook_ferr(void *opaque, bool level)
{
    struct fuzz_machine *machine = opaque;

    if (machine->pc) {
        pc_set_ferr(machine->pc, level);
    } else if (level && rng_once_in(&machine->outside, 2)) {
        vcpu_set_intr(machine->cpu, true);
    }
}

static bool hook_debug_stop(void *opaque)
{
    struct fuzz_machine *machine = opaque;

    return machine->stop_at != 0 && ++machine->asked >= machine->stop_at;
}

/* ---- the hostile device of the bare machine ---- */

/* Move one thing of the machine; called in the middle of an instruction. */
static void device_act(struct fuzz_machine *machine, uint64_t what)
{
    struct hostile_device *device = &machine->device;

    switch (what % 16) {
    case 0:
        vcpu_set_a20(machine->cpu, what >> 4 & 1);
        break;
    case 1:
        vcpu_set_intr(machine->cpu, what >> 4 & 1);
        break;
    case 2:
        vcpu_set_nmi(machine->cpu);
        break;
    case 3:
        region_set_enabled(&device->alias, what >> 4 & 1);
        break;
    case 4:
        region_move(&device->alias, ALIGN_DOWN(what % machine->ram_size, PAGE_SIZE));
        break;
    case 5:
        region_set_visible(&device->rom, (uint8_t)(what >> 4 & REGION_RW));
        break;
    case 6:
        region_set_enabled(&device->rom, what >> 4 & 1);
        break;
    case 7:
        region_set_enabled(&device->high_alias, what >> 4 & 1);
        break;
    case 8:
        vcpu_clear_ferr(machine->cpu);
        break;
    default:
        break;
    }
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    struct fuzz_machine *machine = opaque;

    (void)offset;
    (void)size;
    if (rng_once_in(&machine->outside, 16)) {
        device_act(machine, rng_next(&machine->outside));
    }
    return rng_next(&machine->outside);
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fuzz_machine *machine = opaque;

    (void)size;
    device_act(machine, rng_next(&machine->outside) ^ value ^ offset);
}

static const struct region_ops device_ops = {.read = device_read, .write = device_write, .max_size = 8};

static void add_devices(struct fuzz_machine *machine)
{
    struct hostile_device *device = &machine->device;

    region_init_io(&device->registers, "registers", AT_DEVICE, PAGE_SIZE, &device_ops, machine);
    region_init_io(&device->ports, "ports", 0, 0x10000, &device_ops, machine);
    region_init_memory(&device->rom, "rom", AT_ROM, 0x8000, AT_CODE, REGION_READ);
    region_init_memory(&device->alias, "alias", AT_ALIAS, 0x10000, AT_CODE, REGION_RW);
    region_init_memory(&device->high_alias, "high alias", 0xfffe0000, 0x20000, AT_CODE, REGION_RW);
    device->registers.priority = 2;
    device->rom.priority = device->alias.priority = device->high_alias.priority = 1;
    addr_space_add(&machine->bare_mem, &device->rom);
    addr_space_add(&machine->bare_mem, &device->alias);
    addr_space_add(&machine->bare_mem, &device->high_alias);
    addr_space_add(&machine->bare_mem, &device->registers);
    addr_space_add(&machine->bare_io, &device->ports);
}

static bool create_bare(struct fuzz_machine *machine, struct error *error)
{
    if (ram_init(&machine->ram, machine->ram_size, error) < 0 ||
        addr_space_init(&machine->bare_mem, "memory", BITS(35, 0), &machine->ram) < 0 ||
        addr_space_init(&machine->bare_io, "ports", UINT16_MAX, NULL) < 0) {
        return false;
    }
    machine->mem = &machine->bare_mem;
    machine->io = &machine->bare_io;
    region_init_memory(&machine->bare_ram, "ram", 0, machine->ram_size,
                       ram_alloc(&machine->ram, machine->ram_size), REGION_RW);
    addr_space_add(machine->mem, &machine->bare_ram);
    add_devices(machine);
    return true;
}

/* ---- the board ---- */

static void hook_set_intr(void *opaque, bool level)
{
    struct fuzz_machine *machine = opaque;

    if (machine->cpu) {
        vcpu_set_intr(machine->cpu, level);
    }
}

static void hook_set_nmi(void *opaque)
{
    struct fuzz_machine *machine = opaque;

    if (machine->cpu) {
        vcpu_set_nmi(machine->cpu);
    }
}

static void hook_set_a20(void *opaque, bool enabled)
{
    struct fuzz_machine *machine = opaque;

    if (machine->cpu) {
        vcpu_set_a20(machine->cpu, enabled);
    }
}

static void hook_clear_ferr(void *opaque)
{
    vcpu_clear_ferr(((struct fuzz_machine *)opaque)->cpu);
}

static void end_life(struct fuzz_machine *machine)
{
    machine->reset_requested = true;
    if (machine->cpu) {
        vcpu_kick(machine->cpu);
    }
}

static void hook_request_reset(void *opaque)
{
    struct fuzz_machine *machine = opaque;

    machine->stats->resets++;
    end_life(machine);
}

static void hook_power_off(void *opaque)
{
    struct fuzz_machine *machine = opaque;

    machine->stats->power_offs++;
    end_life(machine);
}

static void hook_debug_exit(void *opaque, uint32_t code)
{
    struct fuzz_machine *machine = opaque;

    (void)code;
    machine->stats->debug_exits++;
}

/* A serial peer that takes what it likes. */
static size_t peer_write(struct chardev *chardev, const uint8_t *bytes, size_t n)
{
    struct fuzz_machine *machine = CONTAINER_OF(chardev, struct fuzz_machine, peer);

    (void)bytes;
    return rng_once_in(&machine->outside, 4) ? rng_below(&machine->outside, (uint32_t)n + 1) : n;
}

static void peer_destroy(struct chardev *chardev)
{
    (void)chardev;
}

static const struct chardev_ops peer_ops = {.write = peer_write, .destroy = peer_destroy};

static bool create_board(struct fuzz_machine *machine, struct error *error)
{
    struct pc_config config = {
        .ram_size = machine->ram_size,
        .bios_size = BIOS_SIZE,
        .vga = true,
        .rtc_start = (int64_t)rng_below(&machine->outside, 1u << 31),
        .serial = {&machine->peer},
        .exit_iobase = 0xf4,
        .exit_iosize = 4,
        .opaque = machine,
        .set_intr = hook_set_intr,
        .set_nmi = hook_set_nmi,
        .set_a20 = hook_set_a20,
        .clear_ferr = hook_clear_ferr,
        .request_reset = hook_request_reset,
        .power_off = hook_power_off,
        .debug_exit = hook_debug_exit,
    };
    uint8_t *bios = malloc(BIOS_SIZE);

    if (!bios) {
        return false;
    }
    rng_fill(&machine->outside, bios, BIOS_SIZE);
    config.bios = bios;
    machine->peer.ops = &peer_ops;
    if (ram_init(&machine->ram, pc_memory_size(machine->ram_size, BIOS_SIZE), error) == 0) {
        machine->pc = pc_create(&config, &machine->ram, &machine->clock, &machine->log, error);
    }
    free(bios);
    if (!machine->pc) {
        return false;
    }
    machine->mem = pc_memory(machine->pc);
    machine->io = pc_ports(machine->pc);
    return true;
}

/* ---- life ---- */

static bool create_processor(struct fuzz_machine *machine, const struct machine_options *options,
                             struct error *error)
{
    struct vcpu_wiring wiring = {
        .mem = machine->mem,
        .io = machine->io,
        .clock = &machine->clock,
        .log = &machine->log,
        .board = machine,
        .interrupt_acknowledge = hook_acknowledge,
        .apic_base_changed = hook_apic_base,
        .debug_stop = hook_debug_stop,
        .ferr = hook_ferr,
    };

    machine->cpu = vcpu_create(options->model, options->features, &wiring, error);
    if (!machine->cpu) {
        return false;
    }
    clock_set_icount(&machine->clock, &machine->cpu->insn_count, ICOUNT_SHIFT);
    return true;
}

static void set_up_log(struct fuzz_machine *machine, const struct machine_options *options)
{
    log_init(&machine->log);
    if (options->trace) {
        machine->log.stream = options->trace;
        machine->log.mask = LOG_EXEC | LOG_INT;
        machine->log.byte_limit = 0;
    } else if (options->trace_exec) {
        machine->log.stream = fopen("/dev/null", "w");
        machine->log.close_stream = machine->log.stream != NULL;
        machine->log.mask = machine->log.stream ? LOG_EXEC : 0;
        machine->log.byte_limit = 0;
    }
}

struct fuzz_machine *machine_create(const struct machine_options *options)
{
    struct fuzz_machine *machine = calloc(1, sizeof(*machine));
    struct error error = {.text = "out of memory"};

    if (!machine) {
        return NULL;
    }
    machine->ram.fd = -1;
    machine->ram_size = options->ram_size;
    machine->outside.state = options->outside_seed;
    machine->stats = options->stats;
    set_up_log(machine, options);
    clock_init(&machine->clock, CLOCK_ICOUNT);
    clock_set_icount(&machine->clock, &machine->events_at, 0); /* 0 until there is a processor */
    bool created = options->board ? create_board(machine, &error) : create_bare(machine, &error);
    if (!created || !create_processor(machine, options, &error)) {
        fprintf(stderr, "cannot create the machine: %s\n", error.text);
        machine_destroy(machine);
        return NULL;
    }
    return machine;
}

void machine_destroy(struct fuzz_machine *machine)
{
    if (!machine) {
        return;
    }
    clock_set_icount(&machine->clock, &machine->events_at, 0);
    vcpu_destroy(machine->cpu);
    machine->cpu = NULL;
    pc_destroy(machine->pc);
    if (machine->bare_mem.flat) {
        addr_space_fini(&machine->bare_mem);
    }
    if (machine->bare_io.flat) {
        addr_space_fini(&machine->bare_io);
    }
    ram_fini(&machine->ram);
    machine->log.stream = stderr;
    log_fini(&machine->log);
    free(machine);
}

void machine_write(struct fuzz_machine *machine, gpa_t at, const void *bytes, size_t count)
{
    addr_space_poke(machine->mem, at, bytes, count);
}

/* ---- disturbances ---- */

/* The BIOS's part: the 80 by 25 text mode, from which random code goes on. */
static void set_text_mode(struct fuzz_machine *machine)
{
    static const uint8_t sequencer[] = {3, 0, 3, 0, 2}, graphics[] = {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff};
    static const uint8_t crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                   0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x0e,
                                   0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};

    addr_space_write(machine->io, 0x3c2, 0x67, 1);
    addr_space_write(machine->io, 0x3d4, 0x0011, 2); /* unlock the CRTC's first registers */
    for (unsigned i = 0; i < sizeof(crtc); i++) {
        addr_space_write(machine->io, 0x3d4, i | (unsigned)crtc[i] << 8, 2);
    }
    for (unsigned i = 0; i < sizeof(sequencer); i++) {
        addr_space_write(machine->io, 0x3c4, i | (unsigned)sequencer[i] << 8, 2);
    }
    for (unsigned i = 0; i < sizeof(graphics); i++) {
        addr_space_write(machine->io, 0x3ce, i | (unsigned)graphics[i] << 8, 2);
    }
    addr_space_read(machine->io, 0x3da, 1);
    addr_space_write(machine->io, 0x3c0, 0x20, 1); /* the attribute controller shows the picture */
}

static void disturb_board(struct fuzz_machine *machine, struct rng *rng)
{
    uint8_t bytes[4];

    clock_run_timers(&machine->clock);
    switch (rng_below(rng, 8)) {
    case 0:
        rng_fill(rng, bytes, sizeof(bytes));
        if (machine->peer.receive) {
            machine->peer.receive(machine->peer.front, bytes, sizeof(bytes));
        }
        break;
    case 1:
        if (machine->peer.writable) {
            machine->peer.writable(machine->peer.front);
        }
        break;
    case 2:
        pc_power_button(machine->pc);
        break;
    case 3:
        clock_skip(&machine->clock, rng_below(rng, 50000000));
        clock_run_timers(&machine->clock);
        break;
    case 4:
        set_text_mode(machine);
        break;
    default:
        break;
    }
}

/* The front ends' part: keys, motion, and a look at the screen. */
static void disturb_front_ends(struct fuzz_machine *machine, struct rng *rng)
{
    struct input_sink input = i8042_input(pc_keyboard(machine->pc));
    struct display display = vga_display(pc_vga(machine->pc));
    uint8_t glyph[DISPLAY_GLYPH_ROWS];

    input_key(&input,
              (enum key)(rng_once_in(rng, 4) ? 0xe000 + rng_below(rng, 128) : 1 + rng_below(rng, 0x7e)),
              rng_once_in(rng, 2));
    input_motion(&input, (int)rng_u32(rng) >> 20, (int)rng_u32(rng) >> 20, (int)rng_below(rng, 3) - 1);
    input_buttons(&input, (uint8_t)rng_below(rng, 32));
    struct display_text *text = malloc(sizeof(*text));
    if (text && display.ops->kind(display.opaque) == DISPLAY_TEXT) {
        display.ops->read_text(display.opaque, text);
        display.ops->read_glyph(display.opaque, rng_below(rng, 2), (uint8_t)rng_next(rng), glyph);
    }
    free(text);
}

void machine_disturb(struct fuzz_machine *machine, struct rng *rng)
{
    uint8_t bytes[16];

    if (machine->pc) {
        disturb_board(machine, rng);
        if (rng_once_in(rng, 8)) {
            disturb_front_ends(machine, rng);
        }
    } else if (rng_once_in(rng, 2)) {
        device_act(machine, rng_next(rng));
    }
    if (rng_once_in(rng, 4)) { /* DMA, code included */
        rng_fill(rng, bytes, sizeof(bytes));
        dma_write(machine->mem, rng_below(rng, LOW_END), bytes, rng_range(rng, 1, sizeof(bytes)));
    }
}
