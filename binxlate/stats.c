/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the translator has counted, for people: the monitor's `info jit`, and the log's category `jit` at the end.
 *
 * Counters stand on slow paths only, so they are always on. Instructions that ran in translated code are not counted by
 * kind; what is called out is, because each call-out costs some fifty times as much.
 */
#include <stdlib.h>

#include "base/log.h"
#include "binxlate/engine.h"

enum { ROWS_SHOWN = 12 }; /* of the instructions that are called out most */

#define N(value) ((unsigned long long)(value))

const struct binxlate_stats *binxlate_stats(const struct binxlate *x)
{
    return &x->stats;
}

static double mib(size_t bytes)
{
    return (double)bytes / (double)MIB;
}

static void print_shadow(const struct binxlate *x, FILE *out)
{
    const struct shadow_stats *shadow = &x->shadow.stats;

    fprintf(out,
            "shadow tables  %llu fills, %llu flushes, %llu page flushes; %llu CR3 loads, %llu found their "
            "space\n",
            N(shadow->fills), N(shadow->flushes), N(shadow->page_flushes), N(shadow->switches),
            N(shadow->returns));
}

static int by_count(const void *a, const void *b, void *counts)
{
    const uint64_t *count = counts;
    uint64_t left = count[*(const uint16_t *)a], right = count[*(const uint16_t *)b];

    return left < right ? 1 : left > right ? -1 : *(const uint16_t *)a - *(const uint16_t *)b;
}

static void print_callouts(const struct binxlate *x, FILE *out)
{
    uint16_t *rows = calloc(opcode_count, sizeof(*rows));
    size_t count = 0;

    if (!rows) {
        return;
    }
    for (size_t id = 0; id < opcode_count; id++) {
        if (x->callouts_by_row[id]) {
            rows[count++] = (uint16_t)id;
        }
    }
    qsort_r(rows, count, sizeof(*rows), by_count, x->callouts_by_row);
    for (size_t i = 0; i < count && i < ROWS_SHOWN; i++) {
        const struct opcode *row = &opcode_table[rows[i]];
        fprintf(out, "  %12llu  %s %s\n", N(x->callouts_by_row[rows[i]]), row->mnemonic, row->operands);
    }
    free(rows);
}

void binxlate_print(const struct binxlate *x, FILE *out)
{
    const struct binxlate_stats *stats = &x->stats;

    fprintf(out, "instructions   %llu, of those %llu interpreted, %llu called out\n", N(x->cpu->insn_count),
            N(stats->interpreted), N(stats->callouts));
    fprintf(out, "blocks         %llu made, %llu dropped; %llu jumps chained\n", N(stats->blocks_made),
            N(stats->blocks_invalidated), N(stats->chains));
    fprintf(out, "code buffer    %.1f of %.0f MiB, emptied %llu times; records %.1f of %.0f MiB\n",
            mib(x->code.used), mib(x->code.size), N(stats->buffer_resets), mib(x->arena.used),
            mib(x->arena.size));
    fprintf(out, "exits          %llu call-out, %llu look-up, %llu verify, %llu fault, %llu budget\n",
            N(stats->callouts), N(stats->exits_lookup), N(stats->exits_verify), N(stats->host_faults),
            N(stats->exits_budget));
    fprintf(out, "sites          %llu misaligned, %llu slow, %llu flat\n", N(stats->misaligned_sites),
            N(stats->slow_sites), N(stats->flat_sites));
    print_shadow(x, out);
    fprintf(out, "windows        %s; %llu opened, %llu closed; %llu runs shown, %llu faults\n",
            x->windows == BINXLATE_WINDOWS_OFF ? "off" : "on", N(stats->windows_opened),
            N(stats->windows_closed), N(stats->window_maps), N(stats->window_faults));
    fprintf(out, "called out most\n");
    print_callouts(x, out);
}

void stats_log(const struct binxlate *x)
{
    struct log *log = x->cpu->wiring.log;
    char *text = NULL;
    size_t size;
    FILE *out;

    if (!log || !log_enabled(log, LOG_JIT)) {
        return;
    }
    out = open_memstream(&text, &size);
    if (out) {
        binxlate_print(x, out);
        fclose(out);
        log_printf(log, LOG_JIT, "%s", text);
        free(text);
    }
}
