/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor's commands for snapshots. Each prints its answer, or one line that says why not.
 */
#ifndef MONITOR_SNAPSHOT_COMMANDS_H
#define MONITOR_SNAPSHOT_COMMANDS_H

#include <stdio.h>

struct vm;

/* savevm [NAME [NOTE...]]: word[1] is the name. */
void command_savevm(struct vm *vm, char *const *word, unsigned count, FILE *out);
void command_loadvm(struct vm *vm, const char *name, FILE *out);
void command_delvm(struct vm *vm, const char *name, FILE *out);
/* snap tree | diff A B | wait */
void command_snap(struct vm *vm, char *const *word, unsigned count, FILE *out);
/* info snapshots */
void info_snapshots(struct vm *vm, FILE *out);

#endif
