/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What mmu/ram.c and mmu/ram_share.c need of each other. mmu/ram.h says how memories share.
 */
#ifndef MMU_RAM_SHARE_H
#define MMU_RAM_SHARE_H

#include "mmu/ram.h"

/* Map a file of `size` bytes between guard regions, at a multiple of the span. NULL with errno set. */
uint8_t *ram_map_file(int fd, uint64_t size);
void ram_unmap_file(uint8_t *host, uint64_t size);

/* The next frames [*first, *end) at or behind `frame` that a file of `size` bytes has pages for. False: there are none. */
bool ram_file_next_data(int fd, uint64_t size, uint64_t frame, uint64_t *first, uint64_t *end);

/* Set RAM_WATCH_SHARED where the frame is shared, and nowhere else. */
void ram_sharing_watch(struct ram *ram);
/* The layers lose a reader. NULL is legal. */
void ram_sharing_destroy(struct ram_sharing *sharing, uint64_t size);

#endif
