/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text that goes with a host failure.
 *
 * A function that can fail for a reason the user should read takes a `struct error *` last, returns a
 * negative errno, and fills in one line that names the thing and, where there is one, the mend. The
 * caller owns the struct; NULL is legal and drops the text.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/types.h"

struct error {
    char text[512]; /* NUL-terminated, no newline */
};

/* Set the text (cut to fit) and return `code`, so that `return error_set(e, -EINVAL, ...)` reads well. */
int error_set(struct error *error, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Put `format...: ` in front of the text already there, and return `code`. */
int error_prefix(struct error *error, int code, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
