/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a command of the monitor is: a row of a table, from which come dispatch, usage, help, completion and the manual page.
 *
 * A file of commands has one table and exports it as a group; monitor/commands.c lists the groups. Names have one to three words
 * ("stop", "info pg", "sched trace save"); of several that fit a line the longest is meant.
 *
 * `arguments` is shown as it stands, and completion reads it: words in capitals are kinds (FILE, VM, DRIVE, SNAPSHOT,
 * SYMBOL, ADDR, EXPR, DEVICE, COMMAND, KEYS, ACTION, anything else: free), lower-case ones stand for themselves, | separates
 * alternatives, [ ] encloses what may be left out, ... repeats.
 */
#ifndef MONITOR_COMMAND_H
#define MONITOR_COMMAND_H

#include <jansson.h>
#include <stdio.h>

#include "monitor/monitor.h"

enum { COMMAND_WORDS_MAX = 48, COMMAND_LINE_MAX = 1024 };

struct command;

/* One run of a command. */
struct command_call {
    struct monitor_session *session;
    struct vm *vm; /* whom it is for, held meanwhile; NULL: a command of the process */
    const struct command *command;
    /* Words behind the command's name; quotes have been taken off. */
    unsigned count;
    const char *word[COMMAND_WORDS_MAX];
    const char *tail[COMMAND_WORDS_MAX]; /* the line from that word to its end, as it was typed */
    const char *format;                  /* of x/FORMAT, "" when there is none */
    FILE *out;                           /* the answer as text */
    json_t *
        data; /* the answer for -j, if the command has structure to offer; NULL: the text's lines. Set and then owned by the caller */
};

struct command {
    const char *name;
    const char *aliases;   /* separated by spaces; NULL: none */
    const char *arguments; /* "" */
    const char *help;      /* one line, small letter, no full stop */
    const char *detail;    /* for the manual page; NULL: help says it all */
    bool process;          /* for no VM, or chooses by itself: call->vm is NULL in a lab's monitor */
    unsigned least, most;  /* arguments */
    /* False: it failed, and has said why (command_fail()). */
    bool (*run)(struct command_call *call);
};

struct command_group {
    const char *title; /* "Memory", a heading of the manual page */
    const struct command *commands;
    size_t count;
};

/* Print one line, and fail: return command_fail(call, "..."). */
bool command_fail(struct command_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Print the usage line, and fail. */
bool command_usage(struct command_call *call);
/* Word i as a value: a number, a register, a symbol, any expression (monitor/expression.h). False: failed, said why. */
bool command_value(struct command_call *call, unsigned i, uint64_t *value);
/* The same of all words from i on: an expression with blanks in it. */
bool command_tail_value(struct command_call *call, unsigned i, uint64_t *value);
/* Word i as a VM's name; without it the monitor's own VM, or the chosen one. NULL: none, said so. */
const char *command_vm_name(struct command_call *call, unsigned i);

#endif
