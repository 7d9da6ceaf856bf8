/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ports that exist for people: POST codes, debug consoles, test exit, emulator shutdown.
 *
 * Source: no chip; conventions of firmware and emulators (see docs: "Ports").
 *
 *   80     POST code: remembered, reads back (the last 16 are kept for the monitor)
 *   E9     debug console: bytes to a character device; reads E9h so that a guest can probe for it
 *   402    SeaBIOS debug log, the same
 *   F4...  isa-debug-exit: a write of v ends the VM with exit code (v << 1) | 1
 *   505    pvpanic: reads the events that it knows, 1 panicked, 2 a crash kernel was loaded; the first, written, is told
 *   604, B004   soft off by a word write of SUS_EN with SUS_TYP 0 (2000h), for guests without an ACPI driver; a
 *               power management block that firmware places there comes first
 *
 * Not modelled: port 8900h "Shutdown".
 */
#ifndef DEVICES_DEBUG_PORTS_H
#define DEVICES_DEBUG_PORTS_H

#include "base/chardev.h"
#include "devices/device.h"

#define DEBUG_PORTS_POST_HISTORY 16u

struct debug_ports_config {
    struct chardev *debugcon;    /* NULL: port E9 decodes nothing; not owned */
    struct chardev *seabios_log; /* NULL: port 402 decodes nothing; not owned */
    uint16_t exit_iobase;        /* isa-debug-exit */
    uint16_t exit_iosize;        /* 1, 2 or 4; 0: no such device */
    /* Called from inside the port write; the VM ends before its next instruction. */
    void (*exit)(void *opaque, uint32_t code);
    void *exit_opaque;
    uint16_t pvpanic_iobase;        /* 0: no such device */
    void (*panicked)(void *opaque); /* called from inside the port write, with exit_opaque */
    struct line power_off;          /* pulsed from inside the port write */
};

struct debug_ports {
    struct device device;
    struct debug_ports_config config;
    struct region post, debugcon, seabios_log, exit, pvpanic, off_604, off_b004;
    uint8_t post_codes[DEBUG_PORTS_POST_HISTORY]; /* ring, newest before post_next */
    uint8_t post_next;
    uint8_t post_last;
};

/* NULL: out of memory. */
struct debug_ports *debug_ports_create(struct board *board, const struct debug_ports_config *config);

/* The n-th newest POST code, 0 the last one; 0 when there were fewer. */
uint8_t debug_ports_post_code(const struct debug_ports *ports, unsigned n);

#endif
