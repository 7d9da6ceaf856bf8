/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The session of a debugger. See gdb.h; packets are in gdb_commands.c.
 *
 *                 first packet                     c, s, vCont
 *   (nobody) ------------------> guest stopped ----------------> guest runs, the client waits
 *      ^  the guest is paused     |          ^                    |   ^ v
 *      |                          |          +--------------------+  another packet: it is stopped first
 *      +--- D, hang-up, kill -----+            a stop reply: T, W, X
 *
 * To connect disturbs nobody: the guest is stopped when a packet arrives, so that somebody who only looks whether the port is
 * open does no harm. When a client hangs up, its points go and the guest stays as it is, running or stopped; who detaches lets
 * it run. What a web page can make a browser send to a port is no packet to us: a connection that begins like HTTP is closed.
 *
 * The monitor may stop and continue the guest meanwhile. The protocol has no way to tell a client that has not asked. So if the
 * guest ran and stopped without the client, its next `c` is answered at once, with that stop.
 *
 * GDB manual: "Remote Protocol": "Overview", "Stop Reply Packets", "Interrupts". NOT supported: non-stop mode, extended mode,
 * tracepoints, file transfer; the empty answer says so.
 */
#include "monitor/gdb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/gdb_internal.h"
#include "monitor/gdb_registers.h"

/* gdb's numbers of signals, which are not the host's. */
enum { SIGNAL_INT = 2, SIGNAL_TRAP = 5, SIGNAL_SEGV = 11 };

/* ---- Sending -------------------------------------------------------------------------------------------------- */

void gdb_send(struct gdb *gdb)
{
    gdb->sent = gdb_packet_end(&gdb->packet);
    gdb_port_send(gdb->port, gdb->packet.data, gdb->sent);
}

void gdb_send_text(struct gdb *gdb, const char *text)
{
    gdb_packet_begin(&gdb->packet);
    gdb_packet_text(&gdb->packet, "%s", text);
    gdb_send(gdb);
}

void gdb_send_error(struct gdb *gdb, int error)
{
    gdb_packet_begin(&gdb->packet);
    gdb_packet_text(&gdb->packet, "E%02x", (unsigned)error & 0xff);
    gdb_send(gdb);
}

void gdb_send_console(struct gdb *gdb, const char *text, size_t length)
{
    enum { PIECE = GDB_PACKET_SIZE / 2 - 1 };

    for (size_t at = 0; at < length; at += PIECE) {
        gdb_packet_begin(&gdb->packet);
        gdb_packet_text(&gdb->packet, "O");
        gdb_packet_hex(&gdb->packet, text + at, MIN(length - at, (size_t)PIECE));
        gdb_send(gdb);
    }
}

/* ---- Stop replies --------------------------------------------------------------------------------------------- */

static const struct gdb_point *find_point(const struct gdb *gdb, unsigned id)
{
    for (unsigned i = 0; i < gdb->points; i++) {
        if (gdb->point[i].id == id) {
            return &gdb->point[i];
        }
    }
    return NULL;
}

/* "watch:ADDR;" and the like. gdb looks for a watchpoint at the address, so it must lie in what was asked for. */
static void put_point(struct gdb *gdb, const struct gdb_point *point, const struct debug_stop *stop)
{
    static const char *const names[] = {
        [GDB_WATCH_WRITE] = "watch", [GDB_WATCH_READ] = "rwatch", [GDB_WATCH_ACCESS] = "awatch"};

    if (point->type >= GDB_WATCH_WRITE) {
        gdb_packet_text(&gdb->packet, "%s:%llx;", names[point->type],
                        (unsigned long long)MAX(stop->address, point->address));
    } else if (point->type == GDB_HARDWARE ? gdb->hwbreak : gdb->swbreak) {
        gdb_packet_text(&gdb->packet, "%s:;", point->type == GDB_HARDWARE ? "hwbreak" : "swbreak");
    }
}

static unsigned stop_signal(const struct debug_stop *stop)
{
    return stop->reason == DEBUG_STOP_REQUEST                                 ? SIGNAL_INT
           : stop->reason == DEBUG_STOP_POINT && stop->kind == DEBUG_SHUTDOWN ? SIGNAL_SEGV
                                                                              : SIGNAL_TRAP;
}

static void put_registers(struct gdb *gdb)
{
    static const uint8_t numbers[] = {GDB_EBP, GDB_ESP, GDB_EIP};
    uint8_t bytes[GDB_REGISTER_MAX];

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        gdb_register_read(gdb->vm->cpu, numbers[i], bytes);
        gdb_packet_text(&gdb->packet, "%02x:", numbers[i]);
        gdb_packet_hex(&gdb->packet, bytes, gdb_register_size(gdb->vm->cpu, numbers[i]));
        gdb_packet_text(&gdb->packet, ";");
    }
}

/* A stop that is not of the client's making is explained on its console. */
static void explain(struct gdb *gdb, const struct debug_stop *stop)
{
    char text[sizeof(stop->text) + 4];
    int length = snprintf(text, sizeof(text), "%s\n", stop->text);

    if (stop->reason == DEBUG_STOP_POINT && stop->text[0] && !find_point(gdb, stop->point)) {
        gdb_send_console(gdb, text, (size_t)length);
    }
}

void gdb_send_stop(struct gdb *gdb, const struct debug_stop *stop)
{
    const struct gdb_point *point = stop->reason == DEBUG_STOP_POINT ? find_point(gdb, stop->point) : NULL;

    gdb->news = false;
    gdb_packet_begin(&gdb->packet);
    gdb_packet_text(&gdb->packet, "T%02x", stop_signal(stop));
    if (point) {
        put_point(gdb, point, stop);
    }
    gdb_packet_text(&gdb->packet, "thread:1;");
    put_registers(gdb);
    snprintf(gdb->last_stop, sizeof(gdb->last_stop), "%.*s", (int)gdb->packet.length,
             (const char *)gdb->packet.data + 1);
    gdb_send(gdb);
}

static void send_awaited_stop(struct gdb *gdb, const struct debug_stop *stop)
{
    gdb->waiting = false;
    explain(gdb, stop);
    gdb_send_stop(gdb, stop);
}

/* ---- Running -------------------------------------------------------------------------------------------------- */

/* The VM's state has changed, on the thread that has it. That it has ended is told by gdb_destroy(). */
static void vm_changed(void *opaque, struct vm *vm)
{
    struct gdb *gdb = opaque;

    if (gdb->own_doing || vm->state != VM_PAUSED) {
        return;
    }
    if (gdb->waiting) {
        send_awaited_stop(gdb, debugger_stop(vm));
    } else {
        gdb->news = gdb->attached;
    }
}

void gdb_pause(struct gdb *gdb)
{
    gdb->own_doing = true;
    vm_pause(gdb->vm);
    gdb->own_doing = false;
}

void gdb_continue(struct gdb *gdb)
{
    gdb->waiting = true;
    if (gdb->news) {
        send_awaited_stop(gdb, debugger_stop(gdb->vm));
        return;
    }
    gdb->own_doing = true;
    vm_resume(gdb->vm);
    gdb->own_doing = false;
}

void gdb_step(struct gdb *gdb)
{
    struct debug_stop stop = {0};
    struct error error;
    int result;

    gdb->waiting = true;
    if (gdb->news) {
        send_awaited_stop(gdb, debugger_stop(gdb->vm));
        return;
    }
    gdb_pause(gdb);
    gdb->own_doing = true;
    result = debugger_step(gdb->vm, 1, gdb->step_flags, &stop, &error);
    gdb->own_doing = false;
    if (result < 0) {
        stop.reason = DEBUG_STOP_REQUEST;
    }
    if (gdb->vm->state != VM_STOPPED) {
        send_awaited_stop(gdb, &stop);
    }
}

/* Ctrl-C, or a packet where none was due. */
static void interrupt(struct gdb *gdb)
{
    static const struct debug_stop request = {.reason = DEBUG_STOP_REQUEST};

    if (!gdb->waiting || gdb->vm->state == VM_STOPPED) {
        return;
    }
    gdb->job.kind = GDB_JOB_NONE;
    gdb_pause(gdb);
    send_awaited_stop(gdb, &request);
}

/* ---- Clients -------------------------------------------------------------------------------------------------- */

/* The guest is somebody's from now on. */
static void attach(struct gdb *gdb)
{
    struct debug_point shutdown = {.kind = DEBUG_SHUTDOWN, .text = "gdb", .owner = gdb};
    struct error error;

    if (gdb->attached) {
        return;
    }
    gdb->attached = true;
    gdb->listener = (struct debug_listener){.changed = vm_changed, .opaque = gdb};
    debugger_listen(gdb->vm, &gdb->listener);
    if (debugger_add(gdb->vm, &shutdown, &gdb->shutdown_point, &error) < 0) {
        gdb->shutdown_point = 0; /* a triple fault ends the VM then, as without us */
    }
    gdb_pause(gdb);
    snprintf(gdb->last_stop, sizeof(gdb->last_stop), "T%02xthread:1;", SIGNAL_TRAP);
}

void gdb_forget_client(struct gdb *gdb)
{
    if (gdb->attached) {
        debugger_unlisten(gdb->vm, &gdb->listener);
        debugger_remove_all(gdb->vm, gdb);
    }
    gdb->attached = gdb->waiting = gdb->news = gdb->paused = false;
    gdb->swbreak = gdb->hwbreak = gdb->physical = false;
    gdb->step_flags = gdb->points = gdb->shutdown_point = 0;
    gdb->job.kind = GDB_JOB_NONE;
}

/* The connection is over; the next one begins afresh. */
static void forget_connection(struct gdb *gdb)
{
    gdb_forget_client(gdb);
    gdb->no_ack = false;
    gdb->reader.state = GDB_OUTSIDE;
    gdb->greeted = 0;
    gdb->sent = 0;
}

static void client_gone(void *opaque, bool final)
{
    struct gdb *gdb = opaque;

    forget_connection(gdb);
    if (final) {
        vm_request_quit(gdb->vm); /* -gdb stdio: whoever started us has gone */
    }
}

/* Does the connection begin as those of browsers do? */
static bool is_foreign(struct gdb *gdb, uint8_t byte)
{
    static const char methods[][5] = {"GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PATC", "CONN", "TRAC"};

    if (gdb->greeted == sizeof(gdb->greeting)) {
        return false;
    }
    gdb->greeting[gdb->greeted++] = (char)byte;
    for (size_t i = 0; i < ARRAY_LEN(methods) && gdb->greeted == sizeof(gdb->greeting); i++) {
        if (!memcmp(methods[i], gdb->greeting, sizeof(gdb->greeting))) {
            return true;
        }
    }
    return false;
}

static void acknowledge(struct gdb *gdb, char sign)
{
    if (!gdb->no_ack) {
        gdb_port_send(gdb->port, (const uint8_t *)&sign, 1);
    }
}

static void packet_arrived(struct gdb *gdb, enum gdb_event event)
{
    if (event == GDB_EVENT_BAD && !gdb->no_ack) {
        acknowledge(gdb, '-');
        return;
    }
    acknowledge(gdb, '+');
    interrupt(gdb);
    attach(gdb);
    if (event == GDB_EVENT_PACKET) {
        gdb_execute(gdb);
    } else {
        gdb_send_error(gdb, event == GDB_EVENT_TOO_LONG ? E2BIG : EILSEQ);
    }
}

static void take(struct gdb *gdb, enum gdb_event event)
{
    switch (event) {
    case GDB_EVENT_NONE:
        break;
    case GDB_EVENT_PACKET:
    case GDB_EVENT_BAD:
    case GDB_EVENT_TOO_LONG:
        packet_arrived(gdb, event);
        break;
    case GDB_EVENT_INTERRUPT:
        interrupt(gdb);
        break;
    case GDB_EVENT_RESEND:
        if (gdb->sent > 0 && !gdb->no_ack) {
            gdb_port_send(gdb->port, gdb->packet.data, gdb->sent);
        }
        break;
    }
}

static size_t receive(void *opaque, const uint8_t *bytes, size_t n)
{
    struct gdb *gdb = opaque;
    size_t i = 0;

    while (i < n && !gdb->paused && gdb->job.kind != GDB_JOB_SEARCH) {
        uint8_t byte = bytes[i++];

        if (is_foreign(gdb, byte)) {
            gdb_port_drop(gdb->port);
            forget_connection(gdb);
            return n;
        }
        take(gdb, gdb_reader_feed(&gdb->reader, byte));
    }
    return i;
}

/* ---- The event loop -------------------------------------------------------------------------------------------- */

static void poller_prepare(void *opaque, struct loop *loop, uint64_t *timeout_ns)
{
    const struct gdb *gdb = opaque;

    (void)loop;
    if (gdb->paused || gdb->job.kind != GDB_JOB_NONE) {
        *timeout_ns = 0;
    }
}

static void poller_polled(void *opaque, struct loop *loop, bool failed)
{
    struct gdb *gdb = opaque;
    bool left = gdb->paused || gdb->job.kind != GDB_JOB_NONE;

    (void)loop;
    (void)failed;
    gdb->paused = false;
    if (gdb->job.kind != GDB_JOB_NONE) {
        gdb_work(gdb);
    }
    if (left) {
        gdb_port_accept_input(gdb->port);
    }
}

/* ---- Life ------------------------------------------------------------------------------------------------------ */

struct gdb *gdb_create(struct vm *vm, struct hypervisor *hv, struct gdb_port *port)
{
    struct gdb *gdb = calloc(1, sizeof(*gdb));
    struct gdb_port_front front = {.receive = receive, .gone = client_gone, .opaque = gdb};

    if (!gdb) {
        gdb_port_close(port);
        return NULL;
    }
    gdb->vm = vm;
    gdb->hv = hv;
    gdb->port = port;
    gdb->poller = (struct loop_poller){.prepare = poller_prepare, .polled = poller_polled, .opaque = gdb};
    loop_add_poller(&vm->loop, &gdb->poller);
    gdb_port_attach(port, &vm->loop, &front);
    return gdb;
}

/* W and the exit code; X where it had no chance to end. */
static void tell_end(struct gdb *gdb)
{
    char text[8];

    if (gdb->vm->state == VM_STOPPED) {
        snprintf(text, sizeof(text), "W%02x", (unsigned)vm_exit_code(gdb->vm) & 0xff);
    } else {
        strcpy(text, "X09");
    }
    gdb_send_text(gdb, text);
}

void gdb_destroy(struct gdb *gdb)
{
    if (!gdb) {
        return;
    }
    if (gdb->waiting) {
        tell_end(gdb);
    }
    gdb_forget_client(gdb);
    gdb_port_close(gdb->port);
    loop_remove_poller(&gdb->vm->loop, &gdb->poller);
    free(gdb);
}

void gdb_abandon(struct gdb *gdb)
{
    if (gdb) {
        gdb_port_abandon(gdb->port, "$X06#be");
    }
}
