/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * trace: what the guest does, to a file.
 *
 * It is the log of the VM (base/log.h, -d and -D) under names that say what one gets: the file becomes the log's, the
 * categories are switched on. A limit on bytes, 64 MiB unless another is asked for, ends it with one line in the file.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "monitor/groups.h"
#include "vm/symbols.h"

static const struct {
    const char *name;
    uint32_t category;
} subjects[] = {
    {"insns", LOG_EXEC}, {"calls", LOG_CALLS}, {"interrupts", LOG_INTERRUPTS}, {"exceptions", LOG_EXCEPTIONS},
    {"io", LOG_IO},      {"mmu", LOG_MMU},
};

/* Is the word a subject? Then its category is added. */
static bool take_subject(const char *word, uint32_t *mask)
{
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
        if (!strcmp(subjects[i].name, word)) {
            *mask |= subjects[i].category;
            return true;
        }
    }
    return false;
}

/* "limit=16M": bytes with K, M or G. */
static bool take_limit(const char *word, uint64_t *limit)
{
    static const char units[] = "KMG";
    const char *digits = word + strlen("limit="), *unit;
    char *end;

    if (strncmp(word, "limit=", strlen("limit=")) != 0 || !isdigit((unsigned char)*digits)) {
        return false;
    }
    errno = 0;
    *limit = strtoull(digits, &end, 10);
    unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        unsigned shift = 10 * (unsigned)(unit - units + 1);

        *limit = *limit > UINT64_MAX >> shift ? 0 : *limit << shift;
        end++;
    }
    return errno == 0 && !*end && *limit > 0;
}

static bool print_state(struct command_call *call)
{
    const struct log *log = &call->vm->log;
    bool any = false;

    fprintf(call->out, "tracing");
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
        if (log->mask & subjects[i].category) {
            fprintf(call->out, "%s %s", any ? "," : "", subjects[i].name);
            any = true;
        }
    }
    fprintf(call->out, "%s: %llu of at most %llu bytes written%s\n", any ? "" : " nothing",
            (unsigned long long)log->bytes_written, (unsigned long long)log->byte_limit,
            log_full(log) ? "; the limit is reached, no more is written" : "");
    call->data =
        json_pack("{s:I,s:I,s:I,s:b}", "mask", (json_int_t)log->mask, "bytes", (json_int_t)log->bytes_written,
                  "limit", (json_int_t)log->byte_limit, "full", log_full(log));
    return true;
}

static const char *name_address(void *opaque, uint64_t address, char *text, size_t size)
{
    const struct vm *vm = opaque;

    return symbols_format(vm->symbols, address, text, size);
}

static bool run_trace(struct command_call *call)
{
    struct log *log = &call->vm->log;
    uint64_t limit = log->byte_limit;
    uint32_t mask = 0;
    struct error error;

    if (call->count == 0) {
        return print_state(call);
    }
    if (call->count == 1 && !strcmp(call->word[0], "off")) {
        log_close(log);
        return true;
    }
    for (unsigned i = 1; i < call->count; i++) {
        if (!take_subject(call->word[i], &mask) && !take_limit(call->word[i], &limit)) {
            return command_fail(
                call, "trace: '%s' is none of insns, calls, interrupts, exceptions, io, mmu, limit=BYTES",
                call->word[i]);
        }
    }
    if (log_open(log, call->word[0], &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    call->vm->cpu->calls.depth = 0;
    log->byte_limit = limit;
    log->name = name_address;
    log->name_opaque = call->vm;
    log->mask = mask ? mask : LOG_EXEC;
    return true;
}

static const struct command commands[] = {
    {"trace", NULL, "[off|FILE [insns|calls|interrupts|exceptions|io|mmu|limit=BYTES]...]",
     "write what the guest does to a file; alone, how far that is",
     "insns: every instruction (what is meant if nothing is named). calls: every call, indented by its "
     "depth, with symbols (ldsym). "
     "interrupts, exceptions: each as it is delivered. io: accesses to ports and devices. mmu: page faults, "
     "CR3 loads, flushes. "
     "The file is the log's (-D), and is written anew. For insns and calls the guest is executed by the "
     "interpreter. limit=16M ends the "
     "file there; 64M if it is not given.",
     false, 0, 16, run_trace},
};

const struct command_group trace_group = {"Tracing", commands, ARRAY_LEN(commands)};
