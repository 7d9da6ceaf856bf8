/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One self-describing case: its header, parsed. README.md has the format.
 *
 * Numbers in a header may be symbols of the program (labels, selectors), which the assembler lists in a map
 * file.
 */
#ifndef TESTS_ISA_CASE_H
#define TESTS_ISA_CASE_H

#include "base/types.h"

enum {
    ISA_MAX_SYMBOLS = 2048,
    ISA_MAX_CHECKS = 64,
    ISA_MAX_EVENTS = 64,
    ISA_MAX_VALUES = 24,
    ISA_NAME_LENGTH = 64,
    ISA_MAX_BYTES = 64,
};

/* "eax=5": what a register, flag or doubleword of memory ("[address]") is or must be. */
struct isa_value {
    char name[ISA_NAME_LENGTH];
    uint32_t value;
};

struct isa_values {
    struct isa_value entry[ISA_MAX_VALUES];
    unsigned count;
};

/* "address = bytes" */
struct isa_memory {
    uint32_t address;
    unsigned count;
    uint8_t bytes[ISA_MAX_BYTES];
};

/* Something that the program reports while it runs. */
enum isa_event_kind {
    ISA_CHECKPOINT, /* CHECKPOINT was executed */
    ISA_INTERRUPT,  /* an interrupt or exception handler was entered */
};

struct isa_event {
    enum isa_event_kind kind;
    uint8_t vector; /* ISA_INTERRUPT */
    unsigned line;  /* of the header */
    struct isa_values values;
};

/* How the program must end. */
enum isa_end {
    ISA_END_HALT,
    ISA_END_EXCEPTION, /* the first exception, which finds no interrupt table */
    ISA_END_SHUTDOWN,  /* a triple fault with this chain of vectors */
};

struct isa_symbol {
    char name[ISA_NAME_LENGTH];
    uint32_t value;
};

struct isa_case {
    const char *path;
    unsigned line; /* being read */
    char title[160], mode[16], cpu[32];
    struct isa_values set, expect;
    struct isa_memory set_memory[ISA_MAX_CHECKS], expect_memory[ISA_MAX_CHECKS];
    unsigned set_memory_count, expect_memory_count;
    struct isa_event event[ISA_MAX_EVENTS];
    unsigned event_count;
    bool reports; /* has events: then the end state is compared where it is named, only */
    enum isa_end end;
    uint8_t vector[3]; /* of the exception; of the shutdown's chain */
    unsigned vector_count;
    struct isa_values end_values; /* error, eip, cr2 of the exception */
    struct isa_symbol symbol[ISA_MAX_SYMBOLS];
    unsigned symbol_count;
};

/* Read both files. What is wrong with them is printed and ends the program with status 2. */
void isa_case_read(struct isa_case *isa, const char *source_path, const char *map_path);

/* Value of a number, symbol or sum of them; ends the program when it is none. */
uint32_t isa_case_number(const struct isa_case *isa, const char *text);

/* The value given for `name`, or NULL. */
const struct isa_value *isa_values_find(const struct isa_values *values, const char *name);

/* "#PF", "int 0x30": the name of a vector. */
const char *isa_vector_name(uint8_t vector, char text[16]);

/* Print "path:line: ..." and exit with status 2: the case is wrong. */
void isa_case_bad(const struct isa_case *isa, const char *format, ...) __attribute__((noreturn))
PRINTF_LIKE(2, 3);

#endif
