/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text screen as lines of characters. Not shown: attributes, fonts of the guest's own, graphics modes.
 */
#include "monitor/screen_text.h"

#include <errno.h>
#include <stdlib.h>

/* Lines and boxes of code page 437 (0xB3..0xDA) look like these. */
static char ascii_of(uint8_t character)
{
    static const char boxes[] = "|++++++|++++++-++-+-++++++-++=+++++++++++";

    if (character >= 0xb3 && character < 0xb3 + sizeof(boxes) - 1 && character <= 0xda) {
        return boxes[character - 0xb3];
    }
    return (char)(character >= ' ' && character < 0x7f ? character : ' ');
}

static char *rows_of(const struct display_text *text)
{
    char *rows = malloc((size_t)text->rows * (text->columns + 1) + 1), *to = rows;

    for (unsigned row = 0; rows && row < text->rows; row++) {
        const struct display_cell *cell = text->cell + (size_t)row * text->columns;
        unsigned length = text->columns;

        while (length > 0 && ascii_of(cell[length - 1].character) == ' ') {
            length--;
        }
        for (unsigned i = 0; i < length; i++) {
            *to++ = ascii_of(cell[i].character);
        }
        *to++ = '\n';
    }
    if (rows) {
        *to = '\0';
    }
    return rows;
}

char *screen_text(struct vm *vm, struct error *error)
{
    struct display_text *text;
    struct display display;
    char *rows;

    if (!pc_vga(vm->pc)) {
        error_set(error, -ENODEV, "there is no display adapter (-vga none)");
        return NULL;
    }
    display = vga_display(pc_vga(vm->pc));
    text = malloc(sizeof(*text));
    if (!text) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    if (!display.ops->read_text(display.opaque, text)) {
        free(text);
        error_set(error, -ENODATA, "the screen shows no text");
        return NULL;
    }
    rows = rows_of(text);
    free(text);
    if (!rows) {
        error_set(error, -ENOMEM, "out of memory");
    }
    return rows;
}
