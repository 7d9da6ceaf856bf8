/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table of commands as a whole: its groups, in the order of the manual, and how a line finds its row.
 *
 * A new file of commands declares its group here and is added to command_groups[] in commands.c.
 */
#ifndef MONITOR_GROUPS_H
#define MONITOR_GROUPS_H

#include "monitor/command.h"

extern const struct command_group general_group;     /* help_commands.c */
extern const struct command_group machine_group;     /* machine_commands.c */
extern const struct command_group info_group;        /* info_commands.c */
extern const struct command_group memory_group;      /* memory_commands.c */
extern const struct command_group paging_group;      /* paging_commands.c */
extern const struct command_group walk_group;        /* walk_commands.c */
extern const struct command_group descriptor_group;  /* descriptor_commands.c */
extern const struct command_group register_group;    /* register_commands.c */
extern const struct command_group shadow_group;      /* shadow_commands.c */
extern const struct command_group translation_group; /* translation_commands.c */
extern const struct command_group trace_group;       /* trace_commands.c */
extern const struct command_group point_group;       /* point_commands.c */
extern const struct command_group step_group;        /* step_commands.c */
extern const struct command_group symbol_group;      /* symbol_commands.c */
extern const struct command_group search_group;      /* search_commands.c */
extern const struct command_group snapshot_group;    /* snapshot_commands.c */
extern const struct command_group window_group;      /* window_commands.c */
extern const struct command_group script_group;      /* script_commands.c */
extern const struct command_group lab_group;         /* lab_commands.c */

extern const struct command_group *const command_groups[];
extern const size_t command_group_count;

/* A line, split as commands see it. */
struct command_line {
    char text[COMMAND_LINE_MAX];  /* as it was typed */
    char words[COMMAND_LINE_MAX]; /* the words, each ended, quotes taken off */
    unsigned count;
    char *word[COMMAND_WORDS_MAX];
    char *tail[COMMAND_WORDS_MAX]; /* in text */
};

/* -E2BIG: too long, too many words; -EINVAL: a quote is not closed. With the text. */
int command_line_split(struct command_line *line, const char *text, struct error *error);

/* The row that a line is for, *words of whose words are its name; NULL: none. *format: behind the name's slash, or "". */
const struct command *command_find(struct command_line *line, unsigned *words, const char **format);

/* Run one line as monitor_execute() does, but leave what is not text in *data, for the caller to free (NULL: nothing). */
bool command_execute(struct monitor_session *session, const char *text, FILE *out, json_t **data);

/* Name and arguments, as one types them. */
void command_print_usage(const struct command *command, FILE *out);
/* Print the rows whose names begin with these words ("": all), one a line, perhaps with their groups' titles. How many. */
unsigned command_print_list(const char *words, bool titles, FILE *out);

#endif
