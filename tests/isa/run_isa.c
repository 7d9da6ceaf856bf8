/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * run_isa CASE.asm CASE.bin: execute one self-describing case on a bare machine and compare.
 *
 * The comment header of the source says what state to begin with and what must come out; README.md has the format.
 * The binary is the assembled source, loaded at 0x1000 and entered there.
 *
 * Exit status: 0 passed, 1 failed (each difference is a line on stderr), 2 the case itself is wrong.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>

#include "tests/isa/bare_machine.h"

enum { LOAD_ADDRESS = 0x1000, STACK_TOP = 0x8000, BUDGET = 1000000, LINE_MAX_LENGTH = 512, MAX_CHECKS = 64 };

struct name_value {
    const char *name;
    uint64_t value;
};

static const char *const register_names[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

static const struct name_value flag_names[] = {
    {"cf", RFLAGS_CF}, {"pf", RFLAGS_PF}, {"af", RFLAGS_AF}, {"zf", RFLAGS_ZF},
    {"sf", RFLAGS_SF}, {"tf", RFLAGS_TF}, {"if", RFLAGS_IF}, {"df", RFLAGS_DF},
    {"of", RFLAGS_OF}, {"nt", RFLAGS_NT}, {"ac", RFLAGS_AC}, {NULL, 0},
};

static const struct name_value exception_names[] = {
    {"#DE", EXC_DE}, {"#DB", EXC_DB}, {"#BP", EXC_BP}, {"#OF", EXC_OF}, {"#BR", EXC_BR}, {"#UD", EXC_UD},
    {"#NM", EXC_NM}, {"#TS", EXC_TS}, {"#NP", EXC_NP}, {"#SS", EXC_SS}, {"#GP", EXC_GP}, {"#PF", EXC_PF},
    {"#MF", EXC_MF}, {"#AC", EXC_AC}, {"#XM", EXC_XM}, {NULL, 0},
};

struct memory_check {
    uint32_t address;
    unsigned count;
    uint8_t bytes[64];
};

/* What the header says. */
struct isa_case {
    char title[128], mode[16];
    uint32_t set[8], expect[8];
    bool set_given[8], expect_given[8];
    uint64_t set_flags, set_flags_mask, expect_flags, expect_flags_mask;
    struct memory_check set_memory[MAX_CHECKS], expect_memory[MAX_CHECKS];
    unsigned set_memory_count, expect_memory_count;
    bool exception;
    uint8_t vector;
    bool error_given, eip_given, cr2_given;
    uint32_t error_code, eip, cr2;
};

static const char *case_path;
static unsigned line_number, failures;

PRINTF_LIKE(1, 2) static void bad_case(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s:%u: ", case_path, line_number);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

PRINTF_LIKE(1, 2) static void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s: ", case_path);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    failures++;
}

/* ---- Reading the header --------------------------------------------------------------------------------- */

static uint32_t parse_number(const char *text)
{
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 0);
    if (errno || end == text || *end || value < INT32_MIN || value > UINT32_MAX) {
        bad_case("'%s' is not a 32-bit number", text);
    }
    return (uint32_t)value;
}

static bool find_name(const struct name_value *table, const char *name, uint64_t *value)
{
    for (; table->name; table++) {
        if (strcmp(table->name, name) == 0) {
            *value = table->value;
            return true;
        }
    }
    return false;
}

/* "eax=1" or "cf=1" into one of the two sets. */
static void parse_assignment(char *word, uint32_t registers[8], bool given[8], uint64_t *flags,
                             uint64_t *mask)
{
    char *equals = strchr(word, '=');
    uint64_t flag;

    if (!equals) {
        bad_case("'%s' is not name=value", word);
    }
    *equals = 0;
    uint32_t value = parse_number(equals + 1);
    for (unsigned i = 0; i < 8; i++) {
        if (strcmp(word, register_names[i]) == 0) {
            registers[i] = value;
            given[i] = true;
            return;
        }
    }
    if (!find_name(flag_names, word, &flag)) {
        bad_case("'%s' is neither a register nor a flag", word);
    }
    *mask |= flag;
    *flags = value ? *flags | flag : *flags & ~flag;
}

/* "0x2000 = 01 02 03" */
static void parse_memory(char *text, struct memory_check *checks, unsigned *count)
{
    char *equals = strchr(text, '='), *save;

    if (!equals || *count == MAX_CHECKS) {
        bad_case("'%s' is not address = bytes", text);
    }
    *equals = 0;
    struct memory_check *check = &checks[(*count)++];
    check->address = parse_number(strtok_r(text, " \t", &save));
    for (char *word = strtok_r(equals + 1, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        char *end;
        unsigned long byte = strtoul(word, &end, 16);
        if (*end || byte > 0xff || check->count == sizeof(check->bytes)) {
            bad_case("'%s' is not a byte, or one too many", word);
        }
        check->bytes[check->count++] = (uint8_t)byte;
    }
}

/* "#PF error=2 eip=0x1003 cr2=0x2000" */
static void parse_exception(char *text, struct isa_case *isa)
{
    char *save, *word = strtok_r(text, " \t", &save);
    uint64_t vector = 0;

    if (!word || !find_name(exception_names, word, &vector)) {
        bad_case("unknown exception");
    }
    isa->exception = true;
    isa->vector = (uint8_t)vector;
    while ((word = strtok_r(NULL, " \t", &save))) {
        if (strncmp(word, "error=", 6) == 0) {
            isa->error_given = true;
            isa->error_code = parse_number(word + 6);
        } else if (strncmp(word, "eip=", 4) == 0) {
            isa->eip_given = true;
            isa->eip = parse_number(word + 4);
        } else if (strncmp(word, "cr2=", 4) == 0) {
            isa->cr2_given = true;
            isa->cr2 = parse_number(word + 4);
        } else {
            bad_case("'%s' is not error=, eip= or cr2=", word);
        }
    }
}

static void parse_words(char *text, uint32_t registers[8], bool given[8], uint64_t *flags, uint64_t *mask)
{
    char *save;

    for (char *word = strtok_r(text, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        parse_assignment(word, registers, given, flags, mask);
    }
}

static void parse_field(const char *key, char *value, struct isa_case *isa)
{
    if (strcmp(key, "isa") == 0) {
        snprintf(isa->title, sizeof(isa->title), "%s", value);
    } else if (strcmp(key, "mode") == 0) {
        snprintf(isa->mode, sizeof(isa->mode), "%s", value);
    } else if (strcmp(key, "set") == 0) {
        parse_words(value, isa->set, isa->set_given, &isa->set_flags, &isa->set_flags_mask);
    } else if (strcmp(key, "expect") == 0) {
        parse_words(value, isa->expect, isa->expect_given, &isa->expect_flags, &isa->expect_flags_mask);
    } else if (strcmp(key, "mem") == 0) {
        parse_memory(value, isa->set_memory, &isa->set_memory_count);
    } else if (strcmp(key, "expect-mem") == 0) {
        parse_memory(value, isa->expect_memory, &isa->expect_memory_count);
    } else if (strcmp(key, "expect-exception") == 0) {
        parse_exception(value, isa);
    } else {
        bad_case("unknown field '%s'", key);
    }
}

/* Lines "; key: value" from the second line on; any other line ends the header. */
static void parse_case(FILE *file, struct isa_case *isa)
{
    char line[LINE_MAX_LENGTH];

    while (fgets(line, sizeof(line), file)) {
        line_number++;
        char *colon = strchr(line, ':'), *key = line + 1;
        if (strstr(line, "SPDX")) {
            continue;
        }
        if (line[0] != ';' || !colon) {
            break;
        }
        *colon = 0;
        while (isspace((unsigned char)*key)) {
            key++;
        }
        char *value = colon + 1;
        while (isspace((unsigned char)*value)) {
            value++;
        }
        value[strcspn(value, "\r\n")] = 0;
        parse_field(key, value, isa);
    }
    if (!*isa->title || !*isa->mode) {
        bad_case("a case needs the fields 'isa' and 'mode'");
    }
}

/* ---- Running -------------------------------------------------------------------------------------------- */

static void enter_mode(struct bare_machine *bare, const struct isa_case *isa)
{
    if (strcmp(isa->mode, "flat32") == 0) {
        bare_enter_protected(bare, 32);
    } else if (strcmp(isa->mode, "flat16") == 0) {
        bare_enter_protected(bare, 16);
    } else if (strcmp(isa->mode, "real16") == 0) {
        bare_enter_real(bare);
    } else {
        bad_case("unknown mode '%s'", isa->mode);
    }
}

static void load_binary(struct bare_machine *bare, const char *path)
{
    static uint8_t bytes[0x7000];
    FILE *file = fopen(path, "rb");

    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t count = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    bare_load(bare, LOAD_ADDRESS, bytes, count);
}

static void set_up(struct bare_machine *bare, struct isa_case *isa)
{
    enter_mode(bare, isa);
    if (!isa->set_given[RSP]) {
        isa->set[RSP] = STACK_TOP;
    }
    for (unsigned i = 0; i < 8; i++) {
        set_reg32(bare->cpu, i, isa->set[i]);
    }
    bare->cpu->rflags = RFLAGS_FIXED1 | isa->set_flags;
    bare->cpu->rip = LOAD_ADDRESS;
    for (unsigned i = 0; i < isa->set_memory_count; i++) {
        bare_load(bare, isa->set_memory[i].address, isa->set_memory[i].bytes, isa->set_memory[i].count);
    }
    vcpu_sync(bare->cpu);
}

/* ---- Comparing ------------------------------------------------------------------------------------------ */

/*
 * The bare machine has no interrupt table, so delivering the exception failed with #GP, whose error code names the
 * gate that was missing (index << 3 | IDT | EXT). That the report begins with a benign exception's #GP, and with
 * the exception itself otherwise, is the rule for combining them.
 */
static uint8_t first_vector(const struct shutdown_report *report, bool *error_known)
{
    bool missing_gate = report->vector[0] == EXC_GP && (report->error_code[0] & 2);

    *error_known = !missing_gate;
    return missing_gate ? (uint8_t)(report->error_code[0] >> 3) : report->vector[0];
}

static void compare_exception(const struct bare_machine *bare, const struct isa_case *isa, enum vcpu_exit why)
{
    const struct shutdown_report *report = &bare->cpu->shutdown;
    bool error_known;

    if (!isa->exception) {
        if (why == VCPU_EXIT_SHUTDOWN) {
            fail("unexpected exception %u at %x", first_vector(report, &error_known), (uint32_t)report->rip);
        } else if (why != VCPU_EXIT_HALT) {
            fail("did not reach HLT, stopped at %x", (uint32_t)bare->cpu->rip);
        }
        return;
    }
    if (why != VCPU_EXIT_SHUTDOWN) {
        fail("exception %u was expected, none came", isa->vector);
        return;
    }
    uint8_t vector = first_vector(report, &error_known);
    if (vector != isa->vector) {
        fail("exception %u was expected, %u came", isa->vector, vector);
    }
    if (isa->error_given && error_known && report->error_code[0] != isa->error_code) {
        fail("error code %x, expected %x", report->error_code[0], isa->error_code);
    }
    if (isa->eip_given && report->rip != isa->eip) {
        fail("exception at %x, expected at %x", (uint32_t)report->rip, isa->eip);
    }
    if (isa->cr2_given && report->cr2 != isa->cr2) {
        fail("CR2 %x, expected %x", (uint32_t)report->cr2, isa->cr2);
    }
}

static void compare_registers(const struct bare_machine *bare, const struct isa_case *isa)
{
    for (unsigned i = 0; i < 8; i++) {
        uint32_t expected = isa->expect_given[i] ? isa->expect[i] : isa->set[i], value = reg32(bare->cpu, i);
        if (value != expected) {
            fail("%s is %08x, expected %08x", register_names[i], value, expected);
        }
    }
    for (const struct name_value *flag = flag_names; flag->name; flag++) {
        bool value = (bare->cpu->rflags & flag->value) != 0,
             expected = (isa->expect_flags & flag->value) != 0;
        if ((isa->expect_flags_mask & flag->value) && value != expected) {
            fail("%s is %d, expected %d", flag->name, value, expected);
        }
    }
}

static void compare_memory(struct bare_machine *bare, const struct isa_case *isa)
{
    for (unsigned i = 0; i < isa->expect_memory_count; i++) {
        const struct memory_check *check = &isa->expect_memory[i];
        for (unsigned j = 0; j < check->count; j++) {
            uint8_t byte;
            addr_space_peek(&bare->mem, check->address + j, &byte, 1);
            if (byte != check->bytes[j]) {
                fail("memory at %x is %02x, expected %02x", check->address + j, byte, check->bytes[j]);
            }
        }
    }
}

int main(int argc, char **argv)
{
    static struct bare_machine bare;
    static struct isa_case isa;

    if (argc != 3) {
        fprintf(stderr, "usage: run_isa CASE.asm CASE.bin\n");
        return 2;
    }
    case_path = argv[1];
    FILE *file = fopen(case_path, "r");
    if (!file) {
        fprintf(stderr, "%s: %s\n", case_path, strerror(errno));
        return 2;
    }
    parse_case(file, &isa);
    fclose(file);

    bare_init(&bare);
    set_up(&bare, &isa);
    load_binary(&bare, argv[2]);
    enum vcpu_exit why = interp_run(bare.cpu, BUDGET);
    compare_exception(&bare, &isa, why);
    compare_registers(&bare, &isa);
    compare_memory(&bare, &isa);
    bare_fini(&bare);
    return failures != 0;
}
