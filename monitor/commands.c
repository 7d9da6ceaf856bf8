/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor's commands as a whole: the groups, how a line is split and finds its row of a table, and how it is answered.
 *
 * A line is words separated by blanks. "..." holds a word together, and in it \" and \\ stand for " and \. A name has up
 * to three words, and of several that fit the longest is meant. What stands behind a slash at the name is a format, for the
 * commands whose arguments begin with one: x/8xw 0x1000, and x /8xw 0x1000 as well.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "monitor/expression.h"
#include "monitor/groups.h"

/* In the order of the manual. */
const struct command_group *const command_groups[] = {
    &general_group,  &machine_group,    &info_group,     &memory_group, &paging_group,
    &walk_group,     &descriptor_group, &register_group, &shadow_group, &translation_group,
    &trace_group,    &point_group,      &step_group,     &symbol_group, &search_group,
    &snapshot_group, &lab_group,        &window_group,   &script_group,
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
    fprintf(call->out, "usage: ");
    command_print_usage(call->command, call->out);
    fputc('\n', call->out);
    return false;
}

/* Without a VM there is nothing that an expression could be about but numbers. */
static bool evaluate(struct command_call *call, const char *text, uint64_t *value)
{
    struct error error;
    char *end;

    if (call->vm) {
        return expression_evaluate(text, call->vm, value, &error) == 0 ||
               command_fail(call, "%s", error.text);
    }
    errno = 0;
    *value = strtoull(text, &end, 0);
    return (!errno && end != text && !*end) || command_fail(call, "'%s' is not a number", text);
}

bool command_value(struct command_call *call, unsigned i, uint64_t *value)
{
    return evaluate(call, call->word[i], value);
}

bool command_tail_value(struct command_call *call, unsigned i, uint64_t *value)
{
    return evaluate(call, call->tail[i], value);
}

const char *command_vm_name(struct command_call *call, unsigned i)
{
    const char *own = call->session->vm ? call->session->vm->config.name : call->session->chosen;
    const char *name = call->count > i ? call->word[i] : own;

    if (!*name) {
        command_fail(call, "%s: which VM? (vm list shows them)", call->command->name);
        return NULL;
    }
    return name;
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

/* "sched bogus" is answered by what there is. */
static bool unknown(struct command_call *call, const struct command_line *line)
{
    for (size_t i = 0; i < command_group_count; i++) {
        for (size_t j = 0; j < command_groups[i]->count; j++) {
            const char *name = command_groups[i]->commands[j].name;
            size_t length = strcspn(name, " ");

            if (name[length] && strlen(line->word[0]) == length && !strncmp(name, line->word[0], length)) {
                return command_fail(call, "unknown command '%s%s%s' (help %s lists what there is)",
                                    line->word[0], line->count > 1 ? " " : "",
                                    line->count > 1 ? line->word[1] : "", line->word[0]);
            }
        }
    }
    return command_fail(call, "unknown command '%s' (help lists them)", line->word[0]);
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
        return unknown(&call, &line);
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

/* A text as a string. What is no UTF-8 has no place in JSON. */
static json_t *json_of(const char *text, size_t length)
{
    json_t *string = json_stringn(text, length);
    char *clean = string ? NULL : strndup(text, length);

    for (char *at = clean; at && *at; at++) {
        *at = (char)((unsigned char)*at < 0x80 ? *at : '?');
    }
    if (clean) {
        string = json_string(clean);
    }
    free(clean);
    return string;
}

/* The text's lines, each a string. */
static json_t *lines_of(const char *text)
{
    json_t *lines = json_array();

    for (const char *end; *text; text = end) {
        size_t length = strcspn(text, "\n");

        end = text + length + (text[length] == '\n');
        json_array_append_new(lines, json_of(text, length));
    }
    return lines;
}

/* -j COMMAND: {"command": ..., "ok": true, "data": ... or "text": [lines]} or {..., "ok": false, "error": ...}, on a line. */
static bool execute_json(struct monitor_session *session, const char *text, FILE *out)
{
    json_t *answer = json_object(), *data = NULL;
    char *said = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&said, &length);
    bool done = memory && command_execute(session, text, memory, &data);

    if (!memory || fclose(memory) != 0) {
        json_decref(answer);
        return false;
    }
    json_object_set_new(answer, "command", json_of(text, strlen(text)));
    json_object_set_new(answer, "ok", json_boolean(done));
    if (!done) {
        size_t end = length > 0 && said[length - 1] == '\n' ? length - 1 : length;

        json_object_set_new(answer, "error", json_of(said, end));
    } else if (data) {
        json_object_set(answer, "data", data);
    } else {
        json_object_set_new(answer, "text", lines_of(said));
    }
    json_dumpf(answer, out, JSON_COMPACT | JSON_ENSURE_ASCII);
    fputc('\n', out);
    json_decref(data);
    json_decref(answer);
    free(said);
    return done;
}

bool monitor_execute(struct monitor_session *session, const char *text, FILE *out)
{
    json_t *data;
    bool done;

    text += strspn(text, " \t");
    if (!strncmp(text, "-j", 2) && (text[2] == ' ' || text[2] == '\t')) {
        return execute_json(session, text + 3 + strspn(text + 3, " \t"), out);
    }
    done = command_execute(session, text, out, &data);
    json_decref(data);
    return done;
}
