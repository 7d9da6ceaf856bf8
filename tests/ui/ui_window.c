/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Windows and the overview on a desktop in memory: what arrives at which VM, what is shown, what is asked.
 */
#include <criterion/criterion.h>

#include "twin.h"
#include "ui/palette.h"
#include "vm/pacer.h"

static struct twin twin;
static struct desk desk;
static struct twin_vm web, db;
static uint64_t now;

static void step_web(void)
{
    now += 1000000;
    desk_step(&desk, now);
    twin_vm_listen(&web);
}

static void step(void)
{
    step_web();
    twin_vm_listen(&db);
}

static struct window *window(const char *name)
{
    return desk_find(&desk, name);
}

static struct pane *pane(const char *name)
{
    return &window(name)->pane;
}

static void begin_desk(bool second)
{
    twin_init(&twin);
    now = NS_PER_SEC;
    desk_init(&desk, &twin.host, twin_no_accounts, NULL);
    twin_vm_init(&web, &twin, &desk, "web", true);
    twin_vm_init(&db, &twin, &desk, "db", second);
    step();
    twin_vm_show(&web, 640, 400, 1);
    twin_vm_show(&db, 800, 600, 2);
    step();
}

static void begin(void)
{
    begin_desk(true);
}

static void begin_alone(void)
{
    begin_desk(false);
}

static void end(void)
{
    desk_fini(&desk);
    twin_vm_fini(&web);
    twin_vm_fini(&db);
    twin_fini(&twin);
}

TestSuite(ui_window, .init = begin, .fini = end);
TestSuite(ui_window_alone, .init = begin_alone, .fini = end);

static struct twin_window *shown(const char *name)
{
    return twin_of(&twin, pane(name));
}

static uint32_t pixel(const struct twin_window *at, int x, int y)
{
    return at->pixel[(size_t)y * at->width + (size_t)x];
}

static void click(struct pane *at, int x, int y)
{
    at->ops->motion(at, x, y, 0, 0);
    at->ops->buttons(at, INPUT_BUTTON_LEFT, x, y);
    at->ops->buttons(at, 0, x, y);
}

Test(ui_window, titles_say_who_and_how_and_why)
{
    cr_assert_str_eq(shown("web")->title, "web [Running] - Ctrl+Alt+G releases the mouse");
    twin_vm_life(&web, VM_PAUSED, "");
    step();
    cr_assert_str_eq(shown("web")->title, "web [Paused] - Ctrl+Alt+G releases the mouse");
    twin_vm_life(&web, VM_STOPPED, "triple fault");
    step();
    cr_assert_str_eq(shown("web")->title, "web [Stopped: triple fault] - Ctrl+Alt+G releases the mouse");
}

Test(ui_window, a_window_has_its_guests_size_and_shows_its_pixels)
{
    struct twin_window *at = shown("web");

    cr_assert(at->width == 640 && at->height == 422);
    cr_assert_eq(pixel(at, 17, 33), 0x011121);
    cr_assert_eq(pixel(shown("db"), 17, 33), 0x021121);
    twin_vm_show(&web, 1024, 768, 3);
    step();
    cr_assert(at->width == 1024 && at->height == 790);
    cr_assert_eq(pixel(at, 1023, 767), 0x03ffff);
}

Test(ui_window, a_size_that_the_user_chose_stays)
{
    twin_resize(&twin, pane("web"), 1280, 822);
    step();
    cr_assert_eq(pixel(shown("web"), 34, 66), 0x011121, "twice as large");
    twin_vm_show(&web, 320, 200, 4);
    step();
    cr_assert_eq(shown("web")->width, 1280);
    twin_chord(pane("web"), KEY_0);
    step();
    cr_assert_eq(shown("web")->width, 320);
}

Test(ui_window, only_rows_that_changed_are_drawn)
{
    struct display_surface surface = {0};
    uint32_t row[640] = {0};
    uint64_t seen;

    display_surface_resize(&surface, 640, 400);
    display_surface_commit(&surface);
    exchange_put_picture(web.exchange, &surface, 0);
    step();
    seen = surface.serial;
    row[5] = 0xabcdef;
    display_surface_put(&surface, 100, row);
    display_surface_commit(&surface);
    exchange_put_picture(web.exchange, &surface, seen);
    step();
    cr_assert_eq(shown("web")->presented.y, 100);
    cr_assert_eq(shown("web")->presented.height, 1);
    cr_assert_eq(pixel(shown("web"), 5, 100), 0xabcdef);
    display_surface_fini(&surface);
}

Test(ui_window, nothing_is_drawn_when_nothing_changes)
{
    unsigned before;

    step();
    before = shown("web")->presents + shown("db")->presents;
    for (unsigned i = 0; i < 100; i++) {
        step();
    }
    cr_assert_eq(shown("web")->presents + shown("db")->presents, before);
}

Test(ui_window, keys_arrive_in_the_right_guest_only)
{
    twin_type(pane("web"), KEY_A);
    pane("db")->ops->key(pane("db"), KEY_LEFT_SHIFT, true);
    step();
    cr_assert_eq(web.keys, 2);
    cr_assert_eq(db.keys, 1);
    cr_assert(key_set_has(&db.down, KEY_LEFT_SHIFT));
    pane("db")->ops->focus(pane("db"), false);
    step();
    cr_assert(twin_vm_nothing_down(&db));
}

Test(ui_window, chords_are_actions_and_no_keys)
{
    static const struct {
        enum key key;
        enum action action;
    } chords[] = {
        {KEY_H, ACTION_POWER_BUTTON}, {KEY_N, ACTION_SNAPSHOT},          {KEY_P, ACTION_PAUSE},
        {KEY_R, ACTION_RESET},        {KEY_Q, ACTION_POWER_OFF},         {KEY_S, ACTION_SAVE_AND_QUIT},
        {KEY_X, ACTION_SCREENSHOT},   {KEY_DELETE, ACTION_CTRL_ALT_DEL}, {KEY_C, ACTION_COPY}};

    for (unsigned i = 0; i < ARRAY_LEN(chords); i++) {
        twin_chord(pane("web"), chords[i].key);
        step();
        cr_assert_eq(web.action[chords[i].action], 1);
    }
    cr_assert_eq(web.keys, 0);
}

Test(ui_window, full_screen_keeps_the_strip)
{
    struct twin_window *at = shown("web");

    twin_chord(pane("web"), KEY_F);
    step();
    cr_assert(at->full_screen && at->width == 1920);
    cr_assert_eq(pixel(at, 4, 1079), PALETTE_GROUND);
    cr_assert_eq(pixel(at, 0, 500), PALETTE_BLACK, "beside the guest's screen");
    twin_chord(pane("web"), KEY_F);
    step();
    cr_assert(!at->full_screen && at->width == 640);
}

/* ---- the mouse ---- */

Test(ui_window, a_click_grabs_and_ctrl_alt_g_releases)
{
    struct pane *at = pane("web");

    at->ops->motion(at, 10, 10, 5, 5);
    step();
    cr_assert_eq(web.x, 0, "not grabbed: the mouse is the desktop's");
    click(at, 10, 10);
    step();
    cr_assert(shown("web")->grabbed && shown("web")->relative && !shown("web")->cursor);
    cr_assert_eq(web.buttons, 0, "the click that grabs is not the guest's");
    at->ops->motion(at, 20, 20, 7, -3);
    at->ops->motion(at, 20, 20, 1, -1);
    at->ops->wheel(at, 1);
    at->ops->buttons(at, INPUT_BUTTON_RIGHT, 20, 20);
    step();
    cr_assert(web.x == 8 && web.y == -4 && web.wheel == 1 && web.buttons == INPUT_BUTTON_RIGHT);
    at->ops->key(at, KEY_LEFT_CTRL, true);
    at->ops->key(at, KEY_LEFT_ALT, true);
    twin_type(at, KEY_G);
    step();
    cr_assert(!shown("web")->grabbed && shown("web")->cursor);
}

Test(ui_window, the_grab_ends_with_the_focus_and_with_a_pause)
{
    struct pane *at = pane("web");

    click(at, 10, 10);
    at->ops->focus(at, false);
    step();
    cr_assert_not(shown("web")->grabbed);
    cr_assert(twin_vm_nothing_down(&web));
    twin_chord(at, KEY_G);
    cr_assert(shown("web")->grabbed);
    twin_vm_life(&web, VM_PAUSED, "");
    step();
    cr_assert_not(shown("web")->grabbed);
    twin_chord(at, KEY_G);
    cr_assert_not(shown("web")->grabbed, "a paused guest does not get the mouse");
}

Test(ui_window, an_absolute_pointer_needs_no_grab)
{
    struct pane *at = pane("web");

    web.status.wants_position = true;
    twin_vm_life(&web, VM_RUNNING, "");
    step();
    cr_assert_not(shown("web")->cursor, "the guest draws its own");
    at->ops->motion(at, 639, 399, 1, 1);
    at->ops->buttons(at, INPUT_BUTTON_LEFT, 639, 399);
    step();
    cr_assert(web.position_x == 65535 && web.position_y == 65535 && web.buttons == INPUT_BUTTON_LEFT);
    cr_assert_not(shown("web")->grabbed);
    at->ops->buttons(at, 0, 639, 410);
    step();
    cr_assert_eq(web.buttons, 0, "a release is the guest's wherever it happens");
    at->ops->buttons(at, INPUT_BUTTON_LEFT, 639, 410);
    step();
    cr_assert_eq(web.buttons, 0, "a press on the strip is not");
}

/* ---- text ---- */

Test(ui_window, copy_and_paste_use_the_clipboard)
{
    twin_chord(pane("web"), KEY_V);
    step();
    cr_assert_str_eq(window("web")->message, "The clipboard has no text");
    exchange_put_copied(web.exchange, strdup("one\ntwo\n"));
    step();
    cr_assert_str_eq(twin.clipboard, "one\ntwo\n");
    cr_assert_str_eq(window("web")->message, "Copied 2 lines of text");
    twin_chord(pane("db"), KEY_V);
    step();
    cr_assert_str_eq(db.pasted, "one\ntwo\n");
    cr_assert_str_eq(web.pasted, "");
}

Test(ui_window, messages_are_shown_for_a_while)
{
    exchange_say(web.exchange, "Screenshot: %s", "a.png");
    step();
    cr_assert_str_eq(window("web")->message, "Screenshot: a.png");
    now += 9 * NS_PER_SEC;
    step();
    cr_assert_str_eq(window("web")->message, "Right Ctrl+K: keys");
}

Test(ui_window, lights_are_lit_by_activity_and_go_out)
{
    web.status.has_disk = true;
    web.status.activity.disk = 5;
    twin_vm_life(&web, VM_RUNNING, "");
    step();
    cr_assert(window("web")->strip.has[STRIP_DISK] && window("web")->strip.lit[STRIP_DISK]);
    cr_assert_not(window("web")->strip.has[STRIP_NET]);
    now += NS_PER_SEC;
    step();
    cr_assert_not(window("web")->strip.lit[STRIP_DISK]);
}

/* ---- dialogs ---- */

static void answer(struct pane *at, unsigned line)
{
    for (unsigned i = 0; i < line; i++) {
        twin_type(at, KEY_DOWN);
    }
    twin_type(at, KEY_ENTER);
    step();
}

Test(ui_window, closing_asks_and_does_what_is_chosen)
{
    struct pane *at = pane("web");

    at->ops->close(at);
    cr_assert(window("web")->dialog.open);
    twin_type(at, KEY_ESC);
    cr_assert_not(window("web")->dialog.open);
    at->ops->close(at);
    answer(at, 0);
    cr_assert_eq(web.action[ACTION_POWER_BUTTON], 1);
    at->ops->close(at);
    answer(at, 1);
    cr_assert_eq(web.action[ACTION_POWER_OFF], 1);
    at->ops->close(at);
    answer(at, 2);
    cr_assert_eq(web.action[ACTION_SAVE_AND_QUIT], 1);
    at->ops->close(at);
    answer(at, 3);
    cr_assert_not(shown("web")->shown, "hidden");
    cr_assert_eq(web.keys, 0, "what is typed in a dialog is not the guest's");
}

Test(ui_window, a_dialog_is_clicked_too)
{
    struct pane *at = pane("web");
    const struct dialog *dialog = &window("web")->dialog;

    at->ops->close(at);
    step();
    click(at, dialog->box.x + 20, dialog->first_line + dialog->line_height + 3);
    step();
    cr_assert_eq(web.action[ACTION_POWER_OFF], 1);
    at->ops->close(at);
    step();
    click(at, 1, 1);
    cr_assert_not(dialog->open, "beside it");
    step();
    cr_assert_not(shown("web")->grabbed);
}

static void list_drives(void)
{
    const struct exchange_drive drives[] = {
        {.id = "floppy0"}, {.id = "ide1-cd0", .cd = true, .inserted = true, .file = "/images/debian.iso"}};

    cr_assert_eq(web.action[ACTION_LIST_DRIVES], 1);
    exchange_put_drives(web.exchange, drives, ARRAY_LEN(drives));
    step();
    cr_assert(window("web")->dialog.open);
    cr_assert_eq(window("web")->dialog.count, 2);
}

Test(ui_window, media_are_changed_by_keyboard)
{
    struct pane *at = pane("web");

    twin_chord(at, KEY_M);
    step();
    list_drives();
    answer(at, 0);
    cr_assert(window("web")->dialog.has_field && shown("web")->text_input);
    at->ops->text(at, "/tmp/dis");
    at->ops->text(at, "\xc3\xa4k.img");
    for (unsigned i = 0; i < 6; i++) {
        twin_type(at, KEY_BACKSPACE);
    }
    at->ops->text(at, "k.img");
    twin_type(at, KEY_ENTER);
    step();
    cr_assert_str_eq(web.inserted, "/tmp/disk.img");
    cr_assert_str_eq(web.drive, "floppy0");
    cr_assert_not(shown("web")->text_input);
}

Test(ui_window, media_are_ejected_by_keyboard)
{
    twin_chord(pane("web"), KEY_M);
    step();
    list_drives();
    answer(pane("web"), 1);
    answer(pane("web"), 0);
    cr_assert_eq(web.ejected, 1);
    cr_assert_str_eq(web.drive, "ide1-cd0");
}

Test(ui_window, a_file_is_dropped_into_a_drive)
{
    pane("web")->ops->dropped(pane("web"), "/tmp/other.iso");
    step();
    list_drives();
    answer(pane("web"), 1);
    cr_assert_str_eq(web.inserted, "/tmp/other.iso");
    cr_assert_str_eq(web.drive, "ide1-cd0");
}

Test(ui_window, the_list_of_keys_does_what_is_chosen)
{
    twin_chord(pane("web"), KEY_K);
    cr_assert(window("web")->dialog.open);
    answer(pane("web"), 0);
    cr_assert_eq(web.action[ACTION_POWER_BUTTON], 1);
}

/* ---- the overview ---- */

Test(ui_window, the_overview_opens_with_the_second_window)
{
    cr_assert(desk.overview.shown);
    cr_assert_str_eq(twin_of(&twin, &desk.overview.pane)->title, "Hypatia - all virtual machines");
}

Test(ui_window_alone, the_overview_stays_away_and_comes_when_asked)
{
    cr_assert_not(desk.overview.shown);
    twin_chord(pane("web"), KEY_O);
    step();
    cr_assert(desk.overview.shown);
}

Test(ui_window_alone, the_overview_opens_windows_by_keyboard)
{
    struct pane *overview = &desk.overview.pane;

    cr_assert_not(pane("db")->open);
    twin_chord(pane("web"), KEY_O);
    twin_type(overview, KEY_RIGHT);
    twin_type(overview, KEY_ENTER);
    step();
    cr_assert(pane("db")->open);
    cr_assert_eq(twin.front, pane("db"));
    twin_type(overview, KEY_HOME);
    twin_type(overview, KEY_ENTER);
    cr_assert_eq(twin.front, pane("web"));
    twin_type(overview, KEY_ESC);
    cr_assert_not(desk.overview.shown);
}

Test(ui_window, the_overview_opens_windows_by_mouse)
{
    struct pane *overview = &desk.overview.pane;

    click(overview, 300, 50);
    cr_assert_eq(desk.overview.chosen, 1);
    cr_assert_eq(twin.front, &desk.overview.pane);
    click(overview, 300, 50);
    cr_assert_eq(twin.front, pane("db"));
}

Test(ui_window, thumbnails_live)
{
    struct twin_window *at = twin_of(&twin, &desk.overview.pane);
    uint32_t before = pixel(at, 120, 80) >> 16;

    twin_vm_show(&web, 640, 400, 0x77);
    now += NS_PER_SEC;
    step();
    cr_assert_neq(before, 0x77);
    cr_assert_eq(pixel(at, 120, 80) >> 16, 0x77);
}

Test(ui_window, pictures_are_wanted_only_where_they_can_be_seen)
{
    step();
    cr_assert_eq(exchange_wanted(web.exchange), WINDOW_FRAME_NS);
    desk_hide(&desk, window("db"));
    step();
    cr_assert_gt(exchange_wanted(db.exchange), WINDOW_FRAME_NS, "the overview shows it");
    desk_leave_overview(&desk);
    step();
    cr_assert_eq(exchange_wanted(db.exchange), 0);
}

Test(ui_window, something_stays_visible)
{
    desk_leave_overview(&desk);
    desk_hide(&desk, window("web"));
    cr_assert_not(desk.overview.shown);
    desk_hide(&desk, window("db"));
    cr_assert(desk.overview.shown);
    desk_leave_overview(&desk);
    cr_assert(shown("web")->shown);
}

/* ---- VMs that go ---- */

Test(ui_window, a_vm_that_broke_is_shown_as_stopped_even_if_it_kept_the_lock)
{
    exchange_break(db.exchange, "internal error: SIGSEGV");
    step();
    cr_assert_str_eq(shown("db")->title,
                     "db [Stopped: internal error: SIGSEGV] - Ctrl+Alt+G releases the mouse");
}

Test(ui_window, a_vm_that_is_removed_is_shown_as_that_and_can_have_a_successor)
{
    twin_vm_fini(&db);
    step_web();
    cr_assert_str_eq(shown("db")->title, "db [Stopped: it was removed] - Ctrl+Alt+G releases the mouse");
    pane("db")->ops->close(pane("db"));
    cr_assert_not(shown("db")->shown, "there is nothing to ask");
    twin_vm_init(&db, &twin, &desk, "db", true);
    step();
    cr_assert_str_eq(shown("db")->title, "db [Running] - Ctrl+Alt+G releases the mouse");
}
