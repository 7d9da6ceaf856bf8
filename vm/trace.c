/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The trace of the scheduler's slices, and its two files. See vm/trace.h.
 *
 * "Trace Event Format" (the Chromium project): "X" events are slices, "i" instants, "M" gives threads their names. Here
 * process 1 is the pCPUs, a thread each, and process 2 the VMs, so that a viewer shows both views of the same slices.
 * Times are microseconds from the first event on.
 */
#include "vm/trace.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESS_PCPUS = 1, PROCESS_VMS = 2 };

struct trace {
    uint64_t recorded; /* events so far; the ring has the last of them */
    char name[TRACE_NAMES][TRACE_NAME_SIZE];
    uint32_t named[TRACE_NAMES]; /* whose name that is */
    struct trace_event ring[TRACE_EVENTS];
};

/* ---- Recording ------------------------------------------------------------------------------------------------ */

struct trace *trace_create(void)
{
    return calloc(1, sizeof(struct trace));
}

struct trace *trace_copy(const struct trace *trace)
{
    struct trace *copy = malloc(sizeof(*copy));

    if (copy) {
        memcpy(copy, trace, sizeof(*copy));
    }
    return copy;
}

void trace_destroy(struct trace *trace)
{
    free(trace);
}

void trace_name(struct trace *trace, uint32_t vm, const char *name)
{
    snprintf(trace->name[vm % TRACE_NAMES], TRACE_NAME_SIZE, "%s", name);
    trace->named[vm % TRACE_NAMES] = vm;
}

void trace_slice(struct trace *trace, const struct trace_event *event)
{
    trace->ring[trace->recorded++ % TRACE_EVENTS] = *event;
}

void trace_wake(struct trace *trace, uint32_t vm, uint64_t now)
{
    const struct trace_event event = {.begin_ns = now, .end_ns = now, .vm = vm, .why = TRACE_WOKEN};

    trace_slice(trace, &event);
}

size_t trace_count(const struct trace *trace)
{
    return (size_t)MIN(trace->recorded, (uint64_t)TRACE_EVENTS);
}

const struct trace_event *trace_at(const struct trace *trace, size_t index)
{
    uint64_t first = trace->recorded - trace_count(trace);

    return &trace->ring[(first + index) % TRACE_EVENTS];
}

const char *trace_why_name(enum trace_why why)
{
    static const char *const names[TRACE_WHYS] = {
        [TRACE_OVER] = "slice over",     [TRACE_SLEPT] = "slept", [TRACE_PAUSED] = "paused",
        [TRACE_PREEMPTED] = "preempted", [TRACE_HELD] = "held",   [TRACE_THROTTLED] = "throttled",
        [TRACE_STOPPED] = "stopped",     [TRACE_WOKEN] = "woken",
    };

    return names[why];
}

static void print_name(const struct trace *trace, uint32_t vm, char text[TRACE_NAME_SIZE])
{
    const char *name = trace->name[vm % TRACE_NAMES];

    if (trace->named[vm % TRACE_NAMES] == vm && *name) {
        memcpy(text, name, TRACE_NAME_SIZE);
    } else {
        snprintf(text, TRACE_NAME_SIZE, "VM %u", (unsigned)vm);
    }
}

/* ---- What a file is about ------------------------------------------------------------------------------------- */

/* The part of a trace that is shown. */
struct view {
    const struct trace *trace;
    uint64_t from_ns, to_ns; /* events that touch this */
    uint32_t *vm;            /* the VMs in it, in the order of their numbers */
    size_t vms;
    unsigned pcpus;
};

static bool in_view(const struct view *view, const struct trace_event *event)
{
    return event->end_ns >= view->from_ns;
}

static int by_number(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static void find_time(struct view *view, uint64_t last_ns)
{
    size_t count = trace_count(view->trace);

    view->from_ns = count ? UINT64_MAX : 0;
    view->to_ns = 0;
    for (size_t i = 0; i < count; i++) {
        const struct trace_event *event = trace_at(view->trace, i);

        view->from_ns = MIN(view->from_ns, event->begin_ns);
        view->to_ns = MAX(view->to_ns, event->end_ns);
    }
    if (last_ns > 0 && view->to_ns - view->from_ns > last_ns) {
        view->from_ns = view->to_ns - last_ns;
    }
}

static bool open_view(struct view *view, const struct trace *trace, uint64_t last_ns)
{
    size_t count = trace_count(trace), unique = 0;

    *view = (struct view){.trace = trace, .vm = calloc(count + 1, sizeof(*view->vm))};
    if (!view->vm) {
        return false;
    }
    find_time(view, last_ns);
    for (size_t i = 0; i < count; i++) {
        const struct trace_event *event = trace_at(trace, i);

        if (in_view(view, event)) {
            view->vm[view->vms++] = event->vm;
            view->pcpus = MAX(view->pcpus, event->pcpu + 1u);
        }
    }
    qsort(view->vm, view->vms, sizeof(*view->vm), by_number);
    for (size_t i = 0; i < view->vms; i++) {
        if (i == 0 || view->vm[i] != view->vm[unique - 1]) {
            view->vm[unique++] = view->vm[i];
        }
    }
    view->vms = unique;
    return true;
}

static size_t row_of(const struct view *view, uint32_t vm)
{
    const uint32_t *found = bsearch(&vm, view->vm, view->vms, sizeof(vm), by_number);

    return (size_t)(found - view->vm);
}

/* Microseconds from the view's begin on. */
static double since(const struct view *view, uint64_t ns)
{
    return ns > view->from_ns ? (double)(ns - view->from_ns) / 1000.0 : 0.0;
}

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

static void json_text(FILE *out, const char *text)
{
    json_t *string = json_string(text);

    if (!string || json_dumpf(string, out, JSON_ENCODE_ANY) < 0) {
        fputs("\"?\"", out); /* not UTF-8 */
    }
    json_decref(string);
}

static void json_thread(FILE *out, int process, unsigned long thread, const char *name)
{
    fprintf(out,
            ",\n{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%lu,\"args\":{\"name\":", process,
            thread);
    json_text(out, name);
    fputs("}}", out);
}

static void json_heads(const struct view *view, FILE *out)
{
    char name[TRACE_NAME_SIZE];

    fprintf(out, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{\"name\":\"pCPUs\"}}",
            PROCESS_PCPUS);
    fprintf(out, ",\n{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{\"name\":\"VMs\"}}",
            PROCESS_VMS);
    for (unsigned i = 0; i < view->pcpus; i++) {
        snprintf(name, sizeof(name), "pCPU %u", i);
        json_thread(out, PROCESS_PCPUS, i, name);
    }
    for (size_t i = 0; i < view->vms; i++) {
        print_name(view->trace, view->vm[i], name);
        json_thread(out, PROCESS_VMS, view->vm[i], name);
    }
}

static void json_slice(const struct view *view, const struct trace_event *event, int process, FILE *out)
{
    char vm[TRACE_NAME_SIZE], pcpu[TRACE_NAME_SIZE];

    print_name(view->trace, event->vm, vm);
    snprintf(pcpu, sizeof(pcpu), "pCPU %u", (unsigned)event->pcpu);
    fputs(",\n{\"ph\":\"X\",\"cat\":\"slice\",\"name\":", out);
    json_text(out, process == PROCESS_PCPUS ? vm : pcpu);
    fprintf(out,
            ",\"pid\":%d,\"tid\":%lu,\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"used_us\":%.3f,\"why\":\"%s\"}}",
            process, process == PROCESS_PCPUS ? event->pcpu : (unsigned long)event->vm,
            since(view, event->begin_ns), since(view, event->end_ns) - since(view, event->begin_ns),
            (double)event->used_ns / 1000.0, trace_why_name(event->why));
}

static void json_wake(const struct view *view, const struct trace_event *event, FILE *out)
{
    fprintf(out,
            ",\n{\"ph\":\"i\",\"s\":\"t\",\"cat\":\"wake\",\"name\":\"woken\",\"pid\":%d,\"tid\":%lu,\"ts\":%"
            ".3f}",
            PROCESS_VMS, (unsigned long)event->vm, since(view, event->begin_ns));
}

void trace_write_json(const struct trace *trace, uint64_t last_ns, FILE *out)
{
    struct view view;

    if (!open_view(&view, trace, last_ns)) {
        fputs("{}\n", out);
        return;
    }
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", out);
    json_heads(&view, out);
    for (size_t i = 0; i < trace_count(trace); i++) {
        const struct trace_event *event = trace_at(trace, i);

        if (!in_view(&view, event)) {
            continue;
        }
        if (event->why == TRACE_WOKEN) {
            json_wake(&view, event, out);
        } else {
            json_slice(&view, event, PROCESS_PCPUS, out);
            json_slice(&view, event, PROCESS_VMS, out);
        }
    }
    fputs("\n]}\n", out);
    free(view.vm);
}

/* ---- SVG ------------------------------------------------------------------------------------------------------ */

enum { LEFT = 130, WIDTH = 1000, TOP = 40, ROW = 26, BAR = 16, BOTTOM = 34, COLOURS = 8, TICKS = 10 };

/* Told apart by people who do not see red and green, too (after Okabe and Ito). */
static const char *const colour[COLOURS] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                            "#56b4e9", "#d55e00", "#f0e442", "#666666"};

static void svg_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        default:
            fputc((unsigned char)*text < ' ' || (unsigned char)*text > '~' ? '?' : *text, out);
        }
    }
}

/* A step of 1, 2 or 5 times a power of ten that gives at most TICKS. */
static double tick_step(double span)
{
    static const double steps[] = {1, 2, 5, 10};
    double least = span / TICKS, power = 1e-6;
    unsigned i = 0;

    while (power * 10 <= least) {
        power *= 10;
    }
    while (i < ARRAY_LEN(steps) - 1 && steps[i] * power < least * 0.999999) {
        i++;
    }
    return steps[i] * power;
}

static double svg_x(const struct view *view, uint64_t ns)
{
    return LEFT + WIDTH * since(view, ns) / MAX(since(view, view->to_ns), 1.0);
}

static void svg_axis(const struct view *view, int bottom, FILE *out)
{
    double span = MAX(since(view, view->to_ns), 1.0) / 1000.0, step = tick_step(span);

    for (unsigned i = 0; i * step <= span; i++) {
        double x = LEFT + WIDTH * (i * step) / span;

        fprintf(out, "<path d='M%.2f %d V%d' stroke='#ccc'/>", x, TOP - 6, bottom);
        fprintf(out, "<text x='%.2f' y='%d' text-anchor='middle'>%g%s</text>\n", x, bottom + 16, i * step,
                i == 0 ? " ms" : "");
    }
}

static void svg_heads(const struct view *view, FILE *out)
{
    char name[TRACE_NAME_SIZE];

    for (unsigned i = 0; i < view->pcpus; i++) {
        fprintf(out,
                "<rect x='%d' y='12' width='12' height='12' fill='%s'/><text x='%d' y='22'>pCPU %u</text>\n",
                LEFT + (int)i * 90, colour[i % COLOURS], LEFT + (int)i * 90 + 17, i);
    }
    for (size_t i = 0; i < view->vms; i++) {
        print_name(view->trace, view->vm[i], name);
        fprintf(out, "<text x='%d' y='%d' text-anchor='end'>", LEFT - 8, TOP + (int)i * ROW + 12);
        svg_text(out, name);
        fputs("</text>\n", out);
    }
}

/* A bar a slice; where a VM was woken, a line through its row. */
static void svg_event(const struct view *view, const struct trace_event *event, FILE *out)
{
    int y = TOP + (int)row_of(view, event->vm) * ROW;
    double x = svg_x(view, event->begin_ns);

    if (event->why == TRACE_WOKEN) {
        fprintf(out, "<path d='M%.2f %d v%d' stroke='#000' stroke-width='.5'/>\n", x, y - 2, BAR + 4);
        return;
    }
    fprintf(out,
            "<rect x='%.2f' y='%d' width='%.2f' height='%d' fill='%s'><title>%.3f ms from %.3f ms on: "
            "%s</title></rect>\n",
            x, y, MAX(svg_x(view, event->end_ns) - x, 0.2), BAR, colour[event->pcpu % COLOURS],
            (since(view, event->end_ns) - since(view, event->begin_ns)) / 1000.0,
            since(view, event->begin_ns) / 1000.0, trace_why_name(event->why));
}

void trace_write_svg(const struct trace *trace, uint64_t last_ns, FILE *out)
{
    struct view view;
    int bottom;

    if (!open_view(&view, trace, last_ns)) {
        return;
    }
    bottom = TOP + (int)view.vms * ROW;
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' font-family='sans-serif' "
            "font-size='12'>\n"
            "<rect width='100%%' height='100%%' fill='#fff'/>\n",
            LEFT + WIDTH + 20, bottom + BOTTOM);
    svg_axis(&view, bottom, out);
    svg_heads(&view, out);
    for (size_t i = 0; i < trace_count(trace); i++) {
        if (in_view(&view, trace_at(trace, i))) {
            svg_event(&view, trace_at(trace, i), out);
        }
    }
    fputs("</svg>\n", out);
    free(view.vm);
}

/* ---- Files ---------------------------------------------------------------------------------------------------- */

static bool ends_in(const char *path, const char *end)
{
    size_t length = strlen(path), wanted = strlen(end);

    return length > wanted && !strcmp(path + length - wanted, end);
}

int trace_save(const struct trace *trace, const char *path, uint64_t last_ns, struct error *error)
{
    bool svg = ends_in(path, ".svg"), written;
    FILE *out;

    if (!svg && !ends_in(path, ".json")) {
        return error_set(error, -EINVAL, "%s: a trace's file is called .json or .svg", path);
    }
    out = fopen(path, "w");
    if (!out) {
        return error_set(error, -errno, "cannot write '%s': %s", path, strerror(errno));
    }
    if (svg) {
        trace_write_svg(trace, last_ns, out);
    } else {
        trace_write_json(trace, last_ns, out);
    }
    written = !ferror(out);
    if (fclose(out) != 0 || !written) {
        return error_set(error, -EIO, "cannot write '%s': %s", path, strerror(errno));
    }
    return 0;
}
