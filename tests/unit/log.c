/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The log: categories, the byte limit, files; and error texts, which it reports with. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

static void log_to_buffer(struct log *log, char **text, size_t *length)
{
    log_init(log);
    log->stream = open_memstream(text, length);
    log->close_stream = true;
    cr_assert_not_null(log->stream);
}

Test(log, writes_only_what_is_switched_on)
{
    struct log log;
    char *text;
    size_t length;
    log_to_buffer(&log, &text, &length);
    log_printf(&log, LOG_INT, "before\n");
    log.mask = LOG_INT;
    log_printf(&log, LOG_INT, "vector %d\n", 14);
    log_printf(&log, LOG_MMU, "walk\n");
    log_printf(NULL, LOG_INT, "nowhere\n");
    cr_assert_eq(log.bytes_written, 10);
    log_fini(&log);
    cr_assert_str_eq(text, "vector 14\n");
    free(text);
}

Test(log, limit_closes_with_one_line_and_counts_the_rest)
{
    struct log log;
    char *text;
    size_t length;
    log_to_buffer(&log, &text, &length);
    log.mask = LOG_UNIMP;
    log.byte_limit = 30;
    for (int i = 0; i < 100; i++) {
        log_printf(&log, LOG_UNIMP, "0123456789\n");
    }
    cr_assert_eq(log.lines_dropped, 97);
    log_fini(&log);
    cr_assert_eq(strncmp(text, "0123456789\n0123456789\n0123456789\nlog: limit of 30 bytes", 55), 0);
    cr_assert_eq(strchr(text + 33, '\n'), text + length - 1, "one closing line only");
    free(text);
}

Test(log, limit_of_zero_is_none)
{
    struct log log;
    char *text;
    size_t length;
    log_to_buffer(&log, &text, &length);
    log.mask = LOG_UNIMP;
    log.byte_limit = 0;
    for (int i = 0; i < 1000; i++) {
        log_printf(&log, LOG_UNIMP, "x\n");
    }
    cr_assert_eq(log.bytes_written, 2000);
    cr_assert_eq(log.lines_dropped, 0);
    log_fini(&log);
    free(text);
}

Test(log, masks_parse_and_unknown_items_are_named)
{
    struct error error;
    uint32_t mask = 0;
    cr_assert_eq(log_parse_mask("int,cpu_reset", &mask, &error), 0);
    cr_assert_eq(mask, LOG_INT | LOG_CPU_RESET);
    cr_assert_eq(log_parse_mask("all", &mask, &error), 0);
    cr_assert_eq(mask, 2 * LOG_IO - 1, "every bit up to the last category");
    cr_assert_eq(log_parse_mask("none", &mask, &error), 0);
    cr_assert_eq(mask, 0);
    mask = 77;
    cr_assert_eq(log_parse_mask("int,bogus,mmu", &mask, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "'bogus'"));
    cr_assert_eq(mask, 77, "a refused mask changes nothing");
    cr_assert_eq(log_parse_mask("in", &mask, &error), -EINVAL, "a prefix of a name is no name");
    cr_assert_eq(log_parse_mask("", &mask, NULL), -EINVAL);
}

Test(log, every_item_has_a_name_and_help)
{
    unsigned count = 0;
    for (const struct log_item *item = log_items; item->name; item++, count++) {
        uint32_t mask;
        cr_assert_not_null(item->help);
        cr_assert_eq(log_parse_mask(item->name, &mask, NULL), 0);
        cr_assert_eq(mask, item->mask);
    }
    cr_assert_geq(count, 8);
}

Test(log, opens_a_file_and_reports_one_it_cannot)
{
    struct log log;
    struct error error;
    char path[] = P_tmpdir "/hypatia-log-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "old contents", 12), 12);
    log_init(&log);
    cr_assert_eq(log_open(&log, "/nonexistent/log", &error), -ENOENT);
    cr_assert_not_null(strstr(error.text, "/nonexistent/log"));
    cr_assert_eq(log.stream, stderr, "a failed open leaves the log as it was");
    cr_assert_eq(log_open(&log, path, &error), 0);
    log.mask = LOG_EXEC;
    log_printf(&log, LOG_EXEC, "new\n");
    char buffer[32] = {0};
    cr_assert_eq(pread(fd, buffer, sizeof(buffer), 0), 4, "lines reach the file at once");
    cr_assert_str_eq(buffer, "new\n");
    log_fini(&log);
    close(fd);
    unlink(path);
}

Test(error, texts_are_set_prefixed_cut_and_cleaned)
{
    struct error error;
    cr_assert_eq(error_set(&error, -EIO, "disk %d", 3), -EIO);
    cr_assert_str_eq(error.text, "disk 3");
    cr_assert_eq(error_prefix(&error, -EIO, "vm '%s'", "web"), -EIO);
    cr_assert_str_eq(error.text, "vm 'web': disk 3");
    error_set(&error, 0, "<%s>", error.text);
    cr_assert_str_eq(error.text, "<vm 'web': disk 3>", "an argument may be the old text");
    error_set(&error, 0, "a\nb\x1b[2J");
    cr_assert_str_eq(error.text, "a b [2J");
    char longer[2000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    error_set(&error, 0, "%s", longer);
    cr_assert_eq(strlen(error.text), sizeof(error.text) - 1);
    error_prefix(&error, 0, "y");
    cr_assert_eq(strlen(error.text), sizeof(error.text) - 1);
    cr_assert_eq(strncmp(error.text, "y: xx", 5), 0);
    error_prefix(&error, 0, "%s", longer);
    cr_assert_eq(strlen(error.text), sizeof(error.text) - 1);
    cr_assert_eq(error_set(NULL, -3, "dropped"), -3);
    cr_assert_eq(error_prefix(NULL, -4, "dropped"), -4);
}
