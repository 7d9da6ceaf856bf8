/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Conditions of points, and hits to ignore. See monitor/debug_points.h.
 *
 * A condition that cannot be evaluated (it reads memory that is not there) stops the guest: whoever set it wants to know.
 */
#include "monitor/debug_points.h"

#include <stdlib.h>

#include "monitor/expression.h"

struct condition {
    struct expression *expression;
    struct error error; /* why it could not be evaluated; "": it could */
};

const void *debug_points_owner(void)
{
    static const char owner = 'm';

    return &owner;
}

/* ---- words ---- */

bool debug_split_condition(struct command_call *call, unsigned first, unsigned *end, const char **condition)
{
    *condition = NULL;
    for (*end = first; *end < call->count; ++*end) {
        if (!strcmp(call->word[*end], "if")) {
            break;
        }
    }
    if (*end == call->count) {
        return true;
    }
    if (*end + 1 == call->count) {
        return command_fail(call, "an expression is missing behind 'if'");
    }
    /* one word: it may have been in quotes, as Bochs wants it */
    *condition = *end + 2 == call->count ? call->word[*end + 1] : call->tail[*end + 1];
    return true;
}

bool debug_words_value(struct command_call *call, unsigned first, unsigned end, char *text, size_t size,
                       uint64_t *value)
{
    struct error error;

    if (end == first + 1) {
        snprintf(text, size, "%s", call->word[first]);
    } else {
        size_t length =
            end < call->count ? (size_t)(call->tail[end] - call->tail[first]) : strlen(call->tail[first]);

        while (length > 0 && call->tail[first][length - 1] == ' ') {
            length--;
        }
        snprintf(text, size, "%.*s", (int)MIN(length, size), call->tail[first]);
    }
    if (expression_evaluate(text, call->vm, value, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    return true;
}

/* ---- conditions ---- */

static bool condition_met(void *opaque, struct vm *vm)
{
    struct condition *condition = opaque;
    uint64_t value;

    condition->error.text[0] = '\0';
    return expression_value(condition->expression, vm, &value, &condition->error) < 0 || value != 0;
}

static void condition_free(void *opaque)
{
    struct condition *condition = opaque;

    expression_free(condition->expression);
    free(condition);
}

static struct condition *condition_make(struct command_call *call, const char *text)
{
    struct condition *condition = calloc(1, sizeof(*condition));
    struct error error = {"no memory for the condition"};

    if (condition) {
        condition->expression = expression_parse(text, call->vm, &error);
    }
    if (!condition || !condition->expression) {
        free(condition);
        command_fail(call, "%s", error.text);
        return NULL;
    }
    return condition;
}

bool debug_add_point(struct command_call *call, const struct debug_point *point, const char *condition,
                     unsigned *id)
{
    struct debug_point added = *point;
    char text[COMMAND_LINE_MAX * 2];
    struct error error;

    added.owner = debug_points_owner();
    if (condition) {
        added.opaque = condition_make(call, condition);
        if (!added.opaque) {
            return false;
        }
        added.condition = condition_met;
        added.release = condition_free;
    }
    snprintf(text, sizeof(text), "%s%s%s", point->text ? point->text : "", condition ? " if " : "",
             condition ? condition : "");
    added.text = text;
    if (debugger_add(call->vm, &added, id, &error) < 0) {
        if (condition) {
            condition_free(added.opaque);
        }
        return command_fail(call, "%s", error.text);
    }
    return true;
}

struct debug_point_state *debug_points_take(struct vm *vm, unsigned *count)
{
    unsigned room = debugger_points(vm, NULL, 0);
    struct debug_point_state *state = room ? calloc(room, sizeof(*state)) : NULL;

    *count = state ? MIN(room, debugger_points(vm, state, room)) : 0;
    return state;
}

const char *debug_point_failure(const struct debug_point_state *state)
{
    const struct condition *condition = state->point.opaque;

    if (state->point.condition != condition_met || !*condition->error.text) {
        return NULL;
    }
    return condition->error.text;
}
