/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Scaling, layout, text, and the text screen as text.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "roms/roms.h"
#include "ui/layout.h"
#include "ui/text_copy.h"

enum { SIDE = 64 };

static uint32_t pixels[SIDE * SIDE];
static const struct canvas canvas = {pixels, SIDE, SIDE, SIDE};

static uint32_t at(unsigned x, unsigned y)
{
    return pixels[y * SIDE + x];
}

static void draw(unsigned to_width, unsigned to_height, const uint32_t *source, unsigned width,
                 unsigned height)
{
    struct picture picture = {source, width, height};

    cr_assert_eq(canvas_picture(&canvas, (struct box){0, 0, (int)to_width, (int)to_height},
                                canvas_bounds(&canvas), &picture),
                 0);
}

Test(ui_draw, whole_multiples_repeat_pixels)
{
    const uint32_t source[] = {0x112233, 0x445566, 0x778899, 0xaabbcc};

    draw(6, 6, source, 2, 2);
    for (unsigned y = 0; y < 6; y++) {
        for (unsigned x = 0; x < 6; x++) {
            cr_assert_eq(at(x, y), source[y / 3 * 2 + x / 3], "%u,%u", x, y);
        }
    }
}

Test(ui_draw, one_and_a_half_mixes_every_third_pixel)
{
    const uint32_t source[] = {0x000000, 0xffffff};

    draw(3, 1, source, 2, 1);
    cr_assert_eq(at(0, 0), 0x000000);
    cr_assert_eq(at(1, 0), 0x7f7f7f);
    cr_assert_eq(at(2, 0), 0xffffff);
}

Test(ui_draw, smaller_pictures_are_averages)
{
    const uint32_t source[] = {0xff0000, 0x00ff00, 0x0000ff, 0x000000};

    draw(1, 1, source, 2, 2);
    cr_assert_eq(at(0, 0), 0x3f3f3f);
}

/* Whatever the size: no pixel darker or lighter than the picture's, and a plain one stays plain. */
Test(ui_draw, plain_pictures_stay_plain_at_any_size)
{
    uint32_t source[7 * 5];

    for (unsigned i = 0; i < ARRAY_LEN(source); i++) {
        source[i] = 0xfe7f01;
    }
    for (unsigned width = 1; width <= SIDE; width++) {
        for (unsigned height = 1; height <= SIDE; height += 3) {
            draw(width, height, source, 7, 5);
            for (unsigned i = 0; i < width * height; i++) {
                cr_assert_eq(at(i % width, i / width), 0xfe7f01, "%u x %u", width, height);
            }
        }
    }
}

Test(ui_draw, a_part_is_as_in_the_whole)
{
    uint32_t source[10 * 10], whole[SIDE * SIDE];
    struct picture picture = {source, 10, 10};
    struct box to = {3, 5, 37, 23};

    for (unsigned i = 0; i < 100; i++) {
        source[i] = i * 0x020301;
    }
    memset(pixels, 0x55, sizeof(pixels));
    canvas_picture(&canvas, to, canvas_bounds(&canvas), &picture);
    memcpy(whole, pixels, sizeof(whole));
    memset(pixels, 0x55, sizeof(pixels));
    canvas_picture(&canvas, to, (struct box){0, 0, 20, 11}, &picture);
    canvas_picture(&canvas, to, (struct box){20, 0, 44, 11}, &picture);
    canvas_picture(&canvas, to, (struct box){-5, 11, 100, 100}, &picture);
    cr_assert_eq(memcmp(whole, pixels, sizeof(whole)), 0);
}

Test(ui_draw, nothing_is_drawn_beside_the_canvas)
{
    struct canvas inner = {pixels + 10 * SIDE + 10, 20, 20, SIDE};
    uint32_t source[4] = {1, 2, 3, 4};
    struct picture picture = {source, 2, 2};

    memset(pixels, 0, sizeof(pixels));
    canvas_picture(&inner, (struct box){-7, -9, 50, 60}, (struct box){-100, -100, 1000, 1000}, &picture);
    canvas_fill(&inner, (struct box){-7, 15, 50, 60}, 5);
    canvas_frame(&inner, (struct box){-3, -3, 40, 40}, 4, 6);
    canvas_text(&inner, -4, 12, 1000, 150, "Hypatia", 7);
    for (unsigned y = 0; y < SIDE; y++) {
        for (unsigned x = 0; x < SIDE; x++) {
            bool inside = x >= 10 && x < 30 && y >= 10 && y < 30;

            cr_assert(inside || at(x, y) == 0, "%u,%u", x, y);
        }
    }
}

Test(ui_draw, text_is_the_fonts_dots_on_two_lines_each)
{
    unsigned glyph = 'H' - 0x20;

    cr_assert_eq(rom_font_size, 104 * 8 + 8, "the places of the last eight glyphs follow");
    memset(pixels, 0, sizeof(pixels));
    cr_assert_eq(canvas_text(&canvas, 0, 0, SIDE, 100, "H", 0xffffff), 8);
    for (unsigned y = 0; y < 16; y++) {
        uint8_t row = rom_font[glyph / 8 * 64 + y / 2 * 8 + glyph % 8];

        for (unsigned x = 0; x < 8; x++) {
            cr_assert_eq(at(x, y), row >> (7 - x) & 1 ? 0xffffffu : 0u, "%u,%u", x, y);
        }
    }
}

Test(ui_draw, text_that_is_too_long_ends_in_dots)
{
    static uint32_t other[SIDE * SIDE];
    struct canvas second = {other, SIDE, SIDE, SIDE};

    memset(pixels, 0, sizeof(pixels));
    memset(other, 0, sizeof(other));
    cr_assert_eq(canvas_text(&canvas, 0, 0, 40, 100, "Hypatia", 0xffffff), 40);
    canvas_text(&second, 0, 0, 40, 100, "Hyp..", 0xffffff);
    cr_assert_eq(memcmp(pixels, other, sizeof(other)), 0);
    cr_assert_eq(canvas_text_width("\xc3\xa4\xe2\x82\xac", 100), 16,
                 "a cell a character, however many bytes");
}

/* ---- layout ---- */

Test(ui_draw, the_window_of_a_mode_shows_it_pixel_for_pixel)
{
    unsigned width, height;

    for (unsigned percent = 100; percent <= 200; percent += 50) {
        layout_window_size(720, 400, percent, percent, &width, &height);
        struct layout layout = layout_make(width, height, 720, 400, percent, false);

        cr_assert_eq(layout.guest.x, 0);
        cr_assert_eq(layout.guest.y, 0);
        cr_assert_eq(layout.guest.width, (int)(720 * percent / 100));
        cr_assert_eq(layout.guest.height, (int)(400 * percent / 100));
        cr_assert_eq(layout.strip.y, layout.guest.height);
        cr_assert_eq(layout.strip.y + layout.strip.height, (int)height);
    }
}

Test(ui_draw, the_aspect_is_kept_and_the_strip_always_there)
{
    for (unsigned width = 1; width < 2000; width += 37) {
        for (unsigned height = 1; height < 1300; height += 41) {
            struct layout layout = layout_make(width, height, 800, 600, 100, false);
            struct box guest = layout.guest;

            cr_assert_eq(layout.strip.height, MIN(22, (int)height));
            if (box_is_empty(guest)) {
                cr_assert(height <= 22);
                continue;
            }
            cr_assert(guest.x >= 0 && guest.y >= 0 && guest.x + guest.width <= (int)width &&
                      guest.y + guest.height <= layout.strip.y);
            cr_assert(abs(guest.width * 3 - guest.height * 4) <= 4, "%u x %u: %d x %d", width, height,
                      guest.width, guest.height);
        }
    }
}

Test(ui_draw, whole_pixels_only)
{
    struct layout layout = layout_make(1920, 1080, 640, 480, 100, true);

    cr_assert_eq(layout.guest.width, 1280);
    cr_assert_eq(layout.guest.height, 960);
    cr_assert_eq(layout.guest.x, 320);
    layout = layout_make(600, 400, 640, 480, 100, true);
    cr_assert_lt(layout.guest.width, 600, "what does not fit once is made smaller");
}

Test(ui_draw, positions_reach_every_edge)
{
    struct layout layout = layout_make(1000, 622, 640, 400, 100, false);
    uint16_t x, y;

    cr_assert(layout_position(&layout, layout.guest.x, layout.guest.y, &x, &y));
    cr_assert(x == 0 && y == 0);
    cr_assert(layout_position(&layout, layout.guest.x + layout.guest.width - 1,
                              layout.guest.y + layout.guest.height - 1, &x, &y));
    cr_assert(x == 65535 && y == 65535);
    cr_assert(layout_position(&layout, -50, 5000, &x, &y));
    cr_assert(x == 0 && y == 65535);
    layout = layout_make(1000, 622, 0, 0, 100, false);
    cr_assert_not(layout_position(&layout, 5, 5, &x, &y));
}

/* ---- the text screen ---- */

Test(ui_draw, the_text_screen_becomes_utf8_without_blanks_at_the_ends)
{
    struct display_text *text = calloc(1, sizeof(*text));
    const char *rows[] = {"C:\\> dir", "", "  \xda\xc4\xbf \x80\xe1\x01", "", ""};
    char *copied;

    text->columns = 20;
    text->rows = ARRAY_LEN(rows);
    for (unsigned y = 0; y < text->rows; y++) {
        for (unsigned x = 0; x < text->columns; x++) {
            text->cell[y * text->columns + x].character = (uint8_t)(x < strlen(rows[y]) ? rows[y][x] : ' ');
        }
    }
    copied = text_copy_make(text);
    cr_assert_str_eq(copied,
                     "C:\\> dir\n\n  \xe2\x94\x8c\xe2\x94\x80\xe2\x94\x90 \xc3\x87\xc3\x9f\xe2\x98\xba\n");
    free(copied);
    text->rows = 1;
    memset(text->cell, 0, sizeof(text->cell));
    copied = text_copy_make(text);
    cr_assert_str_eq(copied, "", "an empty screen is no text");
    free(copied);
    free(text);
}
