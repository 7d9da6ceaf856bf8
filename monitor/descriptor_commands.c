/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * info gdt, ldt, idt, tss: the tables of segmentation and of interrupts, every field decoded; sreg: what the segment
 * registers hold of them.
 *
 * SDM: Volume 3A, "Protected-Mode Memory Management": "Segment Descriptors"; "Interrupt and Exception Handling": "IDT
 * Descriptors"; "Task Management": "Task-State Segment (TSS)".
 *
 * Tables are the guest's: they end at their limit, and an entry that lies in no memory is shown as such. What the segment
 * registers hold was loaded once, and need not be what their descriptor says now: sreg shows both where they differ.
 */
#include "cpu/descriptor.h"
#include "monitor/groups.h"
#include "monitor/guest_memory.h"
#include "monitor/listing.h"
#include "vm/symbols.h"

enum { TABLE_LINES = 1024, PORT_RANGES = 32, DESCRIPTOR_TEXT = 160 };

/* ---- Descriptors ---------------------------------------------------------------------------------------- */

static const char *const system_names[16] = {
    "reserved",     "TSS 16, available", "LDT",          "TSS 16, busy", "call gate 16",
    "task gate",    "interrupt gate 16", "trap gate 16", "reserved",     "TSS 32, available",
    "reserved",     "TSS 32, busy",      "call gate 32", "reserved",     "interrupt gate 32",
    "trap gate 32",
};

static bool is_gate(unsigned type)
{
    return type >= TYPE_CALL_GATE16 && type != TYPE_TSS32_AVAILABLE && type != TYPE_TSS32_BUSY && type != 8 &&
           type != 10 && type != 13;
}

/* "code 32, execute/read, accessed" */
static void segment_type_text(uint32_t attr, char *text, size_t size)
{
    bool code = attr & SEG_TYPE_CODE, wide = attr & SEG_DB, rw = attr & SEG_TYPE_RW, ed = attr & SEG_TYPE_ED;

    snprintf(text, size, "%s %s, %s%s%s", code ? "code" : "data", wide ? "32" : "16",
             code ? (rw ? "execute/read" : "execute-only") : (rw ? "read/write" : "read-only"),
             ed ? (code ? ", conforming" : ", expand-down") : "",
             attr & SEG_TYPE_ACCESSED ? ", accessed" : "");
}

/* Everything of a descriptor but where it lies. */
static void descriptor_text(const struct descriptor *descriptor, const struct symbols *symbols, char *text,
                            size_t size)
{
    struct segment segment = descriptor_segment(descriptor, 0);
    unsigned type = descriptor->attr & SEG_TYPE, dpl = descriptor_dpl(descriptor);
    const char *present = descriptor->attr & SEG_P ? "P" : "not present";
    char kind[64], symbol[64];

    if (!(descriptor->attr & SEG_S) && type == TYPE_TASK_GATE) {
        snprintf(text, size, "%s to TSS %04x  DPL %u  %s", system_names[type], gate_selector(descriptor), dpl,
                 present);
    } else if (!(descriptor->attr & SEG_S) && is_gate(type)) {
        uint32_t offset = gate_offset(descriptor);

        snprintf(kind, sizeof(kind), "%u parameters  ", descriptor->high & 31);
        snprintf(text, size, "%s %04x:%08x  %sDPL %u  %s  %s", system_names[type], gate_selector(descriptor),
                 offset, type == TYPE_CALL_GATE16 || type == TYPE_CALL_GATE32 ? kind : "", dpl, present,
                 symbols_format(symbols, offset, symbol, sizeof(symbol)));
    } else {
        segment_type_text(descriptor->attr, kind, sizeof(kind));
        snprintf(text, size, "base %08x limit %08x  DPL %u  %s%s%s  %s", (uint32_t)segment.base,
                 segment.limit, dpl, present, descriptor->attr & SEG_G ? " G" : "",
                 descriptor->attr & SEG_AVL ? " AVL" : "",
                 descriptor->attr & SEG_S ? kind : system_names[type]);
    }
    for (size_t end = strlen(text); end > 0 && text[end - 1] == ' '; end--) {
        text[end - 1] = '\0';
    }
}

static json_t *descriptor_json(const struct descriptor *descriptor, const char *text)
{
    struct segment segment = descriptor_segment(descriptor, 0);
    unsigned type = descriptor->attr & SEG_TYPE;
    bool system = !(descriptor->attr & SEG_S);
    json_t *row =
        json_pack("{s:s,s:I,s:I,s:I,s:b,s:b,s:I}", "text", text, "low", (json_int_t)descriptor->low, "high",
                  (json_int_t)descriptor->high, "type", (json_int_t)type, "system", system, "present",
                  (descriptor->attr & SEG_P) != 0, "dpl", (json_int_t)descriptor_dpl(descriptor));

    if (system && is_gate(type)) {
        json_object_set_new(row, "selector", json_integer(gate_selector(descriptor)));
        json_object_set_new(row, "offset", json_integer(gate_offset(descriptor)));
    } else {
        json_object_set_new(row, "base", json_integer((json_int_t)segment.base));
        json_object_set_new(row, "limit", json_integer(segment.limit));
    }
    return row;
}

/* ---- A table -------------------------------------------------------------------------------------------- */

struct table {
    const char *name;
    lin_t base;
    uint32_t limit; /* last byte */
    unsigned entry_size;
    unsigned first, last; /* entries asked for */
    bool all;             /* none in particular: those that are zero are left out */
};

/* What was asked for: [FIRST [LAST]], within the limit. False: said what is wrong. */
static bool choose_entries(struct command_call *call, struct table *table)
{
    unsigned count = table->limit + 1 >= table->entry_size ? (table->limit + 1) / table->entry_size : 0;
    uint64_t first = 0, last = 0;

    fprintf(call->out, "%s at %08llx, limit %04x: %u entries\n", table->name, (unsigned long long)table->base,
            table->limit, count);
    table->all = call->count == 0;
    table->last = count - 1;
    if (table->all) {
        return count > 0;
    }
    if (!command_value(call, 0, &first) || (call->count > 1 && !command_value(call, 1, &last))) {
        return false;
    }
    last = call->count > 1 ? last : first;
    if (first >= count || last < first) {
        return command_fail(call, "%s %llu is beyond the limit", table->name, (unsigned long long)first);
    }
    table->first = (unsigned)first;
    table->last = (unsigned)MIN(last, count - 1);
    return true;
}

/* Entry n in `bytes`. False: there is no line for it. */
static bool read_entry(struct listing *listing, const struct table *table, unsigned n, uint8_t bytes[8])
{
    static const uint8_t zero[8];
    struct command_call *call = listing->call;
    bool read = guest_peek(call->vm->cpu, false, table->base + (uint64_t)n * table->entry_size, bytes,
                           table->entry_size);

    if (read && table->all && !memcmp(bytes, zero, table->entry_size)) {
        return false;
    }
    TRY(listing_room(listing));
    if (!read) {
        fprintf(call->out, "%4u  not readable\n", n);
        listing_row(listing, json_pack("{s:I,s:s}", "index", (json_int_t)n, "text", "not readable"));
    }
    return read;
}

static void print_entry(struct listing *listing, unsigned n, unsigned selector, const char *what,
                        const uint8_t bytes[8])
{
    struct command_call *call = listing->call;
    struct descriptor descriptor;
    char text[DESCRIPTOR_TEXT];
    json_t *row;

    descriptor_parse(&descriptor, bytes);
    descriptor_text(&descriptor, call->vm->symbols, text, sizeof(text));
    fprintf(call->out, what ? "%4u  %02x  %s  %s\n" : "%4u  %04x  %s\n", n, selector, text, what);
    row = descriptor_json(&descriptor, text);
    json_object_set_new(row, "index", json_integer(n));
    listing_row(listing, row);
}

static bool print_table(struct command_call *call, struct table *table, unsigned selector_low)
{
    struct listing listing;
    uint8_t bytes[8] = {0};

    if (!choose_entries(call, table)) {
        return table->all;
    }
    listing = listing_begin(call, TABLE_LINES);
    for (unsigned n = table->first; n <= table->last; n++) {
        if (read_entry(&listing, table, n, bytes)) {
            print_entry(&listing, n, n * 8 | selector_low, NULL, bytes);
        }
    }
    listing_end(&listing, "FIRST LAST chooses entries");
    return true;
}

static bool info_gdt(struct command_call *call)
{
    const struct table_register *gdtr = &call->vm->cpu->gdtr;
    struct table table = {.name = "GDT", .base = gdtr->base, .limit = gdtr->limit, .entry_size = 8};

    return print_table(call, &table, 0);
}

static bool info_ldt(struct command_call *call)
{
    const struct segment *ldtr = &call->vm->cpu->ldtr;
    struct table table = {.name = "LDT", .base = ldtr->base, .entry_size = 8};

    if (selector_is_null(ldtr->selector) || !(ldtr->attr & SEG_P) || (ldtr->attr & SEG_UNUSABLE)) {
        fprintf(call->out, "LDT: none (LDTR is null)\n");
        call->data = json_array();
        return true;
    }
    table.limit = MIN(ldtr->limit, 0xffffu); /* a selector reaches no further */
    return print_table(call, &table, 4);
}

/* ---- IDT ------------------------------------------------------------------------------------------------ */

static const char *vector_name(unsigned vector)
{
    static const char *const names[] = {
        "#DE divide error",
        "#DB debug",
        "NMI",
        "#BP breakpoint",
        "#OF overflow",
        "#BR bound range",
        "#UD invalid opcode",
        "#NM no math coprocessor",
        "#DF double fault",
        "coprocessor segment overrun",
        "#TS invalid TSS",
        "#NP segment not present",
        "#SS stack fault",
        "#GP general protection",
        "#PF page fault",
        "reserved",
        "#MF x87 error",
        "#AC alignment check",
        "#MC machine check",
        "#XM SIMD floating point",
    };

    return vector < ARRAY_LEN(names) ? names[vector] : "";
}

static void print_real_vector(struct listing *listing, unsigned n, const uint8_t bytes[4])
{
    unsigned segment = load_le16(bytes + 2), offset = load_le16(bytes);

    fprintf(listing->call->out, "%4u  %02x  %04x:%04x  %s\n", n, n, segment, offset, vector_name(n));
    listing_row(listing, json_pack("{s:I,s:I,s:I}", "index", (json_int_t)n, "segment", (json_int_t)segment,
                                   "offset", (json_int_t)offset));
}

static bool info_idt(struct command_call *call)
{
    const struct vcpu *cpu = call->vm->cpu;
    bool real = !(cpu->cr0 & CR0_PE);
    struct table table = {.name = real ? "IVT" : "IDT", .base = cpu->idtr.base, .limit = cpu->idtr.limit};
    struct listing listing;
    uint8_t bytes[8] = {0};

    table.limit = MIN(table.limit, real ? 0x3ffu : 0x7ffu); /* there are 256 vectors */
    table.entry_size = real ? 4 : 8;
    if (!choose_entries(call, &table)) {
        return table.all;
    }
    listing = listing_begin(call, TABLE_LINES);
    for (unsigned n = table.first; n <= table.last; n++) {
        if (!read_entry(&listing, &table, n, bytes)) {
            continue;
        }
        if (real) {
            print_real_vector(&listing, n, bytes);
        } else {
            print_entry(&listing, n, n, vector_name(n), bytes);
        }
    }
    listing_end(&listing, NULL);
    return true;
}

/* ---- TSS ------------------------------------------------------------------------------------------------ */

struct tss_field {
    const char *name;
    uint8_t offset, size; /* bytes */
};

static const struct tss_field tss32_fields[] = {
    {"link", 0, 2}, {"esp0", 4, 4},   {"ss0", 8, 2},     {"esp1", 12, 4},   {"ss1", 16, 2}, {"esp2", 20, 4},
    {"ss2", 24, 2}, {"cr3", 28, 4},   {"eip", 32, 4},    {"eflags", 36, 4}, {"eax", 40, 4}, {"ecx", 44, 4},
    {"edx", 48, 4}, {"ebx", 52, 4},   {"esp", 56, 4},    {"ebp", 60, 4},    {"esi", 64, 4}, {"edi", 68, 4},
    {"es", 72, 2},  {"cs", 76, 2},    {"ss", 80, 2},     {"ds", 84, 2},     {"fs", 88, 2},  {"gs", 92, 2},
    {"ldt", 96, 2}, {"trap", 100, 2}, {"iomap", 102, 2},
};

static const struct tss_field tss16_fields[] = {
    {"link", 0, 2}, {"sp0", 2, 2}, {"ss0", 4, 2},    {"sp1", 6, 2},  {"ss1", 8, 2}, {"sp2", 10, 2},
    {"ss2", 12, 2}, {"ip", 14, 2}, {"flags", 16, 2}, {"ax", 18, 2},  {"cx", 20, 2}, {"dx", 22, 2},
    {"bx", 24, 2},  {"sp", 26, 2}, {"bp", 28, 2},    {"si", 30, 2},  {"di", 32, 2}, {"es", 34, 2},
    {"cs", 36, 2},  {"ss", 38, 2}, {"ds", 40, 2},    {"ldt", 42, 2},
};

static void print_fields(struct command_call *call, const struct segment *tss, const struct tss_field *field,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[4] = {0};
        uint32_t value;

        fprintf(call->out, "%s%-6s ", i % 4 ? "  " : i ? "\n" : "", field[i].name);
        if (field[i].offset + field[i].size - 1u > tss->limit) {
            fprintf(call->out, "%-8s", "beyond");
        } else if (!guest_peek(call->vm->cpu, false, tss->base + field[i].offset, bytes, field[i].size)) {
            fprintf(call->out, "%-8s", "absent");
        } else {
            value = load_le32(bytes);
            fprintf(call->out, "%0*x%*s", 2 * field[i].size, value, 8 - 2 * field[i].size, "");
            json_object_set_new(call->data, field[i].name, json_integer(value));
        }
    }
    fputc('\n', call->out);
}

/* A clear bit allows its port at any CPL. Bits beyond the limit count as set. */
static bool port_allowed(const uint8_t *map, uint64_t bytes, unsigned port)
{
    return port / 8 + 1 < bytes && !(map[port / 8] >> port % 8 & 1);
}

static void print_ports(struct command_call *call, const struct segment *tss, unsigned map_base)
{
    static const unsigned ports = 65536;
    uint8_t map[65536 / 8 + 1];
    uint64_t bytes =
        map_base <= tss->limit ? MIN((uint64_t)sizeof(map), (uint64_t)tss->limit + 1 - map_base) : 0;
    unsigned ranges = 0;

    bytes = guest_read(call->vm->cpu, false, tss->base + map_base, map, bytes);
    fprintf(call->out, "ports allowed at any CPL:");
    for (unsigned port = 0; port < ports; port++) {
        unsigned first = port;

        while (port < ports && port_allowed(map, bytes, port)) {
            port++;
        }
        if (port > first && ranges++ < PORT_RANGES) {
            fprintf(call->out, " %04x-%04x", first, port - 1);
        }
    }
    fprintf(call->out, "%s\n", ranges == 0 ? " none" : ranges > PORT_RANGES ? " ..." : "");
}

static bool info_tss(struct command_call *call)
{
    const struct segment *tr = &call->vm->cpu->tr;
    struct segment tss = *tr;
    bool wide = tr->attr & TYPE_32BIT_BIT;
    uint8_t bytes[8];
    struct descriptor descriptor;
    uint64_t selector;

    if (call->count > 0) { /* another task's */
        TRY(command_value(call, 0, &selector));
        if (selector > call->vm->cpu->gdtr.limit - 7u || call->vm->cpu->gdtr.limit < 7 ||
            !guest_peek(call->vm->cpu, false, call->vm->cpu->gdtr.base + (selector & 0xfff8), bytes, 8)) {
            return command_fail(call, "there is no descriptor %llx in the GDT", (unsigned long long)selector);
        }
        descriptor_parse(&descriptor, bytes);
        tss = descriptor_segment(&descriptor, (uint16_t)selector);
        wide = tss.attr & TYPE_32BIT_BIT;
        if ((tss.attr & SEG_S) || (tss.attr & 5) != 1) {
            return command_fail(call, "descriptor %llx is no TSS", (unsigned long long)selector);
        }
    }
    fprintf(call->out, "TSS %s, selector %04x, base %08x, limit %08x%s\n", wide ? "32" : "16", tss.selector,
            (uint32_t)tss.base, tss.limit, selector_is_null(tss.selector) ? " (TR was never loaded)" : "");
    call->data = json_pack("{s:I,s:I,s:I}", "selector", (json_int_t)tss.selector, "base",
                           (json_int_t)tss.base, "limit", (json_int_t)tss.limit);
    if (wide) {
        print_fields(call, &tss, tss32_fields, ARRAY_LEN(tss32_fields));
        const json_t *base = json_object_get(call->data, "iomap");

        print_ports(call, &tss, base ? (unsigned)json_integer_value(base) : UINT32_MAX);
    } else {
        print_fields(call, &tss, tss16_fields, ARRAY_LEN(tss16_fields));
    }
    return true;
}

/* ---- sreg ----------------------------------------------------------------------------------------------- */

/* The descriptor that the selector names now. False: none, or not readable. */
static bool current_descriptor(const struct vcpu *cpu, uint16_t selector, struct descriptor *descriptor)
{
    bool local = selector & 4;
    uint64_t base = local ? cpu->ldtr.base : cpu->gdtr.base;
    uint32_t limit = local ? cpu->ldtr.limit : cpu->gdtr.limit, offset = selector & 0xfff8u;
    uint8_t bytes[8];

    TRY(!selector_is_null(selector) && offset + 7u <= limit &&
        guest_peek(cpu, false, base + offset, bytes, 8));
    descriptor_parse(descriptor, bytes);
    return true;
}

/* Where the table has changed since the register was loaded. */
static const char *staleness(const struct vcpu *cpu, const struct segment *segment)
{
    struct descriptor descriptor;
    struct segment now;

    if (!cpu->protected_mode || (segment->attr & SEG_UNUSABLE)) {
        return "";
    }
    if (!current_descriptor(cpu, segment->selector, &descriptor)) {
        return "; the table has no such descriptor now";
    }
    now = descriptor_segment(&descriptor, segment->selector);
    return now.base == segment->base && now.limit == segment->limit &&
                   !((now.attr ^ segment->attr) & ~(uint32_t)SEG_TYPE_ACCESSED)
               ? ""
               : "; the table says otherwise now";
}

static void print_register(struct command_call *call, const char *name, const struct segment *segment)
{
    const struct vcpu *cpu = call->vm->cpu;
    const char *stale = staleness(cpu, segment);
    char type[64];

    if (segment->attr & SEG_UNUSABLE) {
        snprintf(type, sizeof(type), "unusable");
    } else if (segment->attr & SEG_S) {
        segment_type_text(segment->attr, type, sizeof(type));
    } else {
        snprintf(type, sizeof(type), "%s", system_names[segment->attr & SEG_TYPE]);
    }
    fprintf(call->out, "%-4s %04x  base %08x limit %08x  DPL %u  %s  %s%s\n", name, segment->selector,
            (uint32_t)segment->base, segment->limit, segment_dpl(segment), segment->attr & SEG_P ? "P" : "-",
            type, stale);
    json_object_set_new(call->data, name,
                        json_pack("{s:I,s:I,s:I,s:I,s:s,s:b}", "selector", (json_int_t)segment->selector,
                                  "base", (json_int_t)segment->base, "limit", (json_int_t)segment->limit,
                                  "dpl", (json_int_t)segment_dpl(segment), "type", type, "stale",
                                  *stale != '\0'));
}

static bool run_sreg(struct command_call *call)
{
    static const char *const names[SEG_COUNT] = {"es", "cs", "ss", "ds", "fs", "gs"};
    const struct vcpu *cpu = call->vm->cpu;

    call->data = json_object();
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        print_register(call, names[i], &cpu->seg[i]);
    }
    print_register(call, "ldtr", &cpu->ldtr);
    print_register(call, "tr", &cpu->tr);
    fprintf(call->out, "gdtr base %08x limit %04x\nidtr base %08x limit %04x\n", (uint32_t)cpu->gdtr.base,
            cpu->gdtr.limit, (uint32_t)cpu->idtr.base, cpu->idtr.limit);
    return true;
}

static const struct command commands[] = {
    {"info gdt", NULL, "[FIRST [LAST]]", "the global descriptor table, decoded", NULL, false, 0, 2, info_gdt},
    {"info ldt", NULL, "[FIRST [LAST]]", "the local descriptor table", NULL, false, 0, 2, info_ldt},
    {"info idt", NULL, "[FIRST [LAST]]", "the interrupt descriptor table; in real mode the vectors", NULL,
     false, 0, 2, info_idt},
    {"info tss", NULL, "[SELECTOR]", "the task-state segment, and the ports that it allows", NULL, false, 0,
     1, info_tss},
    {"sreg", NULL, "", "segment registers with their hidden parts, and where the tables say otherwise now",
     NULL, false, 0, 0, run_sreg},
};

const struct command_group descriptor_group = {"Descriptor tables", commands, ARRAY_LEN(commands)};
