/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The reference of the commands, from the table: as plain text, as a manual page for man(7)'s macros, and as Markdown for docs/.
 */
#include <errno.h>

#include "monitor/groups.h"

/* ---- man(7) ---- */

/* A backslash and a leading dot or quote are roff's. */
static void roff_text(const char *text, FILE *out)
{
    if (*text == '.' || *text == '\'') {
        fputs("\\&", out);
    }
    for (; *text; text++) {
        if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out);
        } else {
            fputc(*text, out);
        }
    }
}

static void roff_command(const struct command *command, FILE *out)
{
    fprintf(out, ".TP\n\\fB");
    roff_text(command->name, out);
    fprintf(out, "\\fR%s\\fI", *command->arguments && command->arguments[0] != '/' ? " " : "");
    roff_text(command->arguments, out);
    fprintf(out, "\\fR\n");
    roff_text(command->help, out);
    fprintf(out, ".\n");
    if (command->detail) {
        roff_text(command->detail, out);
        fputc('\n', out);
    }
    if (command->aliases) {
        fprintf(out, "Also called: \\fB");
        roff_text(command->aliases, out);
        fprintf(out, "\\fR.\n");
    }
}

static void write_roff(FILE *out)
{
    fprintf(out,
            ".TH HYPATIA-MONITOR 7 \"\" \"Hypatia %s\" \"Hypatia\"\n"
            ".SH NAME\nhypatia-monitor \\- commands of Hypatia's monitor\n"
            ".SH DESCRIPTION\n"
            "The monitor is a command line that sees into running virtual machines. It is reached by\n"
            ".B \\-monitor\n(on a terminal, a socket or a pty), by Ctrl\\-a c under\n.BR \\-nographic ,\n"
            "and by a lab's key\n.BR monitor .\n"
            "A script of its commands is given by\n.BR \\-monitor\\-script .\n"
            "A command after\n.B \\-j\nis answered by one line of JSON.\n",
            HYPATIA_VERSION);
    for (size_t i = 0; i < command_group_count; i++) {
        fprintf(out, ".SH ");
        roff_text(command_groups[i]->title, out);
        fputc('\n', out);
        for (size_t j = 0; j < command_groups[i]->count; j++) {
            roff_command(&command_groups[i]->commands[j], out);
        }
    }
    fprintf(out, ".SH SEE ALSO\ndocs/monitor.md of the source, with examples.\n");
}

/* ---- Markdown ---- */

/* Of the characters that mean something to Markdown, < and * and _ occur; inside of backquotes none does. */
static void markdown_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (strchr("<*_[]", *text)) {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

static void markdown_command(const struct command *command, FILE *out)
{
    fprintf(out, "- `");
    command_print_usage(command, out);
    fprintf(out, "`");
    if (command->aliases) {
        fprintf(out, " (also `%s`)", command->aliases);
    }
    fprintf(out, ": ");
    markdown_text(command->help, out);
    fprintf(out, ".");
    if (command->detail) {
        fprintf(out, " ");
        markdown_text(command->detail, out);
    }
    fputc('\n', out);
}

static void write_markdown(FILE *out)
{
    for (size_t i = 0; i < command_group_count; i++) {
        fprintf(out, "%s### %s\n\n", i ? "\n" : "", command_groups[i]->title);
        for (size_t j = 0; j < command_groups[i]->count; j++) {
            markdown_command(&command_groups[i]->commands[j], out);
        }
    }
}

int monitor_write_manual(const char *form, FILE *out)
{
    if (!strcmp(form, "text")) {
        command_print_list("", true, out);
    } else if (!strcmp(form, "man")) {
        write_roff(out);
    } else if (!strcmp(form, "markdown")) {
        write_markdown(out);
    } else {
        return -EINVAL;
    }
    return ferror(out) ? -EIO : 0;
}
