/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of binxlate/ share: the engine, its blocks, and the conventions of translated code.
 *
 *   codebuf.c    the code buffer (two views) and the arena of what describes it
 *   block.c      block store: look-up, host address to guest instruction, dropping
 *   translate.c  a run of guest instructions into a block
 *   gen*.c       generators: one guest instruction into host code
 *   dispatch.c   the loop around translated code: look-ups, chaining, call-outs, budget
 *   thunk*.c     the ways into translated code and out of it; instructions too long to be part of a block
 *   fpu.c        the guest's x87, MMX and SSE state in the host's units
 *   stack.c      the stack of translated code
 *   host.c       what the host must have
 *   fault.c      host signals inside translated code
 *   stats.c      what was counted
 *   inspect.c    blocks as the monitor shows them
 *   smc.c        writes to translated code
 *   promote.c    which views get a host window, and which pages
 *
 * docs/binxlate.md is the overview.
 */
#ifndef BINXLATE_ENGINE_H
#define BINXLATE_ENGINE_H

#include <signal.h>

#include "binxlate/binxlate.h"
#include "binxlate/emit.h"
#include "cpu/insn.h"
#include "mmu/shadow.h"

/* ---- Registers of translated code (docs/binxlate.md) ---- */

#define REG_LINEAR  HOST_R8 /* linear address of an access; target of an indirect branch */
#define REG_ENTRY   HOST_R9 /* shadow entry; argument of an exit */
#define REG_SCRATCH HOST_R10
#define REG_LEFT    HOST_R11 /* instructions left in the budget */
#define REG_ESP     HOST_R12
#define REG_SHIFT                                                                                            \
    HOST_R13 /* 44 + 64 * mode: a shift count (12 in 32 bits, 44 in 64), and the mode to compare */
#define REG_TABLE HOST_R14 /* read part of the view's shadow table */
#define REG_CPU   HOST_R15

/* From RSP: 8 bytes in what the ABI calls the red zone, free between instructions. Signals spare it. */
#define STACK_SLOT (-64)

#define SHIFT_COUNT         44u
#define SHIFT_OF_MODE(mode) (SHIFT_COUNT + 64u * (mode))

/*
 * What a block depends on beside its bytes and its address.
 *
 *   USER  CPL is 3: the user view of memory
 *   FS GS the segment can be used by adding its base: present, writable data, limit 4 GiB - 1
 *   FPU   the host's x87 and SSE units hold the guest's state (fpu.c)
 *   SSE   beside FPU: CR4.OSFXSR
 *   WINDOW  the view has a host window, at the GS base
 *   CPL0  CPL is 0
 */
enum block_mode {
    MODE_USER = 1,
    MODE_FS = 2,
    MODE_GS = 4,
    MODE_FPU = 8,
    MODE_SSE = 16,
    MODE_WINDOW = 32,
    MODE_CPL0 = 64,
    MODE_NONE = 0xff,
};

/* ---- Blocks ---- */

enum {
    BLOCK_INSNS_MAX = 64,
    BLOCK_BUCKETS = 1 << 16,
    JUMP_CACHE_SIZE = 1 << 16, /* indexed by the low 16 bits of the target */
    JUMP_CACHES = 8,           /* by MODE_USER, MODE_FPU and MODE_WINDOW: code in these modes alternates */
};

/* One memory access, or the start of an instruction without any. Sorted by host offset. */
struct site {
    uint16_t host;  /* offset of its first byte from the block's code */
    int16_t guest;  /* offset of the instruction from the block's start */
    uint8_t index;  /* of the instruction in the block */
    bool write;     /* which half of the shadow table the access uses */
    bool window;    /* it goes through the host window */
    bool after_sti; /* the instruction follows an STI that is not a call-out */
};

/* What is known of an instruction from earlier faults; kept when a block is translated again. */
enum trait {
    TRAIT_MISALIGNED = 1, /* met misaligned operands */
    TRAIT_HALVES = 4,     /* met operands that are aligned to 4 bytes only */
    TRAIT_SLOW = 2,       /* met memory that is not direct: leave it to the interpreter's function */
    TRAIT_FLAT = 8,       /* met memory that the window does not show: use the flat table */
};

struct chain;

struct block {
    struct block *next_in_bucket, *next_in_frame, *next_in_tail_frame;
    roff_t roff;      /* first byte */
    uint32_t linear;  /* its address */
    uint16_t first;   /* offset in the frame: all of its bytes are among */
    uint16_t length;  /* so many from there */
    uint8_t tail;     /* bytes in the next page, of a block whose one instruction crosses into it */
    roff_t tail_roff; /* where these lie */
    uint8_t mode;     /* enum block_mode bits */
    uint8_t count;    /* instructions */
    bool dead;
    uint16_t site_count;
    struct site *sites;
    uint8_t *traits;      /* enum trait bits, one byte an instruction */
    uint8_t *slow_faults; /* faults on memory that is not direct, one counter an instruction */
    uint8_t *flat_faults; /* the same for memory that the window does not show */
    uint8_t *code;        /* write view */
    uint32_t code_size;
    uint32_t stubs;      /* offset of the cold halves of its exits, behind the last instruction */
    struct chain *exits; /* its direct jumps out, the last one first */
    uint64_t
        executions; /* how often `body` got past the poll; counted if it was made with binxlate.counting on */
    /* Ways in (write view): by an indirect branch with the target in REG_LINEAR; from another page; from this one. */
    uint8_t *indirect, *verified, *body;
    const void *gone; /* stub that leaves to the dispatcher with rip = linear */
};

/* A direct jump that leaves a block. */
struct chain {
    struct block *from;
    uint8_t *field; /* displacement to patch, write view */
    uint32_t target;
    struct chain *next; /* of the same block */
};

/* An instruction that the interpreter's function executes. */
struct callout {
    struct block *block;
    const void *resume; /* the next instruction's code; NULL: leave to the dispatcher */
    uint8_t index;
    uint32_t next; /* address of the next instruction */
    uint32_t runs; /* of a TRAIT_SLOW site, since it was made */
    struct insn insn;
};

/* Blocks of one frame of the VM's memory. */
struct code_frame {
    struct block *blocks;
    struct block *tails; /* blocks of the frame before whose tail lies at the start of this one */
    uint64_t translated[PAGE_SIZE / 64]; /* bytes that are part of a block */
    unsigned rewritten;                  /* times that it was translated again after a write dropped blocks */
    uint64_t quiet_until;                /* insn_count before which nothing is translated */
    bool dropped;                        /* a write has, since the last translation */
};

/* ---- Why translated code came back ---- */

enum exit_reason {
    EXIT_LOOKUP,  /* rip is set: find its block */
    EXIT_GONE,    /* rip is set: its block, the argument, was dropped */
    EXIT_VERIFY,  /* rip is set: the page of its block is mapped otherwise, or not known */
    EXIT_CHAIN,   /* rip is set; argument: struct chain */
    EXIT_CALLOUT, /* argument: struct callout */
    EXIT_FAULT,   /* run.fault_* say where and what */
    EXIT_COUNT
};

enum fault_kind { FAULT_ADDRESS, FAULT_ALIGNMENT, FAULT_ARITHMETIC };

/* Added to what is left of a budget to end it at the next poll; taken off again when C code is back, so that counting stays
 * exact. No budget is so large, and the poll's load still falls into the guard. */
#define RUN_STOP (-((int64_t)1 << 62))

/* What thunks load and store; addressed absolutely by them. */
struct run_state {
    struct vcpu *cpu;
    uint64_t *table;         /* for REG_TABLE */
    const void **jump_cache; /* the mode's */
    uint64_t shift;          /* for REG_SHIFT */
    int64_t left;            /* REG_LEFT in and out */
    int64_t stop;            /* 0, or RUN_STOP: added to REG_LEFT on the way in (binxlate_stop) */
    uint64_t flags;          /* host RFLAGS in and out */
    uint64_t stack;          /* RSP inside translated code, in and out */
    uint64_t host_stack;     /* RSP outside */
    uint64_t argument;       /* REG_ENTRY on the way out */
    uint64_t linear;         /* REG_LINEAR in and out */
    const uint8_t *fault_pc;
    uint64_t fault_address; /* what the host says was accessed; 0: it does not say */
    uint32_t fault_kind;    /* enum fault_kind */
    uint32_t fpu_live;      /* not 0: load vcpu.fpu on the way in, store it on the way out */
    uint32_t host_mxcsr;    /* for C code */
};

/* The x87 pointers, which translated code leaves alone. */
struct fpu_pointers {
    uint16_t fop, fcs, fds;
    uint32_t fip, fdp;
};

/* The last load of a segment register at CPL 0 from the GDT: thunk_segment.c. */
struct segment_cache {
    uint32_t selector;      /* 0: nothing is noted */
    uint32_t linear;        /* address of its descriptor, a multiple of 8 */
    uint64_t gdt_base;      /* GDTR, then */
    uint32_t gdt_limit;     /* the same */
    uint32_t mode;          /* the segment's bit of the mode, if it can be used, times 64 */
    uint64_t descriptor;    /* its bytes, after the load */
    struct segment segment; /* what came of it */
};

struct code_buffer {
    uint8_t *write, *exec; /* the two views */
    size_t size;
    size_t fixed; /* bytes of thunks at the start */
    size_t used;
};

struct arena {
    uint8_t *base;
    size_t size, used;
};

/* An access that the guest's tables refused. */
struct page_fault {
    bool pending;        /* the instruction has not been tried again */
    uint64_t rip;        /* of the instruction */
    uint64_t insn_count; /* when it was refused */
    lin_t linear;        /* of the access */
    unsigned flags;      /* of the access: enum pagewalk_flags */
};

struct binxlate {
    struct vcpu *cpu;
    struct run_state run;
    struct shadow shadow;
    struct code_buffer code;
    struct arena arena;
    uint8_t *stack;            /* the stack of translated code between its guards: stack.c */
    uint8_t *stack_limit;      /* STACK_LIMIT_SIZE bytes that are touched when calls are nested too deep */
    uint64_t stack_top;        /* RSP of an empty stack */
    uint64_t stack_generation; /* shadow.generation that its landings were made under */
    uint8_t *signal_stack;

    unsigned (*enter)(const void *code);
    const void *entered; /* in `enter`: REG_LEFT holds the budget from here on */
    const void *exit[EXIT_COUNT];
    const void *exit_indirect;  /* EXIT_LOOKUP with rip = REG_LINEAR */
    const void *jump;           /* continue at REG_LINEAR by way of the jump cache */
    const void *return_missed;  /* the same for a return with no call before it */
    const void *rep_movs[3];    /* REP MOVS, by the logarithm of the element's size: thunk_rep.c */
    const void *rep_cmps[2][3]; /* REPNE and REPE CMPS */
    const void *rep_scas[2][3];
    const void *rep_stos[3];             /* REP STOS */
    const void *load_segment[SEG_COUNT]; /* NULL: none. thunk_segment.c */
    struct segment_cache segment_cache[SEG_COUNT];

    struct block **bucket;   /* BLOCK_BUCKETS */
    const void **jump_cache; /* JUMP_CACHES times JUMP_CACHE_SIZE */
    struct block **blocks;   /* in order of code address */
    size_t block_count, block_capacity;
    struct code_frame **frame; /* per frame of the VM's memory; owned */
    uint64_t frame_count;
    uint64_t count_end;               /* insn_count when run.left is 0 */
    struct fpu_pointers fpu_pointers; /* while run.fpu_live */
    uint32_t fpu_mxcsr_mask;          /* the model's */
    unsigned fpu_credit;              /* stays outside until the units are given back */
    const uint8_t *last_fault_pc;
    uint64_t last_fault_linear;
    unsigned mode;    /* that translated code was, or will be, entered in */
    uint64_t gs_base; /* what the thread's GS base was set to; 0: not known */
    enum binxlate_windows windows;
    struct page_fault page_fault;

    unsigned interpret; /* instructions to interpret before translated code is looked for again */
    bool shadow_ready, broken;
    bool counting;                     /* blocks made now count their executions */
    struct binxlate_stats stats, mark; /* mark: as it was at binxlate_reset_exits() */
    uint64_t *callouts_by_row;         /* opcode_count of them */
    uint64_t *callouts_mark;           /* the same at binxlate_reset_exits(); NULL: it was never called */
};

static inline const void **jump_cache_of(const struct binxlate *x, unsigned mode)
{
    unsigned which =
        (mode & MODE_USER ? 1u : 0u) | (mode & MODE_FPU ? 2u : 0u) | (mode & MODE_WINDOW ? 4u : 0u);

    return x->jump_cache + (size_t)which * JUMP_CACHE_SIZE;
}

/* ---- codebuf.c ---- */

int code_buffer_init(struct code_buffer *code, size_t size, struct error *error);
void code_buffer_fini(struct code_buffer *code);
static inline ptrdiff_t code_view(const struct code_buffer *code)
{
    return code->exec - code->write;
}
static inline const void *code_exec(const struct binxlate *x, const uint8_t *write)
{
    return write + code_view(&x->code);
}

int arena_init(struct arena *arena, size_t size, struct error *error);
void arena_fini(struct arena *arena);
/* Zeroed memory that lives until the next binxlate_reset(); NULL when used up. */
void *arena_alloc(struct arena *arena, size_t size);

/* ---- stack.c ---- */

#define STACK_LIMIT_SIZE ((size_t)(64 * KIB))

int stack_init(struct binxlate *x, struct error *error);
void stack_fini(struct binxlate *x);
/* Returns find no calls. */
void stack_empty(struct binxlate *x);

/* ---- thunk.c ---- */

/* Emit the thunks at the start of the code buffer. */
int thunks_emit(struct binxlate *x, struct error *error);

/* ---- block.c ---- */

struct block *block_find(const struct binxlate *x, uint32_t linear, roff_t roff, unsigned mode);
/* Enter a finished block. False: out of memory. */
bool block_enter(struct binxlate *x, struct block *block);
/* Nothing enters it any more; who is inside runs on to its next exit. */
void block_drop(struct binxlate *x, struct block *block);
/* Drop the blocks in which points lie. */
struct points;
void block_drop_points(struct binxlate *x, const struct points *points);
/* Lead the ways into a dropped block to one that begins at the same address in the same mode. */
void block_replace(struct binxlate *x, const struct block *dropped, const struct block *block);
/* The block whose code holds this address of the execute view, or NULL. */
struct block *block_at_host(const struct binxlate *x, const uint8_t *pc);
/* The site that holds the host address; NULL when it lies before the first (the poll). */
const struct site *block_site(const struct binxlate *x, const struct block *block, const uint8_t *pc);
/* Where the code of instruction `index` begins. */
const void *block_insn_code(const struct binxlate *x, const struct block *block, unsigned index);

/* ---- translate.c ---- */

/* Translate the run at `linear`, whose bytes lie at roff. NULL: its first instruction cannot begin a block. `like`:
 * a block to take traits from, or NULL. May reset the whole buffer. */
struct block *translate_block(struct binxlate *x, uint32_t linear, roff_t roff, unsigned mode,
                              const struct block *like);

/* ---- smc.c ---- */

int smc_init(struct binxlate *x, struct error *error);
void smc_fini(struct binxlate *x);
/* Watch the frame before its bytes are read. NULL: out of memory. */
struct code_frame *smc_watch(struct binxlate *x, roff_t roff);
/* May code of this frame be translated? Not where writes keep hitting it. */
bool smc_worthwhile(const struct binxlate *x, roff_t roff);
/* Note the block's bytes. */
void smc_enter(struct binxlate *x, struct block *block);
void smc_forget_all(struct binxlate *x);

/* ---- fpu.c ---- */

/* The instruction uses the x87, MMX or SSE units. */
static inline bool fpu_insn(const struct insn *insn)
{
    return insn->opcode->flags & (OPF_FPU | OPF_MMX | OPF_SSE);
}
/* About to enter translated code with the state live. */
void fpu_prepare(struct binxlate *x);
/* Let the host's units hold the guest's state. False: the interpreter must execute the guest's FPU instructions. */
bool fpu_enliven(struct binxlate *x);
/* vcpu.fpu alone holds the state again. */
void fpu_release(struct binxlate *x);
/* The same, if the state has not earned its keep: something outside translated code is about to be done. */
void fpu_charge(struct binxlate *x);
/* After translated code was left: what the exit thunk stored is completed. */
void fpu_stored(struct binxlate *x);
/* MODE_FPU and MODE_SSE as they are now. */
unsigned fpu_mode(const struct binxlate *x);

/* ---- fault.c ---- */

/* The signal handler. */
void fault_entry(int signal_number, siginfo_t *info, void *context);
int fault_init(struct binxlate *x, struct error *error);
void fault_fini(struct binxlate *x);
/* The calling thread takes its signals elsewhere than on the engine's signal stack. */
void fault_leave_thread(const struct binxlate *x);
/* Translated code of this engine is about to run on this thread, or no more. */
void fault_attach(struct binxlate *x);
void fault_detach(void);

/* ---- promote.c ---- */

#define LOOK_INSNS ((uint64_t)1 << 17) /* instructions between looks, */
#define LOOKS_OPEN 16u                 /* and so many times as many in a window, which is only kept */

static inline uint64_t look_insns(const struct binxlate *x, unsigned mode)
{
    return mode & MODE_WINDOW || x->windows == BINXLATE_WINDOWS_OFF ? LOOK_INSNS * LOOKS_OPEN : LOOK_INSNS;
}

/* look_insns() instructions have been executed: whose? */
void promote_look(struct binxlate *x);
/* Under BINXLATE_WINDOWS_NOW: the current view gets its window. */
void promote_now(struct binxlate *x);
/* An access from code in MODE_WINDOW found a page not shown whose shadow entry is usable. True: it is shown now. */
bool promote_page(struct binxlate *x, uint32_t linear, bool write);
/* About to enter translated code: the GS base is that of the view's window, if it has one. */
void promote_enter(struct binxlate *x);

/* ---- stats.c ---- */

/* The log's category `jit`. */
void stats_log(const struct binxlate *x);

/* ---- dispatch.c ---- */

/* The mode that blocks are looked up with now; MODE_NONE: not translatable. */
unsigned dispatch_mode(const struct binxlate *x);
/* Where the byte at `linear` lies in the VM's memory. False: not executable now, or not memory. */
bool dispatch_find_code(struct binxlate *x, uint32_t linear, roff_t *roff);

#endif
