/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * All VMs in one window. See ui/overview.h.
 *
 *   +------------+ +------------+
 *   | thumbnail  | | thumbnail  |     tiles in rows, as many as the window is wide;
 *   +------------+ +------------+     rows that do not fit are reached by moving the choice there
 *   | web        | | db         |
 *   | Running 12%| | Paused   0%|
 *   +------------+ +------------+
 */
#include "ui/overview.h"

#include <stdio.h>

#include "ui/desk.h"
#include "ui/palette.h"

#define THUMBNAIL_NS 200000000u

enum { TILE_WIDTH = 240, PICTURE_HEIGHT = 150, MARGIN = 10, PADDING = 6, FIRST_COLUMNS = 3, LINES = 2 };

struct grid {
    int tile_width, tile_height, margin, padding;
    unsigned columns, rows; /* rows: that fit */
};

static struct overview *overview_of(struct pane *pane)
{
    return (struct overview *)pane;
}

static unsigned percent_of(const struct overview *overview)
{
    return MAX(overview->scale ? overview->scale : overview->pane.percent, 100u);
}

static int scaled(const struct overview *overview, int length)
{
    return length * (int)percent_of(overview) / 100;
}

static struct grid make_grid(const struct overview *overview)
{
    struct grid grid = {.tile_width = scaled(overview, TILE_WIDTH),
                        .margin = scaled(overview, MARGIN),
                        .padding = scaled(overview, PADDING)};

    grid.tile_height = scaled(overview, PICTURE_HEIGHT) + LINES * canvas_line_height(percent_of(overview)) +
                       3 * grid.padding;
    grid.columns =
        (unsigned)MAX(((int)overview->pane.width - grid.margin) / (grid.tile_width + grid.margin), 1);
    grid.rows =
        (unsigned)MAX(((int)overview->pane.height - grid.margin) / (grid.tile_height + grid.margin), 1);
    return grid;
}

/* Where the VM of this number is; of those above the first row there is nothing to see. */
static struct box tile_box(const struct overview *overview, const struct grid *grid, unsigned number)
{
    int row = (int)(number / grid->columns) - (int)overview->first_row,
        column = (int)(number % grid->columns);

    return (struct box){grid->margin + column * (grid->tile_width + grid->margin),
                        grid->margin + row * (grid->tile_height + grid->margin), grid->tile_width,
                        grid->tile_height};
}

/* ---- choosing ---- */

static void choose(struct overview *overview, unsigned number)
{
    struct grid grid = make_grid(overview);
    unsigned count = desk_count(overview->desk), row;

    if (count == 0) {
        return;
    }
    overview->chosen = MIN(number, count - 1);
    row = overview->chosen / grid.columns;
    if (row < overview->first_row) {
        overview->first_row = row;
    } else if (row >= overview->first_row + grid.rows) {
        overview->first_row = row - grid.rows + 1;
    }
    pane_touch_all(&overview->pane);
}

static void show_chosen(struct overview *overview)
{
    struct window *window = desk_window(overview->desk, overview->chosen);

    if (window) {
        window_show(window);
    }
}

static void pane_key(struct pane *pane, enum key key, bool down)
{
    struct overview *overview = overview_of(pane);
    unsigned columns = make_grid(overview).columns, chosen = overview->chosen,
             count = desk_count(overview->desk);

    if (!down) {
        return;
    }
    switch ((unsigned)key) {
    case KEY_LEFT:
        choose(overview, chosen > 0 ? chosen - 1 : 0);
        break;
    case KEY_RIGHT:
    case KEY_TAB:
        choose(overview, chosen + 1);
        break;
    case KEY_UP:
        choose(overview, chosen >= columns ? chosen - columns : chosen);
        break;
    case KEY_DOWN:
        choose(overview, chosen + columns < count ? chosen + columns : chosen);
        break;
    case KEY_HOME:
        choose(overview, 0);
        break;
    case KEY_END:
        choose(overview, count);
        break;
    case KEY_ENTER:
    case KEY_KP_ENTER:
        show_chosen(overview);
        break;
    case KEY_ESC:
        desk_leave_overview(overview->desk);
        break;
    default:
        break;
    }
}

static void pane_buttons(struct pane *pane, uint8_t down, int x, int y)
{
    struct overview *overview = overview_of(pane);
    struct grid grid = make_grid(overview);
    bool pressed = (down & ~overview->buttons & INPUT_BUTTON_LEFT) != 0;

    overview->buttons = down;
    for (unsigned i = 0; pressed && i < desk_count(overview->desk); i++) {
        if (!box_contains(tile_box(overview, &grid, i), x, y)) {
            continue;
        }
        if (i == overview->chosen) {
            show_chosen(overview);
        } else {
            choose(overview, i);
        }
        return;
    }
}

static void pane_wheel(struct pane *pane, int detents)
{
    struct overview *overview = overview_of(pane);
    struct grid grid = make_grid(overview);
    unsigned rows = (desk_count(overview->desk) + grid.columns - 1) / grid.columns;
    int last = (int)rows - (int)grid.rows;

    overview->first_row = (unsigned)MIN(MAX((int)overview->first_row + detents, 0), MAX(last, 0));
    pane_touch_all(pane);
}

/* ---- drawing ---- */

static void draw_thumbnail(const struct window *window, const struct canvas *canvas, struct box room)
{
    struct picture picture = {window->view.pixel, window->view.width, window->view.height};
    struct layout layout;

    canvas_fill(canvas, room, PALETTE_BLACK);
    if (picture.width == 0 || picture.height == 0 || box_is_empty(room)) {
        return;
    }
    layout = layout_make((unsigned)room.width, (unsigned)room.height + (unsigned)layout_strip_height(100),
                         picture.width, picture.height, 100, false);
    layout.guest.x += room.x;
    layout.guest.y += room.y;
    canvas_picture(canvas, layout.guest, room, &picture);
}

static void draw_tile(const struct overview *overview, const struct canvas *canvas,
                      const struct window *window, struct box tile, bool chosen)
{
    unsigned percent = percent_of(overview);
    int padding = scaled(overview, PADDING), line = canvas_line_height(percent);
    struct box room = {tile.x + padding, tile.y + padding, tile.width - 2 * padding,
                       scaled(overview, PICTURE_HEIGHT)};
    int x = room.x, y = room.y + room.height + padding;
    char share[16];

    canvas_fill(canvas, tile, chosen ? PALETTE_CHOSEN : PALETTE_RAISED);
    canvas_frame(canvas, tile, MAX(scaled(overview, chosen ? 2 : 1), 1),
                 chosen ? PALETTE_FOCUS : PALETTE_EDGE);
    draw_thumbnail(window, canvas, room);
    canvas_text(canvas, x, y, room.width, percent, window->name, PALETTE_TEXT);
    y += line;
    canvas_text(canvas, x, y, room.width, percent, strip_life_text(window->view.status.life),
                strip_life_color(window->view.status.life));
    snprintf(share, sizeof(share), "CPU %u%%", window->cpu_percent);
    x += room.width - canvas_text_width(share, percent);
    canvas_text(canvas, x, y, room.width, percent, share, PALETTE_TEXT);
}

static struct box pane_draw(struct pane *pane, const struct canvas *canvas, struct box dirty)
{
    struct overview *overview = overview_of(pane);
    struct grid grid = make_grid(overview);

    (void)dirty;
    canvas_fill(canvas, canvas_bounds(canvas), PALETTE_GROUND);
    for (unsigned i = 0; i < desk_count(overview->desk); i++) {
        struct box tile = tile_box(overview, &grid, i);

        if (!box_is_empty(box_intersect(tile, canvas_bounds(canvas)))) {
            draw_tile(overview, canvas, desk_window(overview->desk, i), tile, i == overview->chosen);
        }
    }
    return canvas_bounds(canvas);
}

/* ---- life ---- */

static void pane_resized(struct pane *pane, bool by_user)
{
    struct overview *overview = overview_of(pane);

    overview->own_size = overview->own_size || by_user;
    choose(overview, overview->chosen);
    pane_touch_all(pane);
}

static void pane_close(struct pane *pane)
{
    desk_leave_overview(overview_of(pane)->desk);
}

static void pane_text(struct pane *pane, const char *utf8)
{
    (void)pane;
    (void)utf8;
}

static void pane_motion(struct pane *pane, int x, int y, int dx, int dy)
{
    (void)pane;
    (void)x;
    (void)y;
    (void)dx;
    (void)dy;
}

static void pane_focus(struct pane *pane, bool has)
{
    (void)has;
    overview_of(pane)->buttons = 0;
}

static void pane_dropped(struct pane *pane, const char *path)
{
    (void)pane;
    (void)path;
}

static const struct pane_ops overview_ops = {
    .key = pane_key,
    .text = pane_text,
    .motion = pane_motion,
    .buttons = pane_buttons,
    .wheel = pane_wheel,
    .focus = pane_focus,
    .resized = pane_resized,
    .close = pane_close,
    .dropped = pane_dropped,
    .draw = pane_draw,
};

void overview_init(struct overview *overview, struct desk *desk, const struct host *host)
{
    *overview = (struct overview){.pane = {.ops = &overview_ops, .host = host, .percent = 100}, .desk = desk};
}

void overview_fini(struct overview *overview)
{
    if (overview->pane.open) {
        overview->pane.host->ops->close(overview->pane.host->opaque, &overview->pane);
        overview->pane.open = false;
    }
}

/* Room for all, up to three rows of three. */
static void wanted_size(const struct overview *overview, unsigned *width, unsigned *height)
{
    struct grid grid = make_grid(overview);
    unsigned count = MAX(desk_count(overview->desk), 1u);
    int columns = (int)MIN(count, (unsigned)FIRST_COLUMNS), rows = ((int)count + columns - 1) / columns;

    *width = (unsigned)(columns * (grid.tile_width + grid.margin) + grid.margin);
    *height = (unsigned)(MIN(rows, FIRST_COLUMNS) * (grid.tile_height + grid.margin) + grid.margin);
}

static void open_pane(struct overview *overview)
{
    wanted_size(overview, &overview->pane.width, &overview->pane.height);
    overview->pane.open = overview->pane.host->ops->open(overview->pane.host->opaque, &overview->pane,
                                                         "Hypatia - all virtual machines", true, false);
    overview->shown = overview->pane.open;
}

void overview_grow(struct overview *overview)
{
    unsigned width, height;

    if (overview->pane.open && !overview->own_size) {
        wanted_size(overview, &width, &height);
        overview->pane.host->ops->set_size(overview->pane.host->opaque, &overview->pane, width, height);
    }
    overview_changed(overview);
}

void overview_show(struct overview *overview)
{
    if (!overview->pane.open) {
        open_pane(overview);
    } else {
        overview->shown = true;
        overview->pane.host->ops->show(overview->pane.host->opaque, &overview->pane, true);
    }
    pane_touch_all(&overview->pane);
}

void overview_hide(struct overview *overview)
{
    overview->shown = false;
    if (overview->pane.open) {
        overview->pane.host->ops->show(overview->pane.host->opaque, &overview->pane, false);
    }
}

void overview_changed(struct overview *overview)
{
    if (overview->shown) {
        pane_touch_all(&overview->pane);
    }
}

uint64_t overview_step(struct overview *overview, uint64_t now)
{
    struct grid grid = make_grid(overview);
    uint64_t next = overview->drawn_ns + THUMBNAIL_NS;
    bool old = false;

    if (!overview->shown || !overview->pane.visible) {
        return UINT64_MAX;
    }
    for (unsigned i = 0; i < desk_count(overview->desk); i++) {
        struct window *window = desk_window(overview->desk, i);

        if (window->thumbnail_old && now >= next) {
            window->thumbnail_old = false;
            overview->drawn_ns = now;
            pane_touch(&overview->pane, tile_box(overview, &grid, i));
        }
        old = old || window->thumbnail_old;
    }
    pane_flush(&overview->pane);
    return old ? MAX(next, now + 1) : UINT64_MAX;
}
