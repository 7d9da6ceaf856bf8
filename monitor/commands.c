/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor's commands: one table of names, arguments, help and functions.
 *
 * `info NAME` works for every device of the board: its snapshot table prints it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "cpu/insn.h"
#include "monitor/lab_commands.h"
#include "monitor/monitor.h"
#include "monitor/screendump.h"
#include "monitor/snapshot_commands.h"

enum { MAX_WORDS = 48, DUMP_MAX = 65536 };

/* One command line, split: word[0] is the name, without its /format. */
struct command_line {
    char text[512];
    char *word[MAX_WORDS];
    unsigned count;
    const char *format; /* behind the slash, "" when there is none */
};

struct command {
    const char *name, *alias;
    const char *arguments, *help;
    unsigned min_words; /* arguments needed */
    void (*run)(struct vm *vm, const struct command_line *line, FILE *out);
};

/* A command that is for no VM, or chooses by itself. */
struct lab_command {
    const char *name, *alias;
    const char *arguments, *help;
    void (*run)(struct monitor_session *session, const struct command_line *line, FILE *out);
};

static bool parse_number(const char *text, uint64_t *value, FILE *out)
{
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 0);
    if (errno || end == text || *end) {
        fprintf(out, "'%s' is not a number\n", text);
        return false;
    }
    return true;
}

/* ---- life cycle ---- */

static void run_stop(struct vm *vm, const struct command_line *line, FILE *out)
{
    (void)line;
    (void)out;
    vm_pause(vm);
}

static void run_cont(struct vm *vm, const struct command_line *line, FILE *out)
{
    (void)line;
    (void)out;
    vm_resume(vm);
}

static void run_system_reset(struct vm *vm, const struct command_line *line, FILE *out)
{
    (void)line;
    (void)out;
    vm_request_reset(vm);
}

static void run_system_powerdown(struct vm *vm, const struct command_line *line, FILE *out)
{
    (void)line;
    (void)out;
    vm_power_button(vm);
}

static void run_nmi(struct vm *vm, const struct command_line *line, FILE *out)
{
    (void)line;
    (void)out;
    vcpu_set_nmi(vm->cpu);
}

/* ---- memory and ports ---- */

/* "/8xw": count, format letter (x d u o c i), size letter (b h w g). */
struct dump_format {
    unsigned count, size;
    char letter;
};

static bool parse_format(const char *text, struct dump_format *format, FILE *out)
{
    *format = (struct dump_format){.count = 1, .size = 4, .letter = 'x'};
    if (isdigit((unsigned char)*text)) {
        char *end;

        format->count = (unsigned)MIN(strtoul(text, &end, 10), (unsigned long)DUMP_MAX);
        text = end;
    }
    for (; *text; text++) {
        static const char sizes[] = "bhwg";
        const char *size = strchr(sizes, *text);

        if (size) {
            format->size = 1u << (size - sizes);
        } else if (strchr("xduoci", *text)) {
            format->letter = *text;
        } else {
            fprintf(out, "unknown format letter '%c' (x d u o c i, sizes b h w g)\n", *text);
            return false;
        }
    }
    return true;
}

static void print_value(FILE *out, const struct dump_format *format, uint64_t value)
{
    int width = (int)format->size * 2;

    switch (format->letter) {
    case 'd':
        fprintf(out, " %lld",
                (long long)((int64_t)(value << (64 - 8 * format->size)) >> (64 - 8 * format->size)));
        break;
    case 'u':
        fprintf(out, " %llu", (unsigned long long)value);
        break;
    case 'o':
        fprintf(out, " 0%llo", (unsigned long long)value);
        break;
    case 'c':
        fprintf(out, " '%c'", isprint((int)(value & 0xff)) ? (int)(value & 0xff) : '.');
        break;
    default:
        fprintf(out, " 0x%0*llx", width, (unsigned long long)value);
        break;
    }
}

/* Read guest memory without side effects; linear addresses through the current page tables. */
static bool peek(struct vm *vm, bool physical, uint64_t address, void *bytes, unsigned size)
{
    uint8_t *to = bytes;

    for (unsigned i = 0; i < size; i++) {
        struct pagewalk walk = {.gpa = address + i};

        if (!physical && !pagewalk(&vm->cpu->paging, (uint32_t)(address + i), PAGEWALK_READ, &walk)) {
            return false;
        }
        if (!addr_space_peek(pc_memory(vm->pc), walk.gpa, &to[i], 1)) {
            return false;
        }
    }
    return true;
}

static void dump_instructions(struct vm *vm, bool physical, uint64_t address, unsigned count, FILE *out)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[15];
        unsigned available = 0;
        struct insn insn;
        char text[80];

        while (available < sizeof(bytes) && peek(vm, physical, address + available, &bytes[available], 1)) {
            available++;
        }
        if (insn_decode(bytes, available, vm->cpu->code32, vm->cpu->features, &insn) == DECODE_MORE) {
            fprintf(out, "0x%08llx: not readable\n", (unsigned long long)address);
            return;
        }
        insn_format(&insn, address, text, sizeof(text));
        fprintf(out, "0x%08llx: %s\n", (unsigned long long)address, text);
        address += insn.length;
    }
}

static void dump(struct vm *vm, const struct command_line *line, bool physical, FILE *out)
{
    struct dump_format format;
    uint64_t address;
    unsigned per_line;

    if (!parse_format(line->format, &format, out) || !parse_number(line->word[1], &address, out)) {
        return;
    }
    if (format.letter == 'i') {
        dump_instructions(vm, physical, address, format.count, out);
        return;
    }
    per_line = 16 / format.size;
    for (unsigned i = 0; i < format.count; i++, address += format.size) {
        uint64_t value = 0;

        if (i % per_line == 0) {
            fprintf(out, "%s%08llx:", i ? "\n" : "", (unsigned long long)address);
        }
        if (!peek(vm, physical, address, &value, format.size)) {
            fprintf(out, " not readable");
            break;
        }
        print_value(out, &format, value);
    }
    fputc('\n', out);
}

static void run_x(struct vm *vm, const struct command_line *line, FILE *out)
{
    dump(vm, line, false, out);
}

static void run_xp(struct vm *vm, const struct command_line *line, FILE *out)
{
    dump(vm, line, true, out);
}

static void run_i(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct dump_format format;
    uint64_t port;

    if (parse_format(line->format, &format, out) && parse_number(line->word[1], &port, out)) {
        fprintf(out, "portb[0x%04x] =", (unsigned)(port & 0xffff));
        format.size = MIN(format.size, 4u);
        print_value(out, &format, addr_space_read(pc_ports(vm->pc), port & 0xffff, format.size));
        fputc('\n', out);
    }
}

static void run_o(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct dump_format format;
    uint64_t port, value;

    if (parse_format(line->format, &format, out) && parse_number(line->word[1], &port, out) &&
        parse_number(line->word[2], &value, out)) {
        addr_space_write(pc_ports(vm->pc), port & 0xffff, value, MIN(format.size, 4u));
    }
}

static void run_gva2gpa(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct pagewalk walk;
    uint64_t address;

    if (!parse_number(line->word[1], &address, out)) {
        return;
    }
    if (pagewalk(&vm->cpu->paging, address, PAGEWALK_READ, &walk)) {
        fprintf(out, "gpa: 0x%llx\n", (unsigned long long)walk.gpa);
    } else {
        fprintf(out, "not mapped (error code %04x)\n", walk.error_code);
    }
}

static void save(struct vm *vm, const struct command_line *line, bool physical, FILE *out)
{
    uint64_t address, size;
    FILE *file;

    if (!parse_number(line->word[1], &address, out) || !parse_number(line->word[2], &size, out)) {
        return;
    }
    file = fopen(line->word[3], "wb");
    if (!file) {
        fprintf(out, "cannot write '%s': %s\n", line->word[3], strerror(errno));
        return;
    }
    for (uint64_t done = 0; done < size; done++) {
        uint8_t byte;

        if (!peek(vm, physical, address + done, &byte, 1)) {
            fprintf(out, "stopped at 0x%llx: not readable\n", (unsigned long long)(address + done));
            break;
        }
        fputc(byte, file);
    }
    if (fclose(file) != 0) {
        fprintf(out, "cannot write '%s': %s\n", line->word[3], strerror(errno));
    }
}

static void run_memsave(struct vm *vm, const struct command_line *line, FILE *out)
{
    save(vm, line, false, out);
}

static void run_pmemsave(struct vm *vm, const struct command_line *line, FILE *out)
{
    save(vm, line, true, out);
}

/* ---- media ---- */

static struct disk *find_disk(struct vm *vm, const char *id, FILE *out)
{
    struct disk *disk = drives_find(&vm->drives, id);

    if (!disk) {
        fprintf(out, "there is no drive '%s' (info block lists them)\n", id);
    }
    return disk;
}

static void run_change(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct disk *disk = find_disk(vm, line->word[1], out);
    bool read_only = line->count > 4 && !strcmp(line->word[4], "read-only");
    const char *format = line->count > 3 ? line->word[3] : NULL;
    struct error error;

    if (line->count > 4 && !read_only) {
        fprintf(out, "'%s' must be read-only or left out\n", line->word[4]);
    } else if (disk && drives_change(&vm->drives, disk, line->word[2], format, read_only, &error) < 0) {
        fprintf(out, "%s\n", error.text);
    }
}

static void run_eject(struct vm *vm, const struct command_line *line, FILE *out)
{
    bool force = !strcmp(line->word[1], "-f");
    struct disk *disk;
    struct error error;

    if (force && line->count < 3) {
        fprintf(out, "usage: eject [-f] DRIVE\n");
        return;
    }
    disk = find_disk(vm, line->word[force ? 2 : 1], out);
    if (disk && drives_eject(disk, force, &error) < 0) {
        fprintf(out, "%s\n", error.text);
    }
}

static void commit_disk(struct disk *disk, FILE *out)
{
    struct error error;

    if (drives_commit(disk, &error) < 0) {
        fprintf(out, "%s: %s\n", disk->block.id, error.text);
    }
}

/* Of `commit all`: those that have something to commit to. */
static void commit_if_overlay(struct disk *disk, void *opaque)
{
    if (disk->image && disk->image->backing && disk->image->writable) {
        commit_disk(disk, opaque);
    }
}

static void run_commit(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct disk *disk;

    if (!strcmp(line->word[1], "all")) {
        drives_for_each(&vm->drives, commit_if_overlay, out);
        return;
    }
    disk = find_disk(vm, line->word[1], out);
    if (disk) {
        commit_disk(disk, out);
    }
}

static void run_log(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct error error;

    if (!strcmp(line->word[1], "none")) {
        vm->log.mask = 0;
    } else if (log_parse_mask(line->word[1], &vm->log.mask, &error) < 0) {
        fprintf(out, "%s\n", error.text);
    }
}

/* ---- the screen ---- */

static void run_screendump(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct error error;
    struct display display;

    if (!pc_vga(vm->pc)) {
        fprintf(out, "there is no display adapter (-vga none)\n");
        return;
    }
    display = vga_display(pc_vga(vm->pc));
    if (screendump_write(&display, line->word[1], &error) < 0) {
        fprintf(out, "%s\n", error.text);
    }
}

/* ---- the pointer ---- */

/* A guest with an absolute pointer is told positions from 0 to 32767, as QEMU's command has it; others, counts. */
static void run_mouse_move(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct input_sink sink = pc_input(vm->pc);
    uint64_t number[3] = {0, 0, 0};
    int value[3];

    for (unsigned i = 0; i < 3 && i + 1 < line->count; i++) {
        if (!parse_number(line->word[i + 1], &number[i], out)) {
            return;
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        value[i] = (int)MIN(MAX((int64_t)number[i], -32768), 32767);
    }
    if (!pc_wants_position(vm->pc)) {
        input_motion(&sink, value[0], value[1], value[2]);
        return;
    }
    input_position(&sink, (uint16_t)(2 * MAX(value[0], 0)), (uint16_t)(2 * MAX(value[1], 0)));
    input_motion(&sink, 0, 0, value[2]);
}

static void run_mouse_button(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct input_sink sink = pc_input(vm->pc);
    uint64_t state;

    if (parse_number(line->word[1], &state, out)) {
        input_buttons(&sink, (state & 1 ? INPUT_BUTTON_LEFT : 0) | (state & 2 ? INPUT_BUTTON_MIDDLE : 0) |
                                 (state & 4 ? INPUT_BUTTON_RIGHT : 0));
    }
}

/* ---- info ---- */

static void info_status(struct vm *vm, FILE *out)
{
    fprintf(out, "VM status: %s\n", vm_state_name(vm->state));
}

static void info_registers(struct vm *vm, FILE *out)
{
    vcpu_print(out, vm->cpu);
}

static void print_space(const struct addr_space *space, FILE *out)
{
    fprintf(out, "%s:\n", space->name);
    for (size_t i = 0; i < space->flat_count; i++) {
        const struct flat_range *range = &space->flat[i];

        if (!range->read && !range->write) {
            continue;
        }
        fprintf(out, "  %016llx-%016llx  read %-16s write %s\n", (unsigned long long)range->first,
                (unsigned long long)range->last, range->read ? range->read->name : "-",
                range->write ? range->write->name : "-");
    }
}

static void info_mtree(struct vm *vm, FILE *out)
{
    print_space(pc_memory(vm->pc), out);
    print_space(pc_ports(vm->pc), out);
}

static void info_qtree(struct vm *vm, FILE *out)
{
    for (struct device *device = pc_board(vm->pc)->devices; device; device = device->next) {
        fprintf(out, "%-12s %s\n", device->id, device->ops->name);
    }
}

static void info_block(struct vm *vm, FILE *out)
{
    drives_print(&vm->drives, out);
}

static void info_network(struct vm *vm, FILE *out)
{
    vm_net_print(vm->net, vm->pc, out);
}

static void info_jit(struct vm *vm, FILE *out)
{
    vm_print_engine(vm, out);
}

static const struct {
    const char *name, *help;
    void (*run)(struct vm *vm, FILE *out);
} infos[] = {
    {"network", "the adapters and what they are plugged into", info_network},
    {"status", "is the VM running?", info_status},
    {"registers", "processor registers", info_registers},
    {"jit", "the engine: its speed, blocks, exits, shadow tables", info_jit},
    {"mtree", "what lies at each address and port", info_mtree},
    {"qtree", "the devices", info_qtree},
    {"block", "the drives and their media", info_block},
    {"snapshots", "the tree of snapshots; * is what runs came from", info_snapshots},
};

static void run_info(struct vm *vm, const struct command_line *line, FILE *out)
{
    const char *name = line->count > 1 ? line->word[1] : "";
    struct device *device = board_find_device(pc_board(vm->pc), name);

    for (size_t i = 0; i < ARRAY_LEN(infos); i++) {
        if (!strcmp(infos[i].name, name)) {
            infos[i].run(vm, out);
            return;
        }
    }
    if (device && device->ops->snap) {
        snap_print(out, device->ops->snap, device);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(infos); i++) {
        fprintf(out, "info %-12s %s\n", infos[i].name, infos[i].help);
    }
    fprintf(out, "info DEVICE       a device's state; info qtree names them\n");
}

/* ---- network ---- */

static void run_set_link(struct vm *vm, const struct command_line *line, FILE *out)
{
    struct net_port *port = vm_net_find(vm->net, line->word[1]);
    bool on = !strcmp(line->word[2], "on");

    for (unsigned i = 0; !port && i < pc_nic_count(vm->pc); i++) {
        if (!strcmp(pc_nic_port(vm->pc, i)->name, line->word[1])) {
            port = pc_nic_port(vm->pc, i);
        }
    }
    if (!port) {
        fprintf(out, "there is no network or adapter '%s' (info network lists them)\n", line->word[1]);
    } else if (!on && strcmp(line->word[2], "off") != 0) {
        fprintf(out, "set_link: '%s' must be on or off\n", line->word[2]);
    } else {
        net_port_set_link(port, on);
    }
}

/* ---- snapshots ---- */

static void run_savevm(struct vm *vm, const struct command_line *line, FILE *out)
{
    command_savevm(vm, line->word, line->count, out);
}

static void run_loadvm(struct vm *vm, const struct command_line *line, FILE *out)
{
    command_loadvm(vm, line->word[1], out);
}

static void run_delvm(struct vm *vm, const struct command_line *line, FILE *out)
{
    command_delvm(vm, line->word[1], out);
}

static void run_snap(struct vm *vm, const struct command_line *line, FILE *out)
{
    command_snap(vm, line->word, line->count, out);
}

/* ---- the lab ---- */

static void run_vm(struct monitor_session *session, const struct command_line *line, FILE *out)
{
    command_vm(session, line->word, line->count, out);
}

static void run_sched(struct monitor_session *session, const struct command_line *line, FILE *out)
{
    command_sched(session, line->word, line->count, out);
}

static void run_quit(struct monitor_session *session, const struct command_line *line, FILE *out)
{
    (void)line;
    command_quit(session, out);
}

/* ---- the table ---- */

static void run_help(struct monitor_session *session, const struct command_line *line, FILE *out);

static const struct lab_command lab_commands[] = {
    {"help", "?", "[COMMAND]", "show this list", run_help},
    {"quit", "q", "", "end the VM; from the lab's monitor all of them", run_quit},
    {"vm", NULL, "[list]", "the VMs of this process", run_vm},
    {"vm", NULL, "NAME [COMMAND...]", "choose a VM, or run a command for one", run_vm},
    {"vm", NULL, "pause|resume|reset [NAME]", "pause a VM, let it run, reset its machine", run_vm},
    {"vm", NULL, "kill [NAME]", "end a VM at once and free it", run_vm},
    {"vm", NULL, "new FILE", "make the VMs of a lab's file, beside those that run", run_vm},
    {"sched", NULL, "[show]", "who got the pCPUs", run_sched},
    {"sched", NULL, "weight NAME N", "a VM's share beside others (256; twice as much, twice the time)",
     run_sched},
    {"sched", NULL, "cap NAME PERCENT", "the most of one pCPU that a VM gets (0: all)", run_sched},
    {"sched", NULL, "slice MICROSECONDS", "how long a VM runs while others wait", run_sched},
    {"sched", NULL, "trace on|off", "record who runs when", run_sched},
    {"sched", NULL, "trace save FILE [MS]", "what was recorded, its last MS ms: .json for a viewer, .svg",
     run_sched},
};

static const struct command commands[] = {
    {"info", NULL, "NAME", "show state; without a name, what there is", 0, run_info},
    {"stop", NULL, "", "pause the VM", 0, run_stop},
    {"cont", "c", "", "let it run", 0, run_cont},
    {"system_reset", NULL, "", "reset the machine", 0, run_system_reset},
    {"system_powerdown", NULL, "", "press the power button", 0, run_system_powerdown},
    {"nmi", NULL, "", "raise a non-maskable interrupt", 0, run_nmi},
    {"x", NULL, "/FMT ADDR", "dump memory at a linear address (x d u o c i, b h w g)", 1, run_x},
    {"xp", NULL, "/FMT ADDR", "dump memory at a physical address", 1, run_xp},
    {"i", NULL, "/FMT PORT", "read an I/O port", 1, run_i},
    {"o", NULL, "/FMT PORT VALUE", "write an I/O port", 2, run_o},
    {"gva2gpa", NULL, "ADDR", "translate a linear address", 1, run_gva2gpa},
    {"memsave", NULL, "ADDR SIZE FILE", "save memory by linear address", 3, run_memsave},
    {"pmemsave", NULL, "ADDR SIZE FILE", "save memory by physical address", 3, run_pmemsave},
    {"screendump", NULL, "FILE", "write the screen to FILE: PNG, or PPM by the name's .ppm", 1,
     run_screendump},
    {"mouse_move", NULL, "DX DY [WHEEL]", "move the mouse; an absolute pointer: to X Y of 32767", 2,
     run_mouse_move},
    {"mouse_button", NULL, "STATE", "press and release buttons: 1 left, 2 middle, 4 right, added up", 1,
     run_mouse_button},
    {"change", NULL, "DRIVE FILE [raw|qcow2 [read-only]]", "put another medium into a CD or floppy drive", 2,
     run_change},
    {"eject", NULL, "[-f] DRIVE", "take the medium out; -f even if the guest has locked it", 1, run_eject},
    {"commit", NULL, "DRIVE|all", "move an overlay's data into its backing file", 1, run_commit},
    {"savevm", NULL, "[NAME [NOTE]]", "take a snapshot", 0, run_savevm},
    {"loadvm", NULL, "NAME", "go back to a snapshot", 1, run_loadvm},
    {"delvm", NULL, "NAME", "delete a snapshot", 1, run_delvm},
    {"snap", NULL, "tree|diff A B|wait", "show snapshots; compare two; wait for the last to be written", 1,
     run_snap},
    {"set_link", NULL, "NAME on|off", "plug a network cable in or out", 2, run_set_link},
    {"log", NULL, "ITEMS|none", "set the log's categories", 1, run_log},
};

static void print_help(const struct command_line *line, const char *name, const char *arguments,
                       const char *help, FILE *out)
{
    char left[64];

    if (line->count > 1 && strcmp(line->word[1], name) != 0) {
        return;
    }
    snprintf(left, sizeof(left), "%s %s", name, arguments);
    fprintf(out, "%-28s %s\n", left, help);
}

static void run_help(struct monitor_session *session, const struct command_line *line, FILE *out)
{
    (void)session;
    for (size_t i = 0; i < ARRAY_LEN(lab_commands); i++) {
        print_help(line, lab_commands[i].name, lab_commands[i].arguments, lab_commands[i].help, out);
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        print_help(line, commands[i].name, commands[i].arguments, commands[i].help, out);
    }
}

static void split(struct command_line *line, const char *text)
{
    char *save = NULL;
    char *slash;

    snprintf(line->text, sizeof(line->text), "%s", text);
    line->count = 0;
    line->format = "";
    for (char *word = strtok_r(line->text, " \t", &save); word && line->count < MAX_WORDS;
         word = strtok_r(NULL, " \t", &save)) {
        line->word[line->count++] = word;
    }
    slash = line->count ? strchr(line->word[0], '/') : NULL;
    if (slash) {
        *slash = '\0';
        line->format = slash + 1;
    }
}

/* Run a command for one VM: a VM's own monitor has it, the lab's takes it. */
static void execute_for_vm(struct monitor_session *session, const struct command *command,
                           const struct command_line *line, FILE *out)
{
    struct error error;
    struct vm *vm;

    if (line->count - 1 < command->min_words) {
        fprintf(out, "usage: %s %s\n", command->name, command->arguments);
        return;
    }
    if (session->vm) {
        command->run(session->vm, line, out);
        return;
    }
    if (!*session->chosen) {
        fprintf(out, "for which VM? (vm list shows them, vm NAME chooses one)\n");
        return;
    }
    vm = hypervisor_hold(session->hv, session->chosen, &error);
    if (!vm) {
        fprintf(out, "%s\n", error.text);
        return;
    }
    command->run(vm, line, out);
    hypervisor_release(session->hv, vm);
}

static bool is_called(const struct command_line *line, const char *name, const char *alias)
{
    return !strcmp(line->word[0], name) || (alias && !strcmp(line->word[0], alias));
}

void monitor_execute(struct monitor_session *session, const char *text, FILE *out)
{
    struct command_line line;

    split(&line, text);
    if (line.count == 0) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(lab_commands); i++) {
        if (is_called(&line, lab_commands[i].name, lab_commands[i].alias)) {
            lab_commands[i].run(session, &line, out);
            return;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (is_called(&line, commands[i].name, commands[i].alias)) {
            execute_for_vm(session, &commands[i], &line, out);
            return;
        }
    }
    fprintf(out, "unknown command '%s' (help lists them)\n", line.word[0]);
}
