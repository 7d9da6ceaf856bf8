/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory and ports: x, xp, print, i, o, gva2gpa, memsave, pmemsave.
 *
 * Reading memory has no effect on devices or on accessed bits; reading a port has whatever effect it has for the guest.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/insn.h"
#include "monitor/groups.h"

enum { DUMP_MAX = 65536 };

/* "8xw": count, format letter (x d u o c i), size letter (b h w g). */
struct dump_format {
    unsigned count, size;
    char letter;
};

static bool parse_format(struct command_call *call, struct dump_format *format)
{
    const char *text = call->format;

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
            return command_fail(call, "unknown format letter '%c' (x d u o c i, sizes b h w g)", *text);
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

static bool dump_instructions(struct command_call *call, bool physical, uint64_t address, unsigned count)
{
    struct vm *vm = call->vm;

    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[15];
        unsigned available = 0;
        struct insn insn;
        char text[80];

        while (available < sizeof(bytes) && peek(vm, physical, address + available, &bytes[available], 1)) {
            available++;
        }
        if (insn_decode(bytes, available, vm->cpu->code32, vm->cpu->features, &insn) == DECODE_MORE) {
            return command_fail(call, "0x%08llx: not readable", (unsigned long long)address);
        }
        insn_format(&insn, address, text, sizeof(text));
        fprintf(call->out, "0x%08llx: %s\n", (unsigned long long)address, text);
        address += insn.length;
    }
    return true;
}

static bool dump_values(struct command_call *call, const struct dump_format *format, bool physical,
                        uint64_t address)
{
    unsigned per_line = 16 / format->size;

    for (unsigned i = 0; i < format->count; i++, address += format->size) {
        uint64_t value = 0;

        if (i % per_line == 0) {
            fprintf(call->out, "%s%08llx:", i ? "\n" : "", (unsigned long long)address);
        }
        if (!peek(call->vm, physical, address, &value, format->size)) {
            return command_fail(call, " not readable");
        }
        print_value(call->out, format, value);
    }
    fputc('\n', call->out);
    return true;
}

static bool dump(struct command_call *call, bool physical)
{
    struct dump_format format;
    uint64_t address;

    if (!parse_format(call, &format) || !command_tail_value(call, 0, &address)) {
        return false;
    }
    return format.letter == 'i' ? dump_instructions(call, physical, address, format.count)
                                : dump_values(call, &format, physical, address);
}

static bool run_x(struct command_call *call)
{
    return dump(call, false);
}

static bool run_xp(struct command_call *call)
{
    return dump(call, true);
}

static bool run_i(struct command_call *call)
{
    struct dump_format format;
    uint64_t port;

    if (!parse_format(call, &format) || !command_value(call, 0, &port)) {
        return false;
    }
    fprintf(call->out, "portb[0x%04x] =", (unsigned)(port & 0xffff));
    format.size = MIN(format.size, 4u);
    print_value(call->out, &format, addr_space_read(pc_ports(call->vm->pc), port & 0xffff, format.size));
    fputc('\n', call->out);
    return true;
}

static bool run_o(struct command_call *call)
{
    struct dump_format format;
    uint64_t port, value;

    if (!parse_format(call, &format) || !command_value(call, 0, &port) || !command_value(call, 1, &value)) {
        return false;
    }
    addr_space_write(pc_ports(call->vm->pc), port & 0xffff, value, MIN(format.size, 4u));
    return true;
}

/* print/FORMAT EXPR */
static bool run_print(struct command_call *call)
{
    struct dump_format format;
    uint64_t value;

    if (!parse_format(call, &format) || !command_tail_value(call, 0, &value)) {
        return false;
    }
    if (!strpbrk(call->format, "bhwg")) {
        format.size = value >> 32 ? 8 : 4;
    }
    if (format.letter == 'i') {
        return command_fail(call, "print shows values (x/i shows instructions)");
    }
    if (format.letter == 'x') {
        fprintf(call->out, " 0x%llx", (unsigned long long)value);
    } else {
        print_value(call->out, &format, value);
    }
    fputc('\n', call->out);
    call->data = json_pack("{s:I}", "value", (json_int_t)value);
    return true;
}

static bool run_gva2gpa(struct command_call *call)
{
    struct pagewalk walk;
    uint64_t address;

    if (!command_tail_value(call, 0, &address)) {
        return false;
    }
    if (!pagewalk(&call->vm->cpu->paging, address, PAGEWALK_READ, &walk)) {
        return command_fail(call, "not mapped (error code %04x)", walk.error_code);
    }
    fprintf(call->out, "gpa: 0x%llx\n", (unsigned long long)walk.gpa);
    return true;
}

static bool save_to(struct command_call *call, bool physical, uint64_t address, uint64_t size, FILE *file)
{
    for (uint64_t done = 0; done < size; done++) {
        uint8_t byte;

        if (!peek(call->vm, physical, address + done, &byte, 1)) {
            return command_fail(call, "stopped at 0x%llx: not readable",
                                (unsigned long long)(address + done));
        }
        fputc(byte, file);
    }
    return true;
}

static bool save(struct command_call *call, bool physical)
{
    uint64_t address, size;
    FILE *file;
    bool saved;

    if (!command_value(call, 0, &address) || !command_value(call, 1, &size)) {
        return false;
    }
    file = fopen(call->word[2], "wb");
    if (!file) {
        return command_fail(call, "cannot write '%s': %s", call->word[2], strerror(errno));
    }
    saved = save_to(call, physical, address, size, file);
    if (fclose(file) != 0) {
        return command_fail(call, "cannot write '%s': %s", call->word[2], strerror(errno));
    }
    return saved;
}

static bool run_memsave(struct command_call *call)
{
    return save(call, false);
}

static bool run_pmemsave(struct command_call *call)
{
    return save(call, true);
}

#define FORMATS                                                                                              \
    "FMT is a count, a letter (x d u o c i: hexadecimal, signed, unsigned, octal, character, instruction) "  \
    "and a size "                                                                                            \
    "(b h w g: 1, 2, 4, 8 bytes)."

static const struct command commands[] = {
    {"x", NULL, "/FMT ADDR", "dump memory at a linear address", FORMATS, false, 1, COMMAND_WORDS_MAX, run_x},
    {"xp", NULL, "/FMT ADDR", "dump memory at a physical address", FORMATS, false, 1, COMMAND_WORDS_MAX,
     run_xp},
    {"print", "p", "/FMT EXPR", "the value of an expression",
     "Registers ($eax, $cr3), symbols, memory in brackets, and C's operators; see docs/monitor.md.", false, 1,
     COMMAND_WORDS_MAX, run_print},
    {"i", NULL, "/FMT PORT", "read an I/O port", "The device does what it does when the guest reads.", false,
     1, 1, run_i},
    {"o", NULL, "/FMT PORT VALUE", "write an I/O port", NULL, false, 2, 2, run_o},
    {"gva2gpa", NULL, "ADDR", "translate a linear address", NULL, false, 1, COMMAND_WORDS_MAX, run_gva2gpa},
    {"memsave", NULL, "ADDR SIZE FILE", "save memory by linear address", NULL, false, 3, 3, run_memsave},
    {"pmemsave", NULL, "ADDR SIZE FILE", "save memory by physical address", NULL, false, 3, 3, run_pmemsave},
};

const struct command_group memory_group = {"Memory and ports", commands, ARRAY_LEN(commands)};
