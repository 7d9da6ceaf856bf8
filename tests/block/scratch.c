/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the image tests share. See scratch.h.
 */
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void scratch_enter(void)
{
    char folder[] = "/tmp/hypatia-block-XXXXXX";

    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

void scratch_remove(void)
{
    char folder[256], command[300];

    if (getcwd(folder, sizeof(folder)) && strstr(folder, "/hypatia-block-")) {
        snprintf(command, sizeof(command), "rm -rf '%s'", folder);
        cr_assert_eq(system(command), 0);
    }
}

void scratch_create(const char *path, const char *format, const struct image_create_options *options)
{
    struct error error = {{0}};

    cr_assert_eq(image_create(path, format, options, &error), 0, "%s", error.text);
}

struct image *scratch_open(const char *path, const char *format, unsigned flags)
{
    struct error error = {{0}};
    struct image *image = image_open(path, format, flags, &error);

    cr_assert_not_null(image, "%s", error.text);
    return image;
}

uint64_t scratch_check(const char *path, uint64_t *leaks)
{
    struct image_report report = {0};
    struct error error = {{0}};
    struct image *image = scratch_open(path, "qcow2", IMAGE_NO_BACKING | IMAGE_NO_LOCK);

    cr_assert_eq(image->ops->check(image, 0, &report, &error), 0, "%s", error.text);
    if (report.errors) {
        struct image_report shown = {.out = stderr};

        image->ops->check(image, 0, &shown, NULL);
    }
    image_close(image);
    if (leaks) {
        *leaks = report.leaks;
    }
    return report.errors;
}

void scratch_expect_clean(const char *path)
{
    uint64_t leaks;

    cr_assert_eq(scratch_check(path, &leaks), 0);
    cr_assert_eq(leaks, 0);
}

void stamp_fill(uint8_t *bytes, uint32_t stamp, uint64_t sectors)
{
    for (uint64_t i = 0; i < sectors * SECTOR; i += 4) {
        store_le32(bytes + i, stamp);
    }
}

uint32_t stamp_of(const uint8_t *bytes)
{
    for (unsigned i = 4; i < SECTOR; i += 4) {
        if (load_le32(bytes + i) != load_le32(bytes)) {
            return UINT32_MAX;
        }
    }
    return load_le32(bytes);
}

uint32_t scratch_random(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 16) % below);
}
