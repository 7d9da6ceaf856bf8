/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The line editor: what a terminal shows and which lines come out, of bytes that go in; two editors that take turns; keys that
 * readline would wait for; random bytes.
 *
 * The terminal here knows what the editor may send: printable bytes, backspace, carriage return and line feed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "monitor/editor.h"

struct terminal {
    struct editor *editor;
    char screen[4096]; /* rows above */
    char row[512];
    unsigned column, columns;
    char lines[2048]; /* entered, each with a | behind it */
    bool strange;     /* it was sent something else */
};

static void show(void *opaque, const char *text, size_t length)
{
    struct terminal *t = opaque;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            size_t used = strlen(t->screen);

            snprintf(t->screen + used, sizeof(t->screen) - used, "%.*s\n", (int)sizeof(t->row), t->row);
            memset(t->row, 0, sizeof(t->row));
        } else if (text[i] == '\r') {
            t->column = 0;
        } else if (text[i] == '\b') {
            t->column -= t->column > 0;
        } else if ((unsigned char)text[i] >= ' ' && t->column < sizeof(t->row) - 1) {
            t->row[t->column++] = text[i];
        } else {
            t->strange = true;
        }
    }
}

static void entered(void *opaque, const char *line)
{
    struct terminal *t = opaque;

    size_t used = strlen(t->lines);

    snprintf(t->lines + used, sizeof(t->lines) - used, "%s|", line);
    editor_prompt(t->editor, "> ");
}

static void offer(void *opaque, const char *text, size_t start, struct editor_words *words)
{
    static const char *const known[] = {"alpha", "alpine", "beta"};

    (void)opaque;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!strncmp(known[i], text + start, strlen(text + start))) {
            editor_add_word(words, known[i]);
        }
    }
}

static unsigned width(void *opaque)
{
    return ((struct terminal *)opaque)->columns;
}

static struct terminal *open_terminal(void)
{
    struct terminal *t = calloc(1, sizeof(*t));

    setenv("INPUTRC", "/dev/null", 1);
    t->editor = editor_create(&(struct editor_host){show, entered, offer, width, t});
    cr_assert_not_null(t->editor);
    editor_prompt(t->editor, "> ");
    return t;
}

static void close_terminal(struct terminal *t)
{
    editor_destroy(t->editor);
    free(t);
}

static void type(struct terminal *t, const char *keys)
{
    editor_feed(t->editor, (const uint8_t *)keys, strlen(keys));
}

/* What is to be seen of the row, without the blanks at its end. */
static const char *row(struct terminal *t)
{
    size_t length = strlen(t->row);

    while (length > 0 && t->row[length - 1] == ' ') {
        t->row[--length] = '\0';
    }
    return t->row;
}

Test(editor, shows_what_is_typed_and_hands_over_lines)
{
    struct terminal *t = open_terminal();

    cr_assert_str_eq(t->row, "> ");
    type(t, "hello");
    cr_assert_str_eq(t->row, "> hello");
    type(t, " world\rsecond\n");
    cr_assert_str_eq(t->lines, "hello world|second|");
    cr_assert_str_eq(t->screen, "> hello world\n> second\n");
    cr_assert_str_eq(t->row, "> ");
    cr_assert_not(t->strange);
    close_terminal(t);
}

Test(editor, typing_at_the_end_sends_no_more_than_the_key)
{
    struct terminal *t = open_terminal();

    memset(t->row, 0, sizeof(t->row));
    t->column = 0;
    type(t, "abc");
    cr_assert_str_eq(t->row, "abc", "sent: %s", t->row);
    close_terminal(t);
}

Test(editor, edits_within_the_line)
{
    struct terminal *t = open_terminal();

    type(t, "one three\033[D\033[D\033[D\033[D\033[Dtwo ");
    cr_assert_str_eq(row(t), "> one two three");
    cr_assert_eq(t->column, 10);
    type(t, "\001\033[3~O\005!\b.");
    cr_assert_str_eq(row(t), "> One two three.");
    type(t, "\027\027four\r");
    cr_assert_str_eq(t->lines, "One four|");
    close_terminal(t);
}

Test(editor, control_c_gives_the_line_up)
{
    struct terminal *t = open_terminal();

    type(t, "oh no\003yes\r");
    cr_assert_str_eq(t->lines, "yes|");
    cr_assert_str_eq(t->screen, "> oh no^C\n> yes\n");
    close_terminal(t);
}

Test(editor, recalls_and_searches_history)
{
    struct terminal *t = open_terminal();

    type(t, "info status\rinfo block\rinfo block\rstop\r");
    t->lines[0] = '\0';
    type(t, "\033[A\033[A\033[A\r");
    type(t, "\022blo\r");
    cr_assert_str_eq(t->lines, "info status|info block|");
    close_terminal(t);
}

Test(editor, completes_words_and_lists_several)
{
    struct terminal *t = open_terminal();

    type(t, "x b\t");
    cr_assert_str_eq(row(t), "> x beta");
    type(t, "\025al\t");
    cr_assert_str_eq(row(t), "> alp");
    type(t, "\t\t");
    cr_assert_str_eq(t->screen, "> alp\nalpha   alpine\n");
    cr_assert_str_eq(row(t), "> alp");
    type(t, "i\t\r");
    cr_assert_str_eq(t->lines, "alpine|");
    cr_assert_not(t->strange);
    close_terminal(t);
}

Test(editor, scrolls_a_line_that_is_too_long_sideways)
{
    struct terminal *t = open_terminal();

    t->columns = 20;
    type(t, "0123456789abcdefghijklmnopqrstuvwxyz");
    cr_assert_leq(strlen(row(t)), 20);
    cr_assert_eq(t->row[0], '<');
    cr_assert(strstr(t->row, "vwxyz"), "%s", t->row);
    type(t, "\001");
    cr_assert_str_eq(row(t), "> 0123456789abcdef>");
    type(t, "\r");
    cr_assert_str_eq(t->lines, "0123456789abcdefghijklmnopqrstuvwxyz|");
    close_terminal(t);
}

Test(editor, counts_utf8_as_one_column)
{
    struct terminal *t = open_terminal();

    type(t, "\303\244b\033[D");
    cr_assert_str_eq(t->row, "> \303\244b");
    type(t, "\r");
    cr_assert_str_eq(t->lines, "\303\244b|");
    close_terminal(t);
}

Test(editor, makes_room_for_a_message_and_comes_back)
{
    struct terminal *t = open_terminal();

    type(t, "half a li");
    editor_hide(t->editor);
    cr_assert_str_eq(row(t), "");
    cr_assert_eq(t->column, 0);
    show(t, "a message\r\n", 11);
    type(t, "n");
    cr_assert_str_eq(row(t), "");
    editor_show(t->editor);
    cr_assert_str_eq(t->screen, "a message\n");
    cr_assert_str_eq(row(t), "> half a lin");
    type(t, "e\r");
    cr_assert_str_eq(t->lines, "half a line|");
    close_terminal(t);
}

Test(editor, two_take_turns_in_the_middle_of_lines)
{
    struct terminal *a = open_terminal(), *b = open_terminal();

    type(a, "first\033[D\033[D");
    type(b, "second");
    type(a, "X");
    cr_assert_str_eq(row(a), "> firXst");
    type(b, "\033[D\033[D");
    type(a, "\022sec"); /* a search that is not finished */
    type(b, "Y\r");
    type(a, "\007\005Z\r");
    cr_assert_str_eq(b->lines, "secoYnd|");
    cr_assert_str_eq(a->lines, "firXstZ|");
    close_terminal(a);
    type(b, "again\r");
    cr_assert_str_eq(b->lines, "secoYnd|again|");
    close_terminal(b);
}

Test(editor, never_waits_for_the_rest_of_a_key)
{
    struct terminal *t = open_terminal();

    type(t, "ab\033");
    type(t, "[");
    type(t, "D");
    type(t, "X\033[200~pasted\033[201~\026");
    type(t, "\tY\r");
    cr_assert_str_eq(t->lines, "aXpasted\tYb|");
    type(t, "\033[200~");
    type(t, "not the end\r");
    cr_assert_str_eq(t->lines, "aXpasted\tYb|not the end|");
    close_terminal(t);
}

Test(editor, end_of_input_is_an_empty_line)
{
    struct terminal *t = open_terminal();

    type(t, "\004x\r");
    cr_assert_str_eq(t->lines, "|x|");
    close_terminal(t);
}

struct collected {
    char text[256];
};

static void collect(void *opaque, unsigned number, const char *line)
{
    struct collected *c = opaque;
    size_t used = strlen(c->text);

    snprintf(c->text + used, sizeof(c->text) - used, "%u %s|", number, line);
}

Test(editor, keeps_history_in_a_file)
{
    char path[] = "/tmp/editor_history_XXXXXX", text[256] = "";
    int fd = mkstemp(path);
    struct collected c = {""};
    struct terminal *t;
    FILE *file;

    cr_assert_geq(fd, 0);
    file = fdopen(fd, "w");
    fputs("from before\n", file);
    fclose(file);
    editor_open_history(path);
    t = open_terminal();
    type(t, "now\r \r secret\rnow\rthen\r");
    cr_assert_eq(editor_history(10, collect, &c), 3);
    cr_assert_str_eq(c.text, "1 from before|2 now|3 then|");
    file = fopen(path, "r");
    cr_assert_gt(fread(text, 1, sizeof(text) - 1, file), 0);
    fclose(file);
    remove(path);
    cr_assert_str_eq(text, "from before\nnow\nthen\n");
    close_terminal(t);
}

Test(editor, random_bytes_do_no_harm)
{
    struct terminal *t[2] = {open_terminal(), open_terminal()};
    uint64_t state = 88172645463325252ull;

    t[1]->columns = 33;
    for (unsigned i = 0; i < 40000; i++) {
        uint8_t byte;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        byte = (uint8_t)(state & 0x300 ? state : (state & 0x1f));
        editor_feed(t[state >> 60 & 1]->editor, &byte, 1);
        for (unsigned k = 0; k < 2; k++) {
            t[k]->lines[0] = t[k]->screen[0] = '\0';
        }
    }
    for (unsigned k = 0; k < 2; k++) {
        type(t[k], "\007\003\003\003");
        t[k]->lines[0] = '\0';
        type(t[k], "alive\r");
        cr_assert_str_eq(t[k]->lines, "alive|");
        close_terminal(t[k]);
    }
}
