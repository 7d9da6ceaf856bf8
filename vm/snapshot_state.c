/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Clock, processor and devices as one stream. See vm/snapshot_state.h.
 *
 * Loading sets the clock first, as timers and requests to disks are armed while devices are loaded; and once more after
 * the processor, as the clock of -icount counts the processor's instructions.
 */
#include "vm/snapshot_state.h"

#include <errno.h>

#include "vm/vm.h"

enum { TIMERS_MAX = 256, TIMER_NAME = 40 };

/* ---- the clock ---- */

struct clock_state {
    uint64_t now;
};

static const struct snap_field clock_fields[] = {
    SNAP_RANGE(struct clock_state, now, 0, CLOCK_NEVER - 1),
};

static const struct snap_desc clock_snap = {.name = "clock", .version = 1, SNAP_FIELDS(clock_fields)};

/* ---- the order of timers ---- */

struct timer_state {
    uint8_t name[TIMER_NAME]; /* the rest is zeros */
    uint64_t deadline;
};

struct timers_state {
    uint32_t count;
    struct timer_state timer[TIMERS_MAX];
};

static const struct snap_field timer_fields[] = {
    SNAP_BYTES(struct timer_state, name),
    SNAP_UINT(struct timer_state, deadline),
};

static const struct snap_field timers_fields[] = {
    SNAP_RANGE(struct timers_state, count, 0, TIMERS_MAX),
    SNAP_STRUCTS(struct timers_state, timer, TIMERS_MAX, timer_fields),
};

static const struct snap_desc timers_snap = {.name = "timers", .version = 1, SNAP_FIELDS(timers_fields)};

static void timers_note(struct timers_state *state, const struct clock *clock)
{
    memset(state, 0, sizeof(*state));
    for (const struct timer *timer = clock->queue; timer && state->count < TIMERS_MAX; timer = timer->next) {
        struct timer_state *noted = &state->timer[state->count++];

        memcpy(noted->name, timer->name, MIN(strlen(timer->name), sizeof(noted->name)));
        noted->deadline = timer->deadline;
    }
}

static bool timer_is(const struct timer *timer, const struct timer_state *noted)
{
    size_t length = strlen(timer->name);

    return timer->deadline == noted->deadline && length <= sizeof(noted->name) &&
           !memcmp(timer->name, noted->name, length) &&
           (length == sizeof(noted->name) || noted->name[length] == 0);
}

/* Arm the timers again, those that the stream names in its order, the others behind them. */
static void timers_restore_order(struct clock *clock, const struct timers_state *state)
{
    struct timer *armed[TIMERS_MAX], *timer;
    uint64_t deadline[TIMERS_MAX];
    unsigned count = 0, ordered = 0;

    for (timer = clock->queue; timer && count < TIMERS_MAX; timer = timer->next) {
        armed[count++] = timer;
    }
    for (unsigned i = 0; i < state->count; i++) {
        for (unsigned k = ordered; k < count; k++) {
            if (timer_is(armed[k], &state->timer[i])) {
                timer = armed[k];
                memmove(&armed[ordered + 1], &armed[ordered], (k - ordered) * sizeof(*armed));
                armed[ordered++] = timer;
                break;
            }
        }
    }
    for (unsigned i = 0; i < count; i++) {
        deadline[i] = armed[i]->deadline;
        timer_disarm(armed[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        timer_arm(armed[i], deadline[i]);
    }
}

/* ---- all of it ---- */

void snapshot_state_save(struct snap_writer *writer, struct vm *vm)
{
    struct clock_state clock = {.now = clock_now(&vm->clock)};
    struct timers_state timers;

    snap_save(writer, &clock_snap, &clock);
    snap_save(writer, &vcpu_snap, vm->cpu);
    for (const struct device *device = pc_board(vm->pc)->devices; device; device = device->next) {
        if (device->ops->snap) {
            snap_save(writer, device->ops->snap, device);
        }
    }
    timers_note(&timers, &vm->clock);
    snap_save(writer, &timers_snap, &timers);
}

static int load_devices(struct vm *vm, struct snap_reader *reader, struct error *error)
{
    int result = 0;

    addr_space_begin(pc_memory(vm->pc));
    addr_space_begin(pc_ports(vm->pc));
    for (struct device *device = pc_board(vm->pc)->devices; device && result == 0; device = device->next) {
        if (device->ops->snap) {
            result = snap_load(reader, device->ops->snap, device, error);
        }
        if (result < 0) {
            error_prefix(error, result, "device %s", device->id);
        }
    }
    addr_space_end(pc_ports(vm->pc));
    addr_space_end(pc_memory(vm->pc));
    return result;
}

int snapshot_state_load(struct vm *vm, const uint8_t *bytes, size_t length, struct error *error)
{
    struct snap_reader reader = {.data = bytes, .length = length};
    struct timers_state timers;
    struct clock_state clock;
    int result = snap_load(&reader, &clock_snap, &clock, error);

    if (result == 0) {
        clock_set_now(&vm->clock, clock.now);
        result = snap_load(&reader, &vcpu_snap, vm->cpu, error);
    }
    if (result == 0) {
        clock_set_now(&vm->clock, clock.now);
        result = load_devices(vm, &reader, error);
    }
    if (result == 0) {
        result = snap_load(&reader, &timers_snap, &timers, error);
    }
    if (result == 0 && reader.position != length) {
        result = error_set(error, -EINVAL, "bytes follow the last device");
    }
    if (result == 0) {
        timers_restore_order(&vm->clock, &timers);
        vcpu_sync(vm->cpu);
    }
    return result;
}
