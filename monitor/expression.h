/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Expressions over a VM's state: conditions of breakpoints, values of `print`, addresses everywhere.
 *
 *   primary    123 0x7b 0b101 'c'   $eax $ax $al $cs $cr3 $eflags $insns $cpl ...   symbol   ( e )
 *              [e] or *e: the 4 bytes at linear address e; byte[e] word[e] dword[e] qword[e]; phys dword[e] by physical address
 *   operators  as in C, with its precedence: ! ~ - * / % + - << >> < <= > >= == != & ^ | && || ?:
 *
 * Arithmetic is unsigned, of 64 bits. Bochs' bare register names (eax, ebp) are registers too, unless a symbol has the name.
 */
#ifndef MONITOR_EXPRESSION_H
#define MONITOR_EXPRESSION_H

#include "base/error.h"
#include "base/types.h"

struct expression;
struct vm;

/* Parse; symbols and registers are looked up now, their values each time. NULL with the text: what is wrong, and where. */
struct expression *expression_parse(const char *text, struct vm *vm, struct error *error);
void expression_free(struct expression *expression);
/* -EFAULT with the text: it reads memory that is not there; -EDOM: it divides by zero. */
int expression_value(const struct expression *expression, struct vm *vm, uint64_t *value,
                     struct error *error);
/* Both in one. */
int expression_evaluate(const char *text, struct vm *vm, uint64_t *value, struct error *error);

#endif
