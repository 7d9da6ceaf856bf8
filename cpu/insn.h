/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A decoded instruction, and the opcode table behind it.
 *
 * cpu/opcodes.def has one row an encoding; everything that must know an instruction reads that table: the
 * decoder, the interpreter's and the translator's dispatch, the tracer, the tests and the support matrix.
 * Decoding is a pure function of bytes, code size and feature set.
 *
 * SDM: Volume 2A, "Instruction Format"; Volume 2D, "Opcode Map".
 */
#ifndef CPU_INSN_H
#define CPU_INSN_H

#include "base/types.h"
#include "cpu/vcpu.h"

struct insn;

/*
 * Execute one instruction. On entry cpu->rip is its address and cpu->next_rip the one after it. True: done,
 * rip becomes next_rip. False: an exception is pending and no architectural state has changed (except where
 * the SDM says otherwise, as in a repeated string instruction). False and none pending: a debugger is to see what the
 * instruction will do before it is executed; ATTENTION_DEBUG is on.
 */
typedef bool (*exec_fn)(struct vcpu *cpu, const struct insn *insn);

enum opcode_map { MAP_1BYTE, MAP_0F, MAP_0F38, MAP_0F3A, MAP_COUNT };

/* Behaviour flags of a row. */
enum opcode_flag {
    OPF_LOCK = 1u << 0,       /* LOCK is legal with a memory destination */
    OPF_END = 1u << 1,        /* ends a block: branches, or changes what decoding or translation depends on */
    OPF_CPL0 = 1u << 2,       /* #GP(0) unless CPL is 0 (checked by the handler) */
    OPF_PE = 1u << 3,         /* #UD in real and V86 mode */
    OPF_READ_FLAGS = 1u << 4, /* reads arithmetic flags */
    OPF_WRITE_FLAGS = 1u << 5, /* writes arithmetic flags (some or all) */
    OPF_STRING = 1u << 6,      /* REP/REPE/REPNE apply */
    OPF_FPU = 1u << 7,         /* x87: checks CR0.EM/TS, reports pending numeric errors */
    OPF_MMX = 1u << 8,         /* MMX */
    OPF_SSE = 1u << 9,         /* SSE and later: checks CR4.OSFXSR */
    OPF_MEM_WRITE = 1u << 10,  /* a memory operand is written */
    OPF_MEM_READ = 1u << 11,   /* a memory operand is read */
    OPF_BYTE = 1u << 12,       /* operand size 8 */
    OPF_SIMD_FP = 1u << 13,    /* SSE arithmetic: reads MXCSR, sets its flags, may raise #XM */
    OPF_UNALIGNED = 1u << 14,  /* a 16-byte memory operand may lie at any address */
};

/* What the decoder takes for a row: the operand letters that concern it, as bits and numbers. */
enum opcode_takes {
    TAKES_MODRM = 1u << 0,
    TAKES_REGISTER =
        1u << 1, /* r/m is a register whatever mod says: moves from and to control and debug registers */
    TAKES_SREG = 1u << 2,   /* PUSH and POP of a segment register: its number is in the opcode byte */
    TAKES_PLUS = 1u << 3,   /* a register in the opcode byte */
    TAKES_OFFSET = 1u << 4, /* memory by an offset */
    TAKES_FAR = 1u << 5,    /* far pointer */
};

/* An immediate's size and how it is extended. */
enum opcode_immediate {
    IMM_NONE,
    IMM_ONE, /* the constant 1 */
    IMM_BYTE,
    IMM_BYTE_SIGNED,
    IMM_WORD,
    IMM_FULL,        /* 2 or 4 bytes by operand size */
    IMM_FULL_SIGNED, /* 2 bytes are sign-extended */
};

/* Operand letters. SDM: Volume 2D, "Key to Abbreviations"; the decoder and the tracer share them. */
struct opcode {
    const char *mnemonic;   /* lower case, Intel syntax; the operand-size dependent ones as "pusha" */
    const char *operands;   /* "Ev,Gv", "" when none */
    uint8_t map;            /* enum opcode_map */
    uint8_t byte;           /* opcode byte (first of 8 for rows that encode a register in it) */
    uint8_t prefix;         /* mandatory prefix: 0 none required, OPP_NP, 0x66, 0xF3, 0xF2 */
    int8_t reg, mod, rm;    /* ModRM constraints: -1 any; mod: 3 register, 0 memory (any of 0-2) */
    bool plus_reg;          /* rows 50+r and the like: byte..byte+7 */
    uint32_t flags;         /* enum opcode_flag */
    uint8_t takes;          /* enum opcode_takes, from the operands */
    uint8_t imm, imm2;      /* enum opcode_immediate, likewise */
    uint64_t feature;       /* CPU_FEATURE_* needed, 0 for the 386 base */
    uint16_t id;            /* enum opcode_id: index of the row */
    exec_fn exec16, exec32; /* by operand size; equal where size does not matter */
};

#define OPP_NP 1 /* prefix column: none of 66, F3, F2 may be present */

struct insn {
    exec_fn exec;
    const struct opcode *opcode;
    uint32_t imm;        /* immediate, sign-extended as the row says; branch displacement */
    uint32_t imm2;       /* second immediate (ENTER level, far selector) */
    int32_t disp;        /* displacement of the memory operand */
    uint8_t length;      /* 1..15 bytes */
    uint8_t opsize;      /* 2 or 4 (8 later) bytes */
    uint8_t addrsize;    /* 2 or 4 (8 later) bytes */
    uint8_t seg;         /* enum sreg of the memory operand, override applied */
    uint8_t base, index; /* registers of the memory operand, INSN_NO_REG if none */
    uint8_t scale;       /* shift 0..3 */
    uint8_t modrm;       /* the byte, 0 when the row has none */
    uint8_t reg, rm;     /* ModRM fields, REX-extended later; rm also the register of plus_reg rows */
    bool memory;         /* ModRM names memory */
    bool lock;
    uint8_t rep; /* 0, 0xF3 or 0xF2: last of the two seen */
    bool seg_override, opsize_prefix, addrsize_prefix;
    uint8_t bytes[15]; /* as fetched */
};

#define INSN_NO_REG 0xff

enum decode_status {
    DECODE_OK,
    DECODE_MORE, /* the bytes end inside the instruction */
    DECODE_UD,   /* undefined: insn->length is valid, exec raises #UD */
    DECODE_LONG, /* longer than 15 bytes: #GP(0) */
};

/* Decode from `count` bytes. `code32`: CS.D. `features`: rows needing others do not exist. insn is always
 * filled in for OK, UD and LONG (with an exec that raises the exception). */
enum decode_status insn_decode(const uint8_t *bytes, unsigned count, bool code32, uint64_t features,
                               struct insn *insn);

/* Offset of the memory operand within its segment, wrapped to the address size. */
static inline uint32_t insn_ea(const struct vcpu *cpu, const struct insn *insn)
{
    uint32_t offset = (uint32_t)insn->disp;

    if (insn->base != INSN_NO_REG) {
        offset += (uint32_t)cpu->gpr[insn->base];
    }
    if (insn->index != INSN_NO_REG) {
        offset += (uint32_t)cpu->gpr[insn->index] << insn->scale;
    }
    return insn->addrsize == 2 ? (uint16_t)offset : offset;
}

/* The whole table, for tests, tracer and docs. */
extern const struct opcode opcode_table[];
extern const size_t opcode_count;

/* Write "mnemonic operands" in Intel syntax; `rip` is the instruction's address (offset in CS). */
void insn_format(const struct insn *insn, uint64_t rip, char *text, size_t size);

/* ---- memory operands: cpu/access.c ---- */

/*
 * Segmented accesses. They check the segment's limit and rights, alignment (#AC) and paging, and honour data
 * breakpoints. False: #GP(0), #SS(0), #PF or #AC is pending and nothing changed (both pages of a
 * crossing store are checked before the first byte is written).
 */
bool mem_read8(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint8_t *value);
bool mem_read16(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint16_t *value);
bool mem_read32(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint32_t *value);
bool mem_read64(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint64_t *value);
bool mem_write8(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint8_t value);
bool mem_write16(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint16_t value);
bool mem_write32(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint32_t value);
bool mem_write64(struct vcpu *cpu, enum sreg seg, uint32_t offset, uint64_t value);
/* Any size up to 512 bytes (x87, SSE, FXSAVE); `align` bytes of natural alignment for #AC (0: never checked). */
bool mem_read(struct vcpu *cpu, enum sreg seg, uint32_t offset, void *bytes, unsigned size, unsigned align);
bool mem_write(struct vcpu *cpu, enum sreg seg, uint32_t offset, const void *bytes, unsigned size,
               unsigned align);
/* Check that [offset, offset + size) could be written, raising what the write would raise. */
bool mem_probe_write(struct vcpu *cpu, enum sreg seg, uint32_t offset, unsigned size);

/* Read-modify-write: one translation with write rights, then a write that cannot fail. */
struct rmw {
    void *host;   /* direct when not NULL */
    lin_t linear; /* else the write goes through the slow path */
};
bool rmw_begin8(struct vcpu *cpu, enum sreg seg, uint32_t offset, struct rmw *rmw, uint8_t *value);
bool rmw_begin16(struct vcpu *cpu, enum sreg seg, uint32_t offset, struct rmw *rmw, uint16_t *value);
bool rmw_begin32(struct vcpu *cpu, enum sreg seg, uint32_t offset, struct rmw *rmw, uint32_t *value);
bool rmw_begin64(struct vcpu *cpu, enum sreg seg, uint32_t offset, struct rmw *rmw, uint64_t *value);
void rmw_end8(struct vcpu *cpu, const struct rmw *rmw, uint8_t value);
void rmw_end16(struct vcpu *cpu, const struct rmw *rmw, uint16_t value);
void rmw_end32(struct vcpu *cpu, const struct rmw *rmw, uint32_t value);
void rmw_end64(struct vcpu *cpu, const struct rmw *rmw, uint64_t value);

/* Linear accesses by the processor itself: descriptor tables, TSS, IDT (supervisor rights whatever the
 * CPL is). False: #PF pending. */
bool sys_read(struct vcpu *cpu, lin_t linear, void *bytes, unsigned size);
bool sys_write(struct vcpu *cpu, lin_t linear, const void *bytes, unsigned size);
/* Check that a system write would succeed (task switches check before they commit). */
bool sys_probe_write(struct vcpu *cpu, lin_t linear, unsigned size);

/* Stack of the current SS:(E)SP, in operand size 2 or 4; ESP changes only on success. */
bool stack_push(struct vcpu *cpu, unsigned size, uint32_t value);
bool stack_pop(struct vcpu *cpu, unsigned size, uint32_t *value);
/* ESP plus n, wrapped to the stack's size (SS.B). */
void stack_adjust(struct vcpu *cpu, int32_t n);

/* ---- segments, transfers, delivery: cpu/segment.c, cpu/far.c, cpu/exception.c, cpu/task.c ---- */

/* MOV/POP to a segment register in the current mode; SDM checks and error codes. */
bool segment_load(struct vcpu *cpu, enum sreg which, uint16_t selector);
/* Real and V86 mode: base = selector * 16, limit and rights per mode. */
void segment_load_real(struct vcpu *cpu, enum sreg which, uint16_t selector);

/* Near branch target check: false with #GP(0) when target is beyond CS.limit; else sets next_rip. */
bool branch_near(struct vcpu *cpu, const struct insn *insn, uint32_t target);

enum event_kind { EVENT_EXCEPTION, EVENT_SOFTWARE, EVENT_EXTERNAL, EVENT_NMI };

/* Deliver through the IDT (IVT in real mode). Software: INT n, INT3, INTO from the current instruction,
 * returning to next_rip; the others return to rip. False: a further exception is pending. */
bool event_deliver(struct vcpu *cpu, enum event_kind kind, uint8_t vector, bool has_error,
                   uint32_t error_code);

/* Deliver cpu->exception with the rules for double and triple faults. False: shutdown (cpu->shutdown filled). True with an
 * exception still pending: a debugger is to see that one first (cpu/points.h). */
bool exception_deliver(struct vcpu *cpu);

enum task_switch_cause { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE_EVENT };
/* Hardware task switch to the TSS selected by `selector`. has_error pushes the code on the new stack. */
bool task_switch(struct vcpu *cpu, uint16_t selector, enum task_switch_cause cause, bool has_error,
                 uint32_t error_code);

/* Port rights: #GP(0) unless CPL <= IOPL or the TSS's I/O bitmap allows [port, port + size). */
bool io_check(struct vcpu *cpu, uint16_t port, unsigned size);

/* Flags: what POPF/IRET may change at the current CPL/IOPL/mode; keeps attention bits in step (TF, IF). */
void rflags_set(struct vcpu *cpu, uint64_t value, uint64_t mask);

/* Control registers as MOV CRn does, checks included (#GP(0)). */
bool cr0_write(struct vcpu *cpu, uint64_t value);
bool cr3_write(struct vcpu *cpu, uint64_t value);
bool cr4_write(struct vcpu *cpu, uint64_t value);

/* Debug: does the access hit an enabled data breakpoint? Records it in pending_dr6. */
void debug_check_data(struct vcpu *cpu, lin_t linear, unsigned size, bool write);
void debug_check_io(struct vcpu *cpu, uint16_t port, unsigned size);

#endif
