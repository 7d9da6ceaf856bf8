/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The promises every device makes (devices/device.h), tested by throwing random accesses at it.
 *
 * A target says how to put the device on a fake board and which windows of the port and memory spaces reach
 * it. device_contract_check() then checks, for every device that `create` put on the board:
 *
 *   - random reads and writes of every size, clock steps and resets do no harm (run it under ASan and UBSan)
 *   - the same inputs give the same outputs, lines included
 *   - save, load into a fresh device, save is byte-identical at random moments, and both go on alike
 *   - the state after reset equals the state after creation, field by field
 *   - a snapshot with any byte changed is refused, or gives a device that still keeps the first promise
 *
 * The random numbers depend on the seed alone, so a failure can be repeated.
 */
#ifndef TESTS_DEVICE_PORT_FUZZ_H
#define TESTS_DEVICE_PORT_FUZZ_H

#include "tests/device/fake_board.h"

struct fuzz_window {
    bool memory; /* else ports */
    uint64_t base, size;
};

struct fuzz_target {
    void (*create)(struct fake_board *fb);
    /* A host-side input (key, received byte, device line) chosen by `random`; NULL if none. Finds its device
     * with board_find_device(). */
    void (*poke)(struct fake_board *fb, uint64_t random);
    /* Bring the inputs that `poke` drives back to their level at creation: a reset does not change what
     * others drive. NULL if `poke` leaves none changed. */
    void (*quiet)(struct fake_board *fb);
    struct fuzz_window windows[12];
    unsigned window_count;
    bool survives_reset;  /* battery-backed: part of the state is meant to outlive a reset */
    uint64_t max_step_ns; /* longest single clock step; 0: 20 ms */
};

/* xorshift64*: the next of a sequence; *state must not be 0. */
uint64_t fuzz_random(uint64_t *state);

/* `accesses` random accesses, clock steps and pokes. Returns a digest of all values read and lines seen. */
uint64_t port_fuzz(struct fake_board *fb, const struct fuzz_target *target, uint64_t seed, unsigned accesses);

void device_contract_check(const struct fuzz_target *target, unsigned accesses);

#endif
