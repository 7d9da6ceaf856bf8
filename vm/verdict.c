/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Panics and hangs of the guest, see vm/verdict.h.
 *
 * The lines are those of Linux ("Kernel panic - not syncing: ..."), xv6 ("panic: ...", with a processor's number before
 * it), the BSDs ("panic: ..."), Pintos ("Kernel PANIC at ...") and JOS ("kernel panic at ...").
 *
 * All times are the guest's, so a report comes at the same place whatever the host does.
 *
 * NOT modelled: a panic that prints nothing known and leaves the processor spinning with interrupts on (-limit ends that).
 */
#include "vm/verdict.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/chardev.h"
#include "cpu/insn.h"
#include "cpu/interp.h"
#include "devices/display.h"
#include "vm/backtrace.h"
#include "vm/debugger_internal.h"
#include "vm/vm.h"

#define GRACE_NS  NS_PER_SEC /* after the panic's first line, for the rest; and for an NMI to come */
#define SCREEN_NS NS_PER_SEC /* between looks at the screen */

enum { LINE_SIZE = 160, STREAMS = CONFIG_MAX_SERIAL + 1, LOOP_PAGES = 4, FRAMES = 24 };

/* What one port writes. */
struct stream {
    struct verdict *verdict;
    struct chardev *chardev;
    char line[LINE_SIZE];
    unsigned length;
};

struct verdict {
    struct vm *vm;
    struct stream stream[STREAMS];
    char panic[LINE_SIZE]; /* the line; "": none */
    uint64_t panicked_at;  /* guest time */
    bool halted;           /* with interrupts masked, */
    uint64_t halted_at;    /* since then */
    uint32_t page[LOOP_PAGES];
    unsigned pages;         /* of code, seen at ends of slices with interrupts masked */
    uint64_t looping_since; /* guest time */
    uint64_t looked_at;     /* the screen; guest time */
    uint64_t generation;    /* of the screen, then */
    bool is_panic, told;
    char reason[256];
};

/* ---- Lines ---------------------------------------------------------------------------------------------- */

/* "cpu0: ", "cpu 0: ", "lapicid 1: ": who panics. */
static const char *skip_processor(const char *line)
{
    static const char *const names[] = {"cpu", "CPU", "lapicid"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        size_t length = strlen(names[i]);
        if (!strncmp(line, names[i], length)) {
            const char *at = line + length;
            at += *at == ' ';
            at += strspn(at, "0123456789");
            return !strncmp(at, ": ", 2) ? at + 2 : line;
        }
    }
    return line;
}

/* "[    1.234567] " of Linux */
static const char *skip_time(const char *line)
{
    const char *end = line[0] == '[' ? strchr(line, ']') : NULL;

    return end && strspn(line + 1, " 0123456789.") == (size_t)(end - line - 1) ? end + 1 + (end[1] == ' ')
                                                                               : line;
}

bool verdict_is_panic_line(const char *line)
{
    static const char *const starts[] = {"Kernel panic - not syncing", "panic: ", "Kernel PANIC at ",
                                         "kernel panic at "};
    const char *text = skip_processor(skip_time(line));

    for (unsigned i = 0; i < ARRAY_LEN(starts); i++) {
        if (!strncmp(text, starts[i], strlen(starts[i]))) {
            return true;
        }
    }
    return false;
}

static void note_panic(struct verdict *verdict, const char *line)
{
    if (!verdict->panic[0]) {
        snprintf(verdict->panic, sizeof(verdict->panic), "%s", skip_time(line));
        verdict->panicked_at = clock_now(&verdict->vm->clock);
        vcpu_kick(verdict->vm->cpu);
    }
}

static void end_line(struct stream *stream)
{
    stream->line[stream->length] = '\0';
    if (stream->length && verdict_is_panic_line(stream->line)) {
        note_panic(stream->verdict, stream->line);
    }
    stream->length = 0;
}

static void overhear(void *opaque, const uint8_t *bytes, size_t n)
{
    struct stream *stream = opaque;

    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r') {
            end_line(stream);
        } else if (stream->length < LINE_SIZE - 1) {
            stream->line[stream->length++] = isprint(bytes[i]) ? (char)bytes[i] : '.';
        }
    }
}

static void look_at_row(struct verdict *verdict, const struct display_text *text, unsigned row)
{
    const struct display_cell *cell = &text->cell[(size_t)row * text->columns];
    char line[DISPLAY_TEXT_MAX_COLUMNS + 1];
    unsigned length = 0;

    for (unsigned i = 0; i < text->columns; i++) {
        line[i] = isprint(cell[i].character) ? (char)cell[i].character : ' ';
        length = line[i] == ' ' ? length : i + 1;
    }
    line[length] = '\0';
    if (verdict_is_panic_line(line)) {
        note_panic(verdict, line);
    }
}

static void look_at_screen(struct verdict *verdict, uint64_t now)
{
    struct vga *vga = pc_vga(verdict->vm->pc);
    struct display_text *text;

    if (!vga || now - verdict->looked_at < SCREEN_NS) {
        return;
    }
    struct display display = vga_display(vga);
    verdict->looked_at = now;
    uint64_t generation = display.ops->generation(display.opaque);
    if (generation == verdict->generation) {
        return;
    }
    verdict->generation = generation;
    text = malloc(sizeof(*text));
    if (text && display.ops->read_text(display.opaque, text)) {
        for (unsigned row = 0; row < text->rows; row++) {
            look_at_row(verdict, text, row);
        }
    }
    free(text);
}

/* ---- Verdicts ------------------------------------------------------------------------------------------- */

static bool fail(struct verdict *verdict, bool is_panic, const char *what, const char *detail)
{
    verdict->told = true;
    verdict->is_panic = is_panic;
    snprintf(verdict->reason, sizeof(verdict->reason), "%s%s", what, detail);
    return true;
}

static bool fail_by_panic(struct verdict *verdict)
{
    return fail(verdict, true, "the guest panicked: ", verdict->panic);
}

static bool fail_by_hang(struct verdict *verdict, const char *how)
{
    const struct vcpu *cpu = verdict->vm->cpu;
    char where[64];

    snprintf(where, sizeof(where), "%04x:%08llx", cpu->seg[SEG_CS].selector, (unsigned long long)cpu->rip);
    return fail(verdict, false, how, where);
}

/* Nothing can wake it but an NMI, and none has come. */
static bool is_halted(struct verdict *verdict, enum vcpu_exit exit, uint64_t now)
{
    const struct vcpu *cpu = verdict->vm->cpu;
    bool halted = exit == VCPU_EXIT_HALT && cpu->halted && !(cpu->rflags & RFLAGS_IF) && !vcpu_has_work(cpu);

    if (!halted || !verdict->halted) {
        verdict->halted = halted;
        verdict->halted_at = now;
    }
    return halted && now - verdict->halted_at >= GRACE_NS;
}

/* At the end of a slice: is the guest still in the few pages that it was in, with interrupts masked? */
static bool is_looping(struct verdict *verdict, uint64_t now)
{
    const struct vcpu *cpu = verdict->vm->cpu;
    uint32_t page = (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip) >> PAGE_SHIFT;
    unsigned known = 0;

    while (known < verdict->pages && verdict->page[known] != page) {
        known++;
    }
    if (verdict->pages == 0 || known == LOOP_PAGES || (cpu->rflags & RFLAGS_IF)) {
        verdict->looping_since = now;
        verdict->pages = known = 0;
    }
    if (known == verdict->pages) {
        verdict->page[verdict->pages++] = page;
    }
    return now - verdict->looping_since >= verdict->vm->config.hang_ns;
}

static bool wants(const struct verdict *verdict, enum config_verdict what)
{
    return !verdict->told && what != CONFIG_VERDICT_DEFAULT && what != CONFIG_VERDICT_IGNORE;
}

bool verdict_look(struct vm *vm, enum vcpu_exit exit)
{
    struct verdict *verdict = vm->verdict;
    uint64_t now = clock_now(&vm->clock);

    if (wants(verdict, vm->config.on_panic)) {
        look_at_screen(verdict, now);
        if (verdict->panic[0] && (now - verdict->panicked_at >= GRACE_NS || verdict->halted)) {
            return fail_by_panic(verdict);
        }
    }
    if (wants(verdict, vm->config.on_hang)) {
        if (is_halted(verdict, exit, now)) {
            return fail_by_hang(verdict, "the guest hangs: halted with interrupts masked, for ever, at ");
        }
        if (vm->config.hang_ns && is_looping(verdict, now)) {
            return fail_by_hang(verdict, "the guest hangs: in a loop with interrupts masked, at ");
        }
    }
    return false;
}

bool verdict_look_at_reset(struct vm *vm)
{
    struct verdict *verdict = vm->verdict;

    if (verdict->panic[0] && wants(verdict, vm->config.on_panic)) {
        return fail_by_panic(verdict);
    }
    verdict_forget(vm);
    return false;
}

void verdict_forget(struct vm *vm)
{
    struct verdict *verdict = vm->verdict;

    verdict->panic[0] = '\0';
    verdict->told = verdict->halted = false;
    verdict->pages = 0;
    verdict->looked_at = clock_now(&vm->clock);
}

uint64_t verdict_limit_wait(const struct vm *vm, uint64_t wait)
{
    const struct verdict *verdict = vm->verdict;
    bool waits = (verdict->halted && wants(verdict, vm->config.on_hang)) ||
                 (verdict->panic[0] && wants(verdict, vm->config.on_panic));

    return waits ? MIN(wait, (uint64_t)GRACE_NS) : wait;
}

void verdict_panicked(struct vm *vm)
{
    note_panic(vm->verdict, "reported to the pvpanic device");
}

bool verdict_is_panic(const struct vm *vm)
{
    return vm->verdict->is_panic;
}

const char *verdict_reason(const struct vm *vm)
{
    return vm->verdict->reason;
}

bool verdict_ends(const struct vm *vm)
{
    enum config_verdict what = vm->verdict->is_panic ? vm->config.on_panic : vm->config.on_hang;

    return what == CONFIG_VERDICT_EXIT && !debugger_in_use(vm);
}

void verdict_explain(FILE *out, struct vm *vm)
{
    struct backtrace_frame frame[FRAMES];
    struct insn insn;
    char text[80];

    fprintf(out, "hypatia: %s\n", vm->reason);
    if (interp_peek(vm->cpu, &insn)) {
        insn_format(&insn, vm->cpu->rip, text, sizeof(text));
        fprintf(out, "  next instruction: %s\n", text);
    }
    fprintf(out, "  back trace:\n");
    backtrace_print(out, vm->symbols, frame,
                    backtrace_chain(vm->cpu, vm->symbols, frame, FRAMES, text, sizeof(text)));
    vcpu_print(out, vm->cpu);
}

/* ---- Life ----------------------------------------------------------------------------------------------- */

void verdict_choose(struct vm_config *config)
{
    bool asked_for_monitor = config->monitor && strcmp(config->monitor, "none") != 0;
    enum config_verdict usual = config->display != CONFIG_DISPLAY_NONE ? CONFIG_VERDICT_IGNORE
                                : config->gdb || asked_for_monitor     ? CONFIG_VERDICT_PAUSE
                                                                       : CONFIG_VERDICT_EXIT;

    config->on_panic = config->on_panic == CONFIG_VERDICT_DEFAULT ? usual : config->on_panic;
    config->on_hang = config->on_hang == CONFIG_VERDICT_DEFAULT ? usual : config->on_hang;
}

bool verdict_create(struct vm *vm)
{
    struct verdict *verdict = calloc(1, sizeof(*verdict));

    if (!verdict) {
        return false;
    }
    verdict->vm = vm;
    vm->verdict = verdict;
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *stream = &verdict->stream[i];
        *stream = (struct stream){.verdict = verdict,
                                  .chardev = i < CONFIG_MAX_SERIAL ? vm->serial[i] : vm->debugcon};
        if (stream->chardev) {
            stream->chardev->overhear = overhear;
            stream->chardev->listener = stream;
        }
    }
    return true;
}

void verdict_destroy(struct vm *vm)
{
    for (unsigned i = 0; vm->verdict && i < STREAMS; i++) {
        if (vm->verdict->stream[i].chardev) {
            vm->verdict->stream[i].chardev->overhear = NULL;
        }
    }
    free(vm->verdict);
    vm->verdict = NULL;
}
