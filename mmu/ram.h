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
 * Memory that VMs share. ram_share() freezes what there is in a layer that two memories read from then on; what either
 * writes goes to a file of its own. Which of them holds a frame is its origin:
 *
 *   origin   0  1  1  0  2  1  0        a byte a frame
 *   own      w  .  .  w  .  .  .        ram->fd, at ram->host; zeros where nothing was written
 *   layer 1  .  r  r  .  .  r  .        frozen by the first clone, read by all that come from it
 *   layer 2  .  .  .  .  r  .  .
 *
 * A frame of a layer has RAM_WATCH_SHARED set. Before the first write its page is copied to the own file: its host
 * address changes, and the listeners are told to forget the old one. Nobody may therefore keep a pointer to guest memory
 * over a write, nor take two frames to be neighbours in the host's memory: ram_read() and ram_write() do not. Every
 * mapping begins at a multiple of ram->span, so that a host address tells the offset (ram_roff).
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
    /* The frame lies elsewhere from now on: nothing may be read or fetched at its old host address. NULL: nothing
     * ever is. */
    void (*moved)(void *opaque, uint64_t frame, const uint8_t *old);
    void *opaque;
    struct ram_protect_listener *next;
};

struct ram_layer;

enum {
    RAM_LAYERS_MAX = 64, /* that one memory reads; with more the smallest is copied */
    RAM_PRIVATE_MAX = 4,
};

/* Where frames lie that others read, too. */
struct ram_sharing {
    uint8_t *origin;                             /* a byte a frame: 0 own, else the layer; owned */
    uint8_t *base[RAM_LAYERS_MAX + 1];           /* where each is mapped; [0] is ram->host */
    struct ram_layer *layer[RAM_LAYERS_MAX + 1]; /* [0] is NULL, and so are free numbers */
    uint64_t frames[RAM_LAYERS_MAX + 1];         /* that lie in it */
};

/* What a memory is made of: for ram_exchange(). */
struct ram_contents {
    int fd;                      /* of ram_new_file(); -1: nothing */
    struct ram_sharing *sharing; /* NULL: all of it is in fd */
};

struct ram {
    int fd;                      /* the memfd: pages of its own */
    uint8_t *host;               /* base of its mapping, `size` bytes, PROT_READ|PROT_WRITE, shared */
    uint64_t size;               /* bytes, page multiple */
    uint64_t span;               /* a power of two, at least `size`: mappings begin at its multiples */
    struct ram_sharing *sharing; /* NULL: every frame is its own */
    uint64_t used;               /* bytes given out by ram_alloc */
    uint8_t *watch;              /* one byte a frame: bit per enum ram_watch; lazily backed */
    struct ram_watcher watcher[RAM_WATCH_COUNT];
    struct ram_protect_listener *listeners;
    struct ram_watcher observer; /* is told of every write that ram_watch_notify() hears of, watched or not */
    bool observe_all;            /* every frame counts as watched: no cached translation made now may write */
    struct {
        roff_t roff;
        uint64_t size;
    } private[RAM_PRIVATE_MAX]; /* never shared */
    unsigned private_count;
};

/* Reserve `size` bytes (rounded up to pages) of lazily allocated, zero memory. -errno with text. */
int ram_init(struct ram *ram, uint64_t size, struct error *error);
void ram_fini(struct ram *ram);

/* Give out the next `size` bytes (page multiple); UINT64_MAX when the memory is used up. */
roff_t ram_alloc(struct ram *ram, uint64_t size);

/* A device keeps pointers into these bytes: they are never shared, but copied when a clone is made. */
void ram_keep_private(struct ram *ram, roff_t roff, uint64_t size);

/*
 * Put other contents in place of all there are, at once; *contents is what there was, now the caller's. Everything derived
 * from it is stale: the watchers are told that all of it changes, and the caller flushes the translation caches.
 * -errno with text; nothing has changed.
 */
int ram_exchange(struct ram *ram, struct ram_contents *contents, struct error *error);
void ram_contents_fini(struct ram_contents *contents, uint64_t size);

/*
 * Make the memory `to` (as large, its contents are lost) a copy of `from`, by sharing all pages until they are written.
 * `from` keeps the host addresses that its frames have; ram->host changes. No other thread uses either meanwhile. The caller flushes
 * the translation caches of both. -errno with text: `from` is as it was, `to` is to be thrown away.
 */
int ram_share(struct ram *from, struct ram *to, struct error *error);
/* How many frames lie in layers, and how many of those layers hold them. */
uint64_t ram_shared_frames(const struct ram *ram, unsigned *layers);
/* A memfd of `size` bytes, all zeros, none of them backed yet. -errno with text. */
int ram_new_file(uint64_t size, struct error *error);

/* Set one watch on all frames. The caller flushes the translation caches: cheaper than the listeners a frame. */
void ram_watch_set_all(struct ram *ram, enum ram_watch which);

/* Host pointer to roff, good for the rest of its frame and until the frame is written; the caller has checked the range
 * against ram->size, and notifies the watchers before it takes a pointer to write through. */
static inline uint8_t *ram_ptr(const struct ram *ram, roff_t roff)
{
    const struct ram_sharing *sharing = ram->sharing;
    return (LIKELY(!sharing) ? ram->host : sharing->base[sharing->origin[roff >> PAGE_SHIFT]]) + roff;
}

/* The offset of what lies at a host address of this memory. */
static inline roff_t ram_roff(const struct ram *ram, uintptr_t host)
{
    return host & (ram->span - 1);
}

/* Does the frame lie in a layer that others read? */
static inline bool ram_shared(const struct ram *ram, uint64_t frame)
{
    return UNLIKELY(ram->sharing != NULL) && ram->sharing->origin[frame];
}

/* The file that holds the frame, at the frame's offset; for reading only if it is shared. */
int ram_frame_fd(const struct ram *ram, uint64_t frame);

/* Copy from and to memory, over any number of frames; the range is inside. Watchers are told before a write. */
void ram_read(const struct ram *ram, roff_t roff, void *bytes, uint64_t length);
void ram_write(struct ram *ram, roff_t roff, const void *bytes, uint64_t length);

/* The next frames [*first, *end) at or behind `frame` that may hold something else than zeros. False: there are none. */
bool ram_next_data(const struct ram *ram, uint64_t frame, uint64_t *first, uint64_t *end);

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
/* Tell the observer alone: bytes that watchers know otherwise are about to be copied to another place. */
void ram_observe(struct ram *ram, roff_t roff, uint64_t length);

#endif
