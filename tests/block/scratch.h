/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the image tests share: a folder of its own for each test, images in it, sectors with stamps, and a workload of
 * random changes beside a model of what the disk must show.
 */
#ifndef TESTS_BLOCK_SCRATCH_H
#define TESTS_BLOCK_SCRATCH_H

#include <criterion/criterion.h>

#include "vm/block_image.h"

enum { SECTOR = 512 };

/* A new folder, the working directory of the test's process from now on; removed with scratch_remove(). */
void scratch_enter(void);
void scratch_remove(void);

/* Make an image; the test fails if that fails. */
void scratch_create(const char *path, const char *format, const struct image_create_options *options);
struct image *scratch_open(const char *path, const char *format, unsigned flags);
/* Check a qcow2 file by itself: the number of errors; *leaks may be NULL. */
uint64_t scratch_check(const char *path, uint64_t *leaks);
void scratch_expect_clean(const char *path);

/* A sector full of one 32-bit stamp. */
void stamp_fill(uint8_t *bytes, uint32_t stamp, uint64_t sectors);
/* The stamp of a sector, or UINT32_MAX if it is not of one piece. */
uint32_t stamp_of(const uint8_t *bytes);

/* xorshift64; the state is never 0. */
uint32_t scratch_random(uint64_t *state, uint32_t below);

#endif
