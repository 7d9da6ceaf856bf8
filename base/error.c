/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one-line text of a host failure.
 *
 * Both functions format into a buffer of their own first: an argument may be the text that is about to be
 * replaced. Control characters become spaces, because parts of a text come from files, images and peers and
 * end up on the user's terminal. Nothing here allocates.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static void replace_control_characters(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = ' ';
        }
    }
}

/* Append to a text of `used` bytes in a buffer as large as an error's, cut to fit; returns the new length. */
static size_t append_text(char *text, size_t used, const char *more)
{
    size_t count = strnlen(more, sizeof(((struct error *)0)->text) - 1 - used);
    memcpy(text + used, more, count);
    text[used + count] = '\0';
    return used + count;
}

int error_set(struct error *error, int code, const char *format, ...)
{
    if (!error) {
        return code;
    }
    char text[sizeof(error->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    replace_control_characters(text);
    memcpy(error->text, text, sizeof(text));
    return code;
}

int error_prefix(struct error *error, int code, const char *format, ...)
{
    if (!error) {
        return code;
    }
    char text[sizeof(error->text)];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t used = length < 0 ? 0 : MIN((size_t)length, sizeof(text) - 1);
    used = append_text(text, used, ": ");
    append_text(text, used, error->text);
    replace_control_characters(text);
    memcpy(error->text, text, sizeof(text));
    return code;
}
