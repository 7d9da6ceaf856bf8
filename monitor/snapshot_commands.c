/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * savevm, loadvm, delvm, snap, info snapshots. Names are QEMU's where it has them; vm/snapshot.h does the work.
 *
 * savevm returns at once and the guest runs on. `snap wait` returns when the last of it is written; the guest waits, too.
 */
#include "monitor/snapshot_commands.h"

#include <string.h>

#include "vm/snapshot.h"

enum { NOTE_SIZE = 256 };

static void print_ms(FILE *out, uint64_t ns)
{
    fprintf(out, "%llu.%01llu ms", (unsigned long long)(ns / 1000000),
            (unsigned long long)(ns / 100000 % 10));
}

void command_savevm(struct vm *vm, char *const *word, unsigned count, FILE *out)
{
    struct snapshot_figures figures;
    struct error error;
    char note[NOTE_SIZE] = "";

    for (unsigned i = 2; i < count; i++) {
        size_t used = strlen(note);

        snprintf(note + used, sizeof(note) - used, "%s%s", used ? " " : "", word[i]);
    }
    if (snapshot_save(vm, count > 1 ? word[1] : NULL, note, &error) < 0) {
        fprintf(out, "savevm: %s\n", error.text);
        return;
    }
    snapshot_get_figures(vm, &figures);
    fprintf(out, "saving '%s' while the guest runs (snap wait tells when it is whole)\n", figures.name);
}

void command_loadvm(struct vm *vm, const char *name, FILE *out)
{
    struct snapshot_figures figures;
    struct error error;

    if (snapshot_load(vm, name, &error) < 0) {
        fprintf(out, "loadvm: %s\n", error.text);
        return;
    }
    snapshot_get_figures(vm, &figures);
    fprintf(out, "snapshot '%s' is loaded (in ", name);
    print_ms(out, figures.load_ns);
    fprintf(out, ")\n");
}

void command_delvm(struct vm *vm, const char *name, FILE *out)
{
    struct error error;

    if (snapshot_delete(vm, name, &error) < 0) {
        fprintf(out, "delvm: %s\n", error.text);
    }
}

static void print_last_save(struct vm *vm, FILE *out)
{
    struct snapshot_figures figures;

    snapshot_get_figures(vm, &figures);
    if (!figures.name[0]) {
        return;
    }
    if (!figures.written) {
        fprintf(out, "'%s' is being saved\n", figures.name);
        return;
    }
    fprintf(out, "last save: '%s', the guest paused for ", figures.name);
    print_ms(out, figures.pause_ns);
    fprintf(out, "; whole after ");
    print_ms(out, figures.save_ns);
    fprintf(out, ": %llu pages in %llu KiB, %llu changed meanwhile\n", (unsigned long long)figures.pages,
            (unsigned long long)(figures.bytes / KIB), (unsigned long long)figures.copies);
}

void info_snapshots(struct vm *vm, FILE *out)
{
    struct error error;

    if (snapshot_list(vm, out, &error) < 0) {
        fprintf(out, "%s\n", error.text);
        return;
    }
    print_last_save(vm, out);
}

void command_snap(struct vm *vm, char *const *word, unsigned count, FILE *out)
{
    struct error error = {.text = "usage: snap tree | snap diff A B | snap wait"};
    int result = -1;

    if (count == 2 && !strcmp(word[1], "tree")) {
        result = snapshot_list(vm, out, &error);
    } else if (count == 4 && !strcmp(word[1], "diff")) {
        result = snapshot_diff(vm, word[2], word[3], out, &error);
    } else if (count == 2 && !strcmp(word[1], "wait")) {
        result = snapshot_wait(vm, &error);
        if (result == 0) {
            print_last_save(vm, out);
        }
    }
    if (result < 0) {
        fprintf(out, "%s\n", error.text);
    }
}
