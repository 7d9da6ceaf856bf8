/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * info: what there is and what state it is in.
 *
 * `info NAME` works for every device of the board: its snapshot table prints it.
 */
#include <stdlib.h>

#include "monitor/groups.h"
#include "monitor/screen_text.h"

/* ---- the processor ---- */

static bool info_status(struct command_call *call)
{
    call->data = json_pack("{s:b, s:s}", "running", call->vm->state == VM_RUNNING, "status",
                           vm_state_name(call->vm->state));
    fprintf(call->out, "VM status: %s\n", vm_state_name(call->vm->state));
    return true;
}

static bool info_cpus(struct command_call *call)
{
    const struct vcpu *cpu = call->vm->cpu;
    uint64_t pc = cpu->seg[SEG_CS].base + cpu->rip;

    call->data = json_pack("[{s:i, s:I, s:b}]", "cpu", 0, "pc", (json_int_t)pc, "halted", cpu->halted);
    fprintf(call->out, "* CPU #0: pc=0x%08llx%s\n", (unsigned long long)pc, cpu->halted ? " (halted)" : "");
    return true;
}

static json_t *segment_json(const struct segment *segment)
{
    return json_pack("{s:i, s:I, s:I, s:i}", "selector", segment->selector, "base", (json_int_t)segment->base,
                     "limit", (json_int_t)segment->limit, "attributes", (int)segment->attr);
}

/* By the names that users know, 32 bits wide: there is no long mode. */
static json_t *registers_json(const struct vcpu *cpu)
{
    static const char *const general[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
    static const char *const segments[] = {"es", "cs", "ss", "ds", "fs", "gs"};
    json_t *data = json_object();

    for (size_t i = 0; i < ARRAY_LEN(general); i++) {
        json_object_set_new(data, general[i], json_integer((json_int_t)cpu->gpr[i]));
    }
    json_object_set_new(data, "eip", json_integer((json_int_t)cpu->rip));
    json_object_set_new(data, "eflags", json_integer((json_int_t)cpu->rflags));
    for (size_t i = 0; i < ARRAY_LEN(segments); i++) {
        json_object_set_new(data, segments[i], segment_json(&cpu->seg[i]));
    }
    json_object_set_new(data, "ldtr", segment_json(&cpu->ldtr));
    json_object_set_new(data, "tr", segment_json(&cpu->tr));
    json_object_set_new(
        data, "gdtr",
        json_pack("{s:I, s:I}", "base", (json_int_t)cpu->gdtr.base, "limit", (json_int_t)cpu->gdtr.limit));
    json_object_set_new(
        data, "idtr",
        json_pack("{s:I, s:I}", "base", (json_int_t)cpu->idtr.base, "limit", (json_int_t)cpu->idtr.limit));
    json_object_set_new(data, "cr0", json_integer((json_int_t)cpu->cr0));
    json_object_set_new(data, "cr2", json_integer((json_int_t)cpu->cr2));
    json_object_set_new(data, "cr3", json_integer((json_int_t)cpu->cr3));
    json_object_set_new(data, "cr4", json_integer((json_int_t)cpu->cr4));
    return data;
}

static bool info_registers(struct command_call *call)
{
    call->data = registers_json(call->vm->cpu);
    vcpu_print(call->out, call->vm->cpu);
    return true;
}

/* ---- the board ---- */

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

static bool info_mtree(struct command_call *call)
{
    print_space(pc_memory(call->vm->pc), call->out);
    print_space(pc_ports(call->vm->pc), call->out);
    return true;
}

static bool info_qtree(struct command_call *call)
{
    for (struct device *device = pc_board(call->vm->pc)->devices; device; device = device->next) {
        fprintf(call->out, "%-12s %s\n", device->id, device->ops->name);
    }
    return true;
}

static void add_drive(struct disk *disk, void *opaque)
{
    const struct block_counters *counters = &disk->block.counters;
    const struct image *image = disk->image;
    json_t *drive =
        json_pack("{s:s, s:b, s:b, s:{s:I, s:I, s:I, s:I, s:I, s:I}}", "drive", disk->block.id, "inserted",
                  image != NULL, "removable", disk->block.removable, "counters", "reads",
                  (json_int_t)counters->reads, "bytes_read", (json_int_t)counters->bytes_read, "writes",
                  (json_int_t)counters->writes, "bytes_written", (json_int_t)counters->bytes_written,
                  "flushes", (json_int_t)counters->flushes, "errors", (json_int_t)counters->errors);

    if (image) {
        json_object_set_new(drive, "file", json_string(image->file->path));
        json_object_set_new(drive, "format", json_string(image->ops->format));
        json_object_set_new(drive, "size", json_integer((json_int_t)image->size));
        json_object_set_new(drive, "writable", json_boolean(image->writable));
        json_object_set_new(drive, "temporary", json_boolean(disk->snapshot));
    }
    json_array_append_new(opaque, drive);
}

static bool info_block(struct command_call *call)
{
    call->data = json_array();
    drives_for_each(&call->vm->drives, add_drive, call->data);
    drives_print(&call->vm->drives, call->out);
    return true;
}

static bool info_network(struct command_call *call)
{
    struct pc *pc = call->vm->pc;

    call->data = json_array();
    for (unsigned i = 0; i < pc_nic_count(pc); i++) {
        const struct net_port *port = pc_nic_port(pc, i);
        const uint8_t *mac = port->mac;
        char address[18];

        snprintf(address, sizeof(address), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                 mac[4], mac[5]);
        json_array_append_new(
            call->data,
            json_pack("{s:s, s:s, s:s?, s:b, s:I, s:I, s:I, s:I, s:I}", "adapter", port->name, "address",
                      address, "network", port->peer ? port->peer->name : NULL, "up", net_port_is_up(port),
                      "sent_frames", (json_int_t)port->sent_frames, "sent_bytes",
                      (json_int_t)port->sent_bytes, "received_frames", (json_int_t)port->received_frames,
                      "received_bytes", (json_int_t)port->received_bytes, "lost_frames",
                      (json_int_t)port->lost_frames));
    }
    vm_net_print(call->vm->net, pc, call->out);
    return true;
}

/* Base address registers of a function. */
static void print_bars(const struct pci_function *function, FILE *out)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        static const char *const kinds[] = {[PCI_BAR_MEMORY] = "32 bit memory",
                                            [PCI_BAR_PREFETCHABLE] = "32 bit prefetchable memory",
                                            [PCI_BAR_IO] = "I/O"};
        unsigned offset = i == PCI_BAR_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS + 4 * i;
        const struct pci_bar *bar = &function->bar[i];
        uint32_t base;

        if (!bar->region) {
            continue;
        }
        memcpy(&base, function->config + offset, sizeof(base));
        base &= bar->kind == PCI_BAR_IO ? ~3u : i == PCI_BAR_ROM ? ~0x7ffu : ~0xfu;
        fprintf(out, "      BAR%u: %s at 0x%08x [0x%08llx].\n", i, kinds[bar->kind], base,
                (unsigned long long)(base + bar->region->size - 1));
    }
}

static bool info_pci(struct command_call *call)
{
    struct device *device = board_find_device(pc_board(call->vm->pc), "pci");
    const struct pci_bus *bus = (const struct pci_bus *)device;

    for (unsigned i = 0; bus && i < PCI_SLOTS * PCI_FUNCTIONS; i++) {
        const struct pci_function *function = bus->function[i / PCI_FUNCTIONS][i % PCI_FUNCTIONS];
        const uint8_t *config = function ? function->config : NULL;

        if (!function) {
            continue;
        }
        fprintf(call->out, "  Bus  0, device %3u, function %u:\n", i / PCI_FUNCTIONS, i % PCI_FUNCTIONS);
        fprintf(call->out, "    Class %02x%02x: PCI device %02x%02x:%02x%02x\n", config[PCI_CLASS_CODE + 2],
                config[PCI_CLASS_CODE + 1], config[PCI_VENDOR_ID + 1], config[PCI_VENDOR_ID],
                config[PCI_DEVICE_ID + 1], config[PCI_DEVICE_ID]);
        if (config[PCI_INTERRUPT_PIN]) {
            fprintf(call->out, "      IRQ %u, pin %c\n", config[PCI_INTERRUPT_LINE],
                    '@' + config[PCI_INTERRUPT_PIN]);
        }
        print_bars(function, call->out);
    }
    return true;
}

/* A device's own table. */
static bool print_device(struct command_call *call, const char *id)
{
    struct device *device = board_find_device(pc_board(call->vm->pc), id);

    if (!device || !device->ops->snap) {
        return false;
    }
    fprintf(call->out, "%s:\n", id);
    snap_print(call->out, device->ops->snap, device);
    return true;
}

static bool info_pic(struct command_call *call)
{
    return print_device(call, "i8259") && print_device(call, "ioapic") && print_device(call, "lapic");
}

/* The 16 lines of the interrupt controllers: what is asked for, in service, masked. */
static bool info_irq(struct command_call *call)
{
    const struct i8259_pair *pair =
        (const struct i8259_pair *)board_find_device(pc_board(call->vm->pc), "i8259");

    call->data = json_array();
    fprintf(call->out, "IRQ  VECTOR  LINE  REQUESTED  IN SERVICE  MASKED  TRIGGER\n");
    for (unsigned irq = 0; pair && irq < 16; irq++) {
        const struct i8259 *chip = &pair->chip[irq >> 3];
        unsigned bit = irq & 7, vector = chip->vector_base | bit;
        bool level = chip->elcr >> bit & 1, line = chip->lines >> bit & 1;
        bool requested = level ? line : chip->edges >> bit & 1;
        bool in_service = chip->isr >> bit & 1, masked = chip->imr >> bit & 1;

        fprintf(call->out, "%3u    0x%02x  %-4s  %-9s  %-10s  %-6s  %s\n", irq, vector, line ? "high" : "low",
                requested ? "yes" : "no", in_service ? "yes" : "no", masked ? "yes" : "no",
                level ? "level" : "edge");
        json_array_append_new(call->data,
                              json_pack("{s:i, s:i, s:b, s:b, s:b, s:b, s:s}", "irq", (int)irq, "vector",
                                        (int)vector, "line", line, "requested", requested, "in_service",
                                        in_service, "masked", masked, "trigger", level ? "level" : "edge"));
    }
    return true;
}

static void print_chardev(struct command_call *call, const char *name, const char *spec,
                          const struct chardev *chardev)
{
    if (chardev) {
        fprintf(call->out, "%s: %s\n", chardev->label ? chardev->label : name, spec);
        json_array_append_new(call->data, json_pack("{s:s, s:s}", "label",
                                                    chardev->label ? chardev->label : name, "device", spec));
    }
}

static bool info_chardev(struct command_call *call)
{
    const struct vm *vm = call->vm;
    const struct vm_config *config = &vm->config;
    const char *shared = vm->mux ? "mon:stdio" : "by default";

    call->data = json_array();
    for (unsigned i = 0; i < CONFIG_MAX_SERIAL; i++) {
        print_chardev(call, "serial", config->serial[i] ? config->serial[i] : shared, vm->serial[i]);
    }
    print_chardev(call, "monitor", config->monitor ? config->monitor : shared, vm->monitor_chardev);
    print_chardev(call, "debugcon", config->debugcon, vm->debugcon);
    print_chardev(call, "firmware-log", config->firmware_log, vm->firmware_log);
    return true;
}

static bool info_screen(struct command_call *call)
{
    struct error error;
    char *text = screen_text(call->vm, &error);

    if (!text) {
        return command_fail(call, "info screen: %s", error.text);
    }
    fputs(text, call->out);
    free(text);
    return true;
}

static bool info_jit(struct command_call *call)
{
    vm_print_engine(call->vm, call->out);
    return true;
}

static bool run_info(struct command_call *call)
{
    struct device *device = call->count ? board_find_device(pc_board(call->vm->pc), call->word[0]) : NULL;

    if (device && device->ops->snap) {
        snap_print(call->out, device->ops->snap, device);
        return true;
    }
    if (call->count) {
        return command_fail(call, "info: there is no '%s' (info lists what there is, info qtree the devices)",
                            call->word[0]);
    }
    command_print_list("info", false, call->out);
    return true;
}

static const struct command commands[] = {
    {"info", NULL, "[DEVICE]", "a device's state, named as in info qtree; without a name, what there is",
     NULL, false, 0, 1, run_info},
    {"info status", NULL, "", "is the VM running?", NULL, false, 0, 0, info_status},
    {"info registers", "r reg regs", "", "processor registers", NULL, false, 0, 0, info_registers},
    {"info cpus", NULL, "", "the processor: where it is, and whether it is halted", NULL, false, 0, 0,
     info_cpus},
    {"info pic", NULL, "", "the interrupt controllers: i8259, I/O APIC, local APIC", NULL, false, 0, 0,
     info_pic},
    {"info irq", NULL, "", "the interrupt lines: requested, in service, masked", NULL, false, 0, 0, info_irq},
    {"info pci", NULL, "", "the functions on the PCI bus and their address ranges", NULL, false, 0, 0,
     info_pci},
    {"info chardev", NULL, "", "where serial ports, monitor and consoles lead", NULL, false, 0, 0,
     info_chardev},
    {"info screen", NULL, "", "the text screen as text", NULL, false, 0, 0, info_screen},
    {"info jit", NULL, "", "the engine: its speed, blocks, exits, shadow tables", NULL, false, 0, 0,
     info_jit},
    {"info mtree", NULL, "", "what lies at each address and port", NULL, false, 0, 0, info_mtree},
    {"info qtree", NULL, "", "the devices", NULL, false, 0, 0, info_qtree},
    {"info block", NULL, "", "the drives and their media", NULL, false, 0, 0, info_block},
    {"info network", NULL, "", "the adapters and what they are plugged into", NULL, false, 0, 0,
     info_network},
};

const struct command_group info_group = {"State", commands, ARRAY_LEN(commands)};
