/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the x87, MMX and SSE tests share: a processor in flat 32-bit protected mode with a little memory, a
 * runner for single guest instructions, and one for the very same bytes on the host.
 *
 * The native runner takes an FXSAVE image with the guest's own values (exceptions unmasked where the guest
 * has them unmasked), loads all of it, runs the bytes with the registers that they name and saves all of it;
 * a SIGFPE is caught and reported with the state it interrupted. It shares no code with cpu/hostfpu.c.
 */
#ifndef TESTS_UNIT_FPU_FIXTURE_H
#define TESTS_UNIT_FPU_FIXTURE_H

#include <criterion/criterion.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/decode.h"
#include "cpu/exec.h"
#include "cpu/fpu.h"
#include "cpu/hostfpu.h"
#include "mmu/addr_space.h"
#include "mmu/ram.h"

enum { GUEST_RAM = 1024 * 1024, GUEST_CODE = 0x1000, GUEST_DATA = 0x2000, OPERAND_SIZE = 16 };

struct fixture {
    struct ram ram;
    struct addr_space mem;
    struct region region;
    struct vcpu *cpu;
    bool ferr; /* level of FERR# */
    unsigned ferr_changes;
};

static inline void fixture_ferr(void *board, bool level)
{
    struct fixture *f = board;

    f->ferr = level;
    f->ferr_changes++;
}

static inline void set_flat_segment(struct segment *segment, uint32_t type)
{
    *segment = (struct segment){
        .selector = 8, .attr = (uint32_t)(type | SEG_S | SEG_P | SEG_DB | SEG_G), .limit = 0xffffffff};
}

static inline void enter_flat_mode(struct vcpu *cpu)
{
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_MP;
    cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        set_flat_segment(&cpu->seg[i], i == SEG_CS ? 0xb : 3);
        cpu->seg[i].selector = (uint16_t)(8 * (i + 1));
    }
    vcpu_sync(cpu);
}

static inline void enter_real_mode(struct vcpu *cpu)
{
    cpu->cr0 = CR0_ET | CR0_NE | CR0_MP;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] =
            (struct segment){.attr = (uint32_t)((i == SEG_CS ? 0xb : 3) | SEG_S | SEG_P), .limit = 0xffff};
    }
    vcpu_sync(cpu);
}

static inline void fixture_init(struct fixture *f, uint64_t features)
{
    struct error error = {.text = ""};

    memset(f, 0, sizeof(*f));
    cr_assert_eq(ram_init(&f->ram, GUEST_RAM, &error), 0, "%s", error.text);
    cr_assert_eq(addr_space_init(&f->mem, "memory", 0xffffffff, &f->ram), 0);
    region_init_memory(&f->region, "ram", 0, GUEST_RAM, ram_alloc(&f->ram, GUEST_RAM), REGION_RW);
    addr_space_add(&f->mem, &f->region);
    struct vcpu_wiring wiring = {.mem = &f->mem, .board = f, .ferr = fixture_ferr};
    f->cpu = vcpu_create(cpu_model_find(NULL), features, &wiring, &error);
    cr_assert_not_null(f->cpu, "%s", error.text);
    enter_flat_mode(f->cpu);
    fpu_init(f->cpu);
}

static inline void fixture_fini(struct fixture *f)
{
    vcpu_destroy(f->cpu);
    addr_space_fini(&f->mem);
    ram_fini(&f->ram);
}

#define ALL_FEATURES (~(uint64_t)0)

static inline uint8_t *guest_data(struct fixture *f, uint32_t address)
{
    return ram_ptr(&f->ram, address);
}

/* Decode and execute one instruction at GUEST_CODE. The result is that of its exec function. */
static inline bool run_bytes(struct fixture *f, const uint8_t *bytes, unsigned count)
{
    struct vcpu *cpu = f->cpu;
    uint8_t padded[15] = {0};
    struct insn insn;

    memcpy(padded, bytes, count);
    enum decode_status status = insn_decode(padded, sizeof(padded), cpu->code32, cpu->features, &insn);
    cr_assert(status == DECODE_OK || status == DECODE_UD);
    if (status == DECODE_OK) {
        cr_assert_eq(insn.length, count, "%s: length %u, given %u", insn.opcode->mnemonic, insn.length,
                     count);
    }
    cpu->rip = GUEST_CODE;
    cpu->next_rip = cpu->rip + insn.length;
    cpu->exception = (struct exception){0};
    bool done = insn.exec(cpu, &insn);
    cr_assert_eq(done, !cpu->exception.pending, "%s", insn.opcode->mnemonic);
    return done;
}

#define RUN(f, ...)         run_bytes(f, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define EXPECT_DONE(f, ...) cr_assert(RUN(f, __VA_ARGS__), "exception %u", (f)->cpu->exception.vector)
#define EXPECT_FAULT(f, vector_, ...)                                                                        \
    do {                                                                                                     \
        cr_assert(!RUN(f, __VA_ARGS__), "no exception");                                                     \
        cr_assert_eq((f)->cpu->exception.vector, vector_, "exception %u", (f)->cpu->exception.vector);       \
    } while (0)

/* ---- random operands ---- */

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t x = random->state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Values where the formats have their corners, with a few bits and the sign flipped now and then. */
static inline uint32_t random_single(struct random *random)
{
    static const uint32_t corner[] = {0x00000000, 0x00000001, 0x007fffff, 0x00800000, 0x00800001, 0x3f800000,
                                      0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fc00000, 0x4f000000, 0x4effffff,
                                      0x3f000000, 0x40400000, 0x7f000000, 0x01000000};
    uint64_t r = random_next(random);

    if (r & 1) {
        return (uint32_t)(r >> 32);
    }
    return corner[r >> 1 & 15] ^ (uint32_t)(r >> 5 & 1) << 31 ^ (r & 0xc0 ? 0 : (uint32_t)(r >> 8 & 3));
}

static inline uint64_t random_double(struct random *random)
{
    static const uint64_t corner[] = {0,
                                      1,
                                      0x000fffffffffffff,
                                      0x0010000000000000,
                                      0x3ff0000000000000,
                                      0x7fefffffffffffff,
                                      0x7ff0000000000000,
                                      0x7ff0000000000001,
                                      0x7ff8000000000000,
                                      0x41e0000000000000,
                                      0x43e0000000000000,
                                      0x3fe0000000000000,
                                      0x4008000000000000,
                                      0x7fe0000000000000,
                                      0x3810000000000000,
                                      0x47efffffe0000000};
    uint64_t r = random_next(random);

    if (r & 1) {
        return random_next(random);
    }
    return corner[r >> 1 & 15] ^ (r >> 5 & 1) << 63 ^ (r & 0xc0 ? 0 : (r >> 8 & 3));
}

/* An x87 register: mostly of moderate size, for the transcendental instructions' sake, else anything. */
static inline void random_extended(struct random *random, uint8_t st[10])
{
    static const uint16_t exponent[] = {0, 0, 1, 0x3fff, 0x3ffe, 0x7ffe, 0x7fff, 0x7fff};
    static const uint64_t significand[] = {
        0, 1, BIT(63), BIT(63) | 1, BITS(63, 62), BIT(62), ~(uint64_t)0, BITS(62, 0)};
    uint64_t r = random_next(random);
    uint64_t s = r & 1 ? random_next(random) | BIT(63) : significand[r >> 1 & 7];
    uint16_t e = r & 0x10 ? (uint16_t)(0x3ff0 + (r >> 8 & 0x3f)) : exponent[r >> 5 & 7];

    if ((r >> 16 & 7) == 0) {
        e = (uint16_t)(r >> 32 & 0x7fff);
    }
    store_le64(st, s);
    store_le16(st + 8, (uint16_t)(e | (r >> 20 & 1) << 15));
}

static inline void random_operand(struct random *random, uint8_t bytes[OPERAND_SIZE])
{
    switch (random_next(random) % 4) {
    case 0:
        for (unsigned i = 0; i < 4; i++) {
            store_le32(bytes + 4 * i, random_single(random));
        }
        break;
    case 1:
        for (unsigned i = 0; i < 2; i++) {
            store_le64(bytes + 8 * i, random_double(random));
        }
        break;
    case 2:
        memset(bytes, 0, OPERAND_SIZE);
        random_extended(random, bytes);
        break;
    default:
        for (unsigned i = 0; i < 2; i++) {
            store_le64(bytes + 8 * i, random_next(random));
        }
        break;
    }
}

/* A state that a processor can be in; exceptions masked, or each with even chances. No error is pending. */
static inline void random_state(struct random *random, struct fxsave *fpu, bool unmasked)
{
    uint64_t r = random_next(random);
    uint32_t x87_masks = unmasked ? (uint32_t)(r & 0x3f) : 0x3f;
    uint32_t sse_masks = unmasked ? (uint32_t)(r >> 6 & 0x3f) : 0x3f;

    memset(fpu, 0, sizeof(*fpu));
    fpu->fcw = (uint16_t)(FCW_FIXED1 | (r >> 12 & 0xf00) | x87_masks);
    fpu->fsw = (uint16_t)((r >> 28 & 0x7f00) | (r >> 48 & x87_masks));
    fpu->ftw = (uint8_t)(r >> 40 | r >> 56); /* three of four registers are in use */
    fpu->mxcsr = (uint32_t)((r >> 16 & (MXCSR_RC | MXCSR_DAZ | MXCSR_FZ)) | sse_masks << MXCSR_MASK_SHIFT);
    fpu->mxcsr |= random_next(random) & sse_masks;
    fpu->mxcsr_mask = 0xffff;
    for (unsigned i = 0; i < 8; i++) {
        random_extended(random, fpu->st[i]);
        random_operand(random, fpu->xmm[i]);
    }
}

/* ---- the host ---- */

/* What the native code loads and stores; offsets are written into the code below. */
struct native {
    struct fxsave fpu;   /* 0 */
    uint32_t gpr[4];     /* 512: EAX, ECX, EDX, unused */
    uint64_t rflags;     /* 528 */
    uint32_t init_mxcsr; /* 536 */
    uint32_t trapped;    /* SIGFPE: `fpu` is the state that it interrupted */
};

struct native_trap {
    sigjmp_buf back;
    struct _libc_fpstate fpu;
};

static inline struct native_trap *native_trap(void)
{
    static struct native_trap trap;

    return &trap;
}

static inline void native_sigfpe(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;

    (void)signal;
    (void)info;
    native_trap()->fpu = *uc->uc_mcontext.fpregs;
    siglongjmp(native_trap()->back, 1);
}

enum { NATIVE_CODE_SIZE = 4096 };

/* A page for code; native_compile() makes it executable. */
static inline uint8_t *native_create(void)
{
    struct sigaction action = {.sa_sigaction = native_sigfpe, .sa_flags = SA_SIGINFO};
    uint8_t *code = mmap(NULL, NATIVE_CODE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq((void *)code, MAP_FAILED);
    sigaction(SIGFPE, &action, NULL);
    return code;
}

static inline void native_destroy(uint8_t *code)
{
    munmap(code, NATIVE_CODE_SIZE);
}

/*
 * Code for (struct native *rdi, void *rsi): the instruction sees the operand at [rsi] and at [rdi], and EAX,
 * ECX, EDX.
 */
static inline void native_compile(uint8_t *code, const uint8_t *bytes, unsigned count)
{
    static const uint8_t before[] = {
        0x49, 0x89, 0xf8,                         /* mov r8, rdi */
        0x48, 0x89, 0xf7,                         /* mov rdi, rsi */
        0x41, 0x0f, 0xae, 0x08,                   /* fxrstor [r8] */
        0x41, 0x8b, 0x80, 0x00, 0x02, 0x00, 0x00, /* mov eax, [r8 + 512] */
        0x41, 0x8b, 0x88, 0x04, 0x02, 0x00, 0x00, /* mov ecx, [r8 + 516] */
        0x41, 0x8b, 0x90, 0x08, 0x02, 0x00, 0x00, /* mov edx, [r8 + 520] */
        0x41, 0xff, 0xb0, 0x10, 0x02, 0x00, 0x00, /* push qword [r8 + 528] */
        0x9d,                                     /* popfq */
    };
    static const uint8_t after[] = {
        0x9c,                                           /* pushfq */
        0x41, 0x8f, 0x80, 0x10, 0x02, 0x00, 0x00,       /* pop qword [r8 + 528] */
        0x41, 0x89, 0x80, 0x00, 0x02, 0x00, 0x00,       /* mov [r8 + 512], eax */
        0x41, 0x89, 0x88, 0x04, 0x02, 0x00, 0x00,       /* mov [r8 + 516], ecx */
        0x41, 0x89, 0x90, 0x08, 0x02, 0x00, 0x00,       /* mov [r8 + 520], edx */
        0x41, 0x0f, 0xae, 0x00,                         /* fxsave [r8] */
        0xdb, 0xe3,                                     /* fninit */
        0x41, 0x0f, 0xae, 0x90, 0x18, 0x02, 0x00, 0x00, /* ldmxcsr [r8 + 536] */
        0xc3,                                           /* ret */
    };

    mprotect(code, NATIVE_CODE_SIZE, PROT_READ | PROT_WRITE);
    memcpy(code, before, sizeof(before));
    memcpy(code + sizeof(before), bytes, count);
    memcpy(code + sizeof(before) + count, after, sizeof(after));
    mprotect(code, NATIVE_CODE_SIZE, PROT_READ | PROT_EXEC);
}

static inline void native_run(const uint8_t *code, struct native *native, uint8_t *operand)
{
    native->rflags = (native->rflags & RFLAGS_ARITH) | 0x202;
    native->init_mxcsr = MXCSR_INIT;
    native->trapped = 0;
    if (sigsetjmp(native_trap()->back, 1)) {
        native->trapped = 1;
        memcpy(&native->fpu, &native_trap()->fpu, sizeof(native->fpu));
        return;
    }
    ((void (*)(struct native *, uint8_t *))(uintptr_t)code)(native, operand);
}

/* ---- both ---- */

/* An instruction of the row with memory operand [esi] and immediate `imm`. Returns its length. */
static inline unsigned row_encode(const struct opcode *row, bool memory, unsigned reg, unsigned rm,
                                  uint8_t imm, uint8_t bytes[15])
{
    unsigned n = 0;

    if (row->prefix > OPP_NP) {
        bytes[n++] = row->prefix;
    }
    if (row->map != MAP_1BYTE) {
        bytes[n++] = 0x0f;
    }
    if (row->map == MAP_0F38 || row->map == MAP_0F3A) {
        bytes[n++] = row->map == MAP_0F38 ? 0x38 : 0x3a;
    }
    bytes[n++] = row->byte;
    if (row->reg >= 0) {
        reg = (unsigned)row->reg;
    }
    if (row->rm >= 0) {
        rm = (unsigned)row->rm;
    }
    if (opcode_has_modrm(row)) {
        bytes[n++] = (uint8_t)(memory ? reg << 3 | 6 : 0xc0 | reg << 3 | rm);
    }
    if (strstr(row->operands, ",Ib")) {
        bytes[n++] = imm;
    }
    return n;
}

/* One comparison: the guest's state, then both runs, then everything that they may have changed. */
struct trial {
    struct fxsave fpu;
    uint32_t gpr[4];
    uint64_t rflags;
    uint8_t operand[OPERAND_SIZE];
};

static inline void random_trial(struct random *random, struct trial *trial, bool unmasked)
{
    random_state(random, &trial->fpu, unmasked);
    for (unsigned i = 0; i < 4; i++) {
        trial->gpr[i] = (uint32_t)random_next(random);
    }
    trial->rflags = random_next(random) & RFLAGS_ARITH;
    random_operand(random, trial->operand);
}

static inline void load_guest(struct fixture *f, const struct trial *trial)
{
    struct vcpu *cpu = f->cpu;

    cpu->fpu = trial->fpu;
    for (unsigned i = 0; i < 3; i++) {
        cpu->gpr[i] = trial->gpr[i];
    }
    cpu->gpr[RSI] = cpu->gpr[RDI] = GUEST_DATA;
    cpu->rflags = RFLAGS_FIXED1 | trial->rflags;
    memcpy(guest_data(f, GUEST_DATA), trial->operand, OPERAND_SIZE);
}

static inline void format_trial(char *text, size_t size, const char *name, const uint8_t *bytes,
                                unsigned count, const struct trial *trial)
{
    int n = snprintf(text, size, "%s", name);

    for (unsigned i = 0; i < count; i++) {
        n += snprintf(text + n, size - (size_t)n, " %02x", bytes[i]);
    }
    snprintf(text + n, size - (size_t)n, " fcw %04x fsw %04x ftw %02x mxcsr %04x", trial->fpu.fcw,
             trial->fpu.fsw, trial->fpu.ftw, trial->fpu.mxcsr);
}

static inline void compare_x87(const struct fxsave *guest, const struct fxsave *host, const char *what)
{
    cr_assert_eq(guest->fcw, host->fcw, "%s: fcw %04x, host %04x", what, guest->fcw, host->fcw);
    cr_assert_eq(guest->fsw, host->fsw, "%s: fsw %04x, host %04x", what, guest->fsw, host->fsw);
    cr_assert_eq(guest->ftw, host->ftw, "%s: ftw %02x, host %02x", what, guest->ftw, host->ftw);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_arr_eq(guest->st[i], host->st[i], 10, "%s: st%u %016lx %04x, host %016lx %04x", what, i,
                         load_le64(guest->st[i]), load_le16(guest->st[i] + 8), load_le64(host->st[i]),
                         load_le16(host->st[i] + 8));
    }
}

static inline void compare_sse(const struct fxsave *guest, const struct fxsave *host, const char *what)
{
    cr_assert_eq(guest->mxcsr, host->mxcsr, "%s: mxcsr %04x, host %04x", what, guest->mxcsr, host->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_arr_eq(guest->xmm[i], host->xmm[i], 16, "%s: xmm%u", what, i);
    }
}

/*
 * Does the switch to MMX use belong to the comparison? The manual leaves open whether an instruction that
 * raises #XM has made it, and makers differ on CVTPI2PS from memory.
 */
static inline bool mmx_switch_is_common(const struct opcode *row, bool trapped, bool memory)
{
    bool mixed = (row->flags & OPF_MMX) && (row->flags & OPF_SSE);

    return !mixed || (!trapped && !(memory && row->byte == 0x2a));
}

/* Run the bytes in the guest and, compiled into `code`, on the host, from the same state. */
static inline void compare_runs(struct fixture *f, const uint8_t *code, const struct opcode *row, bool memory,
                                const uint8_t *bytes, unsigned count, const struct trial *trial)
{
    struct native native = {.fpu = trial->fpu, .rflags = trial->rflags};
    uint8_t operand[OPERAND_SIZE] __attribute__((aligned(16)));
    char what[128];

    format_trial(what, sizeof(what), row->mnemonic, bytes, count, trial);
    memcpy(native.gpr, trial->gpr, sizeof(native.gpr));
    memcpy(operand, trial->operand, sizeof(operand));
    native_run(code, &native, operand);

    load_guest(f, trial);
    bool done = run_bytes(f, bytes, count);
    cr_assert_eq(done, !native.trapped, "%s: exception %u, host trapped: %u", what, f->cpu->exception.vector,
                 native.trapped);
    if (mmx_switch_is_common(row, native.trapped, memory)) {
        compare_x87(&f->cpu->fpu, &native.fpu, what);
    }
    compare_sse(&f->cpu->fpu, &native.fpu, what);
    cr_assert_arr_eq(guest_data(f, GUEST_DATA), operand, sizeof(operand), "%s: memory", what);
    if (native.trapped) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(f->cpu->gpr[i], native.gpr[i], "%s: gpr %u %lx, host %x", what, i, f->cpu->gpr[i],
                     native.gpr[i]);
    }
    cr_assert_eq(f->cpu->rflags & RFLAGS_ARITH, native.rflags & RFLAGS_ARITH, "%s: rflags %lx, host %lx",
                 what, f->cpu->rflags, native.rflags);
}

/* All forms of a row: registers and memory, random register numbers and immediates, `count` trials each. */
static inline void compare_row(struct fixture *f, uint8_t *code, const struct opcode *row,
                               struct random *random, unsigned count, bool unmasked)
{
    bool gpr_operand = strpbrk(row->operands, "GER") != NULL;

    for (unsigned memory = 0; memory < 2; memory++) {
        if (row->mod == (memory ? 3 : 0) || (memory && !opcode_has_modrm(row))) {
            continue;
        }
        for (unsigned encoding = 0; encoding < 6; encoding++) {
            uint64_t r = random_next(random);
            unsigned registers = gpr_operand ? 3 : 8;
            uint8_t bytes[15];
            unsigned length = row_encode(row, memory, (r & 0xff) % registers, (r >> 8 & 0xff) % registers,
                                         (uint8_t)(r >> 16), bytes);
            native_compile(code, bytes, length);
            for (unsigned i = 0; i < count; i++) {
                struct trial trial;
                random_trial(random, &trial, unmasked);
                compare_runs(f, code, row, memory, bytes, length, &trial);
            }
        }
    }
}

#endif
