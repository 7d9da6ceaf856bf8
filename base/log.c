/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The log of one VM: categories, destination, and the limit that keeps a guest from filling a disk.
 *
 * The limit is tested before a line is written, so a log exceeds it by at most one line and the closing
 * line. The stream is line-buffered: what was logged before a crash is in the file.
 *
 * Not modelled: QEMU's per-address filters, and categories about things Hypatia does not have.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>

#include "base/error.h"

#define LOG_DEFAULT_LIMIT (64 * MIB)
#define LOG_ALL                                                                                              \
    (LOG_INT | LOG_CPU_RESET | LOG_GUEST_ERRORS | LOG_UNIMP | LOG_IN_ASM | LOG_OUT_ASM | LOG_EXEC |          \
     LOG_MMU | LOG_JIT | LOG_CALLS | LOG_INTERRUPTS | LOG_EXCEPTIONS | LOG_IO)

const struct log_item log_items[] = {
    {"int", "interrupts and exceptions as they are delivered", LOG_INT},
    {"cpu_reset", "CPU state at reset, shutdown and triple fault", LOG_CPU_RESET},
    {"guest_errors", "the guest did what a manual forbids", LOG_GUEST_ERRORS},
    {"unimp", "the guest asked for what is not modelled", LOG_UNIMP},
    {"in_asm", "guest instructions as they are first decoded", LOG_IN_ASM},
    {"out_asm", "host code as it is generated", LOG_OUT_ASM},
    {"exec", "every block or instruction executed", LOG_EXEC},
    {"mmu", "page faults, CR3 loads and flushes", LOG_MMU},
    {"calls", "calls, indented by their depth", LOG_CALLS},
    {"interrupts", "interrupts as they are delivered, a line each", LOG_INTERRUPTS},
    {"exceptions", "exceptions as they are delivered, a line each", LOG_EXCEPTIONS},
    {"io", "accesses to ports and to devices' memory", LOG_IO},
    {"jit", "what the translator counted, at the end", LOG_JIT},
    {"all", "all of the above", LOG_ALL},
    {"none", "nothing", 0},
    {NULL, NULL, 0},
};

void log_init(struct log *log)
{
    *log = (struct log){.stream = stderr, .byte_limit = LOG_DEFAULT_LIMIT};
}

void log_close(struct log *log)
{
    if (log->close_stream) {
        fclose(log->stream);
    }
    log->stream = stderr;
    log->close_stream = false;
    log->mask = 0;
    log->bytes_written = 0;
    log->lines_dropped = 0;
}

void log_fini(struct log *log)
{
    log_close(log);
}

int log_open(struct log *log, const char *path, struct error *error)
{
    FILE *stream = fopen(path, "we");
    if (!stream) {
        int code = -errno;
        return error_set(error, code, "cannot open log file '%s': %s", path, strerror(-code));
    }
    setvbuf(stream, NULL, _IOLBF, 0);
    if (log->close_stream) {
        fclose(log->stream);
    }
    log->stream = stream;
    log->close_stream = true;
    log->bytes_written = 0;
    log->lines_dropped = 0;
    return 0;
}

static const struct log_item *find_item(const char *name, size_t length)
{
    for (const struct log_item *item = log_items; item->name; item++) {
        if (strlen(item->name) == length && memcmp(item->name, name, length) == 0) {
            return item;
        }
    }
    return NULL;
}

int log_parse_mask(const char *items, uint32_t *mask, struct error *error)
{
    uint32_t result = 0;
    for (;;) {
        size_t length = strcspn(items, ",");
        const struct log_item *item = find_item(items, length);
        if (!item) {
            return error_set(error, -EINVAL, "unknown log item '%.*s'; 'help' lists them",
                             (int)MIN(length, 80), items);
        }
        result |= item->mask;
        if (!items[length]) {
            break;
        }
        items += length + 1;
    }
    *mask = result;
    return 0;
}

static void count_bytes(struct log *log, int written)
{
    if (written > 0) {
        log->bytes_written += (uint64_t)written;
    }
}

void log_printf(struct log *log, uint32_t category, const char *format, ...)
{
    if (!log || !log_enabled(log, category)) {
        return;
    }
    if (log->byte_limit && log->bytes_written >= log->byte_limit) {
        if (log->lines_dropped++ == 0) {
            count_bytes(log,
                        fprintf(log->stream, "log: limit of %llu bytes reached, the rest is not written\n",
                                (unsigned long long)log->byte_limit));
        }
        return;
    }
    va_list args;
    va_start(args, format);
    count_bytes(log, vfprintf(log->stream, format, args));
    va_end(args);
}
