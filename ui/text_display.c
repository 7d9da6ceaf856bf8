/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text screen on a terminal, by ECMA-48 control sequences.
 *
 * A timer looks at the adapter's generation; only when it changed is the screen read, and only rows that differ from what
 * was last drawn are sent. When stdout is not a terminal, changed rows are printed as plain lines, so that a script can
 * read the screen.
 *
 * Not shown: fonts of the guest's own, blinking, graphics modes (a line says so).
 */
#include "ui/text_display.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "devices/display.h"
#include "ui/ascii_keys.h"

enum { FRAME_NS = 50000000, CTRL_BRACKET = 29, MAX_TYPED = 4096 };

struct text_display {
    struct vm *vm;
    struct display source;
    struct loop_source frame, keys;
    bool terminal, raw;
    struct termios saved;
    char typed[MAX_TYPED]; /* not yet in the guest's keyboard */
    size_t typed_count;
    bool typed_lately; /* since the last frame: what looks unfinished may go on */
    uint64_t generation;
    enum display_kind kind;
    struct display_text now, drawn;
};

/* CP437's upper half and control pictures have no place in plain ASCII. */
static char printable(uint8_t character)
{
    static const char box[] = "|+++++++|+++++++---+-++++++++-+++++++++++++";

    if (character >= 0xb3 && character < 0xb3 + sizeof(box) - 1) {
        return box[character - 0xb3];
    }
    return (char)(character >= ' ' && character < 0x7f ? character : ' ');
}

static void draw_attribute(uint8_t attribute)
{
    static const uint8_t ansi[8] = {0, 4, 2, 6, 1, 5, 3, 7}; /* VGA's blue is bit 0, ECMA-48's red is */
    unsigned foreground = attribute & 0xf, background = attribute >> 4 & 7;

    printf("\033[0;%u;%um", (foreground & 8 ? 90 : 30) + ansi[foreground & 7], 40u + ansi[background]);
}

static void draw_row(const struct text_display *display, unsigned row)
{
    const struct display_cell *cells = &display->now.cell[row * display->now.columns];
    int attribute = -1;
    unsigned length = display->now.columns;

    if (!display->terminal) {
        while (length > 0 && printable(cells[length - 1].character) == ' ') {
            length--;
        }
    } else {
        printf("\033[%u;1H", row + 1);
    }
    for (unsigned i = 0; i < length; i++) {
        if (display->terminal && cells[i].attribute != attribute) {
            attribute = cells[i].attribute;
            draw_attribute(cells[i].attribute);
        }
        putchar(printable(cells[i].character));
    }
    if (!display->terminal && length > 0) {
        putchar('\n');
    }
}

static void draw_text(struct text_display *display)
{
    struct display_text *now = &display->now;
    bool resized = now->columns != display->drawn.columns || now->rows != display->drawn.rows;

    if (resized && display->terminal) {
        printf("\033[0m\033[2J");
    }
    for (unsigned row = 0; row < now->rows; row++) {
        size_t at = (size_t)row * now->columns;

        if (resized ||
            memcmp(&now->cell[at], &display->drawn.cell[at], now->columns * sizeof(now->cell[0])) != 0) {
            draw_row(display, row);
        }
    }
    if (display->terminal) {
        printf("\033[0m\033[%u;%uH\033[?25%c", now->cursor_row + 1, now->cursor_column + 1,
               now->cursor_visible ? 'h' : 'l');
    }
    fflush(stdout);
    display->drawn = *now;
}

static void draw(struct text_display *display)
{
    uint64_t generation = display->source.ops->generation(display->source.opaque);
    enum display_kind kind = display->source.ops->kind(display->source.opaque);

    if (generation == display->generation && kind == display->kind) {
        return;
    }
    display->generation = generation;
    if (kind == DISPLAY_TEXT && display->source.ops->read_text(display->source.opaque, &display->now)) {
        draw_text(display);
    } else if (kind == DISPLAY_GRAPHICS && display->kind != DISPLAY_GRAPHICS) {
        printf("%s[the guest shows graphics]\n", display->terminal ? "\033[0m\033[2J\033[H" : "");
        fflush(stdout);
        memset(&display->drawn, 0, sizeof(display->drawn));
    }
    display->kind = kind;
}

/* A keyboard holds few keys back, a pasted line is many: type what fits, the rest when the guest has read. */
static void type_keys(struct text_display *display)
{
    struct i8042 *keyboard = pc_keyboard(display->vm->pc);
    size_t n = 0, length = 1;

    while (n < display->typed_count && length > 0 && i8042_keyboard_room(keyboard) >= ASCII_KEY_CODES) {
        struct ascii_stroke stroke;

        length =
            ascii_keys_parse(display->typed + n, display->typed_count - n, !display->typed_lately, &stroke);
        if (length > 0) {
            ascii_keys_press(keyboard, &stroke);
        }
        n += length;
    }
    display->typed_count -= n;
    memmove(display->typed, display->typed + n, display->typed_count);
}

static void frame_ready(void *opaque, short revents)
{
    struct text_display *display = opaque;
    uint64_t expirations;

    (void)revents;
    if (read(display->frame.fd, &expirations, sizeof(expirations)) > 0) {
        type_keys(display);
        display->typed_lately = false;
        draw(display);
    }
}

static void keys_ready(void *opaque, short revents)
{
    struct text_display *display = opaque;
    char bytes[64];
    ssize_t n = read(display->keys.fd, bytes, sizeof(bytes));

    (void)revents;
    if (n <= 0) {
        display->keys.events = 0;
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] == CTRL_BRACKET) {
            vm_request_quit(display->vm);
            return;
        }
        if (display->typed_count <
            MAX_TYPED) { /* the guest has not read its keyboard for long: the key is lost */
            display->typed[display->typed_count++] = bytes[i];
        }
    }
    display->typed_lately = true;
    type_keys(display);
}

/* Keys one by one and unechoed, signals included, as long as the display lives. */
static void open_keys(struct text_display *display)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &display->saved) < 0) {
        return;
    }
    raw = display->saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST;
    display->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    display->keys =
        (struct loop_source){.fd = STDIN_FILENO, .events = POLLIN, .ready = keys_ready, .opaque = display};
    loop_add(&display->vm->loop, &display->keys);
}

struct text_display *text_display_create(struct vm *vm)
{
    struct itimerspec period = {.it_interval = {.tv_nsec = FRAME_NS}, .it_value = {.tv_nsec = FRAME_NS}};
    struct text_display *display = pc_vga(vm->pc) ? calloc(1, sizeof(*display)) : NULL;

    if (!display) {
        return NULL;
    }
    display->vm = vm;
    display->source = vga_display(pc_vga(vm->pc));
    display->generation = UINT64_MAX;
    display->terminal = isatty(STDOUT_FILENO);
    display->frame = (struct loop_source){.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                                          .events = POLLIN,
                                          .ready = frame_ready,
                                          .opaque = display};
    if (display->frame.fd < 0 || timerfd_settime(display->frame.fd, 0, &period, NULL) < 0) {
        free(display);
        return NULL;
    }
    loop_add(&vm->loop, &display->frame);
    open_keys(display);
    return display;
}

void text_display_destroy(struct text_display *display)
{
    if (!display) {
        return;
    }
    draw(display);
    if (display->terminal) {
        printf("\033[0m\033[?25h\033[%u;1H\n", display->drawn.rows);
        fflush(stdout);
    }
    if (display->raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &display->saved);
        loop_remove(&display->vm->loop, &display->keys);
    }
    loop_remove(&display->vm->loop, &display->frame);
    close(display->frame.fd);
    free(display);
}
