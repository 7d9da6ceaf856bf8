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
#include "monitor/guest_memory.h"
#include "vm/symbols.h"

enum { DUMP_MAX = 65536, STRING_MAX = 256 };

/* "8xw": count, format letter, size letter (b h w g). */
struct dump_format {
    unsigned count, size;
    char letter;
};

#define FORMAT_LETTERS "xduotcafsiz"

/* What a letter means by a size that was not given. */
static unsigned default_size(char letter)
{
    return letter == 'c' || letter == 's' ? 1 : letter == 'f' ? 8 : 4;
}

static bool parse_format(struct command_call *call, struct dump_format *format)
{
    const char *text = call->format;

    *format = (struct dump_format){.count = 1, .letter = 'x'};
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
        } else if (strchr(FORMAT_LETTERS, *text)) {
            format->letter = *text;
        } else {
            return command_fail(call, "unknown format letter '%c' (x d u o t c a f s i z, sizes b h w g)",
                                *text);
        }
    }
    format->size = format->size ? format->size : default_size(format->letter);
    if (format->letter == 'f' && format->size < 4) {
        return command_fail(call, "there are no floating-point numbers of %u bytes (w: 4, g: 8)",
                            format->size);
    }
    return true;
}

static void print_binary(FILE *out, uint64_t value, unsigned size)
{
    fputs(" 0b", out);
    for (unsigned bit = 8 * size; bit-- > 0;) {
        fputc('0' + (int)(value >> bit & 1), out);
    }
}

static void print_float(FILE *out, uint64_t value, unsigned size)
{
    double number = 0;
    float single = 0;

    if (size == 4) {
        memcpy(&single, &value, sizeof(single));
        number = (double)single;
    } else {
        memcpy(&number, &value, sizeof(number));
    }
    fprintf(out, " %.*g", size == 4 ? 9 : 17, number);
}

/* A character as C writes it. */
static void print_character(FILE *out, unsigned char c, char quote)
{
    static const char named[] = "\n\r\t\b\f\a", letters[] = "nrtbfa";
    const char *name = c ? strchr(named, c) : NULL;

    if (name) {
        fprintf(out, "\\%c", letters[name - named]);
    } else if (c == (unsigned char)quote || c == '\\') {
        fprintf(out, "\\%c", c);
    } else if (c < ' ' || c > '~') {
        fprintf(out, "\\x%02x", c);
    } else {
        fputc(c, out);
    }
}

static void print_value(FILE *out, const struct vm *vm, const struct dump_format *format, uint64_t value)
{
    char symbol[80];

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
    case 't':
        print_binary(out, value, format->size);
        break;
    case 'c':
        fputs(" '", out);
        print_character(out, (unsigned char)value, '\'');
        fputc('\'', out);
        break;
    case 'f':
        print_float(out, value, format->size);
        break;
    case 'a':
        symbols_format(vm->symbols, value, symbol, sizeof(symbol));
        fprintf(out, " 0x%llx%s%s%s", (unsigned long long)value, *symbol ? " <" : "", symbol,
                *symbol ? ">" : "");
        break;
    default:
        fprintf(out, " 0x%0*llx", (int)format->size * 2, (unsigned long long)value);
        break;
    }
}

static bool dump_instructions(struct command_call *call, bool physical, uint64_t address, unsigned count)
{
    const struct vcpu *cpu = call->vm->cpu;

    call->data = json_array();
    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[15];
        unsigned available = (unsigned)guest_read(cpu, physical, address, bytes, sizeof(bytes));
        struct insn insn;
        char text[96], symbol[80];

        if (insn_decode(bytes, available, cpu->code32, cpu->features, &insn) == DECODE_MORE) {
            return command_fail(call, "0x%08llx: not readable", (unsigned long long)address);
        }
        insn_format(&insn, address, text, sizeof(text));
        symbols_format(physical ? NULL : call->vm->symbols, address, symbol, sizeof(symbol));
        fprintf(call->out, "0x%08llx%s%s%s: %s\n", (unsigned long long)address, *symbol ? " <" : "", symbol,
                *symbol ? ">" : "", text);
        json_array_append_new(call->data,
                              json_pack("{s:I,s:I,s:s,s:s}", "address", (json_int_t)address, "length",
                                        (json_int_t)insn.length, "text", text, "symbol", symbol));
        address += insn.length;
    }
    return true;
}

/* Strings, each up to its zero, or STRING_MAX bytes of it. */
static bool dump_strings(struct command_call *call, bool physical, uint64_t address, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char bytes[STRING_MAX];
        size_t available = guest_read(call->vm->cpu, physical, address, bytes, sizeof(bytes));
        size_t length = strnlen(bytes, available);

        fprintf(call->out, "%08llx: ", (unsigned long long)address);
        if (available == 0) {
            return command_fail(call, "not readable");
        }
        fputc('"', call->out);
        for (size_t j = 0; j < length; j++) {
            print_character(call->out, (unsigned char)bytes[j], '"');
        }
        fprintf(call->out, "\"%s\n", length < available ? "" : "...");
        address += length + (length < available ? 1 : 0);
    }
    return true;
}

static bool dump_values(struct command_call *call, const struct dump_format *format, bool physical,
                        uint64_t address)
{
    unsigned per_line = format->letter == 'a' || format->letter == 't' ? MAX(4 / format->size, 1u)
                        : format->letter == 'c'                        ? 8 / format->size
                                                                       : 16 / format->size;

    call->data = json_array();
    for (unsigned i = 0; i < format->count; i++, address += format->size) {
        uint64_t value = 0;

        if (i % per_line == 0) {
            fprintf(call->out, "%s%08llx:", i ? "\n" : "", (unsigned long long)address);
        }
        if (!guest_peek(call->vm->cpu, physical, address, &value, format->size)) {
            return command_fail(call, " not readable");
        }
        print_value(call->out, call->vm, format, value);
        json_array_append_new(call->data, json_integer((json_int_t)value));
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
    switch (format.letter) {
    case 'i':
        return dump_instructions(call, physical, address, format.count);
    case 's':
        return dump_strings(call, physical, address, format.count);
    default:
        return dump_values(call, &format, physical, address);
    }
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
    print_value(call->out, call->vm, &format,
                addr_space_read(call->vm->cpu->wiring.io, port & 0xffff, format.size));
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
    addr_space_write(call->vm->cpu->wiring.io, port & 0xffff, value, MIN(format.size, 4u));
    return true;
}

/* print/FORMAT EXPR */
static bool run_print(struct command_call *call)
{
    struct dump_format format;
    uint64_t value;
    char *text = NULL;
    size_t length;
    FILE *out;

    if (!parse_format(call, &format) || !command_tail_value(call, 0, &value)) {
        return false;
    }
    if (!strpbrk(call->format, "bhwg")) {
        format.size = value >> 32 ? 8 : 4;
    }
    if (format.letter == 'i') {
        return command_fail(call, "print shows values (x/i shows instructions)");
    }
    call->data = json_pack("{s:I}", "value", (json_int_t)value);
    if (format.letter == 'x') {
        fprintf(call->out, "0x%llx\n", (unsigned long long)value);
        return true;
    }
    out = open_memstream(&text, &length);
    if (!out) {
        return command_fail(call, "out of memory");
    }
    print_value(out, call->vm, &format, value);
    fclose(out);
    fprintf(call->out, "%s\n", text + (*text == ' ')); /* columns begin with a blank */
    free(text);
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
    for (uint64_t done = 0; done < size;) {
        uint8_t bytes[PAGE_SIZE];
        uint64_t wanted = MIN(size - done, (uint64_t)sizeof(bytes));
        uint64_t count = guest_read(call->vm->cpu, physical, address + done, bytes, wanted);

        done += fwrite(bytes, 1, count, file);
        if (count < wanted) {
            return command_fail(call, "stopped at 0x%llx: not readable",
                                (unsigned long long)(address + done));
        }
        if (ferror(file)) {
            return command_fail(call, "cannot write '%s': %s", call->word[2], strerror(errno));
        }
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
    if (!physical && size > BIT(32)) {
        return command_fail(call, "a linear address space has 4 GiB, not 0x%llx bytes",
                            (unsigned long long)size);
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
    "FMT is a count, a letter and a size (b h w g: 1, 2, 4, 8 bytes), as in gdb. Letters: x z hexadecimal, " \
    "d signed, u unsigned, o octal, t "                                                                      \
    "binary, c character, a address with its symbol, f floating-point number (w or g), s string up to its "  \
    "zero byte, i instruction."

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
