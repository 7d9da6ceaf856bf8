/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * GNU readline (the only file that includes it) for several terminals at once. The manual is "GNU Readline Library", version 8.2,
 * chapter 2; keys and variables of ~/.inputrc are in force.
 *
 * readline has one line, one set of key states and one terminal, and wants to read and write these itself. So:
 *
 *   one at a time   A lock, and `current`: the editor whose line it is. When another one needs readline, the line and cursor of the
 *                   current one are taken out, and put back when it is its turn again. What a half-typed key sequence, a search or
 *                   the list for undo had to remember is lost then; of a half-typed sequence readline loses a few bytes of memory.
 *                   While one person types at one terminal nothing changes hands.
 *   never waiting   The callback interface (chapter 2.4.12): bytes are pushed in, and a read beyond them sees the end of the
 *                   input. The lock is given up before a line is acted upon: a command takes what time it takes.
 *   own display     rl_redisplay_function draws here, one row that scrolls sideways, from what this terminal shows already. Only
 *                   printable characters, backspace and carriage return are ever sent, so a terminal may be anything, a pipe
 *                   included, and nothing has to be known about it but its width.
 *   no terminal     rl_instream and rl_outstream are streams of ours. Neither termios nor signals nor TERM are looked at.
 *
 * Bytes from 0x80 on are taken for UTF-8 when columns are counted; wide and combining characters are not known.
 */
#include "monitor/editor.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "vm/containment.h"

enum {
    ROW_MAX = 512,
    CELL_SIZE = 4,
    COLUMNS_UNKNOWN = 80,
    COLUMNS_MIN = 16,
    PROMPT_SIZE = 96,
    HISTORY_MAX = 1000
};

/* A character as it is shown, in one column. */
struct cell {
    char bytes[CELL_SIZE + 1];
};

struct row {
    struct cell cell[ROW_MAX];
    unsigned count;
    unsigned cursor; /* column */
};

struct editor {
    struct editor_host host;
    char prompt[PROMPT_SIZE];
    bool prompted;   /* a line is being asked for */
    bool hidden;     /* ... and not shown */
    char *text;      /* the line, while another editor has readline; NULL: empty */
    unsigned cursor; /* and the cursor in it, bytes */
    char *entered;   /* a line that is complete and not yet acted upon */
    struct row shown;
    const uint8_t *input; /* not yet read by readline */
    size_t input_left;
    FILE *in, *out;
};

/* readline's own state is the process's. So is who has it, and its callbacks have no other way to him. */
static struct {
    pthread_mutex_t lock;
    struct editor *current; /* NULL: nobody's line is in there */
    bool ready;
    char *history_path; /* NULL: no file */
    unsigned unwritten; /* lines added since it was written */
} readline_owner = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A fault in between would leave readline locked for all VMs' monitors. */
static void lock(void)
{
    containment_share();
    pthread_mutex_lock(&readline_owner.lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&readline_owner.lock);
    containment_unshare();
}

/* ---- the row ---- */

static void say(struct editor *editor, const char *text, size_t length)
{
    editor->host.write(editor->host.opaque, text, length);
}

static void put_byte(struct row *row, unsigned char byte)
{
    struct cell *cell;
    size_t length;

    if ((byte & 0xc0) == 0x80 && row->count > 0) { /* continues a character */
        cell = &row->cell[row->count - 1];
        length = strlen(cell->bytes);
        if (length < CELL_SIZE) {
            cell->bytes[length] = (char)byte;
            cell->bytes[length + 1] = '\0';
        }
        return;
    }
    if (row->count + 2 > ROW_MAX) {
        return;
    }
    if (byte < ' ' || byte == 0x7f) {
        row->cell[row->count++] = (struct cell){"^"};
        byte ^= 0x40;
    }
    row->cell[row->count++] = (struct cell){{(char)byte}};
}

/* Leave of a row what fits the terminal around the cursor; < and > stand for what does not. */
static void scroll(struct row *row, unsigned columns)
{
    unsigned width = MIN(MAX(columns, (unsigned)COLUMNS_MIN), (unsigned)ROW_MAX) - 1;
    unsigned step = width / 2, first = 0;

    while (row->cursor - first >= width) {
        first += step;
    }
    if (first > 0) {
        row->count -= first;
        row->cursor -= first;
        memmove(row->cell, row->cell + first, row->count * sizeof(row->cell[0]));
        row->cell[0] = (struct cell){"<"};
    }
    if (row->count > width) {
        row->count = width;
        row->cell[width - 1] = (struct cell){">"};
    }
}

/* The row as it should be. A long line is laid out from near the cursor on. */
static void lay_out(struct editor *editor, struct row *row)
{
    const char *prompt = rl_display_prompt ? rl_display_prompt : editor->prompt;
    unsigned columns = editor->host.columns(editor->host.opaque);
    int from = MAX(rl_point - ROW_MAX / 4, 0), to = MIN(rl_end, rl_point + ROW_MAX / 4);

    row->count = row->cursor = 0;
    for (size_t i = 0; from == 0 && prompt[i] && i < PROMPT_SIZE; i++) {
        if (prompt[i] != RL_PROMPT_START_IGNORE && prompt[i] != RL_PROMPT_END_IGNORE) {
            put_byte(row, (unsigned char)prompt[i]);
        }
    }
    for (int i = from; i < to; i++) {
        row->cursor = i == rl_point ? row->count : row->cursor;
        put_byte(row, (unsigned char)rl_line_buffer[i]);
    }
    row->cursor = rl_point == to ? row->count : row->cursor;
    scroll(row, columns ? columns : COLUMNS_UNKNOWN);
}

static void move_to(struct editor *editor, unsigned column, FILE *to)
{
    struct row *shown = &editor->shown;

    if (column == 0 && shown->cursor > 0) {
        fputc('\r', to);
        shown->cursor = 0;
    }
    for (; shown->cursor > column; shown->cursor--) {
        fputc('\b', to);
    }
    for (; shown->cursor < column; shown->cursor++) {
        fputs(shown->cell[shown->cursor].bytes, to);
    }
}

/* Make the terminal's row this one, sending no more than what differs. */
static void draw(struct editor *editor, const struct row *row)
{
    struct row *shown = &editor->shown;
    unsigned same = 0, old = shown->count;
    char *text = NULL;
    size_t length = 0;
    FILE *to = open_memstream(&text, &length);

    if (!to) {
        return;
    }
    while (same < row->count && same < old && !strcmp(row->cell[same].bytes, shown->cell[same].bytes)) {
        same++;
    }
    if (same < row->count || same < old) {
        move_to(editor, same, to);
        memcpy(shown->cell, row->cell, row->count * sizeof(row->cell[0]));
        shown->count = MAX(row->count, old);
        for (unsigned i = row->count; i < old; i++) {
            shown->cell[i] = (struct cell){" "};
        }
        move_to(editor, shown->count, to);
        shown->count = row->count;
    }
    move_to(editor, row->cursor, to);
    fclose(to);
    say(editor, text, length);
    free(text);
}

static void redisplay(void)
{
    struct editor *editor = readline_owner.current;
    struct row row;

    if (editor && editor->prompted && !editor->hidden) {
        lay_out(editor, &row);
        draw(editor, &row);
    }
}

/* The cursor goes to the beginning of a new row, and what was shown stays where it is. */
static void leave_row(struct editor *editor)
{
    say(editor, "\r\n", 2);
    editor->shown.count = editor->shown.cursor = 0;
}

static void clear_row(struct editor *editor)
{
    static const struct row empty;

    draw(editor, &empty);
    if (editor->shown.cursor > 0) {
        say(editor, "\r", 1);
        editor->shown.cursor = 0;
    }
}

/* ---- readline's callbacks: for the current editor, with the lock ---- */

static int take_key(FILE *stream)
{
    struct editor *editor = readline_owner.current;

    (void)stream;
    if (!editor || editor->input_left == 0) {
        return EOF;
    }
    editor->input_left--;
    return *editor->input++;
}

static int has_key(void)
{
    return readline_owner.current && readline_owner.current->input_left > 0;
}

/* NULL: the end of the input, which a line survives. */
static void take_line(char *line)
{
    struct editor *editor = readline_owner.current;

    free(editor->entered);
    editor->entered = line ? line : strdup("");
    editor->prompted = false;
    rl_callback_handler_remove();
    leave_row(editor);
}

static int interrupt_line(int count, int key)
{
    struct editor *editor = readline_owner.current;

    (void)count;
    (void)key;
    rl_callback_sigcleanup();
    rl_point = rl_end;
    redisplay();
    say(editor, "^C", 2);
    leave_row(editor);
    rl_free_undo_list();
    using_history();
    rl_replace_line("", 1);
    rl_clear_message();
    return 0;
}

static int ignore_key(int count, int key)
{
    (void)count;
    (void)key;
    return 0;
}

static int clear_screen(int count, int key)
{
    struct editor *editor = readline_owner.current;

    (void)count;
    (void)key;
    say(editor, "\033[H\033[2J", 7);
    editor->shown.count = editor->shown.cursor = 0;
    redisplay();
    return 0;
}

/* ---- completion ---- */

void editor_add_word(struct editor_words *words, const char *word)
{
    if (words->count == words->capacity) {
        size_t capacity = words->capacity ? words->capacity * 2 : 32;
        char **grown = realloc(words->word, capacity * sizeof(*grown));

        if (!grown) {
            return;
        }
        words->word = grown;
        words->capacity = capacity;
    }
    words->word[words->count] = strdup(word);
    words->count += words->word[words->count] != NULL;
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_words(struct editor_words *words)
{
    size_t kept = 0;

    if (words->count > 0) {
        qsort(words->word, words->count, sizeof(*words->word), compare_words);
    }
    for (size_t i = 0; i < words->count; i++) {
        if (kept > 0 && !strcmp(words->word[i], words->word[kept - 1])) {
            free(words->word[i]);
        } else {
            words->word[kept++] = words->word[i];
        }
    }
    words->count = kept;
}

static void add_files(struct editor_words *words, const char *text)
{
    char *name;

    for (int state = 0; (name = rl_filename_completion_function(text, state)); state = 1) {
        editor_add_word(words, name);
        free(name);
    }
}

/* As readline wants it: what all have in common, then the words, then NULL; all by malloc(). */
static char **make_matches(struct editor_words *words)
{
    char **match = words->count > 0 ? calloc(words->count + 2, sizeof(*match)) : NULL;
    size_t common;

    if (!match) {
        for (size_t i = 0; i < words->count; i++) {
            free(words->word[i]);
        }
        return NULL;
    }
    common = strlen(words->word[0]);
    for (size_t i = 1; i < words->count; i++) {
        size_t same = 0;

        while (same < common && words->word[0][same] == words->word[i][same]) {
            same++;
        }
        common = same;
    }
    match[0] = strndup(words->word[0], common);
    if (words->count == 1) {
        free(words->word[0]); /* one match stands for itself */
    } else {
        memcpy(match + 1, words->word, words->count * sizeof(*match));
    }
    return match;
}

static char **complete(const char *text, int start, int end)
{
    struct editor *editor = readline_owner.current;
    struct editor_words words = {0};
    char *before = strndup(rl_line_buffer, (size_t)end);
    char **match;

    rl_attempted_completion_over = 1;
    if (before) {
        editor->host.complete(editor->host.opaque, before, (size_t)start, &words);
    }
    free(before);
    rl_filename_completion_desired = 0;
    if (words.files) {
        add_files(&words, text);
    }
    sort_words(&words);
    match = make_matches(&words);
    free(words.word);
    return match;
}

/* In columns, below the line. match[0] is what they have in common. */
static void list_matches(char **match, int count, int longest)
{
    struct editor *editor = readline_owner.current;
    unsigned columns = editor->host.columns(editor->host.opaque);
    unsigned width = (unsigned)MAX(longest, 1) + 2;
    unsigned across = MAX((columns ? columns : COLUMNS_UNKNOWN) / width, 1u);
    unsigned rows = ((unsigned)count + across - 1) / across;

    leave_row(editor);
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned i = row; i < (unsigned)count; i += rows) {
            bool last = i + rows >= (unsigned)count;

            fprintf(editor->out, "%-*s", last ? 0 : (int)width, match[1 + i]);
        }
        fputc('\n', editor->out);
    }
    fflush(editor->out);
    redisplay();
}

/* ---- taking turns ---- */

static void bind_keys(void)
{
    static const struct {
        const char *sequence;
        rl_command_func_t *function;
    } keys[] = {
        {"\\C-c", interrupt_line},  {"\\C-l", clear_screen},       {"\\e[3~", rl_delete},
        {"\\e[1~", rl_beg_of_line}, {"\\e[7~", rl_beg_of_line},    {"\\e[4~", rl_end_of_line},
        {"\\e[8~", rl_end_of_line}, {"\\e[1;5C", rl_forward_word}, {"\\e[1;5D", rl_backward_word},
        {"\\e[200~", ignore_key},   {"\\e[201~", ignore_key},      {"\\C-z", ignore_key},
    };

    Keymap maps[] = {emacs_standard_keymap, vi_insertion_keymap};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        for (size_t k = 0; k < ARRAY_LEN(maps); k++) {
            rl_bind_keyseq_in_map(keys[i].sequence, keys[i].function, maps[k]);
        }
    }
    rl_bind_keyseq_in_map("\\C-c", interrupt_line, vi_movement_keymap);
    /* Escape before Return would change to vi's keys, which who wants them has asked for by ~/.inputrc. */
    rl_bind_keyseq_in_map("\\e\\C-j", ignore_key, emacs_standard_keymap);
    rl_bind_keyseq_in_map("\\e\\C-m", ignore_key, emacs_standard_keymap);
}

/* The process's first line. */
static void set_up(struct editor *editor)
{
    rl_readline_name = "hypatia";
    rl_catch_signals = 0;
    rl_catch_sigwinch = 0;
    rl_change_environment = 0;
    rl_prep_term_function = NULL;
    rl_deprep_term_function = NULL;
    rl_terminal_name = "dumb";
    rl_instream = editor->in;
    rl_outstream = editor->out;
    rl_getc_function = take_key;
    rl_input_available_hook = has_key;
    rl_redisplay_function = redisplay;
    rl_attempted_completion_function = complete;
    rl_completion_display_matches_hook = list_matches;
    rl_basic_word_break_characters = " \t";
    rl_completer_word_break_characters = " \t";
    rl_completer_quote_characters = "\"";
    rl_initialize();
    rl_variable_bind("bell-style", "none");
    rl_variable_bind("enable-bracketed-paste", "off");
    rl_variable_bind("convert-meta", "off");
    rl_variable_bind("input-meta", "on");
    rl_variable_bind("output-meta", "on");
    rl_variable_bind("show-mode-in-prompt", "off");
    bind_keys();
    stifle_history(HISTORY_MAX);
    readline_owner.ready = true;
}

/* Take the current editor's line out of readline. */
static void put_aside(void)
{
    struct editor *editor = readline_owner.current;

    if (editor && editor->prompted) {
        rl_callback_sigcleanup();
        free(editor->text);
        editor->text = strdup(rl_line_buffer);
        editor->cursor = (unsigned)rl_point;
        rl_free_undo_list();
        rl_callback_handler_remove();
    }
    readline_owner.current = NULL;
}

/* Give readline to an editor, with its line if one is asked for. */
static void take_turn(struct editor *editor)
{
    if (readline_owner.current == editor) {
        return;
    }
    put_aside();
    if (!readline_owner.ready) {
        set_up(editor);
    }
    readline_owner.current = editor;
    rl_instream = editor->in;
    rl_outstream = editor->out;
    if (editor->prompted) {
        bool hidden = editor->hidden;

        editor->hidden = true; /* what it shows is what it will show */
        using_history();
        rl_callback_handler_install(editor->prompt, take_line);
        if (editor->text) {
            rl_replace_line(editor->text, 1);
            rl_point = (int)MIN(editor->cursor, (unsigned)rl_end);
        }
        editor->hidden = hidden;
    }
}

/* ---- the interface ---- */

static ssize_t stream_write(void *cookie, const char *text, size_t length)
{
    struct editor *editor = cookie;

    for (size_t i = 0; i < length;) {
        const char *end = memchr(text + i, '\n', length - i);
        size_t piece = end ? (size_t)(end - (text + i)) : length - i;

        say(editor, text + i, piece);
        if (end) {
            say(editor, "\r\n", 2);
            piece++;
        }
        i += piece;
    }
    return (ssize_t)length;
}

static ssize_t stream_read(void *cookie, char *text, size_t length)
{
    (void)cookie;
    (void)text;
    (void)length;
    return 0;
}

struct editor *editor_create(const struct editor_host *host)
{
    struct editor *editor = calloc(1, sizeof(*editor));

    if (!editor) {
        return NULL;
    }
    editor->host = *host;
    editor->in = fopencookie(editor, "r", (cookie_io_functions_t){.read = stream_read});
    editor->out = fopencookie(editor, "w", (cookie_io_functions_t){.write = stream_write});
    if (!editor->in || !editor->out) {
        editor_destroy(editor);
        return NULL;
    }
    return editor;
}

void editor_destroy(struct editor *editor)
{
    if (!editor) {
        return;
    }
    lock();
    if (readline_owner.current == editor) {
        editor->hidden = true;
        put_aside();
        rl_instream = stdin;
        rl_outstream = stdout;
    }
    unlock();
    if (editor->in) {
        fclose(editor->in);
    }
    if (editor->out) {
        fclose(editor->out);
    }
    free(editor->text);
    free(editor->entered);
    free(editor);
}

void editor_prompt(struct editor *editor, const char *prompt)
{
    lock();
    take_turn(editor);
    snprintf(editor->prompt, sizeof(editor->prompt), "%s", prompt);
    if (editor->prompted) {
        rl_set_prompt(editor->prompt);
        redisplay();
    } else {
        editor->prompted = true;
        free(editor->text);
        editor->text = NULL;
        using_history();
        rl_callback_handler_install(editor->prompt, take_line);
    }
    unlock();
}

static void remember(char *line)
{
    HIST_ENTRY *last = history_length > 0 ? history_get(history_base + history_length - 1) : NULL;

    for (size_t length = strlen(line); length > 0 && line[length - 1] == ' '; length--) {
        line[length - 1] = '\0';
    }
    if (!*line || *line == ' ' || (last && !strcmp(last->line, line))) {
        return;
    }
    add_history(line);
    readline_owner.unwritten++;
    if (readline_owner.history_path &&
        append_history((int)readline_owner.unwritten, readline_owner.history_path) == 0) {
        readline_owner.unwritten = 0;
    }
}

/* Push bytes in until they are spent or a line is complete; that line, or NULL. */
static char *feed(struct editor *editor)
{
    char *line;

    lock();
    take_turn(editor);
    while (editor->input_left > 0 && !editor->entered && editor->prompted) {
        rl_callback_read_char();
    }
    line = editor->entered;
    editor->entered = NULL;
    if (line) {
        remember(line);
    }
    unlock();
    return line;
}

void editor_feed(struct editor *editor, const uint8_t *bytes, size_t n)
{
    char *line;

    editor->input = bytes;
    editor->input_left = n;
    do {
        line = feed(editor);
        if (line) {
            editor->host.line(editor->host.opaque, line);
            free(line);
        }
    } while (line && editor->prompted && editor->input_left > 0);
    editor->input_left = 0;
}

bool editor_may_complete(uint8_t key)
{
    return key == '\t' || key == '?' || key == '*' || key == '=';
}

void editor_refresh(struct editor *editor)
{
    lock();
    take_turn(editor);
    editor->hidden = false;
    editor->shown.count = editor->shown.cursor = 0;
    redisplay();
    unlock();
}

void editor_hide(struct editor *editor)
{
    lock();
    if (editor->prompted && !editor->hidden) {
        take_turn(editor);
        clear_row(editor);
    }
    editor->hidden = true;
    unlock();
}

void editor_show(struct editor *editor)
{
    lock();
    take_turn(editor);
    editor->hidden = false;
    redisplay();
    unlock();
}

/* ---- history ---- */

void editor_open_history(const char *path)
{
    lock();
    if (!readline_owner.history_path) {
        readline_owner.history_path = strdup(path);
        using_history();
        read_history(path);
        history_truncate_file(path, HISTORY_MAX);
        /* make it, for append_history() */
        FILE *file = fopen(path, "ae");

        if (file) {
            fclose(file);
        }
    }
    unlock();
}

unsigned editor_history(unsigned max, void (*each)(void *opaque, unsigned number, const char *line),
                        void *opaque)
{
    unsigned count;

    lock();
    count = MIN(max, (unsigned)history_length);
    for (unsigned i = (unsigned)history_length - count; i < (unsigned)history_length; i++) {
        HIST_ENTRY *entry = history_get(history_base + (int)i);

        if (entry) {
            each(opaque, i + 1, entry->line);
        }
    }
    unlock();
    return count;
}
