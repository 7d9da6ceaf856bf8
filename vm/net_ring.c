/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The queue of frames between two threads. See vm/net_ring.h.
 *
 * The bytes of a record are published by the tail that passes them, and given back by the head that does.
 */
#include "vm/net_ring.h"

#include <errno.h>
#include <stdlib.h>

typedef uint64_t record_header; /* the frame's length; 0: go on at the ring's beginning */

static size_t record_size(size_t length)
{
    return sizeof(record_header) + ((length + sizeof(record_header) - 1) & ~(sizeof(record_header) - 1));
}

static size_t place(uint64_t position)
{
    return position & (NET_RING_BYTES - 1);
}

int net_ring_init(struct net_ring *ring)
{
    memset(ring, 0, sizeof(*ring));
    ring->bytes = calloc(1, NET_RING_BYTES);
    return ring->bytes ? 0 : -ENOMEM;
}

void net_ring_fini(struct net_ring *ring)
{
    free(ring->bytes);
    ring->bytes = NULL;
}

bool net_ring_put(struct net_ring *ring, const uint8_t *frame, size_t length)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);
    size_t size = record_size(length), rest = NET_RING_BYTES - place(tail);
    size_t skip = rest < size ? rest : 0; /* a record lies in one piece */
    record_header header = 0;

    if (put - atomic_load_explicit(&ring->taken, memory_order_relaxed) >= NET_RING_FRAMES ||
        tail + skip + size - head > NET_RING_BYTES) {
        return false;
    }
    if (skip) {
        memcpy(ring->bytes + place(tail), &header, sizeof(header));
        tail += skip;
    }
    header = length;
    memcpy(ring->bytes + place(tail), &header, sizeof(header));
    memcpy(ring->bytes + place(tail) + sizeof(header), frame, length);
    atomic_store_explicit(&ring->put, put + 1, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + size, memory_order_release);
    return true;
}

const uint8_t *net_ring_peek(struct net_ring *ring, size_t *length)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    record_header header;

    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire)) {
        return NULL;
    }
    memcpy(&header, ring->bytes + place(head), sizeof(header));
    if (header == 0) {
        head += NET_RING_BYTES - place(head);
        atomic_store_explicit(&ring->head, head, memory_order_release);
        memcpy(&header, ring->bytes, sizeof(header));
    }
    *length = header;
    return ring->bytes + place(head) + sizeof(header);
}

void net_ring_take(struct net_ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    record_header header;

    memcpy(&header, ring->bytes + place(head), sizeof(header));
    atomic_fetch_add_explicit(&ring->taken, 1, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + record_size(header), memory_order_release);
}

bool net_ring_rewind(struct net_ring *ring)
{
    if (net_ring_frames(ring) > 0) {
        return false;
    }
    atomic_store_explicit(&ring->tail, 0, memory_order_relaxed);
    atomic_store_explicit(&ring->head, 0, memory_order_relaxed);
    return true;
}

unsigned net_ring_frames(const struct net_ring *ring)
{
    uint32_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);

    return atomic_load_explicit(&ring->put, memory_order_relaxed) - taken;
}
