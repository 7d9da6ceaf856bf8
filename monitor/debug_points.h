/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Points of the monitor: what its commands add to vm/debugger.h's, namely conditions in words and hits to ignore.
 */
#ifndef MONITOR_DEBUG_POINTS_H
#define MONITOR_DEBUG_POINTS_H

#include "monitor/command.h"
#include "vm/debugger.h"

/* The owner of points that the monitor's commands have set: delete without a number removes them, and no other's. */
const void *debug_points_owner(void);

/* Is it what n, finish and until set for themselves? Nobody is shown those. */
bool debug_is_step(const void *owner);

/* The words of a command: [first, end) say what, and `condition` follows "if"; NULL: there is none. False: said why. */
bool debug_split_condition(struct command_call *call, unsigned first, unsigned *end, const char **condition);

/* Words [first, end) as one value: spaces between them are the expression's. `text`: as it was typed. False: said why. */
bool debug_words_value(struct command_call *call, unsigned first, unsigned end, char *text, size_t size,
                       uint64_t *value);

/* Add a point with a condition (NULL: none). point->text is what it is about; the condition is added to it. Its owner, condition,
 * release and opaque are set here. False: said why. */
bool debug_add_point(struct command_call *call, const struct debug_point *point, const char *condition,
                     unsigned *id);

/* All points, whoever set them; the caller frees it. NULL: none. */
struct debug_point_state *debug_points_take(struct vm *vm, unsigned *count);

/* Of a point of the monitor's: why its condition could not be evaluated the last time; NULL: it could. */
const char *debug_point_failure(const struct debug_point_state *state);

#endif
