/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Expressions: a parser by precedence climbing that writes postfix code, and the machine that runs it.
 *
 *     $eax == 1 && [$esp + 4] != 0     eax  1  ==  and-> 9  esp  4  +  read4  0  !=  truth
 *                                                     |                                  ^
 *                                                     '--- the value is 0 ---------------'
 *
 * Conditions of breakpoints are evaluated each time the guest comes by, so names are looked up once, while parsing, and
 * evaluation neither allocates nor recurses. How deep the values can pile up is known from parsing, and bounded.
 */
#include "monitor/expression.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "vm/debugger.h"
#include "vm/symbols.h"
#include "vm/vm.h"

enum { STEPS_MAX = 512, VALUES_MAX = 64, NESTED_MAX = 64, NAME_SIZE = 256 };

enum operation {
    OP_VALUE,
    OP_REGISTER,
    OP_READ,
    OP_NOT,
    OP_COMPLEMENT,
    OP_NEGATE,
    OP_TRUTH,      /* 0 stays, anything else becomes 1 */
    OP_AND_THEN,   /* 0: jump with a 0; else drop it */
    OP_OR_ELSE,    /* not 0: jump with a 1; else drop it */
    OP_JUMP_FALSE, /* drop it, and jump if it was 0 */
    OP_JUMP,
    OP_MULTIPLY, /* from here on: two values become one */
    OP_DIVIDE,
    OP_MODULO,
    OP_ADD,
    OP_SUBTRACT,
    OP_SHIFT_LEFT,
    OP_SHIFT_RIGHT,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_EQUAL,
    OP_UNEQUAL,
    OP_AND,
    OP_XOR,
    OP_OR,
};

struct step {
    uint8_t operation; /* enum operation */
    uint8_t size;      /* OP_READ: bytes */
    bool physical;     /* OP_READ */
    uint16_t target;   /* jumps */
    uint64_t value;    /* OP_VALUE; OP_REGISTER: index into registers[] */
};

struct expression {
    unsigned count;
    struct step step[];
};

/* ---- registers ---- */

enum register_kind {
    REGISTER_32,
    REGISTER_16,
    REGISTER_8,
    REGISTER_IP,
    REGISTER_PC, /* linear: CS.base + EIP */
    REGISTER_FLAGS,
    REGISTER_FLAG, /* index: its bit */
    REGISTER_IOPL,
    REGISTER_SELECTOR,
    REGISTER_BASE,
    REGISTER_LIMIT,
    REGISTER_CR,
    REGISTER_DR,
    REGISTER_EFER,
    REGISTER_GDT,
    REGISTER_IDT,
    REGISTER_CPL,
    REGISTER_INSNS,
};

enum { LDTR = SEG_COUNT, TR };

static const struct {
    const char *name;
    uint8_t kind, index;
} registers[] = {
    {"eax", REGISTER_32, RAX},
    {"ecx", REGISTER_32, RCX},
    {"edx", REGISTER_32, RDX},
    {"ebx", REGISTER_32, RBX},
    {"esp", REGISTER_32, RSP},
    {"ebp", REGISTER_32, RBP},
    {"esi", REGISTER_32, RSI},
    {"edi", REGISTER_32, RDI},
    {"ax", REGISTER_16, RAX},
    {"cx", REGISTER_16, RCX},
    {"dx", REGISTER_16, RDX},
    {"bx", REGISTER_16, RBX},
    {"sp", REGISTER_16, RSP},
    {"bp", REGISTER_16, RBP},
    {"si", REGISTER_16, RSI},
    {"di", REGISTER_16, RDI},
    {"al", REGISTER_8, 0},
    {"cl", REGISTER_8, 1},
    {"dl", REGISTER_8, 2},
    {"bl", REGISTER_8, 3},
    {"ah", REGISTER_8, 4},
    {"ch", REGISTER_8, 5},
    {"dh", REGISTER_8, 6},
    {"bh", REGISTER_8, 7},
    {"eip", REGISTER_IP, 0},
    {"ip", REGISTER_IP, 0},
    {"pc", REGISTER_PC, 0},
    {"eflags", REGISTER_FLAGS, 0},
    {"flags", REGISTER_FLAGS, 0},
    {"cf", REGISTER_FLAG, 0},
    {"pf", REGISTER_FLAG, 2},
    {"af", REGISTER_FLAG, 4},
    {"zf", REGISTER_FLAG, 6},
    {"sf", REGISTER_FLAG, 7},
    {"tf", REGISTER_FLAG, 8},
    {"if", REGISTER_FLAG, 9},
    {"df", REGISTER_FLAG, 10},
    {"of", REGISTER_FLAG, 11},
    {"iopl", REGISTER_IOPL, 0},
    {"nt", REGISTER_FLAG, 14},
    {"rf", REGISTER_FLAG, 16},
    {"vm", REGISTER_FLAG, 17},
    {"ac", REGISTER_FLAG, 18},
    {"es", REGISTER_SELECTOR, SEG_ES},
    {"cs", REGISTER_SELECTOR, SEG_CS},
    {"ss", REGISTER_SELECTOR, SEG_SS},
    {"ds", REGISTER_SELECTOR, SEG_DS},
    {"fs", REGISTER_SELECTOR, SEG_FS},
    {"gs", REGISTER_SELECTOR, SEG_GS},
    {"ldtr", REGISTER_SELECTOR, LDTR},
    {"tr", REGISTER_SELECTOR, TR},
    {"es.base", REGISTER_BASE, SEG_ES},
    {"cs.base", REGISTER_BASE, SEG_CS},
    {"ss.base", REGISTER_BASE, SEG_SS},
    {"ds.base", REGISTER_BASE, SEG_DS},
    {"fs.base", REGISTER_BASE, SEG_FS},
    {"gs.base", REGISTER_BASE, SEG_GS},
    {"ldtr.base", REGISTER_BASE, LDTR},
    {"tr.base", REGISTER_BASE, TR},
    {"es.limit", REGISTER_LIMIT, SEG_ES},
    {"cs.limit", REGISTER_LIMIT, SEG_CS},
    {"ss.limit", REGISTER_LIMIT, SEG_SS},
    {"ds.limit", REGISTER_LIMIT, SEG_DS},
    {"fs.limit", REGISTER_LIMIT, SEG_FS},
    {"gs.limit", REGISTER_LIMIT, SEG_GS},
    {"ldtr.limit", REGISTER_LIMIT, LDTR},
    {"tr.limit", REGISTER_LIMIT, TR},
    {"cr0", REGISTER_CR, 0},
    {"cr2", REGISTER_CR, 2},
    {"cr3", REGISTER_CR, 3},
    {"cr4", REGISTER_CR, 4},
    {"dr0", REGISTER_DR, 0},
    {"dr1", REGISTER_DR, 1},
    {"dr2", REGISTER_DR, 2},
    {"dr3", REGISTER_DR, 3},
    {"dr6", REGISTER_DR, 6},
    {"dr7", REGISTER_DR, 7},
    {"efer", REGISTER_EFER, 0},
    {"gdtr.base", REGISTER_GDT, 0},
    {"gdtr.limit", REGISTER_GDT, 1},
    {"idtr.base", REGISTER_IDT, 0},
    {"idtr.limit", REGISTER_IDT, 1},
    {"cpl", REGISTER_CPL, 0},
    {"insns", REGISTER_INSNS, 0},
};

static bool find_register(const char *name, unsigned *index)
{
    for (unsigned i = 0; i < ARRAY_LEN(registers); i++) {
        if (!strcasecmp(registers[i].name, name)) {
            *index = i;
            return true;
        }
    }
    return false;
}

static const struct segment *segment_of(const struct vcpu *cpu, unsigned index)
{
    return index == LDTR ? &cpu->ldtr : index == TR ? &cpu->tr : &cpu->seg[index];
}

static uint64_t control_register(const struct vcpu *cpu, unsigned index)
{
    return index == 0 ? cpu->cr0 : index == 2 ? cpu->cr2 : index == 3 ? cpu->cr3 : cpu->cr4;
}

static uint64_t register_value(const struct vcpu *cpu, unsigned i)
{
    unsigned index = registers[i].index;

    switch ((enum register_kind)registers[i].kind) {
    case REGISTER_32:
        return reg32(cpu, index);
    case REGISTER_16:
        return reg16(cpu, index);
    case REGISTER_8:
        return reg8(cpu, index);
    case REGISTER_IP:
        return cpu->rip;
    case REGISTER_PC:
        return (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
    case REGISTER_FLAGS:
        return cpu->rflags;
    case REGISTER_FLAG:
        return cpu->rflags >> index & 1;
    case REGISTER_IOPL:
        return bits_get(cpu->rflags, 13, 12);
    case REGISTER_SELECTOR:
        return segment_of(cpu, index)->selector;
    case REGISTER_BASE:
        return segment_of(cpu, index)->base;
    case REGISTER_LIMIT:
        return segment_of(cpu, index)->limit;
    case REGISTER_CR:
        return control_register(cpu, index);
    case REGISTER_DR:
        return cpu->dr[index];
    case REGISTER_EFER:
        return cpu->msr.efer;
    case REGISTER_GDT:
        return index ? cpu->gdtr.limit : cpu->gdtr.base;
    case REGISTER_IDT:
        return index ? cpu->idtr.limit : cpu->idtr.base;
    case REGISTER_CPL:
        return cpu->cpl;
    case REGISTER_INSNS:
        return cpu->insn_count;
    }
    return 0;
}

/* ---- the parser ---- */

struct parser {
    const char *text, *at;
    struct vm *vm;
    struct error *error;
    bool failed;
    unsigned nested;
    unsigned values; /* on the machine's stack by now */
    unsigned count;
    struct step step[STEPS_MAX];
};

static void fail(struct parser *parser, const char *where, const char *format, ...) PRINTF_LIKE(3, 4);

/* The first complaint stands. */
static void fail(struct parser *parser, const char *where, const char *format, ...)
{
    char reason[300];
    va_list arguments;

    if (parser->failed) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    parser->failed = true;
    error_set(parser->error, -EINVAL, "'%.100s', column %zu: %s", parser->text,
              (size_t)(where - parser->text) + 1, reason);
}

/* Append a step that changes how many values there are by `change`; returns its place. */
static unsigned emit(struct parser *parser, struct step step, int change)
{
    parser->values += (unsigned)change;
    if (parser->count == STEPS_MAX || parser->values > VALUES_MAX) {
        fail(parser, parser->at, "it is too long");
        parser->values = 1;
        return 0;
    }
    parser->step[parser->count] = step;
    return parser->count++;
}

static void emit_operation(struct parser *parser, enum operation operation, int change)
{
    emit(parser, (struct step){.operation = (uint8_t)operation}, change);
}

/* A jump that is here leads to the next step. */
static void land(struct parser *parser, unsigned jump)
{
    parser->step[jump].target = (uint16_t)parser->count;
}

static void skip_spaces(struct parser *parser)
{
    while (*parser->at == ' ' || *parser->at == '\t') {
        parser->at++;
    }
}

/* Is this next, and is it the whole of the operator that begins here? */
static bool take(struct parser *parser, const char *token)
{
    skip_spaces(parser);
    if (strncmp(parser->at, token, strlen(token)) != 0) {
        return false;
    }
    parser->at += strlen(token);
    return true;
}

static void expect(struct parser *parser, const char *token, const char *what)
{
    if (!take(parser, token)) {
        fail(parser, parser->at, "%s needs '%s' here", what, token);
    }
}

static void parse_conditional(struct parser *parser);
static void parse_unary(struct parser *parser);

/* What recursion passes through: it is bounded here. */
static void parse_nested(struct parser *parser)
{
    if (parser->nested == NESTED_MAX) {
        fail(parser, parser->at, "it is nested too deeply");
        return;
    }
    parser->nested++;
    parse_conditional(parser);
    parser->nested--;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '$' || c == '@';
}

static void parse_number(struct parser *parser)
{
    const char *start = parser->at;
    bool binary = start[0] == '0' && (start[1] | 0x20) == 'b';
    uint64_t value;
    char *end;

    errno = 0;
    value = binary ? strtoull(start + 2, &end, 2) : strtoull(start, &end, 0);
    parser->at = end;
    if (errno == ERANGE) {
        fail(parser, start, "the number does not fit 64 bits");
    } else if (is_name(*end) || (binary && end == start + 2)) {
        fail(parser, start, "this is not a number (hexadecimal ones begin with 0x)");
    }
    emit(parser, (struct step){.operation = OP_VALUE, .value = value}, 1);
}

/* 'c' '\n' '\0' '\\' '\'' */
static void parse_character(struct parser *parser)
{
    static const char letters[] = "ntr0\\'", meanings[] = "\n\t\r\0\\'";
    const char *start = parser->at++;
    unsigned char value = (unsigned char)*parser->at;

    if (value == '\\') {
        const char *letter = parser->at[1] ? strchr(letters, parser->at[1]) : NULL;

        if (!letter) {
            fail(parser, start, "unknown character (\\n \\t \\r \\0 \\\\ \\' are known)");
            return;
        }
        value = (unsigned char)meanings[letter - letters];
        parser->at++;
    } else if (!value || value == '\'') {
        fail(parser, start, "a character between ' and ' is missing");
        return;
    }
    parser->at++;
    expect(parser, "'", "a character");
    emit(parser, (struct step){.operation = OP_VALUE, .value = value}, 1);
}

/* [ e ], with the size and the address space that stood before it */
static void parse_read(struct parser *parser, unsigned size, bool physical)
{
    expect(parser, "[", "reading memory");
    parse_nested(parser);
    expect(parser, "]", "the address after '['");
    emit(parser, (struct step){.operation = OP_READ, .size = (uint8_t)size, .physical = physical}, 0);
}

/* Is the word there, with a '[' or another such word behind it? A symbol may have the same name. */
static bool take_prefix(struct parser *parser, const char *word)
{
    size_t length = strlen(word);
    const char *behind = parser->at + length;

    if (strncmp(parser->at, word, length) != 0 || is_name(*behind)) {
        return false;
    }
    behind += strspn(behind, " \t");
    if (*behind != '[' && (strcmp(word, "phys") != 0 || !strchr("bwdq", *behind) || !*behind)) {
        return false;
    }
    parser->at = behind;
    return true;
}

/* phys byte[ ... False: it does not begin so. */
static bool parse_prefixed_read(struct parser *parser)
{
    static const char *const words[] = {"byte", "word", "dword", "qword"};
    bool physical = take_prefix(parser, "phys");

    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        if (take_prefix(parser, words[i])) {
            parse_read(parser, 1u << i, physical);
            return true;
        }
    }
    if (physical || *parser->at == '[') {
        parse_read(parser, 4, physical);
        return true;
    }
    return false;
}

/* A symbol, or a register with or without its $. */
static void parse_name(struct parser *parser)
{
    const char *start = parser->at;
    const struct symbol *symbol;
    char name[NAME_SIZE];
    size_t length = 0;
    unsigned index;

    while (is_name(parser->at[length])) {
        length++;
    }
    snprintf(name, sizeof(name), "%.*s", (int)MIN(length, sizeof(name) - 1), start);
    parser->at += length;
    symbol = *name == '$' ? NULL : symbols_named(parser->vm->symbols, name);
    if (symbol) {
        emit(parser, (struct step){.operation = OP_VALUE, .value = symbol->address}, 1);
    } else if (find_register(*name == '$' ? name + 1 : name, &index)) {
        emit(parser, (struct step){.operation = OP_REGISTER, .value = index}, 1);
    } else if (*name == '$') {
        fail(parser, start, "there is no register '%.64s'", name + 1);
    } else {
        fail(parser, start, "'%.64s' is not a number, symbol or register%s", name,
             strspn(name, "0123456789abcdefABCDEF") == length ? " (hexadecimal numbers begin with 0x)"
             : parser->vm->symbols                            ? ""
                                                              : " (ldsym FILE loads symbols)");
    }
}

static void parse_primary(struct parser *parser)
{
    skip_spaces(parser);
    if (take(parser, "(")) {
        parse_nested(parser);
        expect(parser, ")", "the '(' before");
    } else if (isdigit((unsigned char)*parser->at)) {
        parse_number(parser);
    } else if (*parser->at == '\'') {
        parse_character(parser);
    } else if (parse_prefixed_read(parser)) {
        return;
    } else if (is_name(*parser->at)) {
        parse_name(parser);
    } else if (*parser->at) {
        fail(parser, parser->at, "a value is missing before '%c'", *parser->at);
    } else {
        fail(parser, parser->at, "a value is missing at the end");
    }
}

static void parse_operand(struct parser *parser)
{
    if (parser->nested == NESTED_MAX) {
        fail(parser, parser->at, "it is nested too deeply");
        return;
    }
    parser->nested++;
    parse_unary(parser);
    parser->nested--;
}

static void parse_unary(struct parser *parser)
{
    if (take(parser, "!")) {
        parse_operand(parser);
        emit_operation(parser, OP_NOT, 0);
    } else if (take(parser, "~")) {
        parse_operand(parser);
        emit_operation(parser, OP_COMPLEMENT, 0);
    } else if (take(parser, "-")) {
        parse_operand(parser);
        emit_operation(parser, OP_NEGATE, 0);
    } else if (take(parser, "*")) {
        parse_operand(parser);
        emit(parser, (struct step){.operation = OP_READ, .size = 4}, 0);
    } else {
        parse_primary(parser);
    }
}

/* Longer ones first. Precedence as in C, higher binds closer. */
static const struct {
    const char *token;
    uint8_t operation, precedence;
} binaries[] = {
    {"||", OP_OR_ELSE, 1},    {"&&", OP_AND_THEN, 2},
    {"==", OP_EQUAL, 6},      {"!=", OP_UNEQUAL, 6},
    {"<<", OP_SHIFT_LEFT, 8}, {">>", OP_SHIFT_RIGHT, 8},
    {"<=", OP_LESS_EQUAL, 7}, {">=", OP_GREATER_EQUAL, 7},
    {"|", OP_OR, 3},          {"^", OP_XOR, 4},
    {"&", OP_AND, 5},         {"<", OP_LESS, 7},
    {">", OP_GREATER, 7},     {"+", OP_ADD, 9},
    {"-", OP_SUBTRACT, 9},    {"*", OP_MULTIPLY, 10},
    {"/", OP_DIVIDE, 10},     {"%", OP_MODULO, 10},
};

/* The operator here, if it binds at least so closely; it is taken. -1: none. */
static int take_binary(struct parser *parser, unsigned precedence)
{
    skip_spaces(parser);
    for (unsigned i = 0; i < ARRAY_LEN(binaries); i++) {
        if (!strncmp(parser->at, binaries[i].token, strlen(binaries[i].token))) {
            if (binaries[i].precedence < precedence) {
                return -1;
            }
            parser->at += strlen(binaries[i].token);
            return (int)i;
        }
    }
    return -1;
}

static void parse_binary(struct parser *parser, unsigned precedence)
{
    parse_operand(parser);
    for (int i; !parser->failed && (i = take_binary(parser, precedence)) >= 0;) {
        enum operation operation = binaries[i].operation;
        bool logical = operation == OP_AND_THEN || operation == OP_OR_ELSE;
        unsigned jump = logical ? emit(parser, (struct step){.operation = (uint8_t)operation}, -1) : 0;

        parse_binary(parser, binaries[i].precedence + 1u);
        if (logical) {
            emit_operation(parser, OP_TRUTH, 0);
            land(parser, jump);
        } else {
            emit_operation(parser, operation, -1);
        }
    }
}

/* c ? a : b */
static void parse_conditional(struct parser *parser)
{
    unsigned otherwise, end;

    parse_binary(parser, 1);
    if (parser->failed || !take(parser, "?")) {
        return;
    }
    otherwise = emit(parser, (struct step){.operation = OP_JUMP_FALSE}, -1);
    parse_nested(parser);
    expect(parser, ":", "the '?' before");
    end = emit(parser, (struct step){.operation = OP_JUMP}, -1);
    land(parser, otherwise);
    parse_nested(parser);
    land(parser, end);
}

struct expression *expression_parse(const char *text, struct vm *vm, struct error *error)
{
    struct parser *parser = calloc(1, sizeof(*parser));
    struct expression *expression = NULL;

    if (!parser) {
        error_set(error, -ENOMEM, "no memory for an expression");
        return NULL;
    }
    parser->text = parser->at = text;
    parser->vm = vm;
    parser->error = error;
    parse_conditional(parser);
    skip_spaces(parser);
    if (*parser->at) {
        fail(parser, parser->at, "'%.20s' is not expected here%s", parser->at,
             *parser->at == '=' ? " (== compares)" : "");
    }
    if (!parser->failed) {
        expression = malloc(sizeof(*expression) + parser->count * sizeof(struct step));
        if (expression) {
            expression->count = parser->count;
            memcpy(expression->step, parser->step, parser->count * sizeof(struct step));
        } else {
            error_set(error, -ENOMEM, "no memory for an expression");
        }
    }
    free(parser);
    return expression;
}

void expression_free(struct expression *expression)
{
    free(expression);
}

/* ---- the machine ---- */

static int divide(enum operation operation, uint64_t *left, uint64_t right, struct error *error)
{
    if (right == 0) {
        return error_set(error, -EDOM, "it divides by zero");
    }
    *left = operation == OP_DIVIDE ? *left / right : *left % right;
    return 0;
}

static uint64_t combine(enum operation operation, uint64_t left, uint64_t right)
{
    switch (operation) {
    case OP_MULTIPLY:
        return left * right;
    case OP_ADD:
        return left + right;
    case OP_SUBTRACT:
        return left - right;
    case OP_SHIFT_LEFT:
        return right < 64 ? left << right : 0;
    case OP_SHIFT_RIGHT:
        return right < 64 ? left >> right : 0;
    case OP_LESS:
        return left < right;
    case OP_LESS_EQUAL:
        return left <= right;
    case OP_GREATER:
        return left > right;
    case OP_GREATER_EQUAL:
        return left >= right;
    case OP_EQUAL:
        return left == right;
    case OP_UNEQUAL:
        return left != right;
    case OP_AND:
        return left & right;
    case OP_XOR:
        return left ^ right;
    default:
        return left | right;
    }
}

static int read_memory(const struct step *step, struct vm *vm, uint64_t *value, struct error *error)
{
    uint64_t address = *value;

    *value = 0;
    if (debugger_read(vm, step->physical, address, value, step->size) != step->size) {
        return error_set(error, -EFAULT, "%u byte%s at %s address 0x%" PRIx64 " cannot be read", step->size,
                         step->size > 1 ? "s" : "", step->physical ? "physical" : "linear", address);
    }
    return 0;
}

/* A step that keeps one value, or pushes one. */
static int run_single(const struct step *step, struct vm *vm, uint64_t *top, struct error *error)
{
    switch ((enum operation)step->operation) {
    case OP_VALUE:
        *top = step->value;
        return 0;
    case OP_REGISTER:
        *top = register_value(vm->cpu, (unsigned)step->value);
        return 0;
    case OP_READ:
        return read_memory(step, vm, top, error);
    case OP_NOT:
        *top = !*top;
        return 0;
    case OP_COMPLEMENT:
        *top = ~*top;
        return 0;
    case OP_NEGATE:
        *top = -*top;
        return 0;
    default:
        *top = *top != 0; /* OP_TRUTH */
        return 0;
    }
}

/* A jump: the next step. *values: how many are left. */
static unsigned run_jump(const struct step *step, unsigned next, uint64_t *value, unsigned *values)
{
    uint64_t *top = &value[*values - 1];

    switch ((enum operation)step->operation) {
    case OP_AND_THEN:
        if (*top == 0) {
            return step->target;
        }
        break;
    case OP_OR_ELSE:
        if (*top != 0) {
            *top = 1;
            return step->target;
        }
        break;
    case OP_JUMP_FALSE:
        --*values;
        return *top == 0 ? step->target : next;
    default: /* OP_JUMP */
        return step->target;
    }
    --*values;
    return next;
}

int expression_value(const struct expression *expression, struct vm *vm, uint64_t *value, struct error *error)
{
    uint64_t stack[VALUES_MAX + 1];
    unsigned values = 0;

    for (unsigned i = 0; i < expression->count;) {
        const struct step *step = &expression->step[i++];
        enum operation operation = step->operation;
        int result = 0;

        if (operation >= OP_MULTIPLY) {
            uint64_t right = stack[--values], *left = &stack[values - 1];

            if (operation == OP_DIVIDE || operation == OP_MODULO) {
                result = divide(operation, left, right, error);
            } else {
                *left = combine(operation, *left, right);
            }
        } else if (operation >= OP_AND_THEN) {
            i = run_jump(step, i, stack, &values);
        } else {
            values += operation == OP_VALUE || operation == OP_REGISTER;
            result = run_single(step, vm, &stack[values - 1], error);
        }
        if (result < 0) {
            return result;
        }
    }
    *value = stack[0];
    return 0;
}

int expression_evaluate(const char *text, struct vm *vm, uint64_t *value, struct error *error)
{
    struct expression *expression = expression_parse(text, vm, error);
    int result;

    if (!expression) {
        return -EINVAL;
    }
    result = expression_value(expression, vm, value, error);
    expression_free(expression);
    return result;
}
