/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The packets of the gdb remote protocol. See gdb.h; the session is in gdb.c.
 *
 * One table from names to functions; what is not in it has the empty answer, by which gdb knows. Numbers come from whoever found
 * the port: they are bounded before they are used, and bad ones get E16 (EINVAL).
 *
 * There is one thread, number 1: the processor. Packets of QEMU's own (qqemu.sstep, qqemu.PhyMemMode) are understood, because
 * scripts carry them.
 *
 * GDB manual: "Remote Protocol": "Packets", "Stop Reply Packets", "General Query Packets".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "monitor/gdb_internal.h"
#include "monitor/gdb_registers.h"
#include "monitor/monitor.h"
#include "vm/containment.h"

enum { LINE_MAX_SIZE = 1024, SEARCH_PIECE = 65536, SEARCH_PIECES = 64, STEPS_AT_ONCE = 2000 };

/* Bits of QEMU's sstep; the third, that timers stand still meanwhile, cannot be had otherwise here. */
enum { SSTEP_ENABLE = 1, SSTEP_NOIRQ = 2, SSTEP_NOTIMER = 4 };

/* What stands in reader->data from `at` on. */
static size_t bytes_left(const struct gdb *gdb, const char *at)
{
    return gdb->reader.length - (size_t)(at - (const char *)gdb->reader.data);
}

/* ---- Threads ---------------------------------------------------------------------------------------------------- */

/* "1", "-1" (all), "0" (any), or "p1.1" and its like. */
static bool is_our_thread(const char *text)
{
    uint64_t id;

    if (text[0] == 'p') {
        const char *dot = strchr(text, '.');

        text = dot ? dot + 1 : "1";
    }
    if (!strcmp(text, "-1")) {
        return true;
    }
    return gdb_parse_field(&text, &id, '\0') && id <= 1;
}

static void run_H(struct gdb *gdb, const char *arguments)
{
    if ((*arguments == 'g' || *arguments == 'c') && is_our_thread(arguments + 1)) {
        gdb_send_text(gdb, "OK");
    } else {
        gdb_send_error(gdb, EINVAL);
    }
}

static void run_T(struct gdb *gdb, const char *arguments)
{
    if (is_our_thread(arguments)) {
        gdb_send_text(gdb, "OK");
    } else {
        gdb_send_error(gdb, ESRCH);
    }
}

static void run_qC(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, "QC1");
}

static void run_qfThreadInfo(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, "m1");
}

static void run_qsThreadInfo(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, "l");
}

static void run_qThreadExtraInfo(struct gdb *gdb, const char *arguments)
{
    const struct vcpu *cpu = gdb->vm->cpu;
    const char *mode = cpu->v86               ? "virtual-8086 mode"
                       : !cpu->protected_mode ? "real mode"
                       : cpu->cr0 & CR0_PG    ? "protected mode, paging"
                                              : "protected mode";
    char text[64];
    int length =
        snprintf(text, sizeof(text), "CPU 0: %s, ring %u%s", mode, cpu->cpl, cpu->halted ? ", halted" : "");

    if (!is_our_thread(arguments)) {
        gdb_send_error(gdb, ESRCH);
        return;
    }
    gdb_packet_begin(&gdb->packet);
    gdb_packet_hex(&gdb->packet, text, (size_t)length);
    gdb_send(gdb);
}

/* ---- Registers -------------------------------------------------------------------------------------------------- */

static void run_g(struct gdb *gdb, const char *arguments)
{
    uint8_t bytes[GDB_REGISTER_MAX];
    unsigned size;

    (void)arguments;
    gdb_packet_begin(&gdb->packet);
    for (unsigned n = 0; (size = gdb_register_size(gdb->vm->cpu, n)) > 0; n++) {
        gdb_register_read(gdb->vm->cpu, n, bytes);
        gdb_packet_hex(&gdb->packet, bytes, size);
    }
    gdb_send(gdb);
}

/* Write one if it differs, so that what nobody wants to change is not refused. */
static bool change_register(struct gdb *gdb, unsigned n, const uint8_t *bytes)
{
    uint8_t now[GDB_REGISTER_MAX];

    gdb_register_read(gdb->vm->cpu, n, now);
    return !memcmp(now, bytes, gdb_register_size(gdb->vm->cpu, n)) ||
           gdb_register_write(gdb->vm->cpu, n, bytes);
}

static void run_G(struct gdb *gdb, const char *arguments)
{
    uint8_t *bytes = gdb->reader.data;
    size_t total = 0, at = 0;
    unsigned size;
    bool done = true;

    for (unsigned n = 0; (size = gdb_register_size(gdb->vm->cpu, n)) > 0; n++) {
        total += size;
    }
    if (bytes_left(gdb, arguments) != 2 * total || !gdb_decode_hex(arguments, bytes, total)) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    for (unsigned n = 0; (size = gdb_register_size(gdb->vm->cpu, n)) > 0; n++) {
        done = change_register(gdb, n, bytes + at) && done;
        at += size;
    }
    if (done) {
        gdb_send_text(gdb, "OK");
    } else {
        gdb_send_error(gdb, EPERM);
    }
}

/* A register's number; false: there is none like it. */
static bool parse_register(struct gdb *gdb, const char **at, char behind, unsigned *n)
{
    uint64_t number;

    if (!gdb_parse_field(at, &number, behind) || number > UINT16_MAX) {
        return false;
    }
    *n = (unsigned)number;
    return gdb_register_size(gdb->vm->cpu, *n) > 0;
}

static void run_p(struct gdb *gdb, const char *arguments)
{
    uint8_t bytes[GDB_REGISTER_MAX];
    unsigned n;

    if (!parse_register(gdb, &arguments, '\0', &n)) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    gdb_register_read(gdb->vm->cpu, n, bytes);
    gdb_packet_begin(&gdb->packet);
    gdb_packet_hex(&gdb->packet, bytes, gdb_register_size(gdb->vm->cpu, n));
    gdb_send(gdb);
}

static void run_P(struct gdb *gdb, const char *arguments)
{
    uint8_t bytes[GDB_REGISTER_MAX];
    unsigned n;

    if (!parse_register(gdb, &arguments, '=', &n) ||
        bytes_left(gdb, arguments) != 2 * (size_t)gdb_register_size(gdb->vm->cpu, n) ||
        !gdb_decode_hex(arguments, bytes, gdb_register_size(gdb->vm->cpu, n))) {
        gdb_send_error(gdb, EINVAL);
    } else if (!change_register(gdb, n, bytes)) {
        gdb_send_error(gdb, EPERM);
    } else {
        gdb_send_text(gdb, "OK");
    }
}

/* ---- Memory ----------------------------------------------------------------------------------------------------- */

/*
 * Where paging is off, every address is one that the guest could read, and gets all ones for where nobody answers. So that is what
 * we say; gdb wants to look at code before it sets a breakpoint there, which then works before anything is loaded.
 */
static size_t read_memory(struct gdb *gdb, uint64_t address, uint8_t *bytes, size_t size)
{
    bool bus = gdb->physical || !(gdb->vm->cpu->cr0 & CR0_PG);
    size_t done = 0;

    if (!gdb->physical) {
        size = address > UINT32_MAX ? 0 : (size_t)MIN((uint64_t)size, (uint64_t)UINT32_MAX + 1 - address);
    }
    while (done < size) {
        done += debugger_read(gdb->vm, gdb->physical, address + done, bytes + done, size - done);
        if (done < size && !bus) {
            break;
        }
        for (bool gap = done < size; gap; gap = done < size && (address + done) % PAGE_SIZE != 0) {
            bytes[done++] = 0xff;
        }
    }
    return done;
}

static void run_m(struct gdb *gdb, const char *arguments)
{
    uint8_t bytes[GDB_PACKET_SIZE / 2];
    uint64_t address, length;
    size_t n;

    if (!gdb_parse_field(&arguments, &address, ',') || !gdb_parse_field(&arguments, &length, '\0') ||
        length == 0) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    n = read_memory(gdb, address, bytes, (size_t)MIN(length, (uint64_t)sizeof(bytes)));
    if (n == 0) {
        gdb_send_error(gdb, EFAULT);
        return;
    }
    gdb_packet_begin(&gdb->packet);
    gdb_packet_hex(&gdb->packet, bytes, n);
    gdb_send(gdb);
}

static void write_memory(struct gdb *gdb, uint64_t address, const uint8_t *bytes, size_t length)
{
    bool reachable = gdb->physical || address <= UINT32_MAX;

    if (length > 0 &&
        (!reachable || debugger_write(gdb->vm, gdb->physical, address, bytes, length) != length)) {
        gdb_send_error(gdb, EFAULT);
    } else {
        gdb_send_text(gdb, "OK");
    }
}

static void run_M(struct gdb *gdb, const char *arguments)
{
    uint8_t *bytes = gdb->reader.data;
    uint64_t address, length;

    if (!gdb_parse_field(&arguments, &address, ',') || !gdb_parse_field(&arguments, &length, ':') ||
        length > GDB_PACKET_SIZE / 2 || bytes_left(gdb, arguments) != 2 * length ||
        !gdb_decode_hex(arguments, bytes, (size_t)length)) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    write_memory(gdb, address, bytes, (size_t)length);
}

static void run_X(struct gdb *gdb, const char *arguments)
{
    uint64_t address, length;
    uint8_t *bytes;

    if (!gdb_parse_field(&arguments, &address, ',') || !gdb_parse_field(&arguments, &length, ':')) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    bytes = (uint8_t *)arguments;
    if (gdb_unescape(bytes, bytes_left(gdb, arguments)) != length) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    write_memory(gdb, address, bytes, (size_t)length);
}

/* qSearch:memory:ADDRESS;LENGTH;PATTERN */
static void run_qSearch(struct gdb *gdb, const char *arguments)
{
    struct gdb_job *job = &gdb->job;
    uint64_t length;

    if (strncmp(arguments, "memory:", 7) != 0) {
        gdb_send_text(gdb, "");
        return;
    }
    arguments += 7;
    if (!gdb_parse_field(&arguments, &job->begin, ';') || !gdb_parse_field(&arguments, &length, ';')) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    job->pattern_size = gdb_unescape((uint8_t *)arguments, bytes_left(gdb, arguments));
    job->end = length > UINT64_MAX - job->begin ? UINT64_MAX : job->begin + length;
    if (job->pattern_size == 0 || job->pattern_size > GDB_PATTERN_MAX) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    memcpy(job->pattern, arguments, job->pattern_size);
    job->kind = GDB_JOB_SEARCH;
}

/* Search the next piece. True: the answer has been given. */
static bool search_piece(struct gdb *gdb)
{
    struct gdb_job *job = &gdb->job;
    uint8_t bytes[SEARCH_PIECE];
    size_t wanted = (size_t)MIN(job->end - job->begin, (uint64_t)sizeof(bytes)), n;
    const uint8_t *found;

    if (wanted < job->pattern_size) {
        gdb_send_text(gdb, "0");
        return true;
    }
    n = read_memory(gdb, job->begin, bytes, wanted);
    found = memmem(bytes, n, job->pattern, job->pattern_size);
    if (found) {
        gdb_packet_begin(&gdb->packet);
        gdb_packet_text(&gdb->packet, "1,%llx", (unsigned long long)(job->begin + (uint64_t)(found - bytes)));
        gdb_send(gdb);
    } else if (n < wanted) {
        gdb_send_error(gdb, EFAULT);
    }
    job->begin += wanted - (job->pattern_size - 1);
    return found || n < wanted;
}

static void run_PhyMemMode(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, gdb->physical ? "1" : "0");
}

static void set_PhyMemMode(struct gdb *gdb, const char *arguments)
{
    uint64_t value;

    if (!gdb_parse_field(&arguments, &value, '\0')) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    gdb->physical = value != 0;
    gdb_send_text(gdb, "OK");
}

/* ---- Breakpoints and watchpoints ---------------------------------------------------------------------------------- */

/* TYPE,ADDRESS,KIND[;CONDITION...]. gdb judges conditions itself, unless it is told that we can. */
static bool parse_point(const char *text, struct gdb_point *point)
{
    uint64_t type;

    if (!gdb_parse_field(&text, &type, ',') || type >= GDB_POINT_TYPES ||
        !gdb_parse_field(&text, &point->address, ',') || !gdb_parse_hex(&text, &point->length) ||
        (*text != '\0' && *text != ';')) {
        return false;
    }
    point->type = (enum gdb_point_type)type;
    return point->address <= UINT32_MAX &&
           (type < GDB_WATCH_WRITE ||
            (point->length > 0 && point->length <= (uint64_t)UINT32_MAX + 1 - point->address));
}

/* NULL: it is not set. */
static struct gdb_point *find_same(struct gdb *gdb, const struct gdb_point *like)
{
    for (unsigned i = 0; i < gdb->points; i++) {
        struct gdb_point *point = &gdb->point[i];

        if (point->type == like->type && point->address == like->address && point->length == like->length) {
            return point;
        }
    }
    return NULL;
}

static int insert_point(struct gdb *gdb, struct gdb_point *point)
{
    static const enum debug_kind kinds[] = {
        [GDB_SOFTWARE] = DEBUG_EXECUTE, [GDB_HARDWARE] = DEBUG_EXECUTE,    [GDB_WATCH_WRITE] = DEBUG_WRITE,
        [GDB_WATCH_READ] = DEBUG_READ,  [GDB_WATCH_ACCESS] = DEBUG_ACCESS,
    };
    bool watch = point->type >= GDB_WATCH_WRITE;
    struct debug_point wanted = {.kind = kinds[point->type],
                                 .address = point->address,
                                 .length = watch ? point->length : 1,
                                 .text = "gdb",
                                 .owner = gdb};
    struct error error;
    int result;

    if (gdb->points == GDB_POINTS_MAX) {
        return -ENOSPC;
    }
    result = debugger_add(gdb->vm, &wanted, &point->id, &error);
    if (result == 0) {
        gdb->point[gdb->points++] = *point;
    }
    return result;
}

/* Asked for twice it is there once, and gone after one removal: that is how gdb repeats itself on a bad line. */
static void run_Z(struct gdb *gdb, const char *arguments)
{
    struct gdb_point point;
    int result = 0;

    if (!parse_point(arguments, &point)) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    if (!find_same(gdb, &point)) {
        result = insert_point(gdb, &point);
    }
    if (result < 0) {
        gdb_send_error(gdb, -result);
    } else {
        gdb_send_text(gdb, "OK");
    }
}

static void run_z(struct gdb *gdb, const char *arguments)
{
    struct gdb_point point, *found;

    if (!parse_point(arguments, &point)) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    found = find_same(gdb, &point);
    if (found) {
        debugger_remove(gdb->vm, found->id, NULL);
        *found = gdb->point[--gdb->points];
    }
    gdb_send_text(gdb, "OK");
}

/* ---- Running ------------------------------------------------------------------------------------------------------ */

static void run_status(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, gdb->last_stop);
}

/* An address to go on at, if there is one. */
static bool jump(struct gdb *gdb, const char *text)
{
    uint8_t bytes[4];
    uint64_t address;

    if (*text == '\0') {
        return true;
    }
    if (!gdb_parse_field(&text, &address, '\0') || address > UINT32_MAX) {
        return false;
    }
    store_le32(bytes, (uint32_t)address);
    return change_register(gdb, GDB_EIP, bytes);
}

/* Behind "SIGNAL": the signal is for processes, and means nothing to a processor. */
static const char *skip_signal(const char *text)
{
    text += strspn(text, "0123456789abcdefABCDEF");
    return *text == ';' ? text + 1 : text;
}

static void go(struct gdb *gdb, const char *address, void (*run)(struct gdb *gdb))
{
    if (jump(gdb, address)) {
        run(gdb);
    } else {
        gdb_send_error(gdb, EINVAL);
    }
}

static void run_c(struct gdb *gdb, const char *arguments)
{
    go(gdb, arguments, gdb_continue);
}

static void run_C(struct gdb *gdb, const char *arguments)
{
    go(gdb, skip_signal(arguments), gdb_continue);
}

static void run_s(struct gdb *gdb, const char *arguments)
{
    go(gdb, arguments, gdb_step);
}

static void run_S(struct gdb *gdb, const char *arguments)
{
    go(gdb, skip_signal(arguments), gdb_step);
}

/* vCont;r: gdb steps over a line without asking after each instruction. */
static bool begin_range(struct gdb *gdb, const char *text)
{
    struct gdb_job *job = &gdb->job;

    if (!gdb_parse_field(&text, &job->begin, ',') || !gdb_parse_field(&text, &job->end, '\0')) {
        return false;
    }
    if (gdb->news) {
        gdb_continue(gdb);
        return true;
    }
    gdb_pause(gdb);
    gdb->waiting = true;
    job->kind = GDB_JOB_STEP;
    return true;
}

/* Some of the steps. True: it has stopped, and that has been said. */
static bool step_range(struct gdb *gdb)
{
    uint8_t bytes[GDB_REGISTER_MAX];
    struct debug_stop stop = {.reason = DEBUG_STOP_REQUEST};
    struct error error;
    bool inside = true;

    for (unsigned i = 0; inside && i < STEPS_AT_ONCE; i++) {
        gdb->own_doing = true;
        inside =
            debugger_step(gdb->vm, 1, gdb->step_flags, &stop, &error) == 0 && stop.reason == DEBUG_STOP_STEP;
        gdb->own_doing = false;
        gdb_register_read(gdb->vm->cpu, GDB_EIP, bytes);
        inside = inside && load_le32(bytes) >= gdb->job.begin && load_le32(bytes) < gdb->job.end;
    }
    if (!inside && gdb->vm->state != VM_STOPPED) {
        gdb->waiting = false;
        gdb_send_stop(gdb, &stop);
    }
    return !inside;
}

/* One action of vCont, which is for us: "c", "C05", "s", "S05", "r1000,1010". False: no action we know. */
static bool run_action(struct gdb *gdb, const char *action)
{
    switch (action[0]) {
    case 'c':
    case 'C':
        gdb_continue(gdb);
        return true;
    case 's':
    case 'S':
        gdb_step(gdb);
        return true;
    case 'r':
        return begin_range(gdb, action + 1);
    default:
        return false;
    }
}

/* ;ACTION[:THREAD]...: the first that names our thread, or none, is meant. */
static void run_vCont(struct gdb *gdb, const char *arguments)
{
    char *save = NULL;

    for (char *action = strtok_r((char *)arguments, ";", &save); action;
         action = strtok_r(NULL, ";", &save)) {
        char *thread = strchr(action, ':');

        if (thread) {
            *thread++ = '\0';
        }
        if (!thread || is_our_thread(thread)) {
            if (!run_action(gdb, action)) {
                gdb_send_error(gdb, EINVAL);
            }
            return;
        }
    }
    gdb_send_error(gdb, EINVAL);
}

static void run_vCont_query(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, "vCont;c;C;s;S;r");
}

static void run_sstepbits(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, "ENABLE=1,NOIRQ=2,NOTIMER=4");
}

static void run_sstep(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_packet_begin(&gdb->packet);
    gdb_packet_text(&gdb->packet, "0x%x",
                    (unsigned)SSTEP_ENABLE | SSTEP_NOTIMER |
                        (gdb->step_flags & DEBUG_STEP_INTERRUPTS ? 0u : SSTEP_NOIRQ));
    gdb_send(gdb);
}

static void set_sstep(struct gdb *gdb, const char *arguments)
{
    uint64_t bits;

    arguments += !strncmp(arguments, "0x", 2) ? 2 : 0;
    if (!gdb_parse_field(&arguments, &bits, '\0') || bits > 7) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    gdb->step_flags = bits & SSTEP_NOIRQ ? 0 : DEBUG_STEP_INTERRUPTS;
    gdb_send_text(gdb, "OK");
}

void gdb_work(struct gdb *gdb)
{
    bool done = false;

    if (gdb->job.kind == GDB_JOB_STEP) {
        done = step_range(gdb);
    }
    for (unsigned i = 0; gdb->job.kind == GDB_JOB_SEARCH && !done && i < SEARCH_PIECES; i++) {
        done = search_piece(gdb);
    }
    gdb->job.kind = done ? GDB_JOB_NONE : gdb->job.kind;
}

/* ---- Coming and going ----------------------------------------------------------------------------------------------- */

static bool client_has(const char *features, const char *feature)
{
    size_t length = strlen(feature);

    for (const char *at = features; (at = strstr(at, feature)); at += length) {
        if ((at == features || at[-1] == ';') && (at[length] == ';' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static void run_qSupported(struct gdb *gdb, const char *arguments)
{
    gdb->swbreak = client_has(arguments, "swbreak+");
    gdb->hwbreak = client_has(arguments, "hwbreak+");
    gdb_packet_begin(&gdb->packet);
    gdb_packet_text(&gdb->packet,
                    "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;swbreak+;hwbreak+;vContSupported+",
                    (unsigned)GDB_PACKET_SIZE);
    gdb_send(gdb);
}

static void run_QStartNoAckMode(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb->no_ack = true;
    gdb_send_text(gdb, "OK");
}

static void run_qAttached(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, "1"); /* to a VM that was there: gdb's `quit` detaches */
}

static void run_vMustReplyEmpty(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_send_text(gdb, "");
}

static void run_D(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    gdb_forget_client(gdb);
    vm_resume(gdb->vm);
    gdb_send_text(gdb, "OK");
}

static void run_k(struct gdb *gdb, const char *arguments)
{
    (void)arguments;
    vm_request_quit(gdb->vm);
}

static void run_vKill(struct gdb *gdb, const char *arguments)
{
    run_k(gdb, arguments);
    gdb_send_text(gdb, "OK");
}

/* qXfer:features:read:target.xml:OFFSET,LENGTH */
static void run_qXfer(struct gdb *gdb, const char *arguments)
{
    static const char known[] = "features:read:target.xml:";
    uint64_t offset, length;
    size_t total, n;
    char *xml;

    if (strncmp(arguments, "features:read:", 14) != 0) {
        gdb_send_text(gdb, "");
        return;
    }
    if (strncmp(arguments, known, sizeof(known) - 1) != 0) {
        gdb_send_text(gdb, "E00");
        return;
    }
    arguments += sizeof(known) - 1;
    xml = gdb_registers_describe(gdb->vm->cpu);
    total = xml ? strlen(xml) : 0;
    if (!xml || !gdb_parse_field(&arguments, &offset, ',') || !gdb_parse_field(&arguments, &length, '\0') ||
        offset > total) {
        gdb_send_error(gdb, xml ? EINVAL : ENOMEM);
        free(xml);
        return;
    }
    n = (size_t)MIN(length, (uint64_t)MIN(total - (size_t)offset, (size_t)GDB_PACKET_SIZE / 2));
    gdb_packet_begin(&gdb->packet);
    gdb_packet_text(&gdb->packet, offset + n == total ? "l" : "m");
    gdb_packet_binary(&gdb->packet, xml + offset, n);
    gdb_send(gdb);
    free(xml);
}

/*
 * `monitor COMMAND`. Requests that it makes, such as a reset, are carried out between instructions, and so the next packet is not
 * looked at before the event loop has turned.
 */
static void run_qRcmd(struct gdb *gdb, const char *arguments)
{
    struct monitor_session session = {.hv = gdb->hv, .vm = gdb->vm};
    char line[LINE_MAX_SIZE] = "", *text = NULL;
    size_t size = bytes_left(gdb, arguments) / 2, length = 0;
    FILE *out;

    if (size >= sizeof(line) || !gdb_decode_hex(arguments, (uint8_t *)line, size)) {
        gdb_send_error(gdb, EINVAL);
        return;
    }
    out = open_memstream(&text, &length);
    if (!out) {
        gdb_send_error(gdb, ENOMEM);
        return;
    }
    containment_watch(false);
    monitor_execute(&session, line, out);
    containment_watch(true);
    fclose(out);
    gdb_send_console(gdb, text, length);
    free(text);
    gdb_send_text(gdb, "OK");
    gdb->paused = true;
}

/* ---- The table ----------------------------------------------------------------------------------------------------- */

struct command {
    const char *name;
    void (*run)(struct gdb *gdb, const char *arguments);
};

/* One letter, and what stands behind it. */
static const struct command letters[] = {
    {"?", run_status}, {"C", run_C}, {"D", run_D}, {"G", run_G}, {"H", run_H}, {"M", run_M},
    {"P", run_P},      {"S", run_S}, {"T", run_T}, {"X", run_X}, {"Z", run_Z}, {"c", run_c},
    {"g", run_g},      {"k", run_k}, {"m", run_m}, {"p", run_p}, {"s", run_s}, {"z", run_z},
};

/* A name, and what stands behind a punctuation mark that ends it. */
static const struct command names[] = {
    {"QStartNoAckMode", run_QStartNoAckMode},
    {"Qqemu.PhyMemMode", set_PhyMemMode},
    {"Qqemu.sstep", set_sstep},
    {"qAttached", run_qAttached},
    {"qC", run_qC},
    {"qRcmd", run_qRcmd},
    {"qSearch", run_qSearch},
    {"qSupported", run_qSupported},
    {"qThreadExtraInfo", run_qThreadExtraInfo},
    {"qXfer", run_qXfer},
    {"qfThreadInfo", run_qfThreadInfo},
    {"qqemu.PhyMemMode", run_PhyMemMode},
    {"qqemu.sstep", run_sstep},
    {"qqemu.sstepbits", run_sstepbits},
    {"qsThreadInfo", run_qsThreadInfo},
    {"vCont", run_vCont},
    {"vCont?", run_vCont_query},
    {"vKill", run_vKill},
    {"vMustReplyEmpty", run_vMustReplyEmpty},
};

static bool run_from(struct gdb *gdb, const struct command *table, size_t count, const char *name,
                     size_t length, const char *arguments)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(table[i].name) == length && !memcmp(table[i].name, name, length)) {
            table[i].run(gdb, arguments);
            return true;
        }
    }
    return false;
}

void gdb_execute(struct gdb *gdb)
{
    const char *text = (const char *)gdb->reader.data;
    size_t length = text[0] && strchr("qQv", text[0]) ? strcspn(text, ":;,=") : MIN(strlen(text), (size_t)1);
    const char *behind = text + length;
    bool known;

    if (text[0] && strchr("qQv", text[0])) {
        known = run_from(gdb, names, ARRAY_LEN(names), text, length, *behind ? behind + 1 : behind);
    } else {
        known = run_from(gdb, letters, ARRAY_LEN(letters), text, length, behind);
    }
    if (!known) {
        gdb_send_text(gdb, "");
    }
}
