/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The VM's side of its window. See ui/face.h.
 *
 * When to look at the screen:
 *
 *   the adapter's generation changed     once an interval
 *   graphics, changed lately             once an interval, a while longer: frames that are written all the time are not
 *                                        watched by the adapter (devices/vga_picture.c) and do not change its generation
 *   text, changed lately, VM running     at the rate at which cursor and characters blink
 *   else                                 not at all
 */
#include "ui/face.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ui/ascii_keys.h"
#include "ui/chord.h"
#include "ui/text_copy.h"
#include "vm/block_file.h"
#include "vm/containment.h"
#include "vm/pacer.h"
#include "vm/snapshot.h"

#define BLINK_NS    100000000u /* the cursor of a VGA is on for 8 frames of 70 a second, and off */
#define ACTIVITY_NS 100000000u /* the lights do not want to know more often */
#define TYPING_NS                                                                                            \
    10000000u /* between pasted characters: a fast typist, whom BIOSes and programs can follow */

enum { QUIET_LOOKS = 24, EVENTS_AT_ONCE = 32, NAMES_MAX = 100 };

struct face {
    struct vm *vm;
    struct exchange *exchange;
    struct loop_poller poller;
    face_screenshot screenshot;

    struct display display; /* valid with status.has_display */
    uint64_t seen;          /* serial of the surface that the window has */
    uint64_t generation;    /* at the last look */
    uint64_t next_look_ns;  /* host time before which there is none */
    unsigned quiet;         /* looks in a row that found nothing new */
    bool looked;

    struct exchange_status status; /* as the window has it */
    uint64_t activity_ns;          /* host time at which it was last sent for the lights alone */

    struct key_set down;
    uint8_t buttons;
    char *paste; /* owned; NULL: nothing is being typed */
    size_t paste_at;
    unsigned left_out; /* characters that a US keyboard does not have */
    uint64_t next_type_ns;
};

/* ---- keys and pointer ---- */

static void put_key(struct face *face, enum key key, bool down)
{
    struct input_sink sink = pc_input(face->vm->pc);

    if (down && face->vm->state != VM_RUNNING) {
        return;
    }
    if (key_set_put(&face->down, key, down)) {
        input_key(&sink, key, down);
    }
}

static void put_buttons(struct face *face, uint8_t buttons)
{
    struct input_sink sink = pc_input(face->vm->pc);

    if (face->vm->state != VM_RUNNING) {
        buttons &= face->buttons;
    }
    if (buttons != face->buttons) {
        face->buttons = buttons;
        input_buttons(&sink, buttons);
    }
}

static void release_all(struct face *face)
{
    for (unsigned i = 0; i < 256; i++) {
        if (key_set_has(&face->down, key_of_index(i))) {
            put_key(face, key_of_index(i), false);
        }
    }
    put_buttons(face, 0);
}

static void press_ctrl_alt_del(struct face *face)
{
    static const enum key keys[] = {KEY_LEFT_CTRL, KEY_LEFT_ALT, KEY_DELETE};

    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        put_key(face, keys[i], true);
    }
    for (unsigned i = ARRAY_LEN(keys); i-- > 0;) {
        put_key(face, keys[i], false);
    }
}

static void put_pointer(struct face *face, const struct exchange_event *event)
{
    struct input_sink sink = pc_input(face->vm->pc);

    if (face->vm->state != VM_RUNNING) {
        return;
    }
    if (event->kind == EXCHANGE_POSITION) {
        input_position(&sink, (uint16_t)event->x, (uint16_t)event->y);
    } else {
        input_motion(&sink, event->x, event->y, event->wheel);
    }
}

/* ---- pasting ---- */

static void end_paste(struct face *face)
{
    if (face->paste && face->left_out > 0) {
        exchange_say(face->exchange, "Pasted; %u characters that a US keyboard does not have were left out",
                     face->left_out);
    }
    free(face->paste);
    face->paste = NULL;
    face->paste_at = face->left_out = 0;
}

/* Behind what is still being typed. */
static void begin_paste(struct face *face, char *text)
{
    size_t rest = face->paste ? strlen(face->paste + face->paste_at) : 0, length = strlen(text);
    char *joined;

    if (rest == 0) {
        end_paste(face);
        face->paste = text;
        return;
    }
    joined = rest + length <= EXCHANGE_PASTE_MAX ? malloc(rest + length + 1) : NULL;
    if (joined) {
        memcpy(joined, face->paste + face->paste_at, rest);
        memcpy(joined + rest, text, length + 1);
        free(face->paste);
        face->paste = joined;
        face->paste_at = 0;
    } else {
        exchange_say(face->exchange, "Paste: too much text waits to be typed already");
    }
    free(text);
}

/* A character, once the guest has read the one before it. "\r\n" is one line's end. */
static void type_paste(struct face *face, uint64_t now)
{
    struct i8042 *keyboard = pc_keyboard(face->vm->pc);
    uint8_t byte;

    if (!face->paste || face->vm->state != VM_RUNNING || now < face->next_type_ns) {
        return;
    }
    face->next_type_ns = now + TYPING_NS;
    if (i8042_keyboard_room(keyboard) < PS2_QUEUE_SIZE - 1) {
        return;
    }
    byte = (uint8_t)face->paste[face->paste_at];
    if (byte == '\0') {
        end_paste(face);
        return;
    }
    face->paste_at++;
    if (byte >= 0x80) {
        face->left_out += byte >= 0xc0; /* the first byte of a character */
    } else if (byte != '\r' || face->paste[face->paste_at] != '\n') {
        ascii_key_type(keyboard, byte);
    }
}

/* ---- actions ---- */

static bool is_good_in_names(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-';
}

/* "NAME-20260131-120000.png" in the current folder, or with a number if there is one already. */
static void name_screenshot(const struct face *face, char *path, size_t size)
{
    char name[64], moment[32];
    time_t now = time(NULL);
    struct tm tm;

    snprintf(name, sizeof(name), "%s", face->vm->config.name);
    for (char *c = name; *c; c++) {
        *c = is_good_in_names(*c) ? *c : '_';
    }
    localtime_r(&now, &tm);
    strftime(moment, sizeof(moment), "%Y%m%d-%H%M%S", &tm);
    snprintf(path, size, "%s-%s.png", name, moment);
    for (unsigned i = 2; i < NAMES_MAX && access(path, F_OK) == 0; i++) {
        snprintf(path, size, "%s-%s-%u.png", name, moment, i);
    }
}

static void take_screenshot(struct face *face)
{
    struct error error;
    char path[128];

    if (!face->status.has_display) {
        exchange_say(face->exchange, "There is no display adapter (-vga none)");
        return;
    }
    name_screenshot(face, path, sizeof(path));
    if (face->screenshot(&face->display, path, &error) < 0) {
        exchange_say(face->exchange, "Screenshot: %.200s", error.text);
    } else {
        exchange_say(face->exchange, "Screenshot: %s", path);
    }
}

static void copy_text(struct face *face)
{
    struct display_text *text = face->status.has_display ? malloc(sizeof(*text)) : NULL;
    char *copied = NULL;

    if (text && face->display.ops->read_text(face->display.opaque, text)) {
        copied = text_copy_make(text);
    }
    free(text);
    if (copied) {
        exchange_put_copied(face->exchange, copied);
    } else {
        exchange_say(face->exchange, "There is no text screen to copy");
    }
}

static void take_snapshot(struct face *face)
{
    struct snapshot_figures figures;
    struct error error;

    if (snapshot_save(face->vm, NULL, "from the window", &error) < 0) {
        exchange_say(face->exchange, "Snapshot: %.200s", error.text);
        return;
    }
    snapshot_get_figures(face->vm, &figures);
    exchange_say(face->exchange, "Snapshot '%s' is being written", figures.name);
}

/* Nothing is lost: the VM ends only when all of it is on disk. */
static void save_and_quit(struct face *face)
{
    struct vm *vm = face->vm;
    bool running = vm->state == VM_RUNNING;
    struct snapshot_figures figures;
    struct error error;
    int result;

    vm_pause(vm);
    result = snapshot_save(vm, NULL, "save and quit", &error);
    if (result == 0) {
        result = snapshot_wait(vm, &error);
    }
    if (result < 0) {
        exchange_say(face->exchange, "Not saved: %.200s", error.text);
        if (running) {
            vm_resume(vm);
        }
        return;
    }
    snapshot_get_figures(vm, &figures);
    fprintf(stderr, "hypatia: %s: saved as '%s' (-loadvm %s goes on from here)\n", vm->config.name,
            figures.name, figures.name);
    vm_request_quit(vm);
}

static void list_drive(struct exchange_drive *list, unsigned *count, const struct disk *disk, bool cd)
{
    struct exchange_drive *drive = &list[*count];
    const char *path = disk && disk->image ? disk->image->file->path : "";
    size_t length = strlen(path);

    if (!disk || !disk->block.removable) {
        return;
    }
    *drive = (struct exchange_drive){.cd = cd, .inserted = disk->block.inserted};
    snprintf(drive->id, sizeof(drive->id), "%s", disk->block.id);
    snprintf(drive->file, sizeof(drive->file), "%s",
             path + (length >= sizeof(drive->file) ? length - sizeof(drive->file) + 1 : 0));
    (*count)++;
}

static void list_drives(struct face *face)
{
    const struct drives *drives = &face->vm->drives;
    struct exchange_drive list[EXCHANGE_DRIVES];
    unsigned count = 0;

    for (unsigned i = 0; i < CONFIG_FLOPPY_DRIVES; i++) {
        list_drive(list, &count, drives->floppy[i], false);
    }
    for (unsigned i = 0; i < CONFIG_IDE_DRIVES; i++) {
        list_drive(list, &count, drives->ide[i], true);
    }
    exchange_put_drives(face->exchange, list, count);
}

static void change_medium(struct face *face, const struct exchange_event *event)
{
    struct disk *disk = drives_find(&face->vm->drives, event->drive);
    struct error error;
    int result;

    if (!disk) {
        exchange_say(face->exchange, "There is no drive '%s'", event->drive);
        return;
    }
    result = event->kind == EXCHANGE_EJECT
                 ? drives_eject(disk, false, &error)
                 : drives_change(&face->vm->drives, disk, event->text, NULL, false, &error);
    if (result < 0) {
        exchange_say(face->exchange, "%s: %.200s", event->drive, error.text);
    } else {
        exchange_say(face->exchange, "%s: %.200s", event->drive,
                     event->kind == EXCHANGE_EJECT ? "ejected" : event->text);
    }
}

static void pause_or_go_on(struct face *face)
{
    release_all(face);
    if (face->vm->state == VM_RUNNING) {
        vm_pause(face->vm);
    } else {
        vm_resume(face->vm);
    }
}

static void do_action(struct face *face, enum action action)
{
    switch (action) {
    case ACTION_POWER_BUTTON:
        vm_power_button(face->vm);
        exchange_say(face->exchange, "The power button was pressed");
        break;
    case ACTION_SNAPSHOT:
        take_snapshot(face);
        break;
    case ACTION_PAUSE:
        pause_or_go_on(face);
        break;
    case ACTION_RESET:
        end_paste(face);
        vm_request_reset(face->vm);
        exchange_say(face->exchange, "The machine was reset");
        break;
    case ACTION_POWER_OFF:
        vm_request_quit(face->vm);
        break;
    case ACTION_SAVE_AND_QUIT:
        save_and_quit(face);
        break;
    case ACTION_CTRL_ALT_DEL:
        press_ctrl_alt_del(face);
        break;
    case ACTION_SCREENSHOT:
        take_screenshot(face);
        break;
    case ACTION_COPY:
        copy_text(face);
        break;
    case ACTION_LIST_DRIVES:
        list_drives(face);
        break;
    default: /* the window's own */
        break;
    }
}

/* ---- events ---- */

static void handle(struct face *face, struct exchange_event *event)
{
    if (face->vm->state == VM_STOPPED) {
        free(event->text);
        return;
    }
    switch (event->kind) {
    case EXCHANGE_KEY:
        put_key(face, (enum key)event->number, event->down);
        break;
    case EXCHANGE_RELEASE_ALL:
        release_all(face);
        break;
    case EXCHANGE_MOTION:
    case EXCHANGE_POSITION:
        put_pointer(face, event);
        break;
    case EXCHANGE_BUTTONS:
        put_buttons(face, (uint8_t)event->number);
        break;
    case EXCHANGE_ACTION:
        do_action(face, (enum action)event->number);
        break;
    case EXCHANGE_PASTE:
        begin_paste(face, event->text);
        return; /* the text is taken */
    case EXCHANGE_INSERT:
    case EXCHANGE_EJECT:
        change_medium(face, event);
        break;
    }
    free(event->text);
}

static void handle_events(struct face *face)
{
    struct exchange_event event[EVENTS_AT_ONCE];

    while (exchange_has_events(face->exchange)) {
        bool lost;
        unsigned count = exchange_take(face->exchange, event, ARRAY_LEN(event), &lost);

        for (unsigned i = 0; i < count; i++) {
            handle(face, &event[i]);
        }
        if (lost) { /* they were newer than all of these */
            release_all(face);
        }
    }
}

/* ---- the picture ---- */

/* Host time of the next look; UINT64_MAX: there is no reason for one. */
static uint64_t look_due(const struct face *face)
{
    uint64_t interval = exchange_wanted(face->exchange);
    bool text;

    if (interval == 0 || !face->status.has_display) {
        return UINT64_MAX;
    }
    if (!face->looked || face->display.ops->generation(face->display.opaque) != face->generation) {
        return face->next_look_ns;
    }
    text = face->display.ops->kind(face->display.opaque) == DISPLAY_TEXT;
    if (face->quiet >= QUIET_LOOKS || face->vm->state != VM_RUNNING) {
        return UINT64_MAX;
    }
    return text ? face->next_look_ns + (BLINK_NS > interval ? BLINK_NS - interval : 0) : face->next_look_ns;
}

static void look(struct face *face, uint64_t now)
{
    uint64_t interval = exchange_wanted(face->exchange);
    const struct display_surface *surface;

    /* a steady rate, unless we are late by more than one */
    face->next_look_ns = MAX(face->next_look_ns + interval, now + interval / 2);
    if (exchange_has_picture(face->exchange)) {
        return;
    }
    surface = display_update(&face->display);
    if (!surface) {
        return;
    }
    face->looked = true;
    face->generation = face->display.ops->generation(face->display.opaque);
    if (surface->serial == face->seen) {
        face->quiet++;
    } else if (exchange_put_picture(face->exchange, surface, face->seen)) {
        face->quiet = 0;
        face->seen = surface->serial;
    }
}

/* ---- the status ---- */

static void count_drive(const struct disk *disk, uint64_t *counter, bool *has)
{
    if (disk) {
        const struct block_counters *counters = &disk->block.counters;

        *counter += counters->reads + counters->writes + counters->flushes;
        *has = true;
    }
}

static void find_activity(const struct face *face, struct exchange_status *status)
{
    const struct drives *drives = &face->vm->drives;

    status->activity = (struct exchange_activity){0};
    for (unsigned i = 0; i < CONFIG_IDE_DRIVES; i++) {
        bool cd = drives->ide_is_cdrom[i];

        count_drive(drives->ide[i], cd ? &status->activity.cd : &status->activity.disk,
                    cd ? &status->has_cd : &status->has_disk);
    }
    for (unsigned i = 0; i < CONFIG_FLOPPY_DRIVES; i++) {
        count_drive(drives->floppy[i], &status->activity.floppy, &status->has_floppy);
    }
    for (unsigned i = 0; i < pc_nic_count(face->vm->pc); i++) {
        const struct net_port *port = pc_nic_port(face->vm->pc, i);

        status->activity.net += port->sent_frames + port->received_frames;
        status->has_net = true;
    }
}

static void tell_status(struct face *face, uint64_t now)
{
    struct exchange_status status;
    bool lights;

    memcpy(&status, &face->status, sizeof(status)); /* padding, too: it is compared as bytes */
    status.life = face->vm->state;
    status.wants_position = pc_wants_position(face->vm->pc);
    status.leds = i8042_leds(pc_keyboard(face->vm->pc));
    if (status.life == VM_STOPPED) {
        memcpy(status.reason, face->vm->reason, sizeof(status.reason));
    }
    lights = now >= face->activity_ns;
    if (lights) {
        find_activity(face, &status);
    }
    if (memcmp(&status, &face->status, sizeof(status)) != 0) {
        face->status = status;
        face->activity_ns = lights ? now + ACTIVITY_NS : face->activity_ns;
        exchange_put_status(face->exchange, &status);
    }
}

/* ---- the poller ---- */

static void prepare(void *opaque, struct loop *loop, uint64_t *timeout_ns)
{
    const struct face *face = opaque;
    uint64_t now = pacer_host_now(), due = look_due(face);

    (void)loop;
    if (face->paste && face->vm->state == VM_RUNNING) {
        due = MIN(due, face->next_type_ns);
    }
    if (due != UINT64_MAX) {
        *timeout_ns = MIN(*timeout_ns, due > now ? due - now : 0);
    }
}

static void polled(void *opaque, struct loop *loop, bool failed)
{
    struct face *face = opaque;
    uint64_t now = pacer_host_now();

    (void)loop;
    (void)failed;
    if (exchange_has_events(face->exchange)) {
        containment_watch(false); /* an action may take its time */
        handle_events(face);
        containment_watch(true);
    }
    type_paste(face, now);
    if (now >= look_due(face)) {
        look(face, now);
    }
    tell_status(face, now);
}

struct face *face_create(struct vm *vm, struct exchange *exchange, face_screenshot screenshot)
{
    struct face *face = calloc(1, sizeof(*face));

    if (!face) {
        return NULL;
    }
    face->vm = vm;
    face->exchange = exchange;
    face->screenshot = screenshot;
    face->poller = (struct loop_poller){.prepare = prepare, .polled = polled, .opaque = face};
    if (pc_vga(vm->pc)) {
        face->display = vga_display(pc_vga(vm->pc));
        face->status.has_display = true;
    }
    face->status.life = VM_STOPPED; /* so that the first look at it tells */
    loop_add_poller(&vm->loop, &face->poller);
    exchange_attach(exchange, &vm->loop);
    tell_status(face, pacer_host_now());
    return face;
}

void face_destroy(struct face *face)
{
    if (!face) {
        return;
    }
    loop_remove_poller(&face->vm->loop, &face->poller);
    if (exchange_wanted(face->exchange) && face->status.has_display) {
        face->looked = false; /* how it ended */
        look(face, pacer_host_now());
    }
    tell_status(face, pacer_host_now());
    exchange_close(face->exchange);
    free(face->paste);
    free(face);
}
