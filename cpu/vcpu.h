/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * struct vcpu: one guest processor, in three labelled parts.
 *
 *   architectural   what the SDM says a processor has, under the SDM's names; only this is saved
 *   derived         a function of the architectural part, rebuilt by vcpu_sync()
 *   wiring          set once by vm/: memory, clock, interrupt acknowledge, engine caches
 *
 * Registers are 64 bits wide and numbered in 4 bits from the start; in 16- and 32-bit modes the upper halves of
 * gpr[0..7] and rip are zero and gpr[8..15] unused.
 *
 * SDM: Volume 1, "Basic Execution Environment"; Volume 3A, "System Architecture Overview".
 */
#ifndef CPU_VCPU_H
#define CPU_VCPU_H

#include "base/clock.h"
#include "base/log.h"
#include "base/snap.h"
#include "base/types.h"
#include "mmu/addr_space.h"
#include "mmu/pagewalk.h"
#include "mmu/tlb.h"

/* Register numbers as ModRM encodes them. */
enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum sreg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

#define RFLAGS_CF     BIT(0)
#define RFLAGS_FIXED1 BIT(1) /* always 1 */
#define RFLAGS_PF     BIT(2)
#define RFLAGS_AF     BIT(4)
#define RFLAGS_ZF     BIT(6)
#define RFLAGS_SF     BIT(7)
#define RFLAGS_TF     BIT(8)
#define RFLAGS_IF     BIT(9)
#define RFLAGS_DF     BIT(10)
#define RFLAGS_OF     BIT(11)
#define RFLAGS_IOPL   BITS(13, 12)
#define RFLAGS_NT     BIT(14)
#define RFLAGS_RF     BIT(16)
#define RFLAGS_VM     BIT(17)
#define RFLAGS_AC     BIT(18)
#define RFLAGS_VIF    BIT(19)
#define RFLAGS_VIP    BIT(20)
#define RFLAGS_ID     BIT(21)
/* The six that arithmetic sets. */
#define RFLAGS_ARITH (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_VME        BIT(0)
#define CR4_PVI        BIT(1)
#define CR4_TSD        BIT(2)
#define CR4_DE         BIT(3)
#define CR4_PSE        BIT(4)
#define CR4_PAE        BIT(5)
#define CR4_MCE        BIT(6)
#define CR4_PGE        BIT(7)
#define CR4_PCE        BIT(8)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

/* Exception vectors. SDM: Volume 3A, "Exception and Interrupt Reference". */
enum vector {
    EXC_DE = 0,
    EXC_DB = 1,
    EXC_NMI = 2,
    EXC_BP = 3,
    EXC_OF = 4,
    EXC_BR = 5,
    EXC_UD = 6,
    EXC_NM = 7,
    EXC_DF = 8,
    EXC_TS = 10,
    EXC_NP = 11,
    EXC_SS = 12,
    EXC_GP = 13,
    EXC_PF = 14,
    EXC_MF = 16,
    EXC_AC = 17,
    EXC_MC = 18,
    EXC_XM = 19,
};

/*
 * Segment attributes: bits 8-23 of a descriptor's high doubleword, moved down (the VMX access-rights form).
 *
 *   16        15 14  13 12   7 6-5 4 3-0
 *   unusable  G  D/B L  AVL  P DPL S Type
 */
#define SEG_TYPE          BITS(3, 0)
#define SEG_TYPE_ACCESSED BIT(0)
#define SEG_TYPE_RW       BIT(1) /* data: writable; code: readable */
#define SEG_TYPE_ED       BIT(2) /* data: expand down; code: conforming */
#define SEG_TYPE_CODE     BIT(3)
#define SEG_S             BIT(4)
#define SEG_DPL_SHIFT     5
#define SEG_DPL           BITS(6, 5)
#define SEG_P             BIT(7)
#define SEG_AVL           BIT(12)
#define SEG_L             BIT(13)
#define SEG_DB            BIT(14)
#define SEG_G             BIT(15)
#define SEG_UNUSABLE      BIT(16) /* loaded with a null selector */

struct segment {
    uint16_t selector;
    uint32_t attr;  /* SEG_* */
    uint32_t limit; /* last valid offset, bytes (G applied); for expand-down the last invalid one */
    uint64_t base;
};

static inline unsigned segment_dpl(const struct segment *segment)
{
    return (segment->attr >> SEG_DPL_SHIFT) & 3;
}

struct table_register {
    uint64_t base;
    uint16_t limit;
};

/* The FXSAVE image. SDM: Volume 1, "FXSAVE Area". In memory order; x87 registers are in stack order. */
struct fxsave {
    uint16_t fcw, fsw;
    uint8_t ftw; /* abridged tag word: bit n set = physical register n not empty */
    uint8_t reserved1;
    uint16_t fop;
    uint32_t fip;
    uint16_t fcs, reserved2;
    uint32_t fdp;
    uint16_t fds, reserved3;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t xmm[16][16];
    uint8_t reserved4[96];
} __attribute__((aligned(64)));

enum { MTRR_VARIABLE_COUNT = 8, MTRR_FIXED_COUNT = 11, VCPU_MCG_BANKS = 4 };

/* MSRs that are plain storage with write rules. SDM: Volume 4. */
struct msrs {
    uint64_t apic_base;
    uint64_t efer;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_offset; /* TSC = clock ticks + tsc_offset */
    uint64_t pat;
    uint64_t mtrr_def_type;
    uint64_t mtrr_fixed[MTRR_FIXED_COUNT];
    uint64_t mtrr_base[MTRR_VARIABLE_COUNT], mtrr_mask[MTRR_VARIABLE_COUNT];
    uint64_t misc_enable;
    uint64_t microcode; /* IA32_BIOS_SIGN_ID */
    uint64_t mcg_status, mcg_ctl;
    uint64_t mc_ctl[VCPU_MCG_BANKS], mc_status[VCPU_MCG_BANKS], mc_addr[VCPU_MCG_BANKS],
        mc_misc[VCPU_MCG_BANKS];
};

/* What blocks interrupts for one instruction. SDM: Volume 3A, "Masking Exceptions and Interrupts When Switching Stacks". */
enum interrupt_shadow { SHADOW_NONE, SHADOW_STI, SHADOW_MOV_SS };

/* Why vcpu_run came back. */
enum vcpu_exit {
    VCPU_EXIT_BUDGET,   /* the budget is used up, or vcpu_kick() */
    VCPU_EXIT_HALT,     /* HLT with nothing to deliver */
    VCPU_EXIT_DEBUG,    /* a debugger's point or step: see cpu/points.h */
    VCPU_EXIT_SHUTDOWN, /* triple fault: see cpu->shutdown */
    VCPU_EXIT_INTERNAL, /* a bug of ours; the text is in cpu->internal_error */
};

/* An exception on its way to delivery. */
struct exception {
    uint8_t vector;
    bool pending;
    bool has_error;
    uint32_t error_code;
    bool shown; /* a debugger has seen it: deliver it now */
};

/* The chain that ended in a triple fault, for `why` and the exit report. */
struct shutdown_report {
    uint8_t vector[3]; /* first, second, and EXC_DF */
    uint32_t error_code[3];
    uint64_t rip, cr2; /* of the first */
    unsigned count;
};

/* The last x87 instruction that translated code executed, for FIP, FOP and FDP (binxlate/fpu.c). */
struct x87_pointers {
    uint32_t fip, linear; /* addresses of the instruction and of its memory operand */
    uint16_t fop;
    uint16_t seg; /* enum sreg of the memory operand */
};

enum { CALL_TRACE_DEPTH = 48 };

/* Calls under way, for the log: where their return addresses lie (cpu/trace.c). */
struct call_trace {
    uint32_t esp[CALL_TRACE_DEPTH]; /* linear */
    unsigned depth;
};

struct vcpu;
struct points;
struct icache;
struct hostfpu;
struct cpu_model;

/* Hooks that vm/ fills in. Every one may be NULL (unit tests); then the default in brackets holds. */
struct vcpu_wiring {
    struct addr_space *mem, *io;
    struct clock *clock; /* [TSC counts instructions] */
    struct log *log;
    void *board;
    /* INTA cycle: returns the vector. [0] */
    uint8_t (*interrupt_acknowledge)(void *board);
    /* IA32_APIC_BASE was written. */
    void (*apic_base_changed)(void *board, uint64_t value);
    /* ATTENTION_DEBUG: asked before every instruction; true leaves with VCPU_EXIT_DEBUG. [false] */
    bool (*debug_stop)(void *board);
    /* FERR# pin, for CR0.NE = 0 (IRQ 13), and its release by port F0h through vcpu_clear_ferr. */
    void (*ferr)(void *board, bool level);
};

/* Reasons to leave the fast path before the next instruction; see vcpu.attention. */
enum vcpu_attention {
    ATTENTION_INTR = 1u << 0,   /* INTR line is high (delivered if IF and no shadow) */
    ATTENTION_NMI = 1u << 1,    /* NMI latched */
    ATTENTION_KICK = 1u << 2,   /* leave vcpu_run as soon as possible */
    ATTENTION_SHADOW = 1u << 3, /* an interrupt shadow ends after this instruction */
    ATTENTION_TRAP = 1u << 4,   /* TF, or a pending debug trap */
    ATTENTION_DEBUG = 1u << 5,  /* a debugger is to be asked before the next instruction (cpu/points.h) */
    ATTENTION_DR = 1u << 6,     /* an instruction breakpoint is enabled in DR7 */
    ATTENTION_CODE =
        1u << 7, /* decoded code or the memory map changed: look the next instruction up afresh */
};

struct vcpu {
    /* ---- architectural: saved in snapshots ---- */
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    struct segment seg[SEG_COUNT];
    struct segment ldtr, tr;
    struct table_register gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t pdpte[4]; /* PAE paging's registers, loaded by MOV to CR3 */
    uint64_t dr[8];    /* dr[4], dr[5] unused */
    struct msrs msr;
    struct fxsave fpu;
    uint8_t shadow; /* enum interrupt_shadow, for the next instruction */
    bool halted;    /* in HLT */
    bool nmi_pending, nmi_blocked;
    bool intr;            /* level of the INTR pin */
    bool a20;             /* the A20M# pin lets bit 20 through */
    bool ferr;            /* FERR# is asserted (numeric error reported through IRQ 13) */
    uint64_t pending_dr6; /* debug traps to raise after the current instruction (DR6 bits) */
    uint64_t insn_count;  /* instructions retired since creation; a REP iteration is not counted alone */

    /* ---- derived: vcpu_sync() rebuilds it ---- */
    uint8_t cpl;
    bool protected_mode; /* CR0.PE and not V86: selectors name descriptors */
    bool v86;
    bool code32, stack32;  /* CS.D, SS.B */
    bool user_view;        /* cpl == 3: index into the TLB's views */
    uint8_t flat;          /* bit per sreg: base 0, limit 4 GiB - 1, readable and writable (CS: readable) */
    bool data_breakpoints; /* DR7 enables a data or I/O breakpoint */
    struct paging_ctx paging;

    /* ---- execution: between vcpu_run calls these hold no information ---- */
    uint32_t attention; /* enum vcpu_attention; other threads may only or-in ATTENTION_KICK, atomically */
    uint64_t next_rip;  /* where the current instruction will continue; branches set it */
    struct exception exception;
    uint64_t budget_end; /* insn_count at which vcpu_run returns; vcpu_shorten() lowers it */
    uint64_t slice_end;  /* insn_count at which the interpreter stops: the budget's end, or sooner */
    struct shutdown_report shutdown;
    struct x87_pointers x87;   /* written by translated code only */
    uint8_t rflags_before_sti; /* the same: bits 8-15, of the last STI */
    char internal_error[160];
    struct call_trace calls;

    /* ---- wiring ---- */
    struct vcpu_wiring wiring;
    const struct cpu_model *model;
    uint64_t features; /* the model's, with the user's +f,-f applied: CPU_FEATURE_* (cpu/cpuid.h) */
    uint64_t tsc_hz;
    struct tlb *tlb;                     /* owned */
    struct icache *icache;               /* owned: decoded instructions */
    struct hostfpu *hostfpu;             /* owned: stubs that run x87, MMX and SSE instructions on the host */
    struct points *points;               /* the debugger's, cpu/points.h; NULL: nothing is looked for */
    const struct data_watch *data_watch; /* the part of them that cached translations obey; NULL: none */
    void *engine;                        /* owned by the translator */
    struct shadow *shadow_tables;        /* the translator's, flushed with the TLB; NULL without one */
    struct ram_protect_listener protect_listener;
    struct addr_space_listener mem_listener;
};

struct error;

/* Allocate and reset a processor. `model` as cpuid.h lists them. NULL with the text on failure. */
struct vcpu *vcpu_create(const struct cpu_model *model, uint64_t features, const struct vcpu_wiring *wiring,
                         struct error *error);
void vcpu_destroy(struct vcpu *cpu);

/* RESET#: the state of SDM Volume 3A, "Processor State After Reset". */
void vcpu_reset(struct vcpu *cpu);

/* Rebuild the derived part after the architectural part was written from outside (reset, load, debugger,
 * loader); flushes the TLB. */
void vcpu_sync(struct vcpu *cpu);
/* The cheap parts of it, for the interpreter's own use. */
void vcpu_sync_mode(struct vcpu *cpu); /* after CR0.PE, RFLAGS.VM, CS, SS or CPL changed */
void vcpu_sync_segment(struct vcpu *cpu, enum sreg which);
void vcpu_sync_paging(
    struct vcpu *cpu);                  /* after CR0, CR3, CR4, EFER, PDPTEs or A20 changed; does not flush */
void vcpu_sync_debug(struct vcpu *cpu); /* after DR7 or TF changed */

void vcpu_sync_attention(struct vcpu *cpu); /* after IF, TF, RF, a pin, NMI blocking or pending_dr6 changed */

/* Open an interrupt shadow over the next instruction (STI, MOV SS, POP SS), or close it (SHADOW_NONE: the
 * dispatch loop, once the boundary it guards is passed). */
void vcpu_set_shadow(struct vcpu *cpu, enum interrupt_shadow shadow);

extern const struct snap_desc vcpu_snap;

/* Pins. */
void vcpu_set_intr(struct vcpu *cpu, bool level);
void vcpu_set_nmi(struct vcpu *cpu);
void vcpu_set_a20(struct vcpu *cpu, bool enabled);
/* Port F0h: release FERR#, accept further numeric errors (IGNNE#). */
void vcpu_clear_ferr(struct vcpu *cpu);
/* Make vcpu_run return soon; the one call that other threads and signal handlers may make. */
void vcpu_kick(struct vcpu *cpu);

/* Let the current run end `insns` instructions from insn_count on, unless it ends sooner. For devices. */
void vcpu_shorten(struct vcpu *cpu, uint64_t insns);

/* Forget cached translations, the interpreter's and the translator's. As tlb_flush() and tlb_flush_page(). */
void vcpu_flush_tlb(struct vcpu *cpu, bool keep_global);
void vcpu_flush_page(struct vcpu *cpu, lin_t linear);
/* CR3 was loaded, and cpu->paging follows it: what the architecture lets survive may survive. */
void vcpu_switch_space(struct vcpu *cpu);

/* Would HLT end now: is an interrupt deliverable or an NMI latched? */
bool vcpu_has_work(const struct vcpu *cpu);

/* The time-stamp counter as RDTSC would read it. */
uint64_t vcpu_tsc(const struct vcpu *cpu);

/* Registers, RFLAGS, segments and control registers in QEMU's `info registers` form. */
void vcpu_print(FILE *out, const struct vcpu *cpu);

/* A register by size; 8-bit ones by ModRM number (4-7: AH..BH). Writes of 32 bits zero the upper half. */
static inline uint8_t reg8(const struct vcpu *cpu, unsigned n)
{
    return (uint8_t)(n < 4 ? cpu->gpr[n] : cpu->gpr[n - 4] >> 8);
}

static inline void set_reg8(struct vcpu *cpu, unsigned n, uint8_t v)
{
    if (n < 4) {
        cpu->gpr[n] = (cpu->gpr[n] & ~(uint64_t)0xff) | v;
    } else {
        cpu->gpr[n - 4] = (cpu->gpr[n - 4] & ~(uint64_t)0xff00) | (uint64_t)v << 8;
    }
}

static inline uint16_t reg16(const struct vcpu *cpu, unsigned n)
{
    return (uint16_t)cpu->gpr[n];
}

static inline void set_reg16(struct vcpu *cpu, unsigned n, uint16_t v)
{
    cpu->gpr[n] = (cpu->gpr[n] & ~(uint64_t)0xffff) | v;
}

static inline uint32_t reg32(const struct vcpu *cpu, unsigned n)
{
    return (uint32_t)cpu->gpr[n];
}

static inline void set_reg32(struct vcpu *cpu, unsigned n, uint32_t v)
{
    cpu->gpr[n] = v;
}

/* Record an exception and return false, so that `return raise(...)` unwinds. */
bool raise_exception(struct vcpu *cpu, enum vector vector);
bool raise_error(struct vcpu *cpu, enum vector vector, uint32_t error_code);
bool raise_page_fault(struct vcpu *cpu, lin_t linear, uint32_t error_code);

#endif
