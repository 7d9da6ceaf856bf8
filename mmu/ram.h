/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The memory of one VM: a memfd that holds guest RAM, ROM images and video memory, and the write watches
 * on its frames.
 *
 * An offset into the memfd (roff_t) is the identity of a byte, whatever guest-physical or linear addresses
 * reach it. Write watches are kept per frame of the memfd for that reason: aliases cannot slip past them.
 *
 *   guest-linear --page walk--> guest-physical --addr_space--> roff --ram->host--> host pointer
 *
 * Pages appear when touched; a VM whose guest never touches its memory costs address space only. An
 * inaccessible guard region lies on either side of the mapping.
 *
 * Write watches. A frame whose watch byte is not zero must not be written through a cached translation
 * (TLB entry, shadow entry): ram_watch_set() tells the translation caches to drop their write permission
 * and from then on every write comes through ram_watch_notify() before or after the bytes change.
 *
 * One observer may want to hear of all writes for a while (the translator's judge, binxlate/check.h). It sets
 * observe_all after it has had the translations dropped that were cached before.
 */
#ifndef MMU_RAM_H
#define MMU_RAM_H

#include "base/types.h"

struct error;

/* Who watches a frame; one bit each in the frame's watch byte. */
enum ram_watch {
    RAM_WATCH_CODE,       /* decoded code lies in the frame: the interpreter's cache */
    RAM_WATCH_TRANSLATED, /* translated code lies in the frame */
    RAM_WATCH_DISPLAY,    /* video memory: dirty tracking for the display */
    RAM_WATCH_DIRTY,      /* dirty tracking for snapshots and migration */
    RAM_WATCH_SHARED,     /* page shared with another VM, copy before writing */
    RAM_WATCH_COUNT
};

struct ram_watcher {
    /* [roff, roff + length) within one frame is about to change. Called before the write. The watcher
     * clears its own bit with ram_watch_clear() when it no longer needs to hear of the frame. */
    void (*written)(void *opaque, roff_t roff, uint64_t length);
    void *opaque;
};

struct ram_protect_listener {
    /* Write permission to this frame must be dropped from every cached translation. */
    void (*protect)(void *opaque, uint64_t frame);
    void *opaque;
    struct ram_protect_listener *next;
};

struct ram {
    int fd;         /* the memfd */
    uint8_t *host;  /* base of the mapping, `size` bytes, PROT_READ|PROT_WRITE, shared */
    uint64_t size;  /* bytes, page multiple */
    uint64_t used;  /* bytes given out by ram_alloc */
    uint8_t *watch; /* one byte a frame: bit per enum ram_watch; lazily backed */
    struct ram_watcher watcher[RAM_WATCH_COUNT];
    struct ram_protect_listener *listeners;
    struct ram_watcher observer; /* is told of every write that ram_watch_notify() hears of, watched or not */
    bool observe_all;            /* every frame counts as watched: no cached translation made now may write */
};

/* Reserve `size` bytes (rounded up to pages) of lazily allocated, zero memory. -errno with text. */
int ram_init(struct ram *ram, uint64_t size, struct error *error);
void ram_fini(struct ram *ram);

/* Give out the next `size` bytes (page multiple); UINT64_MAX when the memory is used up. */
roff_t ram_alloc(struct ram *ram, uint64_t size);

/*
 * Put other contents in place of all there are, at once: `fd` is a memfd of ram_new_file(), which the memory owns on
 * success; *old is the one there was, now the caller's. Everything derived from the contents is stale: the caller has
 * notified the watchers of the whole memory and flushes the translation caches. -errno with text; nothing has changed.
 */
int ram_exchange(struct ram *ram, int fd, int *old, struct error *error);
/* A memfd of `size` bytes, all zeros, none of them backed yet. -errno with text. */
int ram_new_file(uint64_t size, struct error *error);

/* Set one watch on all frames. The caller flushes the translation caches: cheaper than the listeners a frame. */
void ram_watch_set_all(struct ram *ram, enum ram_watch which);

/* Host pointer to roff; the caller has checked the range against ram->size. */
static inline uint8_t *ram_ptr(const struct ram *ram, roff_t roff)
{
    return ram->host + roff;
}

/* Is any watch set on the frame that holds roff? */
static inline bool ram_watched(const struct ram *ram, roff_t roff)
{
    return ram->watch[roff >> PAGE_SHIFT] != 0 || ram->observe_all;
}

void ram_set_watcher(struct ram *ram, enum ram_watch which, void (*written)(void *, roff_t, uint64_t),
                     void *opaque);
void ram_add_listener(struct ram *ram, struct ram_protect_listener *listener);
void ram_watch_set(struct ram *ram, uint64_t frame, enum ram_watch which);
void ram_watch_clear(struct ram *ram, uint64_t frame, enum ram_watch which);

/*
 * A translation that lets the guest write this frame is about to be cached. A display that watches it, and nobody else
 * does, is told now, and as a rule ends its watch: a fault is spared that would tell it the same.
 */
void ram_watch_announce(struct ram *ram, roff_t roff);

/* Tell the watchers of the frames in [roff, roff + length) that it is about to be written. Cheap when no
 * watch is set. Every writer that does not go through a watched translation calls it: DMA, loaders, the
 * monitor, the page walk's A/D updates. */
void ram_watch_notify(struct ram *ram, roff_t roff, uint64_t length);

#endif
