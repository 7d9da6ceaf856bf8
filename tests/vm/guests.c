/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of whole VMs share. See guests.h. GUEST_ROM is the path of the ROM that nasm made.
 */
#include "guests.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 40, LINE_SIZE = 1024 };

struct vm *guest_try(const char *name, const char *engine, const char *options, struct error *error)
{
    struct vm_config *config = calloc(1, sizeof(*config)); /* the VM borrows its strings, and the line's */
    char *line = calloc(1, LINE_SIZE), *word[WORDS_MAX], *save = NULL;
    enum config_action action;
    int count = 0;

    snprintf(line, LINE_SIZE,
             "hypatia -name %s -m 1 -vga none -bios %s -display none -nodefaults -serial null -accel %s %s",
             name, GUEST_ROM, engine, options);
    for (char *at = strtok_r(line, " ", &save); at && count < WORDS_MAX; at = strtok_r(NULL, " ", &save)) {
        word[count++] = at;
    }
    config_init(config);
    cr_assert_eq(config_parse(config, count, word, &action, error), 0, "%s", error->text);
    return vm_create(config, error);
}

struct vm *guest_create(const char *name, const char *engine, const char *options)
{
    struct error error = {{0}};
    struct vm *vm = guest_try(name, engine, options, &error);

    cr_assert_not_null(vm, "%s", error.text);
    return vm;
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    struct guest_device *device = opaque;

    (void)offset;
    (void)size;
    if (++device->reads > device->after) {
        device->misbehave(device->opaque);
    }
    return 0;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)value;
    (void)size;
}

void guest_add_device(struct guest_device *device, struct vm *vm, unsigned after,
                      void (*misbehave)(void *opaque), void *opaque)
{
    static const struct region_ops ops = {.read = device_read, .write = device_write};

    *device = (struct guest_device){.vm = vm, .after = after, .misbehave = misbehave, .opaque = opaque};
    region_init_io(&device->region, "test", GUEST_PORT, 1, &ops, device);
    addr_space_add(pc_ports(vm->pc), &device->region);
}

uint64_t guest_run_alone(struct vm *vm)
{
    uint64_t wait, hash;

    while (vm_step(vm, UINT64_MAX, &wait) != VM_NEXT_STOPPED) {
    }
    cr_assert_eq(vm->outcome, VM_OUTCOME_LIMIT, "%s", vm->reason);
    hash = vm_memory_hash(vm);
    vm_destroy(vm);
    return hash;
}
