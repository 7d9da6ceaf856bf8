/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the two halves of the gdb stub share: gdb.c has the session (who is connected, does the guest run, what stopped it),
 * gdb_commands.c the packets.
 */
#ifndef MONITOR_GDB_INTERNAL_H
#define MONITOR_GDB_INTERNAL_H

#include "monitor/gdb.h"
#include "monitor/gdb_packet.h"
#include "vm/debugger.h"

enum { GDB_POINTS_MAX = 256, GDB_PATTERN_MAX = 4096 };

/* What Z0 to Z4 ask for, in their order. */
enum gdb_point_type {
    GDB_SOFTWARE,
    GDB_HARDWARE,
    GDB_WATCH_WRITE,
    GDB_WATCH_READ,
    GDB_WATCH_ACCESS,
    GDB_POINT_TYPES
};

struct gdb_point {
    enum gdb_point_type type;
    uint64_t address, length;
    unsigned id; /* the debugger's */
};

/* What takes longer than a packet may, done a piece at a time from the event loop. */
enum gdb_job_kind {
    GDB_JOB_NONE,
    GDB_JOB_STEP,   /* vCont;r: step while eip is in [begin, end) */
    GDB_JOB_SEARCH, /* qSearch:memory: for the pattern in [begin, end) */
};

struct gdb_job {
    enum gdb_job_kind kind;
    uint64_t begin, end;
    size_t pattern_size;
    uint8_t pattern[GDB_PATTERN_MAX];
};

struct gdb {
    struct vm *vm;
    struct hypervisor *hv;
    struct gdb_port *port;
    struct loop_poller poller; /* goes on with the job and with input that was left */
    struct debug_listener listener;
    struct gdb_reader reader;
    char greeting[4]; /* the connection's first bytes */
    unsigned greeted;

    /* ---- of the client ---- */
    bool attached;  /* it has sent a packet: the guest is its */
    bool waiting;   /* for the guest to stop */
    bool own_doing; /* we are changing the VM's state, and know */
    bool news;      /* the guest was stopped by somebody else while it should have been already */
    bool paused;    /* no input is taken until the event loop has turned */
    bool no_ack, swbreak, hwbreak;
    bool physical;       /* addresses of m, M, X are guest-physical */
    unsigned step_flags; /* enum debug_step */
    struct gdb_point point[GDB_POINTS_MAX];
    unsigned points;
    unsigned shutdown_point; /* catches triple faults; 0: none */
    struct gdb_job job;
    char last_stop[192];
    struct gdb_packet packet; /* the last one sent, or the one being written */
    size_t sent;              /* its size, framed; 0: none to send again */
};

/* ---- gdb.c ---- */

/* Send gdb->packet as it stands. */
void gdb_send(struct gdb *gdb);
void gdb_send_text(struct gdb *gdb, const char *text);
/* E and the errno: gdb shows the number. */
void gdb_send_error(struct gdb *gdb, int error);
/* Lines for gdb's console, in as many packets as they need. */
void gdb_send_console(struct gdb *gdb, const char *text, size_t length);

/* The guest runs until something stops it; then a stop reply is sent. */
void gdb_continue(struct gdb *gdb);
/* One instruction, and the stop reply. */
void gdb_step(struct gdb *gdb);
/* The guest is paused, because the client is about to look or step. Not a stop to be told of. */
void gdb_pause(struct gdb *gdb);
/* The stop reply for this stop. */
void gdb_send_stop(struct gdb *gdb, const struct debug_stop *stop);
/* Points are removed and all the client's settings forgotten; the guest is left as it is. */
void gdb_forget_client(struct gdb *gdb);

/* ---- gdb_commands.c ---- */

/* Carry out the packet in gdb->reader. */
void gdb_execute(struct gdb *gdb);
/* A piece of the job. */
void gdb_work(struct gdb *gdb);

#endif
