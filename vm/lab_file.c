/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading a lab's file. inih splits lines into [section], key and value; this file stands on both sides of it.
 *
 *   file --> next_line --> read_piece --> inih --> take_piece --> take_setting --> vm/lab.c
 *            limits, CRLF,  a long line    splits   joins the      quotes, twice
 *            BOM, comments  in pieces               pieces         said
 *
 * inih's limits and habits are chosen when it is built and differ between distributions: lines longer than its buffer come
 * apart silently, an indented line continues the value before it, a line it cannot read is only counted. So nothing of this
 * is left to it: it sees lines without indentation and comments; a line that does not fit is handed over in pieces, the
 * second and later as the continuation lines it knows; and every line handed over must come back, which finds
 * those it cannot read.
 *
 *   key = a long val|ue, and "a ;| b"           | : where the line is cut
 *   key = a long val\001                        \001, which no line contains, keeps inih from
 *    \001ue, and "a \001                        trimming a piece's ends and from seeing a comment
 *    \001; b"\001
 *
 * After a section's head a line of our own is handed over, so that a section without keys is noticed too.
 *
 * A value in double quotes may have blanks at its ends, " ;" and these escapes: \\ \" \n \r \t \xHH. Other values mean
 * exactly what they say.
 */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>

#include "vm/lab_internal.h"

enum {
    FILE_SIZE_MAX = 16 << 20, /* bytes of a file */
    LINE_SIZE_MAX = 65535,    /* bytes of a line */
    KEY_MAX = 40,             /* inih remembers 49 characters of a key, and of a section's head */
    HEAD_MAX = 49,
    SETTINGS_MAX = 128, /* different keys of a section */
    PIECE_OVERHEAD = 6, /* blank, two \001, end of line, end of string, and one that stays free */
    PIECE_MIN = 80,     /* room for any head, and any key with a blank and '=' behind it */
};

#define GUARD "\001"
static const char mark_line[] = GUARD " =\n";

enum awaited { AWAIT_NOTHING, AWAIT_MARK, AWAIT_PIECE };
enum section { SECTION_NONE, SECTION_LAB, SECTION_VM };

struct said {
    char key[KEY_MAX + 1];
    unsigned line;
};

struct lab_file {
    struct lab *lab;
    FILE *stream;
    const char *path; /* the lab's */
    size_t size;      /* bytes read */
    unsigned line;    /* number of the line in `text`; from 1 on */
    int result;       /* 0, or of the first failure */
    struct error *error;

    /* the line that is being handed to inih */
    size_t length, at;    /* bytes of it, bytes handed over */
    bool mark_due;        /* it was a section's head */
    enum awaited awaited; /* what inih has and must give back */

    /* what came back */
    bool started;        /* `key` is there and pieces of its value follow */
    size_t value_length; /* of `value`, without a NUL */
    char key[KEY_MAX + 1];

    enum section section;
    struct said said[SETTINGS_MAX]; /* in this section */
    unsigned said_count;

    char text[LINE_SIZE_MAX + 1];
    char value[LINE_SIZE_MAX + 1];
};

/* ---- errors ---- */

/* Put the file, the line and the section in front of the text. Only the first failure counts. */
static void fail(struct lab_file *file, int code, const char *text)
{
    char section[LAB_NAME_MAX + 16] = "";

    if (file->result < 0) {
        return;
    }
    file->result = code;
    if (file->section == SECTION_LAB) {
        strcpy(section, "[lab] ");
    } else if (file->section == SECTION_VM) {
        snprintf(section, sizeof(section), "[vm \"%s\"] ", file->lab->vm[file->lab->count - 1].config.name);
    }
    error_set(file->error, code, "%.200s:%u: %s%s", file->path, file->line, section, text);
}

/* ---- lines ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Bytes up to the end of the line; *ended: it was the file's. Negative: the failure has been told. */
static int read_bytes(struct lab_file *file, bool *ended)
{
    int c;

    file->length = 0;
    while ((c = getc_unlocked(file->stream)) != EOF && c != '\n') {
        if (++file->size > FILE_SIZE_MAX) {
            fail(file, -EFBIG, "the file is longer than 16 MiB");
        } else if (file->length == LINE_SIZE_MAX) {
            fail(file, -EINVAL, "the line is longer than 65535 bytes");
        } else if (c == 0) {
            fail(file, -EINVAL, "the file is not plain text: it has a NUL byte (UTF-16? save it as UTF-8)");
        }
        if (file->result < 0) {
            return file->result;
        }
        file->text[file->length++] = (char)c;
    }
    file->size++;
    *ended = c == EOF;
    if (ferror(file->stream)) {
        fail(file, -EIO, strerror(errno));
    }
    return file->result;
}

/* The end of a quoted text that begins at `text`, behind the closing quote; NULL: there is none. */
static char *quoted_end(char *text)
{
    for (text++; *text && *text != '"'; text++) {
        text += *text == '\\' && text[1];
    }
    return *text ? text + 1 : NULL;
}

/* A ';' behind a blank begins a comment, except inside a value's quotes. */
static void cut_comment(char *text)
{
    char *equals = text + strcspn(text, "=:");
    char *value = equals + (*equals != '\0');
    char *at = text;

    value += strspn(value, " \t");
    if (*value == '"' && text[0] != '[') {
        char *end = quoted_end(value);

        at = end ? end : text + strlen(text);
    }
    for (; *at; at++) {
        if (*at == ';' && (at == text || is_blank(at[-1]))) {
            *at = '\0';
        }
    }
}

/* Trim the line, cut its comment, refuse what is not text. */
static void clean_line(struct lab_file *file)
{
    char *text = file->text;
    size_t skip;

    if (file->length > 0 && text[file->length - 1] == '\r') {
        file->length--;
    }
    text[file->length] = '\0';
    skip = file->line == 1 && !strncmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    skip += strspn(text + skip, " \t");
    memmove(text, text + skip, file->length - skip + 1);
    if (text[0] == '#') {
        text[0] = '\0';
    }
    cut_comment(text);
    file->length = strlen(text);
    while (file->length > 0 && is_blank(text[file->length - 1])) {
        text[--file->length] = '\0';
    }
    for (size_t i = 0; i < file->length; i++) {
        if (iscntrl((unsigned char)text[i]) && text[i] != '\t') {
            fail(file, -EINVAL, "the line has a control character (in a quoted value, write \\xHH)");
            return;
        }
    }
}

/* inih takes anything behind a section's head, and cuts a long one. */
static void check_head(struct lab_file *file)
{
    size_t end = strcspn(file->text, "]");

    if (end + 1 != file->length) {
        fail(file, -EINVAL, "a section's head must be [lab] or [vm \"NAME\"], alone on its line");
    } else if (end > HEAD_MAX) {
        fail(file, -EINVAL, "the section's head is too long (a VM's name has up to 32 characters)");
    }
}

/* The next line with something on it, into file->text. 1; 0 at the end of the file; negative: told. */
static int next_line(struct lab_file *file)
{
    bool ended = false;

    do {
        if (ended) {
            return 0;
        }
        file->line++;
        if (read_bytes(file, &ended) < 0) {
            return file->result;
        }
        clean_line(file);
    } while (file->result == 0 && file->length == 0);
    file->at = 0;
    file->started = false;
    file->mark_due = file->text[0] == '[';
    if (file->result == 0 && file->mark_due) {
        check_head(file);
    }
    return file->result < 0 ? file->result : 1;
}

/* ---- into inih ---- */

/* How much of the rest goes into a piece of at most `limit` bytes. */
static size_t piece_length(const struct lab_file *file, size_t limit)
{
    const char *rest = file->text + file->at;
    size_t length = MIN(file->length - file->at, limit);

    for (size_t i = 1; i < length; i++) {
        if (rest[i] == ';' && is_blank(rest[i - 1])) {
            return i; /* inside quotes: every other one is gone */
        }
    }
    return length;
}

/* inih's reader: fgets() in all but what it reads. NULL: the end. */
static char *read_piece(char *out, int size, void *opaque)
{
    struct lab_file *file = opaque;
    size_t length;
    bool first, last;

    if (file->result == 0 && file->awaited != AWAIT_NOTHING) {
        fail(file, -EINVAL, "the line is neither a [section] nor KEY = VALUE");
    }
    if (file->at == file->length && file->mark_due) {
        file->mark_due = false;
        file->awaited = AWAIT_MARK;
        return strcpy(out, mark_line);
    }
    if (size < PIECE_MIN) {
        fail(file, -EINVAL, "the inih library here is built for shorter lines than Hypatia needs");
    }
    if (file->result < 0 || (file->at == file->length && next_line(file) <= 0)) {
        return NULL;
    }
    length = piece_length(file, (size_t)size - PIECE_OVERHEAD);
    first = file->at == 0;
    last = file->at + length == file->length;
    snprintf(out, (size_t)size, "%s%.*s%s\n", first ? "" : " " GUARD, (int)length, file->text + file->at,
             first && last ? "" : GUARD);
    file->at += length;
    file->awaited = file->mark_due ? AWAIT_NOTHING : AWAIT_PIECE;
    return out;
}

/* ---- out of inih ---- */

/* [vm "NAME"]: the name into out; false: the head has another form. */
static bool parse_vm_head(const char *head, char *out, size_t size)
{
    const char *name, *end;

    if (strncmp(head, "vm", 2) != 0) {
        return false;
    }
    name = head + 2 + strspn(head + 2, " \t");
    end = *name == '"' ? strchr(name + 1, '"') : NULL;
    if (!end || end[1 + strspn(end + 1, " \t")] != '\0') {
        return false;
    }
    snprintf(out, size, "%.*s", (int)(end - name - 1), name + 1);
    return true;
}

/* What only makes sense together, once the section is whole. Told with the line of the section's head. */
static void end_section(struct lab_file *file)
{
    struct error error = {{0}};

    if (file->section == SECTION_VM) {
        struct lab_vm *vm = &file->lab->vm[file->lab->count - 1];
        int result = config_check(&vm->config, &error);

        if (result < 0) {
            file->line = vm->place.line;
            fail(file, result, error.text);
        }
    }
    file->section = SECTION_NONE;
    file->said_count = 0;
}

static void begin_section(struct lab_file *file, const char *head)
{
    struct lab_place place = {.file = file->path, .line = file->line};
    struct error error = {{0}};
    char name[HEAD_MAX + 1], text[256];

    end_section(file);
    head += strspn(head, " \t");
    if (!strncmp(head, "lab", 3) && head[3 + strspn(head + 3, " \t")] == '\0') {
        file->section = SECTION_LAB;
    } else if (!parse_vm_head(head, name, sizeof(name))) {
        snprintf(text, sizeof(text), "[%s]: there is no such section (known: [lab], [vm \"NAME\"])", head);
        fail(file, -EINVAL, text);
    } else if (!lab_name_valid(name)) {
        snprintf(text, sizeof(text), "[vm \"%s\"]: a VM's name has 1 to %d letters, digits, '.', '_' and '-'",
                 name, LAB_NAME_MAX);
        fail(file, -EINVAL, text);
    } else if (lab_add_vm(file->lab, name, place, &error)) {
        file->section = SECTION_VM;
    } else {
        error_prefix(&error, -EINVAL, "[vm \"%s\"]", name);
        fail(file, -EINVAL, error.text);
    }
}

/* Refuse a key that is said twice and would only replace itself. */
static bool say_once(struct lab_file *file, struct error *error)
{
    struct config_option option;

    if (config_find_option(file->key, &option) && option.repeats) {
        return true;
    }
    for (unsigned i = 0; i < file->said_count; i++) {
        if (!strcmp(file->said[i].key, file->key)) {
            error_set(error, -EEXIST, "%s: already said in line %u", file->key, file->said[i].line);
            return false;
        }
    }
    if (file->said_count < SETTINGS_MAX) {
        file->said[file->said_count].line = file->line;
        strcpy(file->said[file->said_count++].key, file->key);
    }
    return true;
}

/* One character of a quoted value behind a backslash; returns what follows, NULL: there is no such escape. */
static const char *unescape(const char *at, char *out)
{
    static const char letters[] = "\\\"nrt", meanings[] = "\\\"\n\r\t";
    const char *letter = *at ? strchr(letters, *at) : NULL;
    char digits[3] = "";

    if (letter) {
        *out = meanings[letter - letters];
        return at + 1;
    }
    if (at[0] == 'x' && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2])) {
        memcpy(digits, at + 1, 2);
        *out = (char)strtoul(digits, NULL, 16);
        return *out ? at + 3 : NULL;
    }
    return NULL;
}

/* Take the quotes and escapes off, in place. */
static int unquote(char *text, struct error *error)
{
    const char *at = text + 1, *end = quoted_end(text);
    char *out = text;

    if (!end || *end) {
        return error_set(error, -EINVAL,
                         end ? "there is more behind the closing quote (a quote inside is \\\")"
                             : "the closing quote is missing");
    }
    while (at < end - 1) {
        if (*at != '\\') {
            *out++ = *at++;
        } else if (!(at = unescape(at + 1, out++))) {
            return error_set(error, -EINVAL,
                             "unknown escape (known: \\\\ \\\" \\n \\r \\t \\xHH, not \\x00)");
        }
    }
    *out = '\0';
    return 0;
}

/* A whole KEY = VALUE. */
static void take_setting(struct lab_file *file)
{
    struct lab_place place = {.file = file->path, .line = file->line};
    struct error error = {{0}};
    char *value = file->value + strspn(file->value, " \t");
    int result = 0;

    if (value[0] == '"') {
        result = error_prefix(&error, unquote(value, &error), "%s", file->key);
    }
    if (result == 0 && file->section == SECTION_NONE) {
        result = error_set(&error, -EINVAL, "%s: stands before the first section, [lab] or [vm \"NAME\"]",
                           file->key);
    }
    if (result == 0 && !say_once(file, &error)) {
        result = -EEXIST;
    }
    if (result == 0 && file->section == SECTION_LAB) {
        result = lab_set(file->lab, file->key, value, place, &error);
    } else if (result == 0) {
        result = lab_vm_set(file->lab, &file->lab->vm[file->lab->count - 1], file->key, value, &error);
    }
    if (result < 0) {
        fail(file, result, error.text);
    }
}

/* Append a piece without its guards. False: inih did not give back what it got. */
static bool join_piece(struct lab_file *file, const char *value)
{
    bool guarded = file->started || file->at < file->length;
    size_t length = strlen(value), front = file->started;

    if (guarded && (length < front + 1 || value[length - 1] != GUARD[0] || (front && value[0] != GUARD[0]))) {
        return false;
    }
    length -= guarded ? front + 1 : 0;
    memcpy(file->value + file->value_length, value + front, length);
    file->value_length += length;
    file->value[file->value_length] = '\0';
    return true;
}

/* inih's handler. It goes on after a failure; read_piece() does not. */
static int take_piece(void *opaque, const char *section, const char *name, const char *value)
{
    struct lab_file *file = opaque;

    if (file->awaited == AWAIT_MARK && !strcmp(name, GUARD)) {
        file->awaited = AWAIT_NOTHING;
        begin_section(file, section);
        return 1;
    }
    if (file->awaited != AWAIT_PIECE || !value) {
        return 1; /* read_piece() will tell */
    }
    if (!file->started) {
        file->value_length = 0;
        snprintf(file->key, sizeof(file->key), "%s", name);
    }
    if (name[0] == '\0' || strlen(name) > KEY_MAX) {
        fail(file, -EINVAL, "the key is empty or too long");
    } else if (strcmp(name, file->key) != 0 || !join_piece(file, value)) {
        return 1;
    }
    file->awaited = AWAIT_NOTHING;
    file->started = true;
    if (file->result == 0 && file->at == file->length) {
        take_setting(file);
    }
    return 1;
}

int lab_add_file(struct lab *lab, const char *path, struct error *error)
{
    struct lab_file *file = calloc(1, sizeof(*file));
    int result;

    if (!file || !(file->path = lab_keep(lab, path))) {
        free(file);
        return error_set(error, -ENOMEM, "out of memory");
    }
    file->lab = lab;
    file->error = error;
    file->stream = fopen(path, "re");
    if (!file->stream) {
        result = error_set(error, -errno, "cannot open '%.200s': %s", path, strerror(errno));
        free(file);
        return result;
    }
    result = ini_parse_stream(read_piece, file, take_piece, file);
    if (file->result == 0 && result < 0) {
        fail(file, -ENOMEM, "out of memory");
    }
    if (file->result == 0) {
        end_section(file);
    }
    result = file->result;
    fclose(file->stream);
    free(file);
    return result;
}
