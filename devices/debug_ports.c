/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Debug and test ports; the table is in debug_ports.h.
 *
 * Source: conventions of SeaBIOS, Bochs and QEMU, as their documentation and users describe them.
 *
 * Output to a character device that cannot take more is dropped: a debug console must never hold the guest.
 *
 * Not modelled: see debug_ports.h.
 */
#include "devices/debug_ports.h"

#include <stdlib.h>

#define POST_PORT           0x80
#define DEBUGCON_PORT       0xe9
#define SEABIOS_LOG_PORT    0x402
#define OFF_604_PORT        0x604
#define OFF_B004_PORT       0xb004
#define CONSOLE_PRESENT     0xe9u
#define PVPANIC_PANICKED    1u
#define PVPANIC_CRASHLOADED 2u
#define OFF_MASK            0x3c00u /* SUS_EN and SUS_TYP */
#define OFF_VALUE           0x2000u
#define PRIORITY_OFF        (-20) /* behind the power management block of the chip set */

static const struct snap_field debug_ports_fields[] = {
    SNAP_BYTES(struct debug_ports, post_codes),
    SNAP_RANGE(struct debug_ports, post_next, 0, DEBUG_PORTS_POST_HISTORY - 1),
    SNAP_UINT(struct debug_ports, post_last),
};

static const struct snap_desc debug_ports_snap = {
    .name = "debug_ports", .version = 1, SNAP_FIELDS(debug_ports_fields)};

static uint64_t post_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct debug_ports *ports = opaque;
    (void)offset;
    (void)size;
    return ports->post_last;
}

static void post_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debug_ports *ports = opaque;
    (void)offset;
    (void)size;
    ports->post_last = (uint8_t)value;
    ports->post_codes[ports->post_next] = (uint8_t)value;
    ports->post_next = (ports->post_next + 1) % DEBUG_PORTS_POST_HISTORY;
}

static const struct region_ops post_ops = {.read = post_read, .write = post_write, .max_size = 1};

uint8_t debug_ports_post_code(const struct debug_ports *ports, unsigned n)
{
    unsigned size = DEBUG_PORTS_POST_HISTORY;
    return n < size ? ports->post_codes[(ports->post_next + size - 1 - n) % size] : 0;
}

static uint64_t console_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return CONSOLE_PRESENT;
}

static void console_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    uint8_t byte = (uint8_t)value;
    (void)offset;
    (void)size;
    (void)chardev_write(opaque, &byte, 1);
}

static const struct region_ops console_ops = {.read = console_read, .write = console_write, .max_size = 1};

static uint64_t exit_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return 0;
}

static void exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debug_ports *ports = opaque;
    (void)offset;
    (void)size;
    if (ports->config.exit) {
        ports->config.exit(ports->config.exit_opaque, (uint32_t)value << 1 | 1);
    }
}

static const struct region_ops exit_ops = {.read = exit_read, .write = exit_write, .max_size = 4};

static uint64_t pvpanic_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return PVPANIC_PANICKED | PVPANIC_CRASHLOADED;
}

/* A guest that has loaded a crash kernel will look after itself. */
static void pvpanic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debug_ports *ports = opaque;
    (void)offset;
    (void)size;
    if ((value & PVPANIC_PANICKED) && ports->config.panicked) {
        ports->config.panicked(ports->config.exit_opaque);
    }
}

static const struct region_ops pvpanic_ops = {.read = pvpanic_read, .write = pvpanic_write, .max_size = 1};

static uint64_t off_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return UINT64_MAX;
}

static void off_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debug_ports *ports = opaque;
    (void)offset;
    if (size == 2 && (value & OFF_MASK) == OFF_VALUE) {
        line_pulse(&ports->config.power_off);
    }
}

static const struct region_ops off_ops = {.read = off_read, .write = off_write, .max_size = 2};

/* --- Life -------------------------------------------------------------------------------------------- */

static void debug_ports_reset(struct device *device)
{
    struct debug_ports *ports = CONTAINER_OF(device, struct debug_ports, device);
    memset(ports->post_codes, 0, sizeof(ports->post_codes));
    ports->post_next = 0;
    ports->post_last = 0;
}

static void debug_ports_fini(struct device *device)
{
    struct debug_ports *ports = CONTAINER_OF(device, struct debug_ports, device);
    struct region *const regions[] = {&ports->post,    &ports->debugcon, &ports->seabios_log, &ports->exit,
                                      &ports->pvpanic, &ports->off_604,  &ports->off_b004};
    for (unsigned i = 0; i < ARRAY_LEN(regions); i++) {
        addr_space_remove(device->board->io, regions[i]);
    }
    free(ports);
}

static const struct device_ops debug_ports_ops = {
    .name = "debug_ports",
    .reset = debug_ports_reset,
    .fini = debug_ports_fini,
    .snap = &debug_ports_snap,
};

/* A port of size 0 is a device the user did not ask for: it decodes nothing. */
static void add_regions(struct debug_ports *ports)
{
    const struct debug_ports_config *config = &ports->config;
    struct addr_space *io = ports->device.board->io;

    region_init_io(&ports->post, "post", POST_PORT, 1, &post_ops, ports);
    region_init_io(&ports->debugcon, "debugcon", DEBUGCON_PORT, config->debugcon ? 1 : 0, &console_ops,
                   config->debugcon);
    region_init_io(&ports->seabios_log, "seabios-log", SEABIOS_LOG_PORT, config->seabios_log ? 1 : 0,
                   &console_ops, config->seabios_log);
    region_init_io(&ports->exit, "isa-debug-exit", config->exit_iobase, config->exit_iosize, &exit_ops,
                   ports);
    region_init_io(&ports->pvpanic, "pvpanic", config->pvpanic_iobase, config->pvpanic_iobase ? 1 : 0,
                   &pvpanic_ops, ports);
    region_init_io(&ports->off_604, "power-off-604", OFF_604_PORT, 2, &off_ops, ports);
    region_init_io(&ports->off_b004, "power-off-b004", OFF_B004_PORT, 2, &off_ops, ports);
    ports->off_604.priority = PRIORITY_OFF;
    ports->off_b004.priority = PRIORITY_OFF;
    addr_space_begin(io);
    addr_space_add(io, &ports->post);
    addr_space_add(io, &ports->debugcon);
    addr_space_add(io, &ports->seabios_log);
    addr_space_add(io, &ports->exit);
    addr_space_add(io, &ports->pvpanic);
    addr_space_add(io, &ports->off_604);
    addr_space_add(io, &ports->off_b004);
    addr_space_end(io);
}

struct debug_ports *debug_ports_create(struct board *board, const struct debug_ports_config *config)
{
    struct debug_ports *ports = calloc(1, sizeof(*ports));
    if (!ports) {
        return NULL;
    }
    ports->config = *config;
    device_init(&ports->device, &debug_ports_ops, board, NULL);
    add_regions(ports);
    debug_ports_reset(&ports->device);
    return ports;
}
