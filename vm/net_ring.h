/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A bounded queue of frames between two threads: one puts frames in at a time, one takes them out, neither waits.
 *
 *            head (taken up to here)        tail (put up to here)
 *              |                              |
 *   +----------v--+-------------+------+------v-----------------------------+
 *   |          | length | frame | .. | | length | frame |                   |
 *   +-------------+-------------+------+------------------------------------+
 *                 each record begins on 8 bytes and lies in one piece
 *
 * Head and tail count bytes; their lower bits are the place in the ring. A record that does not fit before the ring's end
 * begins at its beginning, behind a length of 0 that says so. Who finds the ring empty may send both back to the beginning,
 * so that it touches no more memory than its fullest moment needed.
 *
 * Whoever puts frames in may change from frame to frame, as long as a lock of theirs orders them.
 */
#ifndef VM_NET_RING_H
#define VM_NET_RING_H

#include <stdatomic.h>

#include "base/net.h"

enum { NET_RING_BYTES = 4 << 20, NET_RING_FRAMES = 4096 };

struct net_ring {
    uint8_t *bytes; /* NET_RING_BYTES, owned */
    /* written by who puts in */
    _Atomic uint64_t tail;
    _Atomic uint32_t put;
    /* written by who takes out, on a cache line of his own */
    uint8_t apart[64];
    _Atomic uint64_t head;
    _Atomic uint32_t taken;
};

/* -ENOMEM. */
int net_ring_init(struct net_ring *ring);
void net_ring_fini(struct net_ring *ring);

/* False: full. NET_HEADER_SIZE..NET_FRAME_MAX bytes. */
bool net_ring_put(struct net_ring *ring, const uint8_t *frame, size_t length);

/* The oldest frame, in place until net_ring_take(); NULL: there is none. */
const uint8_t *net_ring_peek(struct net_ring *ring, size_t *length);
void net_ring_take(struct net_ring *ring);
/* Go on at the beginning if the ring is empty: true. By who takes out, with the lock of those who put in. */
bool net_ring_rewind(struct net_ring *ring);

/* Frames in the ring; any thread, as it was a moment ago. */
unsigned net_ring_frames(const struct net_ring *ring);

#endif
