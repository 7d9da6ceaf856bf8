/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One log a VM: QEMU's `-d` categories, `-D FILE`, and a limit on bytes.
 *
 * The limit exists because the guest decides how often a line is written: past it one closing line is
 * logged and the rest is counted, not written. A disabled category costs one load and one test.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdio.h>

#include "base/types.h"

enum log_category {
    LOG_INT = 1u << 0,          /* interrupts and exceptions as they are delivered */
    LOG_CPU_RESET = 1u << 1,    /* state at reset, shutdown and triple fault */
    LOG_GUEST_ERRORS = 1u << 2, /* the guest did what a manual forbids */
    LOG_UNIMP = 1u << 3,        /* the guest asked for what is not modelled */
    LOG_IN_ASM = 1u << 4,       /* guest instructions as they are first decoded */
    LOG_OUT_ASM = 1u << 5,      /* host code as it is generated */
    LOG_EXEC = 1u << 6,         /* every block or instruction executed */
    LOG_MMU = 1u << 7,          /* page faults, CR3 loads, flushes */
    LOG_JIT = 1u << 8,          /* the translator's counts, at the end */
    LOG_CALLS = 1u << 9,        /* calls, indented by their depth */
    LOG_INTERRUPTS = 1u << 10,  /* interrupts, a line each */
    LOG_EXCEPTIONS = 1u << 11,  /* exceptions, a line each */
    LOG_IO = 1u << 12,          /* accesses to ports and devices */
};

struct log {
    uint32_t mask; /* enum log_category bits that are on */
    FILE *stream;  /* not owned unless close_stream */
    bool close_stream;
    uint64_t bytes_written;
    uint64_t byte_limit;    /* 0: none */
    uint64_t lines_dropped; /* past the limit */
    /* How code addresses are named in lines: "name+0x12" into text, or ""; returns text. NULL: they are not. */
    const char *(*name)(void *opaque, uint64_t address, char *text, size_t size);
    void *name_opaque;
};

/* Everything off, writing to stderr, 64 MiB limit. */
void log_init(struct log *log);
void log_fini(struct log *log);

/* Send the log to a file (truncated). -errno with the text on failure. */
struct error;
int log_open(struct log *log, const char *path, struct error *error);
/* Back to stderr, with everything off. */
void log_close(struct log *log);

/* Parse "int,cpu_reset,..." into *mask. -EINVAL names the unknown item. */
int log_parse_mask(const char *items, uint32_t *mask, struct error *error);

/* The names log_parse_mask() knows with their help, for `-d help`; ends with a NULL name. */
struct log_item {
    const char *name;
    const char *help;
    uint32_t mask;
};
extern const struct log_item log_items[];

static inline bool log_enabled(const struct log *log, uint32_t category)
{
    return UNLIKELY((log->mask & category) != 0);
}

/* The limit was reached and has been reported: nothing is written any more. */
static inline bool log_full(const struct log *log)
{
    return log->lines_dropped != 0;
}

/* Write when the category is on. `log` may be NULL (unit tests): then nothing is written. */
void log_printf(struct log *log, uint32_t category, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
