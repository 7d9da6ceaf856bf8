/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files that take what a guest says: -output-limit.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/chardev.h"
#include "vm/config.h"

enum { LIMIT = 1000 };

/* Write `total` bytes, `piece` at a time; returns the file's length in the end. */
static off_t say(uint64_t limit, size_t total, size_t piece)
{
    char path[] = "/tmp/hypatia-outputs-XXXXXX", spec[64];
    uint8_t bytes[5000];
    struct chardev *chardev = NULL;
    struct error error = {{0}};
    struct stat status;
    struct loop loop;

    close(mkstemp(path));
    memset(bytes, 'x', sizeof(bytes));
    snprintf(spec, sizeof(spec), "file:%s", path);
    cr_assert_eq(loop_init(&loop, &error), 0);
    cr_assert_eq(chardev_open(&chardev, "serial0", spec, &loop, &error), 0, "%s", error.text);
    chardev_limit_file(chardev, limit);
    for (size_t done = 0; done < total; done += piece) {
        cr_assert_eq(chardev_write(chardev, bytes, piece), piece, "the guest goes on");
        loop_poll(&loop, 0);
    }
    chardev_destroy(chardev);
    loop_fini(&loop);
    cr_assert_eq(stat(path, &status), 0);
    unlink(path);
    return status.st_size;
}

Test(outputs, a_file_ends_at_its_limit, .init = cr_redirect_stderr)
{
    cr_assert_eq(say(LIMIT, 5000, 1), LIMIT);
    cr_assert_eq(say(LIMIT, 5000, 7 * 100), LIMIT);
    cr_assert_eq(say(LIMIT, 5000, 5000), LIMIT);
    fflush(stderr);
    FILE *said = cr_get_redirected_stderr();
    char line[200];
    unsigned lines = 0;
    while (fgets(line, sizeof(line), said)) {
        cr_assert_not_null(strstr(line, "serial0: its file is as long as -output-limit allows"), "%s", line);
        lines++;
    }
    cr_assert_eq(lines, 3, "one line for each");
}

Test(outputs, without_a_limit_all_is_kept)
{
    cr_assert_eq(say(0, 5000, 500), 5000);
    cr_assert_eq(say(5001, 5000, 500), 5000);
}

Test(outputs, what_is_no_file_has_no_limit)
{
    struct chardev *chardev = NULL;
    struct error error = {{0}};
    struct loop loop;
    uint8_t byte = 0;

    cr_assert_eq(loop_init(&loop, &error), 0);
    cr_assert_eq(chardev_open(&chardev, "serial0", "null", &loop, &error), 0);
    chardev_limit_file(chardev, 1);
    chardev_limit_file(NULL, 1);
    for (unsigned i = 0; i < 10; i++) {
        cr_assert_eq(chardev_write(chardev, &byte, 1), 1);
    }
    chardev_destroy(chardev);
    loop_fini(&loop);
}

static int parse(struct vm_config *config, const char *value)
{
    struct error error = {{0}};
    char *argv[] = {(char *)"hypatia", (char *)"-output-limit", (char *)value, NULL};
    enum config_action action;

    config_init(config);
    return config_parse(config, 3, argv, &action, &error);
}

Test(outputs, the_option)
{
    struct vm_config config;

    config_init(&config);
    cr_assert_eq(config.output_limit, GIB);
    cr_assert_eq(config.net.capture_limit, GIB);
    cr_assert_eq(parse(&config, "64M"), 0);
    cr_assert_eq(config.output_limit, 64 * MIB);
    cr_assert_eq(config.net.capture_limit, 64 * MIB);
    cr_assert_eq(parse(&config, "none"), 0);
    cr_assert_eq(config.output_limit, 0);
    cr_assert_lt(parse(&config, "much"), 0);
    cr_assert_lt(parse(&config, "0"), 0);
}
