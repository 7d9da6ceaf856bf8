/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor's commands as a whole: the groups, how a line is split and finds its row of a table, and help.
 *
 * A line is words separated by blanks. "..." holds a word together, and in it \" and \\ stand for " and \. A name has up
 * to three words, and of several that fit the longest is meant. What stands behind a slash at the name is a format, for the
 * commands whose arguments begin with one: x/8xw 0x1000, and x /8xw 0x1000 as well.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "monitor/groups.h"

/* In the order of the manual. */
const struct command_group *const command_groups[] = {
    &general_group,    &machine_group,  &info_group,   &memory_group,      &paging_group,   &walk_group,
    &descriptor_group, &register_group, &shadow_group, &translation_group, &snapshot_group, &lab_group,
};
const size_t command_group_count = ARRAY_LEN(command_groups);

/* ---- splitting ---- */

/* One word from *from to *to, which move behind it; false: its quote is not closed. */
static bool take_word(const char **from, char **to)
{
    bool quoted = false;

    for (; **from && (quoted || !isspace((unsigned char)**from)); ++*from) {
        if (**from == '"') {
            quoted = !quoted;
            continue;
        }
        if (quoted && **from == '\\' && ((*from)[1] == '"' || (*from)[1] == '\\')) {
            ++*from;
        }
        *(*to)++ = **from;
    }
    *(*to)++ = '\0';
    return !quoted;
}

int command_line_split(struct command_line *line, const char *text, struct error *error)
{
    size_t length = strlen(text);
    const char *from;
    char *to = line->words;

    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        length--;
    }
    if (length >= sizeof(line->text) - 1) {
        return error_set(error, -E2BIG, "the line is longer than %d characters", COMMAND_LINE_MAX - 2);
    }
    memcpy(line->text, text, length);
    line->text[length] = '\0';
    line->count = 0;
    for (from = line->text;; line->count++) {
        while (isspace((unsigned char)*from)) {
            from++;
        }
        if (!*from) {
            return 0;
        }
        if (line->count == COMMAND_WORDS_MAX) {
            return error_set(error, -E2BIG, "the line has more than %d words", COMMAND_WORDS_MAX);
        }
        line->tail[line->count] = line->text + (from - line->text);
        line->word[line->count] = to;
        if (!take_word(&from, &to)) {
            return error_set(error, -EINVAL, "a quote is not closed: %.60s", line->tail[line->count]);
        }
    }
}

/* ---- finding ---- */

static bool takes_format(const struct command *command)
{
    return command->arguments[0] == '/';
}

/* Does `typed` name the `length` characters of `name`? A format may follow. */
static bool names(const char *typed, const char *name, size_t length, bool format)
{
    return !strncmp(typed, name, length) && (!typed[length] || (format && typed[length] == '/'));
}

/* How many words of the line are the command's name; 0: it is another one. */
static unsigned match(const struct command *command, const struct command_line *line)
{
    const char *alias = command->aliases ? command->aliases : "";
    const char *name = command->name;
    unsigned words = 0;

    while (*name && words < line->count) {
        size_t length = strcspn(name, " ");

        if (!names(line->word[words], name, length, takes_format(command) && !name[length])) {
            break;
        }
        words++;
        name += length + (name[length] == ' ');
    }
    if (!*name) {
        return words;
    }
    for (size_t length; *alias; alias += length + (alias[length] == ' ')) {
        length = strcspn(alias, " ");
        if (names(line->word[0], alias, length, takes_format(command))) {
            return 1;
        }
    }
    return 0;
}

const struct command *command_find(struct command_line *line, unsigned *words, const char **format)
{
    const struct command *best = NULL;
    char *slash;

    *words = 0;
    *format = "";
    for (size_t i = 0; line->count > 0 && i < command_group_count; i++) {
        for (size_t j = 0; j < command_groups[i]->count; j++) {
            unsigned matched = match(&command_groups[i]->commands[j], line);

            if (matched > *words) {
                *words = matched;
                best = &command_groups[i]->commands[j];
            }
        }
    }
    if (!best || !takes_format(best)) {
        return best;
    }
    slash = strchr(line->word[*words - 1], '/');
    if (slash) {
        *format = slash + 1;
    } else if (*words < line->count && line->word[*words][0] == '/') {
        *format = line->word[*words] + 1;
        ++*words;
    }
    return best;
}

/* ---- running ---- */

bool command_fail(struct command_call *call, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vfprintf(call->out, format, list);
    va_end(list);
    fputc('\n', call->out);
    return false;
}

bool command_usage(struct command_call *call)
{
    return command_fail(call, "usage: %s%s%s", call->command->name,
                        *call->command->arguments && !takes_format(call->command) ? " " : "",
                        call->command->arguments);
}

bool command_value(struct command_call *call, unsigned i, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(call->word[i], &end, 0);
    if (errno || end == call->word[i] || *end) {
        return command_fail(call, "'%s' is not a number", call->word[i]);
    }
    return true;
}

/* Run a command for one VM: a VM's own monitor has it, the lab's takes it. */
static bool run_for_vm(struct command_call *call)
{
    struct monitor_session *session = call->session;
    struct error error;
    bool done;

    if (session->vm || call->command->process) {
        return call->command->run(call);
    }
    if (!*session->chosen) {
        return command_fail(call, "for which VM? (vm list shows them, vm NAME chooses one)");
    }
    call->vm = hypervisor_hold(session->hv, session->chosen, &error);
    if (!call->vm) {
        return command_fail(call, "%s", error.text);
    }
    done = call->command->run(call);
    hypervisor_release(session->hv, call->vm);
    return done;
}

bool command_execute(struct monitor_session *session, const char *text, FILE *out, json_t **data)
{
    struct command_call call = {.session = session, .vm = session->vm, .out = out};
    struct command_line line;
    struct error error;
    unsigned words;
    bool done;

    *data = NULL;
    if (command_line_split(&line, text, &error) < 0) {
        return command_fail(&call, "%s", error.text);
    }
    if (line.count == 0) {
        return true;
    }
    call.command = command_find(&line, &words, &call.format);
    if (!call.command) {
        return command_fail(&call, "unknown command '%s' (help lists them)", line.word[0]);
    }
    call.count = line.count - words;
    for (unsigned i = 0; i < call.count; i++) {
        call.word[i] = line.word[words + i];
        call.tail[i] = line.tail[words + i];
    }
    if (call.count < call.command->least || call.count > call.command->most) {
        return command_usage(&call);
    }
    done = run_for_vm(&call);
    *data = call.data;
    return done;
}

bool monitor_execute(struct monitor_session *session, const char *text, FILE *out)
{
    json_t *data;
    bool done = command_execute(session, text, out, &data);

    json_decref(data);
    return done;
}

/* ---- help ---- */

static bool begins_with_word(const char *name, const char *word)
{
    size_t length = strlen(word);

    return !strncmp(name, word, length) && (!name[length] || name[length] == ' ');
}

unsigned command_print_list(const char *first, FILE *out)
{
    unsigned count = 0;

    for (size_t i = 0; i < command_group_count; i++) {
        for (size_t j = 0; j < command_groups[i]->count; j++) {
            const struct command *command = &command_groups[i]->commands[j];
            char left[128];

            if (first && !begins_with_word(command->name, first)) {
                continue;
            }
            snprintf(left, sizeof(left), "%s%s%s", command->name, takes_format(command) ? "" : " ",
                     command->arguments);
            fprintf(out, "%-28s %s\n", left, command->help);
            count++;
        }
    }
    return count;
}

static bool run_help(struct command_call *call)
{
    if (command_print_list(call->count ? call->word[0] : NULL, call->out) == 0) {
        return command_fail(call, "unknown command '%s' (help lists them)", call->word[0]);
    }
    return true;
}

static bool run_quit(struct command_call *call)
{
    if (call->vm) {
        vm_request_quit(call->vm);
    } else {
        hypervisor_quit(call->session->hv);
    }
    return true;
}

static const struct command commands[] = {
    {"help", "?", "[COMMAND]", "what commands there are", NULL, true, 0, 1, run_help},
    {"quit", "q", "", "end the VM; from the lab's monitor all of them", NULL, true, 0, 0, run_quit},
};

const struct command_group general_group = {"General", commands, ARRAY_LEN(commands)};
