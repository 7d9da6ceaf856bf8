/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The little library that the kernel and the programs share; there is no C library underneath.
 *
 * kernel.ld puts this file where ring 3 may read and execute it. Not modelled: 64-bit and floating-point
 * conversions.
 */
#include "roms/kernel/abi.h"

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}

void *memset(void *to, int byte, size_t n)
{
    void *start = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *p = a, *q = b;

    for (; n > 0; n--, p++, q++) {
        if (*p != *q) {
            return *p - *q;
        }
    }
    return 0;
}

size_t string_length(const char *s)
{
    size_t n = 0;

    while (s[n] != '\0') {
        n++;
    }
    return n;
}

bool string_equal(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

void string_copy(char *to, const char *from, size_t size)
{
    while (size > 1 && *from != '\0') {
        *to++ = *from++;
        size--;
    }
    *to = '\0';
}

struct output {
    char *next, *last; /* last: kept for the terminator */
};

static void put(struct output *out, char c)
{
    if (out->next < out->last) {
        *out->next++ = c;
    }
}

struct field {
    unsigned width;
    bool zeros, left;
};

static void put_field(struct output *out, const char *text, size_t length, const struct field *field)
{
    size_t padding = field->width > length ? field->width - length : 0;

    for (; padding > 0 && !field->left; padding--) {
        put(out, field->zeros ? '0' : ' ');
    }
    for (size_t i = 0; i < length; i++) {
        put(out, text[i]);
    }
    for (; padding > 0; padding--) {
        put(out, ' ');
    }
}

static void put_number(struct output *out, uint32_t value, unsigned base, bool negative,
                       const struct field *field)
{
    char digits[12];
    char *p = digits + sizeof digits;

    do {
        *--p = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    if (negative) {
        *--p = '-';
    }
    put_field(out, p, (size_t)(digits + sizeof digits - p), field);
}

static const char *read_field(const char *p, struct field *field)
{
    *field = (struct field){0};
    for (; *p == '0' || *p == '-'; p++) {
        field->zeros |= *p == '0';
        field->left |= *p == '-';
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        field->width = field->width * 10 + (unsigned)(*p - '0');
    }
    return p;
}

size_t format_text(char *buffer, size_t size, const char *format, va_list arguments)
{
    struct output out = {buffer, buffer + size - 1};
    struct field field;

    for (const char *p = format; *p != '\0'; p++) {
        if (*p != '%') {
            put(&out, *p);
            continue;
        }
        p = read_field(p + 1, &field);
        if (*p == 's') {
            const char *s = va_arg(arguments, const char *);
            put_field(&out, s, string_length(s), &field);
        } else if (*p == 'c') {
            char c = (char)va_arg(arguments, int);
            put_field(&out, &c, 1, &field);
        } else if (*p == 'd') {
            int value = va_arg(arguments, int);
            put_number(&out, value < 0 ? 0u - (uint32_t)value : (uint32_t)value, 10, value < 0, &field);
        } else if (*p == 'u' || *p == 'x') {
            put_number(&out, va_arg(arguments, uint32_t), *p == 'u' ? 10 : 16, false, &field);
        } else if (*p == '\0') {
            break;
        } else {
            put(&out, *p);
        }
    }
    *out.next = '\0';
    return (size_t)(out.next - buffer);
}
