/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who called whom: a back trace of what the guest does, found out from its registers and stack alone.
 *
 *     higher     | arguments      |
 *                +----------------+
 *                | return address |   EBP + 4     EBP is a chain of these where code is built with frame pointers:
 *                +----------------+               teaching kernels, Linux of Debian for i386, most 16-bit code in C
 *        EBP --> | caller's EBP   |
 *                +----------------+
 *     lower      | locals         |
 *
 * Nothing is believed: a return address must follow a CALL, or lie in the code of a symbol. Where there is no chain, a scan
 * lists everything on the stack that is such a return address, among which may be old ones.
 *
 * NOT modelled: unwind tables (DWARF, ORC); task gates.
 */
#ifndef VM_BACKTRACE_H
#define VM_BACKTRACE_H

#include <stdio.h>

#include "cpu/vcpu.h"
#include "vm/symbols.h"

enum { BACKTRACE_MAX = 256, BACKTRACE_ARGUMENTS = 6 };

/* How a frame was found. */
enum backtrace_source {
    BACKTRACE_HERE,  /* CS:EIP */
    BACKTRACE_ENTRY, /* the function below has not made its frame yet, or has left it: by the stack pointer */
    BACKTRACE_FRAME, /* by the chain */
    BACKTRACE_INTERRUPTED, /* an interrupt or exception came here: the registers that Linux saved say so */
    BACKTRACE_FOUND,       /* somewhere on the stack */
};

struct backtrace_frame {
    enum backtrace_source source;
    bool user;          /* privilege level 3, if it differs */
    uint64_t address;   /* linear: what is executed next there */
    uint64_t stack;     /* linear: the stack pointer when it is back there, before arguments are taken off */
    unsigned arguments; /* that it was called with, as far as its caller takes them off the stack again */
    uint32_t argument[BACKTRACE_ARGUMENTS];
};

/* Follow the chain: at most `max` frames, the innermost first, at least one. why (may be NULL): one line, why there are no more. */
unsigned backtrace_chain(const struct vcpu *cpu, const struct symbols *symbols, struct backtrace_frame *frame,
                         unsigned max, char *why, size_t size);
/* Search 8 KiB of stack. */
unsigned backtrace_scan(const struct vcpu *cpu, const struct symbols *symbols, struct backtrace_frame *frame,
                        unsigned max);
/* "name+0x12" of its address, or "": into text, which is returned. A call may be a function's last instruction, so a return address
 * belongs to the one before it. */
const char *backtrace_name(const struct symbols *symbols, const struct backtrace_frame *frame, char *text,
                           size_t size);
/* "interrupted here", "found on the stack", ... "" */
const char *backtrace_remark(const struct backtrace_frame *frame);
void backtrace_print(FILE *out, const struct symbols *symbols, const struct backtrace_frame *frame,
                     unsigned count);

#endif
