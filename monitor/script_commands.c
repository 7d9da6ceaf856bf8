/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Checks: assert, assert-output; and the rows of what only scripts can do (monitor/script.c), for help and the manual.
 */
#include <regex.h>
#include <stdlib.h>

#include "monitor/groups.h"

static bool run_assert(struct command_call *call)
{
    uint64_t value;

    if (!command_tail_value(call, 0, &value)) {
        return false;
    }
    return value != 0 || command_fail(call, "assert %s: it is not so", call->tail[0]);
}

static bool check_output(struct command_call *call, const regex_t *regex)
{
    struct monitor_session once = *call->session;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    bool found;

    if (!out) {
        return command_fail(call, "out of memory");
    }
    monitor_execute(&once, call->word[0], out);
    fclose(out);
    found = regexec(regex, text, 0, NULL, 0) == 0;
    if (!found) {
        while (length > 0 && text[length - 1] == '\n') {
            text[--length] = '\0';
        }
        command_fail(call, "'%s' does not answer \"%s\" but: %s", call->word[0], call->word[1], text);
    }
    free(text);
    return found;
}

static bool run_assert_output(struct command_call *call)
{
    char why[128];
    regex_t regex;
    int result = regcomp(&regex, call->word[1], REG_EXTENDED | REG_NOSUB | REG_NEWLINE);
    bool found;

    if (result != 0) {
        regerror(result, &regex, why, sizeof(why));
        return command_fail(call, "pattern '%s': %s", call->word[1], why);
    }
    found = check_output(call, &regex);
    regfree(&regex);
    return found;
}

static bool only_in_scripts(struct command_call *call)
{
    return command_fail(call, "%s: only scripts wait (hypatia -monitor-script FILE)", call->command->name);
}

static const struct command commands[] = {
    {"assert", NULL, "EXPR", "fail unless the expression is true", NULL, false, 1, COMMAND_WORDS_MAX,
     run_assert},
    {"assert-output", NULL, "COMMAND PATTERN", "fail unless the command's answer matches",
     "The command stands in quotes if it has several words. Patterns are extended regular expressions.", true,
     2, 2, run_assert_output},
    {"expect", NULL, "serial|serial1|screen|output|stop [...]", "in a script: wait until something happens",
     "expect serial PATTERN [S]: until a serial port says it. expect screen PATTERN [S]: until the text "
     "screen shows it. "
     "expect output COMMAND PATTERN [S]: until a command, given again and again, answers it. expect stop "
     "[S]: until the VM "
     "is paused or has ended. It fails after S seconds (60); guest behind the number counts the guest's "
     "time.",
     true, 1, 6, only_in_scripts},
    {"send", NULL, "TEXT", "in a script: type at the serial port",
     "\\n, \\r, \\t, \\e and \\xHH stand for what they do in C.", true, 1, 1, only_in_scripts},
    {"wait", NULL, "MS", "in a script: wait so many milliseconds", NULL, true, 1, 1, only_in_scripts},
};

const struct command_group script_group = {"Scripts", commands, ARRAY_LEN(commands)};
