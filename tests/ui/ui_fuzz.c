/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Random input to windows on a desktop in memory, while VMs do what they like: no crash (and under a sanitizer no leak), and
 * whenever all keys of the host are up, or the window has lost them, nothing is down in any guest.
 *
 * UI_FUZZ_EVENTS and UI_FUZZ_SEED change how many and which.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "twin.h"
#include "ui/keymap.h"

enum { VMS = 3, STEP_EVERY = 32, SETTLE_EVERY = 1000, USAGES = 0xe8 };

struct fuzz {
    struct twin twin;
    struct desk desk;
    struct twin_vm vm[VMS];
    uint64_t random, now;
    unsigned charged;
};

static uint32_t next_random(struct fuzz *fuzz)
{
    fuzz->random ^= fuzz->random << 13; /* xorshift64 */
    fuzz->random ^= fuzz->random >> 7;
    fuzz->random ^= fuzz->random << 17;
    return (uint32_t)(fuzz->random >> 32);
}

static unsigned below(struct fuzz *fuzz, unsigned bound)
{
    return next_random(fuzz) % bound;
}

/* A pane that is open. */
static struct pane *any_pane(struct fuzz *fuzz)
{
    for (;;) {
        struct pane *pane = fuzz->twin.window[below(fuzz, TWIN_WINDOWS)].pane;

        if (pane) {
            return pane;
        }
    }
}

/* Mostly keys that matter. */
static enum key any_key(struct fuzz *fuzz)
{
    static const enum key keys[] = {KEY_RIGHT_CTRL, KEY_LEFT_CTRL, KEY_LEFT_ALT, KEY_RIGHT_ALT,
                                    KEY_LEFT_SHIFT, KEY_G,         KEY_ENTER,    KEY_ESC,
                                    KEY_DOWN,       KEY_O};
    enum key key = 0;

    if (below(fuzz, 2)) {
        return keys[below(fuzz, ARRAY_LEN(keys))];
    }
    while (!key) {
        key = keymap_find(below(fuzz, USAGES));
    }
    return key;
}

static void user_event(struct fuzz *fuzz)
{
    struct pane *pane = any_pane(fuzz);
    int x = (int)below(fuzz, 900) - 50, y = (int)below(fuzz, 700) - 50;

    switch (below(fuzz, 64)) {
    default:
        pane->ops->key(pane, any_key(fuzz), below(fuzz, 2));
        break;
    case 0 ... 9:
        pane->ops->motion(pane, x, y, x % 9, y % 9);
        break;
    case 10 ... 17:
        pane->ops->buttons(pane, (uint8_t)below(fuzz, 32), x, y);
        break;
    case 18 ... 20:
        pane->ops->wheel(pane, x % 5);
        break;
    case 21:
        pane->ops->focus(pane, below(fuzz, 2));
        break;
    case 22:
        if (!twin_of(&fuzz->twin, pane)->full_screen || below(fuzz, 2)) {
            twin_resize(&fuzz->twin, pane, 1 + below(fuzz, 500), 1 + below(fuzz, 400));
        }
        break;
    case 23:
        pane->ops->close(pane);
        break;
    case 24:
        pane->ops->dropped(pane, "/some/file.img");
        break;
    case 25 ... 27:
        pane->ops->text(pane, below(fuzz, 2) ? "x" : "\xe2\x82\xac");
        break;
    case 28:
        pane->visible = below(fuzz, 2);
        break;
    }
}

static void list_drives(struct fuzz *fuzz, struct twin_vm *vm)
{
    struct exchange_drive drives[EXCHANGE_DRIVES] = {{.id = "floppy0", .inserted = true, .file = "a.img"}};

    exchange_put_drives(vm->exchange, drives, below(fuzz, EXCHANGE_DRIVES + 1));
}

static void vm_event(struct fuzz *fuzz)
{
    struct twin_vm *vm = &fuzz->vm[below(fuzz, VMS)];

    switch (below(fuzz, 16)) {
    default:
        twin_vm_listen(vm);
        break;
    case 0:
        twin_vm_show(vm, 1 + below(fuzz, 300), 1 + below(fuzz, 200), (uint8_t)next_random(fuzz));
        break;
    case 1:
        vm->status.wants_position = below(fuzz, 2);
        vm->status.activity.disk++;
        vm->status.has_disk = true;
        twin_vm_life(vm, below(fuzz, 8) ? VM_RUNNING : VM_PAUSED, "");
        break;
    case 2:
        list_drives(fuzz, vm);
        break;
    case 3:
        exchange_put_copied(vm->exchange, strdup("some text\n"));
        break;
    case 4:
        exchange_say(vm->exchange, "message %u", next_random(fuzz));
        break;
    }
}

static void step(struct fuzz *fuzz)
{
    fuzz->now += below(fuzz, 50) * 1000000u;
    desk_step(&fuzz->desk, fuzz->now);
}

/* Everything on the host's keyboards and mice goes up, one by one; then nothing may be down in a guest. */
static void settle(struct fuzz *fuzz)
{
    for (unsigned i = 0; i < TWIN_WINDOWS; i++) {
        struct pane *pane = fuzz->twin.window[i].pane;

        for (unsigned usage = 0; pane && usage < USAGES; usage++) {
            if (keymap_find(usage)) {
                pane->ops->key(pane, keymap_find(usage), false);
            }
        }
        if (pane) {
            pane->ops->buttons(pane, 0, 5, 5);
        }
    }
    step(fuzz);
    for (unsigned i = 0; i < VMS; i++) {
        twin_vm_listen(&fuzz->vm[i]);
        cr_assert(twin_vm_nothing_down(&fuzz->vm[i]), "VM %u is left with something down", i);
    }
}

static unsigned accounts(void *opaque, struct hypervisor_account *account, unsigned max)
{
    struct fuzz *fuzz = opaque;

    for (unsigned i = 0; i < MIN(max, (unsigned)VMS); i++) {
        account[i] = (struct hypervisor_account){.insns = next_random(fuzz)};
        snprintf(account[i].name, sizeof(account[i].name), "vm%u", i);
        account[i].entity.charged_ns = next_random(fuzz);
    }
    return VMS;
}

static void run(uint64_t events, uint64_t seed)
{
    struct fuzz *fuzz = calloc(1, sizeof(*fuzz));

    fuzz->random = seed;
    fuzz->now = NS_PER_SEC;
    twin_init(&fuzz->twin);
    desk_init(&fuzz->desk, &fuzz->twin.host, accounts, fuzz);
    for (unsigned i = 0; i < VMS; i++) {
        char name[8];

        snprintf(name, sizeof(name), "vm%u", i);
        twin_vm_init(&fuzz->vm[i], &fuzz->twin, &fuzz->desk, name, i < 2);
    }
    for (uint64_t i = 0; i < events; i++) {
        user_event(fuzz);
        if (i % 4 == 0) {
            vm_event(fuzz);
        }
        if (i % STEP_EVERY == 0) {
            step(fuzz);
        }
        if (i % SETTLE_EVERY == 0) {
            settle(fuzz);
        }
    }
    settle(fuzz);
    desk_fini(&fuzz->desk);
    for (unsigned i = 0; i < VMS; i++) {
        twin_vm_fini(&fuzz->vm[i]);
    }
    twin_fini(&fuzz->twin);
    free(fuzz);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);

    return value ? strtoull(value, NULL, 0) : otherwise;
}

Test(ui_fuzz, random_input_breaks_nothing_and_leaves_nothing_down)
{
    run(number("UI_FUZZ_EVENTS", 1000000), number("UI_FUZZ_SEED", 88172645463325252u));
}
