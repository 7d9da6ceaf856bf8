/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The keys of one window: which go to the guest, which are chords for us.
 *
 *   host key + key of an action     the action
 *   Ctrl + Alt + G                  ACTION_GRAB
 *
 * The host key is held back as long as it may be part of a chord, and so is whichever of Ctrl and Alt comes second. The first
 * key that is no modifier decides: it makes an action, and the guest never sees any of what was held back; or it does not,
 * and the guest sees all of it in order. A mouse button decides, too. The host key pressed and released alone does nothing.
 *
 * NOTE: of Ctrl+Alt+G the guest sees the first modifier going down and up: holding that back would keep Ctrl from guests that
 * use it by itself.
 *
 * Repeated reports of a key that is down are swallowed: the guest's keyboard repeats by itself.
 */
#ifndef UI_CHORD_H
#define UI_CHORD_H

#include "devices/input.h"
#include "ui/action.h"

enum { CHORD_KEY_BYTES = 32, CHORD_HELD_MAX = 8 };

struct chord_ops {
    void (*key)(void *opaque, enum key key, bool down); /* for the guest */
    void (*action)(void *opaque, enum action action);
};

/* One bit a key, by key_index(). */
struct key_set {
    uint8_t bytes[CHORD_KEY_BYTES];
};

struct chord {
    const struct chord_ops *ops;
    void *opaque;
    enum key host_key;
    struct key_set physical;       /* down on the host's keyboard */
    struct key_set in_guest;       /* down in the guest's */
    enum key held[CHORD_HELD_MAX]; /* held back, in order */
    unsigned held_count;
    bool
        consumed; /* the host key is down and has been part of a chord: until it goes up nothing goes to the guest */
};

void chord_init(struct chord *chord, enum key host_key, const struct chord_ops *ops, void *opaque);
/* A key of the host's keyboard. */
void chord_key(struct chord *chord, enum key key, bool down);
/* A mouse button goes down: what was held back is not for a chord. */
void chord_button(struct chord *chord);
/* The window lost the keyboard: everything is up. */
void chord_reset(struct chord *chord);
/* The guest was told to take all keys as up, by other means. */
void chord_forget(struct chord *chord);

/* Sets of keys. Prefixed ones have their bit 80h set: 0..255. */
static inline unsigned key_index(enum key key)
{
    return ((unsigned)key & 0x7f) | ((unsigned)key >> 8 ? 0x80u : 0);
}

static inline enum key key_of_index(unsigned index)
{
    return (enum key)(index & 0x80 ? 0xe000u | (index & 0x7f) : index);
}

static inline bool key_set_has(const struct key_set *set, enum key key)
{
    return set->bytes[key_index(key) / 8] >> (key_index(key) % 8) & 1;
}

/* Returns whether that changed anything. */
static inline bool key_set_put(struct key_set *set, enum key key, bool in)
{
    uint8_t mask = (uint8_t)(1u << (key_index(key) % 8));
    uint8_t *byte = &set->bytes[key_index(key) / 8], before = *byte;

    *byte = (uint8_t)(in ? before | mask : before & ~mask);
    return *byte != before;
}

#endif
