/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A guest for loader tests: a buffer of RAM and a boot ROM in C that carries a boot list out in it.
 *
 * It checks what every list must satisfy: files exist, nothing lands outside RAM, in the ROM's work area, in
 * video memory or ROM. Addresses in the tests are guest-physical.
 */
#ifndef TESTS_LOADER_FAKE_GUEST_H
#define TESTS_LOADER_FAKE_GUEST_H

#include "vm/loader.h"

struct fake_guest {
    uint8_t *ram; /* zero at first */
    uint64_t size;
};

struct fake_guest fake_guest_create(uint64_t size);
void fake_guest_destroy(struct fake_guest *guest);

/* Carry out the image's list. False, with the reason, when the list breaks a rule. */
bool fake_guest_boot(struct fake_guest *guest, const struct loader_image *image, struct error *error);

/* The file of that name, or NULL. */
const struct loader_file *fake_guest_file(const struct loader_image *image, const char *name);

/* A text is one line and says something. */
bool is_one_line(const struct error *error);

/* Write a temporary file and return its path (static storage is not used: free it). The caller unlinks it. */
char *write_temporary(const void *bytes, size_t size);

/* A small generator with a fixed sequence. */
uint32_t random_next(uint64_t *state);

#endif
