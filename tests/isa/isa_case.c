/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading a case: the header of its source ("; key: value" lines) and the symbols of its map file.
 *
 * The map file is NASM's ([map symbols]): lines "value name" for absolute symbols, "real virtual name" for
 * labels.
 */
#include "tests/isa/isa_case.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/vcpu.h"

enum { LINE_LENGTH = 1024 };

static const struct {
    const char *name;
    uint8_t vector;
} vectors[] = {
    {"#DE", EXC_DE}, {"#DB", EXC_DB}, {"NMI", EXC_NMI}, {"#BP", EXC_BP}, {"#OF", EXC_OF}, {"#BR", EXC_BR},
    {"#UD", EXC_UD}, {"#NM", EXC_NM}, {"#DF", EXC_DF},  {"#TS", EXC_TS}, {"#NP", EXC_NP}, {"#SS", EXC_SS},
    {"#GP", EXC_GP}, {"#PF", EXC_PF}, {"#MF", EXC_MF},  {"#AC", EXC_AC}, {"#XM", EXC_XM},
};

void isa_case_bad(const struct isa_case *isa, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s:%u: ", isa->path, isa->line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

const char *isa_vector_name(uint8_t vector, char text[16])
{
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        if (vectors[i].vector == vector) {
            return vectors[i].name;
        }
    }
    snprintf(text, 16, "int 0x%02x", vector);
    return text;
}

const struct isa_value *isa_values_find(const struct isa_values *values, const char *name)
{
    for (unsigned i = 0; i < values->count; i++) {
        if (strcmp(values->entry[i].name, name) == 0) {
            return &values->entry[i];
        }
    }
    return NULL;
}

/* ---- Numbers and symbols ------------------------------------------------------------------------------- */

static bool parse_number(const char *text, size_t length, uint32_t *value)
{
    char copy[ISA_NAME_LENGTH], *end;

    if (length == 0 || length >= sizeof(copy) || !(isdigit((unsigned char)*text) || *text == '-')) {
        return false;
    }
    snprintf(copy, sizeof(copy), "%.*s", (int)length, text);
    long long number = strtoll(copy, &end, 0);
    *value = (uint32_t)number;
    return !*end && number >= INT32_MIN && number <= UINT32_MAX;
}

static bool find_symbol(const struct isa_case *isa, const char *text, size_t length, uint32_t *value)
{
    for (unsigned i = 0; i < isa->symbol_count; i++) {
        const char *name = isa->symbol[i].name;
        if (strlen(name) == length && strncmp(name, text, length) == 0) {
            *value = isa->symbol[i].value;
            return true;
        }
    }
    return false;
}

uint32_t isa_case_number(const struct isa_case *isa, const char *text)
{
    uint32_t sum = 0;

    for (const char *at = text;; at++) {
        size_t length = strcspn(at, "+");
        uint32_t value;
        if (!parse_number(at, length, &value) && !find_symbol(isa, at, length, &value)) {
            isa_case_bad(isa, "'%s' is neither a 32-bit number nor a symbol", text);
        }
        sum += value;
        at += length;
        if (!*at) {
            return sum;
        }
    }
}

static bool parse_hex(const char *text, uint32_t *value)
{
    char *end;

    *value = (uint32_t)strtoul(text, &end, 16);
    return end != text && !*end;
}

static void read_map(struct isa_case *isa, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[LINE_LENGTH];

    if (!file) {
        isa_case_bad(isa, "%s: %s", path, strerror(errno));
    }
    while (fgets(line, sizeof(line), file) && isa->symbol_count < ISA_MAX_SYMBOLS) {
        char first[ISA_NAME_LENGTH], second[ISA_NAME_LENGTH], third[ISA_NAME_LENGTH];
        int count = sscanf(line, "%63s %63s %63s", first, second, third);
        struct isa_symbol *symbol = &isa->symbol[isa->symbol_count];
        if (count < 2 || !parse_hex(count == 3 ? second : first, &symbol->value)) {
            continue;
        }
        memcpy(symbol->name, count == 3 ? third : second, sizeof(symbol->name));
        isa->symbol_count++;
    }
    fclose(file);
}

/* ---- Fields -------------------------------------------------------------------------------------------- */

/* "eax=1 cf=0 [label]=3" from `save` of a strtok_r in progress. */
static void parse_values(const struct isa_case *isa, char **save, struct isa_values *values)
{
    for (char *word = strtok_r(NULL, " \t", save); word; word = strtok_r(NULL, " \t", save)) {
        char *equals = strchr(word, '=');
        if (!equals || values->count == ISA_MAX_VALUES || equals - word >= ISA_NAME_LENGTH) {
            isa_case_bad(isa, "'%s' is not name=value, or one too many", word);
        }
        *equals = 0;
        struct isa_value *value = &values->entry[values->count++];
        snprintf(value->name, sizeof(value->name), "%s", word);
        value->value = isa_case_number(isa, equals + 1);
    }
}

static void parse_value_line(const struct isa_case *isa, char *text, struct isa_values *values)
{
    char *save = text; /* where strtok_r continues from */

    parse_values(isa, &save, values);
}

/* "0x2000 = 01 02 03" */
static void parse_memory(const struct isa_case *isa, char *text, struct isa_memory *memories, unsigned *count)
{
    char *equals = strchr(text, '='), *save;

    if (!equals || *count == ISA_MAX_CHECKS) {
        isa_case_bad(isa, "'%s' is not address = bytes, or one too many", text);
    }
    *equals = 0;
    struct isa_memory *memory = &memories[(*count)++];
    char *address = strtok_r(text, " \t", &save);
    memory->address = isa_case_number(isa, address ? address : "");
    for (char *word = strtok_r(equals + 1, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        char *end;
        unsigned long byte = strtoul(word, &end, 16);
        if (*end || byte > 0xff || memory->count == ISA_MAX_BYTES) {
            isa_case_bad(isa, "'%s' is not a byte, or one too many", word);
        }
        memory->bytes[memory->count++] = (uint8_t)byte;
    }
}

static uint8_t parse_vector(const struct isa_case *isa, const char *word)
{
    for (size_t i = 0; word && i < ARRAY_LEN(vectors); i++) {
        if (strcmp(word, vectors[i].name) == 0) {
            return vectors[i].vector;
        }
    }
    isa_case_bad(isa, "unknown exception '%s'", word ? word : "");
}

/* "checkpoint eax=1", "#PF error=2", "int 0x20 if=1" */
static void parse_event(struct isa_case *isa, char *text)
{
    char *save, *word = strtok_r(text, " \t", &save);

    if (isa->event_count == ISA_MAX_EVENTS) {
        isa_case_bad(isa, "too many events");
    }
    struct isa_event *event = &isa->event[isa->event_count++];
    event->line = isa->line;
    event->kind = ISA_INTERRUPT;
    if (word && strcmp(word, "checkpoint") == 0) {
        event->kind = ISA_CHECKPOINT;
    } else if (word && strcmp(word, "int") == 0) {
        char *number = strtok_r(NULL, " \t", &save);
        event->vector = (uint8_t)isa_case_number(isa, number ? number : "");
    } else {
        event->vector = parse_vector(isa, word);
    }
    parse_values(isa, &save, &event->values);
    isa->reports = true;
}

/* "#PF error=2 eip=0x1003 cr2=0x2000" */
static void parse_exception(struct isa_case *isa, char *text)
{
    char *save;

    isa->end = ISA_END_EXCEPTION;
    isa->vector[0] = parse_vector(isa, strtok_r(text, " \t", &save));
    isa->vector_count = 1;
    parse_values(isa, &save, &isa->end_values);
}

/* "#PF #NP #DF" */
static void parse_shutdown(struct isa_case *isa, char *text)
{
    char *save;

    isa->end = ISA_END_SHUTDOWN;
    for (char *word = strtok_r(text, " \t", &save); word; word = strtok_r(NULL, " \t", &save)) {
        if (isa->vector_count == ARRAY_LEN(isa->vector)) {
            isa_case_bad(isa, "a shutdown has at most three exceptions");
        }
        isa->vector[isa->vector_count++] = parse_vector(isa, word);
    }
}

static void parse_field(struct isa_case *isa, const char *key, char *value)
{
    if (strcmp(key, "isa") == 0) {
        snprintf(isa->title, sizeof(isa->title), "%s", value);
    } else if (strcmp(key, "mode") == 0) {
        snprintf(isa->mode, sizeof(isa->mode), "%s", value);
    } else if (strcmp(key, "cpu") == 0) {
        snprintf(isa->cpu, sizeof(isa->cpu), "%s", value);
    } else if (strcmp(key, "set") == 0) {
        parse_value_line(isa, value, &isa->set);
    } else if (strcmp(key, "expect") == 0) {
        parse_value_line(isa, value, &isa->expect);
    } else if (strcmp(key, "mem") == 0) {
        parse_memory(isa, value, isa->set_memory, &isa->set_memory_count);
    } else if (strcmp(key, "expect-mem") == 0) {
        parse_memory(isa, value, isa->expect_memory, &isa->expect_memory_count);
    } else if (strcmp(key, "event") == 0) {
        parse_event(isa, value);
    } else if (strcmp(key, "expect-exception") == 0) {
        parse_exception(isa, value);
    } else if (strcmp(key, "expect-shutdown") == 0) {
        parse_shutdown(isa, value);
    } else {
        isa_case_bad(isa, "unknown field '%s'", key);
    }
}

/* Split "; key: value # remark". False: not a line of the header. */
static bool split_line(char *line, char **key, char **value)
{
    char *colon = strchr(line, ':');

    if (line[0] != ';' || !colon) {
        return false;
    }
    *colon = 0;
    *key = line + 1 + strspn(line + 1, " \t");
    *value = colon + 1 + strspn(colon + 1, " \t");
    (*value)[strcspn(*value, "\r\n")] = 0;
    char *remark = strstr(*value, " # ");
    if (remark) {
        *remark = 0;
    }
    return true;
}

void isa_case_read(struct isa_case *isa, const char *source_path, const char *map_path)
{
    char line[LINE_LENGTH], *key, *value;

    isa->path = source_path;
    read_map(isa, map_path);
    FILE *file = fopen(source_path, "r");
    if (!file) {
        isa_case_bad(isa, "%s", strerror(errno));
    }
    while (fgets(line, sizeof(line), file)) {
        isa->line++;
        if (strstr(line, "SPDX")) {
            continue;
        }
        if (!split_line(line, &key, &value)) {
            break;
        }
        parse_field(isa, key, value);
    }
    fclose(file);
    if (!*isa->title || !*isa->mode) {
        isa_case_bad(isa, "a case needs the fields 'isa' and 'mode'");
    }
}
