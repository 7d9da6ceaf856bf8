/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * help, quit, and what there is to know of the program itself: info history, version, name, uuid.
 */
#include "monitor/editor.h"
#include "monitor/groups.h"

enum { HISTORY_SHOWN = 200, LEFT_WIDTH = 34 };

/* ---- help ---- */

static bool begins_with_words(const char *name, const char *words)
{
    size_t length = strlen(words);

    return !strncmp(name, words, length) && (!name[length] || name[length] == ' ');
}

void command_print_usage(const struct command *command, FILE *out)
{
    bool apart = *command->arguments && command->arguments[0] != '/';

    fprintf(out, "%s%s%s", command->name, apart ? " " : "", command->arguments);
}

/* Usage and help on one line; on two when there is no room. */
static void print_row(const struct command *command, FILE *out)
{
    int left = (int)(strlen(command->name) + strlen(command->arguments)) + 1;

    command_print_usage(command, out);
    if (left >= LEFT_WIDTH) {
        fprintf(out, "\n%*s", LEFT_WIDTH, "");
    } else {
        bool apart = *command->arguments && command->arguments[0] != '/';

        fprintf(out, "%*s", LEFT_WIDTH - left + !apart, "");
    }
    fprintf(out, " %s\n", command->help);
}

unsigned command_print_list(const char *words, bool titles, FILE *out)
{
    unsigned count = 0;

    for (size_t i = 0; i < command_group_count; i++) {
        bool titled = !titles;

        for (size_t j = 0; j < command_groups[i]->count; j++) {
            const struct command *command = &command_groups[i]->commands[j];

            if (*words && !begins_with_words(command->name, words)) {
                continue;
            }
            if (!titled) {
                fprintf(out, "%s%s:\n", count ? "\n" : "", command_groups[i]->title);
                titled = true;
            }
            print_row(command, out);
            count++;
        }
    }
    return count;
}

static void print_details(const struct command *command, FILE *out)
{
    fprintf(out, "usage: ");
    command_print_usage(command, out);
    fprintf(out, "\n%s\n", command->help);
    if (command->aliases) {
        fprintf(out, "also called: %s\n", command->aliases);
    }
    if (command->detail) {
        fprintf(out, "\n%s\n", command->detail);
    }
}

/* Do names of other commands begin with these words, too? */
static bool begins_others(const struct command *command, const char *words)
{
    for (size_t i = 0; i < command_group_count; i++) {
        for (size_t j = 0; j < command_groups[i]->count; j++) {
            const struct command *other = &command_groups[i]->commands[j];

            if (other != command && begins_with_words(other->name, words)) {
                return true;
            }
        }
    }
    return false;
}

static bool run_help(struct command_call *call)
{
    const char *format, *name = call->count ? call->tail[0] : "";
    const struct command *command;
    struct command_line line;
    struct error error;
    unsigned words;

    if (call->count == 0) {
        command_print_list("", true, call->out);
        fprintf(call->out, "\nhelp COMMAND says more; the Tab key completes.\n");
        return true;
    }
    if (command_line_split(&line, name, &error) < 0) {
        return command_fail(call, "%s", error.text);
    }
    command = command_find(&line, &words, &format);
    if (command && words == line.count) {
        print_details(command, call->out);
        if (!begins_others(command, name)) {
            return true;
        }
        fprintf(call->out, "\n");
    }
    return command_print_list(name, false, call->out) > 0 ||
           command_fail(call, "unknown command '%s' (help lists them)", name);
}

/* ---- the session ---- */

static bool run_quit(struct command_call *call)
{
    if (call->vm) {
        vm_request_quit(call->vm);
    } else {
        hypervisor_quit(call->session->hv);
    }
    return true;
}

static void print_line(void *opaque, unsigned number, const char *line)
{
    struct command_call *call = opaque;

    fprintf(call->out, "%4u: %s\n", number, line);
    json_array_append_new(call->data, json_string(line));
}

static bool info_history(struct command_call *call)
{
    call->data = json_array();
    editor_history(HISTORY_SHOWN, print_line, call);
    return true;
}

static bool info_version(struct command_call *call)
{
    call->data = json_pack("{s:s}", "version", HYPATIA_VERSION);
    fprintf(call->out, "Hypatia %s\n", HYPATIA_VERSION);
    return true;
}

static bool info_name(struct command_call *call)
{
    call->data = json_pack("{s:s}", "name", call->vm->config.name);
    fprintf(call->out, "%s\n", call->vm->config.name);
    return true;
}

static bool info_uuid(struct command_call *call)
{
    const char *uuid = call->vm->config.uuid ? call->vm->config.uuid : "00000000-0000-0000-0000-000000000000";

    call->data = json_pack("{s:s}", "uuid", uuid);
    fprintf(call->out, "%s\n", uuid);
    return true;
}

static const struct command commands[] = {
    {"help", "?", "[COMMAND...]", "what commands there are, or what is to be said of one",
     "A word that begins several names, such as info or sched, lists them.", true, 0, 3, run_help},
    {"quit", "q exit", "", "end the VM; from the lab's monitor all of them",
     "At once, without asking the guest: system_powerdown asks it.", true, 0, 0, run_quit},
    {"info history", NULL, "", "the lines that were typed",
     "They are kept in $XDG_STATE_HOME/hypatia/monitor_history (~/.local/state) by monitors on terminals. A "
     "line "
     "that begins with a blank is forgotten.",
     true, 0, 0, info_history},
    {"info version", NULL, "", "which Hypatia this is", NULL, true, 0, 0, info_version},
    {"info name", NULL, "", "the VM's name", NULL, false, 0, 0, info_name},
    {"info uuid", NULL, "", "the VM's UUID", NULL, false, 0, 0, info_uuid},
};

const struct command_group general_group = {"General", commands, ARRAY_LEN(commands)};
