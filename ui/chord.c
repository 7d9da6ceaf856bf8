/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state machine of chords. See ui/chord.h.
 *
 *   idle --host key, or second of Ctrl and Alt--> held --more modifiers--> held
 *                                                   |
 *                 key of an action: consumed, or idle for Ctrl+Alt+G;  any other key: all go to the guest, idle
 */
#include "ui/chord.h"

static bool is_modifier(enum key key)
{
    switch ((unsigned)key) {
    case KEY_LEFT_CTRL:
    case KEY_RIGHT_CTRL:
    case KEY_LEFT_ALT:
    case KEY_RIGHT_ALT:
    case KEY_LEFT_SHIFT:
    case KEY_RIGHT_SHIFT:
    case KEY_LEFT_META:
    case KEY_RIGHT_META:
        return true;
    default:
        return false;
    }
}

static bool is_ctrl(enum key key)
{
    return key == KEY_LEFT_CTRL || key == KEY_RIGHT_CTRL;
}

static bool is_alt(enum key key)
{
    return key == KEY_LEFT_ALT || key == KEY_RIGHT_ALT;
}

static bool ctrl_down(const struct chord *chord)
{
    return key_set_has(&chord->physical, KEY_LEFT_CTRL) || key_set_has(&chord->physical, KEY_RIGHT_CTRL);
}

static bool alt_down(const struct chord *chord)
{
    return key_set_has(&chord->physical, KEY_LEFT_ALT) || key_set_has(&chord->physical, KEY_RIGHT_ALT);
}

static void send(struct chord *chord, enum key key, bool down)
{
    if (key_set_put(&chord->in_guest, key, down)) {
        chord->ops->key(chord->opaque, key, down);
    }
}

static int find_held(const struct chord *chord, enum key key)
{
    for (unsigned i = 0; i < chord->held_count; i++) {
        if (chord->held[i] == key) {
            return (int)i;
        }
    }
    return -1;
}

static void unhold(struct chord *chord, int at)
{
    chord->held_count--;
    memmove(&chord->held[at], &chord->held[at + 1],
            (chord->held_count - (unsigned)at) * sizeof(chord->held[0]));
}

/* It was no chord: the guest sees what was held back. */
static void reveal(struct chord *chord)
{
    for (unsigned i = 0; i < chord->held_count; i++) {
        send(chord, chord->held[i], true);
    }
    chord->held_count = 0;
}

static bool must_hold(const struct chord *chord, enum key key)
{
    if (key == chord->host_key) {
        return true;
    }
    return is_modifier(key) &&
           (chord->held_count > 0 || (is_ctrl(key) && alt_down(chord)) || (is_alt(key) && ctrl_down(chord)));
}

/* It was one: modifiers that the guest has seen go up there. */
static void act(struct chord *chord, enum action action)
{
    chord->held_count = 0;
    for (unsigned i = 0; i < 256; i++) {
        enum key key = key_of_index(i);

        if (is_modifier(key) && key_set_has(&chord->in_guest, key)) {
            send(chord, key, false);
        }
    }
    chord->ops->action(chord->opaque, action);
}

/* A key that decides. */
static void decide(struct chord *chord, enum key key)
{
    bool host = find_held(chord, chord->host_key) >= 0 || chord->consumed;
    enum action action = host ? action_of_key(key) : ACTION_NONE;

    if (action == ACTION_NONE && key == KEY_G && ctrl_down(chord) && alt_down(chord)) {
        action = ACTION_GRAB;
    }
    if (action != ACTION_NONE) {
        chord->consumed = chord->consumed || host;
        act(chord, action);
    } else if (!chord->consumed) {
        reveal(chord);
        send(chord, key, true);
    }
}

static void key_down(struct chord *chord, enum key key)
{
    if (chord->consumed && is_modifier(key)) {
        return;
    }
    if (must_hold(chord, key) && chord->held_count < CHORD_HELD_MAX) {
        chord->held[chord->held_count++] = key;
    } else {
        decide(chord, key);
    }
}

static void key_up(struct chord *chord, enum key key)
{
    int at = find_held(chord, key);

    if (key == chord->host_key) {
        chord->consumed = false;
        if (at >= 0) { /* alone it means nothing; what came after it means what it always does */
            unhold(chord, at);
            reveal(chord);
            return;
        }
    } else if (at >= 0 && find_held(chord, chord->host_key) >= 0) {
        unhold(chord, at); /* a modifier came and went; the host key may still be about to make a chord */
        return;
    } else if (at >= 0) {
        reveal(chord);
    }
    send(chord, key, false);
}

void chord_init(struct chord *chord, enum key host_key, const struct chord_ops *ops, void *opaque)
{
    *chord = (struct chord){.ops = ops, .opaque = opaque, .host_key = host_key};
}

void chord_key(struct chord *chord, enum key key, bool down)
{
    if (!key_set_put(&chord->physical, key, down)) {
        return;
    }
    if (down) {
        key_down(chord, key);
    } else {
        key_up(chord, key);
    }
}

void chord_button(struct chord *chord)
{
    reveal(chord);
}

void chord_reset(struct chord *chord)
{
    chord->held_count = 0;
    chord->consumed = false;
    memset(&chord->physical, 0, sizeof(chord->physical));
    for (unsigned i = 0; i < 256; i++) {
        if (key_set_has(&chord->in_guest, key_of_index(i))) {
            send(chord, key_of_index(i), false);
        }
    }
}

void chord_forget(struct chord *chord)
{
    memset(&chord->in_guest, 0, sizeof(chord->in_guest));
    chord->held_count = 0;
}
