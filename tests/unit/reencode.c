/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Copied instructions against two judges.
 *
 *   Capstone         the host bytes must be the guest's instruction with ESP as r12 and the given operand
 *   the interpreter  the copy runs natively on random state; registers, flags, x87, MMX and SSE state and
 *                    memory must come out as the interpreter leaves them for the guest's bytes
 *
 * And the hardware says whether the access tables are right: the copy must fault exactly where they claim
 * an access that the page does not allow, at exactly their size, with every register as it was before.
 *
 * Not compared: FIP, FDP and FOP, which hold host addresses here.
 */
#include <capstone/capstone.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "binxlate/reencode.h"
#include "cpu/decode.h"
#include "tests/isa/bare_machine.h"

enum {
    CASES_PER_ROW = 64,
    CODE = 0x1000,         /* guest address of the instruction */
    DATA = 0x8000,         /* guest addresses that memory operands lie in: 16-bit addressing reaches them */
    DATA_SIZE = 0x1000,    /* one page */
    LINEAR_SIZE = 0x10000, /* the host's image of low memory */
    CODE_SIZE = 4096,
};

/* ---- random numbers ---- */

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint32_t random_below(uint64_t *state, uint32_t n)
{
    return (uint32_t)((random_next(state) >> 16) % n);
}

static bool random_once_in(uint64_t *state, uint32_t n)
{
    return random_below(state, n) == 0;
}

/* Integers with a bias to where arithmetic turns. */
static uint32_t random_integer(uint64_t *state)
{
    static const uint32_t turning[] = {0,      1,      0x7f,   0x80,       0xff,
                                       0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000};

    switch (random_below(state, 4)) {
    case 0:
        return turning[random_below(state, ARRAY_LEN(turning))] - random_below(state, 2);
    case 1:
        return random_below(state, 64);
    default:
        return (uint32_t)random_next(state);
    }
}

/* ---- the native side ---- */

/*
 * The state that native_enter() loads and native_leave() stores. Offsets are known to the assembly.
 */
struct native {
    uint64_t gpr[16];    /* 0: as in the registers; [4] is not loaded, [15] is this struct */
    uint64_t rflags;     /* 128 */
    const void *code;    /* 136 */
    const void *leave;   /* 144: where the code ends */
    uint64_t host_rsp;   /* 152 */
    uint32_t host_mxcsr; /* 160 */
    int signal;          /* 164: 0, or what ended it */
    uint64_t fault;      /* 168: its address */
    uint8_t operand[64]; /* a memory operand at [r15 + disp] */
    struct fxsave fpu;   /* 256 */
};
_Static_assert(offsetof(struct native, rflags) == 128 && offsetof(struct native, code) == 136, "assembly");
_Static_assert(offsetof(struct native, leave) == 144 && offsetof(struct native, host_rsp) == 152, "assembly");
_Static_assert(offsetof(struct native, host_mxcsr) == 160 && offsetof(struct native, fpu) == 256, "assembly");

void native_enter(struct native *native);
void native_leave(void);

__asm__(".text\n"
        ".globl native_enter, native_leave\n"
        ".type native_enter, @function\n"
        ".type native_leave, @function\n"
        "native_enter:\n"
        "   pushq %rbx\n   pushq %rbp\n   pushq %r12\n   pushq %r13\n   pushq %r14\n   pushq %r15\n"
        "   movq %rdi, %r15\n"
        "   movq %rsp, 152(%r15)\n"
        "   stmxcsr 160(%r15)\n"
        "   fxrstor 256(%r15)\n"
        "   pushq 128(%r15)\n"
        "   popfq\n"
        "   movq 0(%r15), %rax\n   movq 8(%r15), %rcx\n   movq 16(%r15), %rdx\n   movq 24(%r15), %rbx\n"
        "   movq 40(%r15), %rbp\n   movq 48(%r15), %rsi\n   movq 56(%r15), %rdi\n   movq 64(%r15), %r8\n"
        "   movq 72(%r15), %r9\n   movq 80(%r15), %r10\n   movq 88(%r15), %r11\n   movq 96(%r15), %r12\n"
        "   movq 104(%r15), %r13\n   movq 112(%r15), %r14\n"
        "   jmp *136(%r15)\n"
        "native_leave:\n"
        "   movq %rax, 0(%r15)\n   movq %rcx, 8(%r15)\n   movq %rdx, 16(%r15)\n   movq %rbx, 24(%r15)\n"
        "   movq %rsp, 32(%r15)\n   movq %rbp, 40(%r15)\n   movq %rsi, 48(%r15)\n   movq %rdi, 56(%r15)\n"
        "   movq %r8, 64(%r15)\n   movq %r9, 72(%r15)\n   movq %r10, 80(%r15)\n   movq %r11, 88(%r15)\n"
        "   movq %r12, 96(%r15)\n   movq %r13, 104(%r15)\n   movq %r14, 112(%r15)\n"
        "   movq 152(%r15), %rsp\n"
        "   pushfq\n"
        "   popq 128(%r15)\n"
        "   cld\n"
        "   fxsave 256(%r15)\n"
        "   fninit\n"
        "   ldmxcsr 160(%r15)\n"
        "   popq %r15\n   popq %r14\n   popq %r13\n   popq %r12\n   popq %rbp\n   popq %rbx\n"
        "   ret\n"
        ".size native_enter, . - native_enter\n");

/* One page of code in two views, one linear memory, one processor. */
struct bench {
    struct bare_machine bare;
    struct native native;
    uint8_t *write;
    const uint8_t *execute;
    uint8_t
        *linear; /* LINEAR_SIZE bytes with inaccessible surroundings: guest memory as native code sees it */
    csh guest, host;
    uint64_t random;
};

static struct bench bench;

/* A fault of the copy goes on in native_leave() with all registers as they are; others are real. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)gregs[REG_RIP];

    if (rip - (uint64_t)bench.execute >= CODE_SIZE) {
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigaction(signal, &standard, NULL);
        return;
    }
    bench.native.signal = signal;
    bench.native.fault = (uint64_t)info->si_addr;
    gregs[REG_RIP] = (greg_t)(uintptr_t)native_leave;
}

static void map_code(void)
{
    int fd = memfd_create("reencode-test", MFD_CLOEXEC);

    cr_assert_eq(ftruncate(fd, CODE_SIZE), 0);
    bench.write = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    bench.execute = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    cr_assert(bench.write != MAP_FAILED && bench.execute != MAP_FAILED);
    close(fd);
}

static void map_linear(void)
{
    uint8_t *at = mmap(NULL, LINEAR_SIZE * 3, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert(at != MAP_FAILED);
    bench.linear = at + LINEAR_SIZE;
    cr_assert_eq(mprotect(bench.linear + DATA, DATA_SIZE, PROT_READ | PROT_WRITE), 0);
}

static void setup(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    if (!__builtin_cpu_supports("bmi2")) {
        cr_skip_test("copies need BMI2");
    }
    bare_init(&bench.bare);
    bare_enter_protected(&bench.bare, 32);
    bench.bare.cpu->cr0 |= CR0_MP | CR0_NE;
    bench.bare.cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    vcpu_sync(bench.bare.cpu);
    map_code();
    map_linear();
    for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
    cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_32, &bench.guest), CS_ERR_OK);
    cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_64, &bench.host), CS_ERR_OK);
    cs_option(bench.guest, CS_OPT_DETAIL, CS_OPT_ON);
    cs_option(bench.host, CS_OPT_DETAIL, CS_OPT_ON);
    bench.random = 0x9e3779b97f4a7c15;
}

static void teardown(void)
{
    cs_close(&bench.guest);
    cs_close(&bench.host);
    bare_fini(&bench.bare);
    munmap(bench.linear - LINEAR_SIZE, LINEAR_SIZE * 3);
    munmap(bench.write, CODE_SIZE);
    munmap((void *)(uintptr_t)bench.execute, CODE_SIZE);
}

TestSuite(reencode, .init = setup, .fini = teardown);

/* ---- a random guest instruction ---- */

/* A case: the guest's bytes as decoded, and the state they run in. */
struct sample {
    const struct opcode *row;
    uint8_t bytes[15];
    unsigned length;
    struct insn insn;
    uint32_t gpr[8];
    uint64_t rflags;
    struct fxsave fpu;
    uint32_t address;        /* of the memory operand's first byte */
    uint8_t data[DATA_SIZE]; /* the page of memory before */
    struct host_mem mem;     /* what the copy's operand is */
    uint8_t code[256];       /* the copy, for Capstone */
    unsigned code_length;
};

static struct sample sample; /* too large for the stack of a fault */

static bool has_operand(const struct opcode *row, const char *letters)
{
    const char *cursor = row->operands;
    struct operand operand;

    while (operand_next(&cursor, &operand)) {
        if (operand.letter && strchr(letters, operand.letter)) {
            return true;
        }
    }
    return false;
}

static void put8(unsigned byte)
{
    sample.bytes[sample.length++] = (uint8_t)byte;
}

static void put_random(unsigned count)
{
    while (count-- > 0) {
        put8((unsigned)(random_next(&bench.random) >> 24) & 0xff);
    }
}

/* `plain`: no prefix that Capstone would show, or read in another way. */
static void put_prefixes(const struct opcode *row, bool memory, bool plain)
{
    static const uint8_t overrides[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    uint64_t *random = &bench.random;

    if (!plain && random_once_in(random, 4)) {
        put8(overrides[random_below(random, ARRAY_LEN(overrides))]);
    }
    if (!plain && memory && random_once_in(random, 3)) {
        put8(0x67);
    }
    if (!plain && row->prefix == 0 && random_once_in(random, 8)) {
        put8(random_once_in(random, 2) ? 0xf3 : 0xf2);
    }
    if (row->prefix == 0 && random_once_in(random, 3)) {
        put8(0x66);
    }
    if (memory && (row->flags & OPF_LOCK) && random_once_in(random, 4)) {
        put8(0xf0);
    }
    if (row->prefix > OPP_NP) {
        put8(row->prefix);
    }
}

static void put_opcode(const struct opcode *row)
{
    if (row->map != MAP_1BYTE) {
        put8(0x0f);
    }
    if (row->map == MAP_0F38 || row->map == MAP_0F3A) {
        put8(row->map == MAP_0F38 ? 0x38 : 0x3a);
    }
    put8(row->byte + (row->plus_reg ? random_below(&bench.random, 8) : 0));
}

/* Random bytes of the row; false when they decode to another one. */
static bool make_instruction(const struct opcode *row, bool memory, bool plain)
{
    uint64_t *random = &bench.random;
    unsigned mod = memory ? random_below(random, 3) : 3;
    unsigned reg = row->reg >= 0 ? (unsigned)row->reg : random_below(random, 8);
    unsigned rm = row->rm >= 0 ? (unsigned)row->rm : random_below(random, 8);

    sample.row = row;
    sample.length = 0;
    put_prefixes(row, memory, plain);
    put_opcode(row);
    if (opcode_has_modrm(row)) {
        put8(mod << 6 | reg << 3 | rm);
    }
    put_random(sizeof(sample.bytes) - sample.length);
    enum decode_status status =
        insn_decode(sample.bytes, sizeof(sample.bytes), true, bench.bare.cpu->features, &sample.insn);
    sample.length = sample.insn.length;
    return status == DECODE_OK && sample.insn.opcode == row && sample.insn.memory == memory;
}

/* Which of the two forms do rows have? */
static bool may_be_memory(const struct opcode *row)
{
    return row->mod != 3 && has_operand(row, "EMQWO") && !has_operand(row, "NU");
}

static bool must_be_memory(const struct opcode *row)
{
    return row->mod == 0 || has_operand(row, "MO");
}

/* An instruction of that row, whatever its operands. */
static bool row_supported(const struct opcode *row, bool memory)
{
    struct insn insn = {.opcode = row, .memory = memory, .reg = row->reg >= 0 ? (uint8_t)row->reg : 0};

    return reencode_supported(&insn);
}

static bool row_has_case(const struct opcode *row)
{
    return row_supported(row, must_be_memory(row));
}

/* ---- random state ---- */

/* A floating-point number of each kind that units treat in their own way. */
static void random_extended(uint8_t bytes[16])
{
    static const uint16_t exponents[] = {0, 1, 0x3fff, 0x4000, 0x3ffe, 0x7ffe, 0x7fff, 0x403e, 0x3c00};
    uint64_t *random = &bench.random;
    uint64_t mantissa = random_once_in(random, 4) ? BIT(63) : random_next(random) | BIT(63);
    uint16_t exponent = random_once_in(random, 3) ? (uint16_t)(random_next(random) & 0x7fff)
                                                  : exponents[random_below(random, ARRAY_LEN(exponents))];

    if (exponent == 0 || random_once_in(random, 16)) {
        mantissa = random_once_in(random, 2) ? 0 : random_next(random) >> 1;
    }
    store_le64(bytes, mantissa);
    store_le16(bytes + 8, exponent | (uint16_t)(random_below(random, 2) << 15));
    memset(bytes + 10, 0, 6);
}

static void random_packed(uint8_t *bytes, unsigned count)
{
    static const uint32_t singles[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                       0x7fc00000, 0x7f800001, 1,          0x4b000000, 0x7f7fffff};
    uint64_t *random = &bench.random;

    for (unsigned at = 0; at < count; at += 8) {
        if (random_once_in(random, 2)) {
            store_le64(bytes + at, random_next(random));
        } else if (random_once_in(random, 2)) {
            double value = (double)(int32_t)random_integer(random) / 16;
            memcpy(bytes + at, &value, 8);
        } else {
            store_le32(bytes + at, singles[random_below(random, ARRAY_LEN(singles))]);
            store_le32(bytes + at + 4, singles[random_below(random, ARRAY_LEN(singles))]);
        }
    }
}

/* All exceptions masked; precision, rounding, stack top, tags and condition codes at random. */
static void random_fpu(struct fxsave *fpu)
{
    uint64_t *random = &bench.random;

    memset(fpu, 0, sizeof(*fpu));
    fpu->fcw = (uint16_t)(0x007f | random_below(random, 16) << 8);
    fpu->fcw = (fpu->fcw & 0x0300) == 0x0100 ? fpu->fcw ^ 0x0100 : fpu->fcw; /* 01b: reserved precision */
    fpu->fcw |= 0x40;
    fpu->fsw = (uint16_t)(random_next(random) & 0x7f7f); /* no summary, not busy: nothing is unmasked */
    fpu->ftw = random_once_in(random, 3) ? (uint8_t)random_next(random) : 0xff;
    fpu->mxcsr = 0x1f80 | (random_next(random) & 0xe03f);
    for (unsigned i = 0; i < 8; i++) {
        random_extended(fpu->st[i]);
        random_packed(fpu->xmm[i], 16);
    }
}

/* Bytes by which the operand may be off its natural alignment. */
static uint32_t random_address(const struct opcode *row, unsigned size)
{
    uint32_t address = DATA + 64 + random_below(&bench.random, DATA_SIZE - 256);
    bool must_align = size == 16 && !(row->flags & OPF_UNALIGNED);

    return must_align || random_once_in(&bench.random, 2) ? address & ~15u : address;
}

/* Offset of the accessed bytes as the processor would compute it; an independent model of reencode_lea(). */
static uint32_t guest_offset(void)
{
    const struct insn *insn = &sample.insn;
    int64_t offset = insn->disp;

    if (insn->base != INSN_NO_REG) {
        offset += sample.gpr[insn->base];
    }
    if (insn->index != INSN_NO_REG) {
        offset += (int64_t)sample.gpr[insn->index] * (1 << insn->scale);
    }
    if (!strncmp(insn->opcode->mnemonic, "bt", 2) && !strcmp(insn->opcode->operands, "Ev,Gv")) {
        int64_t bit = insn->opsize == 2 ? (int16_t)sample.gpr[insn->reg] : (int32_t)sample.gpr[insn->reg];
        int64_t bits = insn->opsize * 8;
        int64_t distance = bit >= 0 ? bit / bits : -((bits - 1 - bit) / bits);
        offset += distance * insn->opsize;
    }
    return insn->addrsize == 2 ? (uint16_t)offset : (uint32_t)offset;
}

/* Write a displacement into the guest's bytes: the last four or two bytes before an immediate. */
static bool set_displacement(uint32_t disp)
{
    unsigned size = sample.insn.addrsize;

    for (unsigned at = sample.length - size; at > 0; at--) {
        if (memcmp(sample.bytes + at, &sample.insn.disp, size) == 0) {
            memcpy(sample.bytes + at, &disp, size);
            return insn_decode(sample.bytes, sizeof(sample.bytes), true, bench.bare.cpu->features,
                               &sample.insn) == DECODE_OK &&
                   sample.insn.disp == (int32_t)disp;
        }
    }
    return false;
}

/* Make the operand lie at `wanted` by means of its base register, or of its displacement. */
static bool place_operand(uint32_t wanted)
{
    struct insn *insn = &sample.insn;

    sample.address = wanted;
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        uint32_t missing = wanted - guest_offset();
        if (insn->base != INSN_NO_REG) {
            sample.gpr[insn->base] += insn->addrsize == 2 ? (uint16_t)missing : missing;
        } else if (attempt > 0 || !set_displacement((uint32_t)insn->disp + missing)) {
            return false;
        }
        if (guest_offset() == wanted) {
            return true;
        }
    }
    return false;
}

/* Fill in the rest of the case. False: take another one. */
static bool make_state(void)
{
    uint64_t *random = &bench.random;
    unsigned size = reencode_memory_size(&sample.insn);

    for (unsigned i = 0; i < 8; i++) {
        sample.gpr[i] = random_integer(random);
    }
    sample.rflags = RFLAGS_FIXED1 | (random_next(random) & (RFLAGS_ARITH | RFLAGS_DF));
    random_fpu(&sample.fpu);
    random_packed(sample.data, DATA_SIZE);
    if (size && !place_operand(random_address(sample.row, size))) {
        return false;
    }
    if (size == 10) {
        random_extended(sample.data + (sample.address - DATA));
    }
    return true;
}

/* A random case of the row in the form that number `n` asks for. */
static bool make_case(const struct opcode *row, unsigned n, bool plain)
{
    bool memory = must_be_memory(row) || (may_be_memory(row) && row_supported(row, true) && n % 2);

    for (unsigned attempt = 0; attempt < 200; attempt++) {
        if (make_instruction(row, memory, plain) && make_state()) {
            return true;
        }
    }
    return false;
}

static const char *describe(void)
{
    static char text[256];
    int at = 0;

    for (unsigned i = 0; i < sample.insn.length; i++) {
        at += snprintf(text + at, sizeof(text) - (size_t)at, "%02x ", sample.insn.bytes[i]);
    }
    insn_format(&sample.insn, CODE, text + at, sizeof(text) - (size_t)at);
    return text;
}

/* ---- running it ---- */

/*
 * The copy as the translator would use it. Kinds of memory operand:
 *
 *   0, 1  lea r8,address; [r9 + r8], r9 being the distance from linear to host addresses
 *   2     [r15 + disp]
 *   3     [r9 + disp]
 */
static void emit_case(unsigned kind)
{
    struct emit e;
    unsigned access = reencode_memory_access(&sample.insn);

    emit_init(&e, bench.write, bench.write + CODE_SIZE, bench.execute - bench.write);
    if (access && kind < 2) {
        reencode_lea(&e, &sample.insn, HOST_R8);
        sample.mem = host_mem_index(HOST_R9, HOST_R8, 0, 0);
    } else if (kind == 2) {
        sample.mem = host_mem(HOST_R15, offsetof(struct native, operand));
    } else {
        sample.mem = host_mem(HOST_R9, (int32_t)sample.address);
    }
    uint8_t *start = e.at;
    bool done = reencode(&e, &sample.insn, access ? &sample.mem : NULL);
    cr_assert(done, "%s is not copied", describe());
    cr_assert_leq(e.at - start, REENCODE_MAX);
    sample.code_length = (unsigned)(e.at - start);
    memcpy(sample.code, start, sample.code_length);
    emit_jmp_mem(&e, host_mem(HOST_R15, offsetof(struct native, leave)));
    cr_assert(!emit_failed(&e));
}

static void load_native(unsigned kind, uint64_t delta)
{
    struct native *native = &bench.native;

    memset(native, 0, sizeof(*native));
    for (unsigned i = 0; i < 8; i++) {
        native->gpr[i] = sample.gpr[i];
    }
    for (unsigned i = 8; i < 15; i++) {
        native->gpr[i] = 0xdead0000dead0000 + i; /* scratch holds anything, upper halves included */
    }
    native->gpr[HOST_R9] = delta;
    native->gpr[HOST_R12] = sample.gpr[RSP];
    native->gpr[HOST_R13] = 44;
    native->rflags = sample.rflags | RFLAGS_IF;
    native->fpu = sample.fpu;
    native->code = bench.execute;
    native->leave = (const void *)(uintptr_t)native_leave;
    memcpy(bench.linear + DATA, sample.data, DATA_SIZE);
    if (kind == 2) {
        memcpy(native->operand, sample.data + (sample.address - DATA), 32);
    }
}

static void run_native(unsigned kind, uint64_t delta)
{
    load_native(kind, delta);
    native_enter(&bench.native);
    if (kind == 2) {
        memcpy(bench.linear + sample.address, bench.native.operand, 32);
    }
}

static bool run_interpreter(void)
{
    struct vcpu *cpu = bench.bare.cpu;

    vcpu_reset(cpu);
    bare_enter_protected(&bench.bare, 32);
    cpu->cr0 |= CR0_MP | CR0_NE;
    cpu->cr0 &= ~(CR0_EM | CR0_TS);
    cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    for (unsigned i = 0; i < 8; i++) {
        cpu->gpr[i] = sample.gpr[i];
    }
    cpu->rflags = sample.rflags;
    uint32_t mask = cpu->fpu.mxcsr_mask;
    cpu->fpu = sample.fpu;
    cpu->fpu.mxcsr_mask = mask;
    cpu->rip = CODE;
    vcpu_sync(cpu);
    bare_load(&bench.bare, CODE, sample.bytes, sample.length);
    bare_load(&bench.bare, DATA, sample.data, DATA_SIZE);
    return interp_run(cpu, 1) == VCPU_EXIT_BUDGET && cpu->rip == (uint64_t)CODE + sample.length;
}

/* ---- comparison ---- */

static bool same_fpu(const struct fxsave *a, const struct fxsave *b)
{
    if (a->fcw != b->fcw || a->fsw != b->fsw || a->ftw != b->ftw || a->mxcsr != b->mxcsr) {
        return false;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (memcmp(a->st[i], b->st[i], 10) != 0 || memcmp(a->xmm[i], b->xmm[i], 16) != 0) {
            return false;
        }
    }
    return true;
}

static void expect_gpr(const struct native *native, const struct vcpu *cpu)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t have = native->gpr[i == RSP ? HOST_R12 : i];
        cr_expect_eq(have, cpu->gpr[i], "%s: register %u: %llx, want %llx", describe(), i,
                     (unsigned long long)have, (unsigned long long)cpu->gpr[i]);
    }
    cr_expect_eq(native->gpr[RSP], native->host_rsp, "%s: RSP", describe());
    cr_expect_eq(native->gpr[HOST_R11], 0xdead0000dead000b, "%s: r11", describe());
    cr_expect_eq(native->gpr[HOST_R13], 44, "%s: r13", describe());
    cr_expect_eq(native->gpr[HOST_R14], 0xdead0000dead000e, "%s: r14", describe());
}

static void expect_same(void)
{
    const struct native *native = &bench.native;
    const struct vcpu *cpu = bench.bare.cpu;
    uint64_t mask = RFLAGS_ARITH | RFLAGS_DF;
    uint8_t memory[DATA_SIZE];

    cr_assert_eq(native->signal, 0, "%s: signal %d at %llx", describe(), native->signal,
                 (unsigned long long)native->fault);
    expect_gpr(native, cpu);
    cr_expect_eq(native->rflags & mask, cpu->rflags & mask, "%s: flags %x, want %x", describe(),
                 (unsigned)(native->rflags & mask), (unsigned)(cpu->rflags & mask));
    cr_expect(same_fpu(&native->fpu, &cpu->fpu), "%s: FPU state", describe());
    addr_space_peek(&bench.bare.mem, DATA, memory, DATA_SIZE);
    cr_expect_eq(memcmp(memory, bench.linear + DATA, DATA_SIZE), 0, "%s: memory", describe());
}

Test(reencode, copies_do_what_the_interpreter_does)
{
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        unsigned compared = 0;
        for (unsigned n = 0; row_has_case(row) && n < CASES_PER_ROW; n++) {
            cr_assert(make_case(row, n, false), "no encoding of %s %s", row->mnemonic, row->operands);
            emit_case(n / 2 % 4);
            if (run_interpreter()) { /* not #DE */
                run_native(n / 2 % 4, (uint64_t)bench.linear);
                expect_same();
                compared++;
            }
        }
        cr_expect(!row_has_case(row) || compared > CASES_PER_ROW / 8, "%s %s: only %u cases", row->mnemonic,
                  row->operands, compared);
    }
}

/* ---- precise faults ---- */

static void expect_unchanged(void)
{
    const struct native *native = &bench.native;
    uint64_t mask = RFLAGS_ARITH | RFLAGS_DF;

    for (unsigned i = 0; i < 8; i++) {
        cr_expect_eq(native->gpr[i == RSP ? HOST_R12 : i], sample.gpr[i], "%s: register %u", describe(), i);
    }
    cr_expect_eq(native->rflags & mask, sample.rflags & mask, "%s: flags", describe());
    if (!strstr(sample.row->mnemonic, "2pi")) { /* some processors have begun MMX use by then */
        cr_expect(same_fpu(&native->fpu, &sample.fpu), "%s: FPU state", describe());
    }
}

/* An unusable shadow entry makes the address non-canonical. */
#define UNUSABLE 0x4000000000000000u

Test(reencode, a_faulting_access_changes_nothing)
{
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        for (unsigned n = 0; may_be_memory(row) && row_supported(row, true) && n < CASES_PER_ROW / 2; n++) {
            cr_assert(make_case(row, 1, false), "no encoding of %s %s", row->mnemonic, row->operands);
            emit_case(0);
            run_native(0, UNUSABLE);
            cr_expect_eq(bench.native.signal != 0, reencode_memory_access(&sample.insn) != 0, "%s: signal %d",
                         describe(), bench.native.signal);
            if (bench.native.signal) {
                cr_expect(bench.native.signal == SIGSEGV || bench.native.signal == SIGBUS);
                expect_unchanged();
            }
        }
    }
}

/* ---- access and size, as the page tables see them ---- */

/* Run the case with the data page's rights changed; did it fault for that? */
static bool faults_with(int protection)
{
    load_native(0, (uint64_t)bench.linear);
    mprotect(bench.linear + DATA, DATA_SIZE, protection);
    native_enter(&bench.native);
    mprotect(bench.linear + DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
    return bench.native.signal == SIGSEGV;
}

/* Move the operand so that `size` bytes of it are inside the page. */
static bool faults_at_end(unsigned size)
{
    load_native(0, (uint64_t)bench.linear + (DATA + DATA_SIZE - size - sample.address));
    native_enter(&bench.native);
    return bench.native.signal == SIGSEGV;
}

static void check_access(void)
{
    unsigned access = reencode_memory_access(&sample.insn), size = reencode_memory_size(&sample.insn);

    emit_case(0);
    cr_expect_eq(faults_with(PROT_NONE), access != 0, "%s: access %u", describe(), access);
    cr_expect_eq(faults_with(PROT_READ), (access & REENCODE_WRITE) != 0, "%s: access %u", describe(), access);
    if (access) {
        cr_expect_not(faults_at_end(size), "%s: more than %u bytes", describe(), size);
        cr_expect(faults_at_end(size - 1), "%s: fewer than %u bytes", describe(), size);
    }
}

Test(reencode, accesses_are_of_the_kind_and_size_that_is_claimed)
{
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        for (unsigned n = 0; may_be_memory(row) && row_supported(row, true) && n < 8; n++) {
            cr_assert(make_case(row, 1, false), "no encoding of %s %s", row->mnemonic, row->operands);
            check_access();
        }
    }
}

/* ---- what the bytes say ---- */

static x86_reg host_register(x86_reg guest)
{
    return guest == X86_REG_ESP ? X86_REG_R12D : guest == X86_REG_SP ? X86_REG_R12W : guest;
}

static x86_reg host_number(uint8_t reg)
{
    static const x86_reg numbers[16] = {X86_REG_RAX, X86_REG_RCX, X86_REG_RDX, X86_REG_RBX,
                                        X86_REG_RSP, X86_REG_RBP, X86_REG_RSI, X86_REG_RDI,
                                        X86_REG_R8,  X86_REG_R9,  X86_REG_R10, X86_REG_R11,
                                        X86_REG_R12, X86_REG_R13, X86_REG_R14, X86_REG_R15};
    return reg == HOST_NO_REG ? X86_REG_INVALID : numbers[reg];
}

static bool is_high_register(unsigned reg)
{
    return reg == X86_REG_AH || reg == X86_REG_CH || reg == X86_REG_DH || reg == X86_REG_BH;
}

static bool same_memory(const cs_x86_op *guest, const cs_x86_op *host)
{
    return host->mem.segment == X86_REG_INVALID && host->mem.base == host_number(sample.mem.base) &&
           host->mem.index == host_number(sample.mem.index) && host->mem.scale == 1 << sample.mem.shift &&
           host->mem.disp == sample.mem.disp && guest->size == host->size;
}

static bool same_operand(const cs_x86_op *guest, const cs_x86_op *host)
{
    if (guest->type != host->type) {
        return false;
    }
    switch (guest->type) {
    case X86_OP_REG:
        return host->reg == host_register(guest->reg) ||
               (host->reg == X86_REG_R10B && is_high_register(guest->reg)) ||
               (host->reg == X86_REG_R10D && sample.row->operands[1] == 'v') ||
               (host->reg == X86_REG_R10W && sample.row->operands[1] == 'v');
    case X86_OP_IMM:
        return (int32_t)guest->imm == (int32_t)host->imm;
    default:
        return same_memory(guest, host);
    }
}

static unsigned same_id(unsigned id)
{
    return id == X86_INS_SAL ? X86_INS_SHL : id;
}

static bool same_instruction(const cs_insn *guest, const cs_insn *host)
{
    const cs_x86 *g = &guest->detail->x86, *h = &host->detail->x86;

    if (same_id(guest->id) != same_id(host->id) || g->op_count != h->op_count ||
        g->prefix[0] != h->prefix[0] || h->prefix[1] || h->prefix[3]) {
        return false;
    }
    for (unsigned i = 0; i < g->op_count; i++) {
        if (!same_operand(&g->operands[i], &h->operands[i])) {
            return false;
        }
    }
    return true;
}

static bool is_glue(const cs_insn *insn)
{
    return insn->id == X86_INS_RORX || insn->id == X86_INS_SHRX || insn->id == X86_INS_MOV;
}

/* One instruction is the guest's, the others are flag-free glue; no glue where no register needs it. */
static bool reads_as_guest(const cs_insn *guest, const cs_insn *host, size_t count)
{
    unsigned same = 0;

    for (size_t i = 0; i < count; i++) {
        if (same == 0 && same_instruction(guest, &host[i])) {
            same++;
        } else if (!is_glue(&host[i])) {
            return false;
        }
    }
    return same == 1;
}

/* Capstone 4 does not know these; LEA is not one instruction, and its address not an operand. */
static bool capstone_differs(void)
{
    const char *mnemonic = sample.row->mnemonic;

    return !strcmp(mnemonic, "fneni") || !strcmp(mnemonic, "fndisi") || !strcmp(mnemonic, "fnsetpm") ||
           !strcmp(mnemonic, "lea") || (strstr(mnemonic, "fence") && sample.insn.rm != 0);
}

static void check_text(void)
{
    cs_insn *guest = NULL, *host = NULL;
    size_t guests = cs_disasm(bench.guest, sample.bytes, sample.length, CODE, 1, &guest);
    size_t hosts = cs_disasm(bench.host, sample.code, sample.code_length, 0, 0, &host);

    cr_assert(guests == 1 && hosts > 0, "%s: not disassembled", describe());
    cr_expect(reads_as_guest(guest, host, hosts), "%s: %s %s (%zu)", describe(), host->mnemonic, host->op_str,
              hosts);
    cs_free(guest, guests);
    cs_free(host, hosts);
}

Test(reencode, copies_read_as_the_guests_instruction)
{
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        for (unsigned n = 0; row_has_case(row) && n < CASES_PER_ROW; n++) {
            cr_assert(make_case(row, n, true), "no encoding of %s %s", row->mnemonic, row->operands);
            emit_case(n / 2 % 4);
            if (sample.code_length && !capstone_differs()) {
                check_text();
            }
        }
    }
}

/* ---- what is copied, and what is not ---- */

/* Everything else is copied in all its forms. */
static bool is_excluded(const struct opcode *row)
{
    static const char *const mnemonics[] = {
        /* stack, control flow */
        "push",
        "pop",
        "pusha/pushad",
        "popa/popad",
        "pushf/pushfd",
        "popf/popfd",
        "enter",
        "leave",
        "call",
        "ret",
        "retf",
        "iret/iretd",
        "int",
        "int1",
        "int3",
        "into",
        "loop",
        "loope",
        "loopne",
        "jcxz/jecxz",
        "sysenter",
        "sysexit",
        "rsm",
        "ud0",
        "ud1",
        "ud2",
        /* implicit memory */
        "xlatb",
        "maskmovq",
        "maskmovdqu",
        "insb",
        "insw/insd",
        "outsb",
        "outsw/outsd",
        "movsb",
        "movsw/movsd",
        "cmpsb",
        "cmpsw/cmpsd",
        "stosb",
        "stosw/stosd",
        "lodsb",
        "lodsw/lodsd",
        "scasb",
        "scasw/scasd",
        /* not in 64-bit mode */
        "daa",
        "das",
        "aaa",
        "aas",
        "aam",
        "aad",
        "salc",
        "bound",
        "arpl",
        /* system */
        "les",
        "lds",
        "lss",
        "lfs",
        "lgs",
        "sldt",
        "str",
        "lldt",
        "ltr",
        "verr",
        "verw",
        "sgdt",
        "sidt",
        "lgdt",
        "lidt",
        "smsw",
        "lmsw",
        "invlpg",
        "lar",
        "lsl",
        "clts",
        "invd",
        "wbinvd",
        "monitor",
        "mwait",
        "wrmsr",
        "rdmsr",
        "rdpmc",
        "rdtsc",
        "cpuid",
        "in",
        "out",
        "hlt",
        "cli",
        "sti",
        "clflush",
        /* FIP, FDP; depends on the model */
        "fldenv",
        "fnstenv",
        "frstor",
        "fnsave",
        "fxsave",
        "fxrstor",
        "ldmxcsr",
    };

    for (size_t i = 0; i < ARRAY_LEN(mnemonics); i++) {
        if (strcmp(row->mnemonic, mnemonics[i]) == 0) {
            return true;
        }
    }
    return row->mnemonic[0] == 'j' || has_operand(row, "SCD");
}

Test(reencode, the_table_of_copied_rows_is_complete)
{
    for (size_t i = 0; i < opcode_count; i++) {
        const struct opcode *row = &opcode_table[i];
        bool cvtpi2ps = !strcmp(row->mnemonic, "cvtpi2ps");
        for (unsigned memory = 0; memory < 2; memory++) {
            if (memory ? may_be_memory(row) : !must_be_memory(row)) {
                cr_expect_eq(row_supported(row, memory), !is_excluded(row) && !(cvtpi2ps && memory),
                             "%s %s, memory %u", row->mnemonic, row->operands, memory);
            }
        }
    }
}

static void decode(const char *bytes, unsigned count)
{
    memset(&sample, 0, sizeof(sample));
    memcpy(sample.bytes, bytes, count);
    sample.length = count;
    cr_assert_eq(insn_decode(sample.bytes, count, true, bench.bare.cpu->features, &sample.insn), DECODE_OK);
    sample.row = sample.insn.opcode;
}

Test(reencode, what_is_not_copied_emits_nothing)
{
    struct emit e;

    decode("\x50", 1); /* push eax */
    emit_init(&e, bench.write, bench.write + CODE_SIZE, 0);
    cr_expect_not(reencode(&e, &sample.insn, NULL));
    cr_expect_eq(e.at, bench.write);
    cr_expect_not(emit_failed(&e));
}

Test(reencode, accesses_of_rows_that_are_not_copied)
{
    static const struct {
        const char *bytes;
        unsigned count, access, size;
    } cases[] = {
        {"\xff\x30", 2, REENCODE_READ, 4},             /* push dword [eax] */
        {"\x66\xff\x30", 3, REENCODE_READ, 2},         /* push word [eax] */
        {"\x8f\x00", 2, REENCODE_WRITE, 4},            /* pop dword [eax] */
        {"\xff\x10", 2, REENCODE_READ, 4},             /* call [eax] */
        {"\xff\x28", 2, REENCODE_READ, 6},             /* jmp far [eax] */
        {"\x66\xff\x28", 3, REENCODE_READ, 4},         /* jmp far [eax], 16:16 */
        {"\x62\x00", 2, REENCODE_READ, 8},             /* bound eax,[eax] */
        {"\x8c\x18", 2, REENCODE_WRITE, 2},            /* mov [eax],ds */
        {"\x8e\x18", 2, REENCODE_READ, 2},             /* mov ds,[eax] */
        {"\x0f\x01\x10", 3, REENCODE_READ, 6},         /* lgdt [eax] */
        {"\x0f\x00\x08", 3, REENCODE_WRITE, 2},        /* str [eax] */
        {"\x0f\x01\x38", 3, 0, 0},                     /* invlpg [eax] */
        {"\x0f\xae\x00", 3, REENCODE_WRITE, 512},      /* fxsave [eax] */
        {"\xdd\x30", 2, REENCODE_WRITE, 108},          /* fnsave [eax] */
        {"\x66\xd9\x20", 3, REENCODE_READ, 14},        /* fldenv [eax], 16-bit */
        {"\x8d\x00", 2, 0, 0},                         /* lea eax,[eax] */
        {"\x0f\x1f\x00", 3, 0, 0},                     /* nop [eax] */
        {"\xa1\x00\x00\x00\x00", 5, REENCODE_READ, 4}, /* mov eax,[0] */
        {"\x66\xa3\x00\x00\x00\x00", 6, REENCODE_WRITE, 2},
        {"\x01\xc0", 2, 0, 0}, /* add eax,eax */
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        decode(cases[i].bytes, cases[i].count);
        cr_expect_eq(reencode_memory_access(&sample.insn), cases[i].access, "%s", describe());
        cr_expect_eq(reencode_memory_size(&sample.insn), cases[i].size, "%s", describe());
    }
}

/* ---- examples, as text ---- */

static void expect_code(const char *bytes, unsigned count, const char *expected)
{
    char text[512] = "";
    cs_insn *insn;
    struct emit e;
    struct host_mem mem = host_mem_index(HOST_R9, HOST_R8, 0, 0);

    decode(bytes, count);
    emit_init(&e, sample.code, sample.code + sizeof(sample.code), 0);
    cr_assert(reencode(&e, &sample.insn, &mem));
    size_t found = cs_disasm(bench.host, sample.code, (size_t)(e.at - sample.code), 0, 0, &insn);
    for (size_t i = 0; i < found; i++) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %s", i ? "; " : "", insn[i].mnemonic,
                 insn[i].op_str);
    }
    cr_expect_str_eq(text, expected, "%s: %s", describe(), text);
    cs_free(insn, found);
}

Test(reencode, one_instruction_stays_one)
{
    expect_code("\x8b\x44\x8b\x08", 4, "mov eax, dword ptr [r9 + r8]");     /* mov eax,[ebx+ecx*4+8] */
    expect_code("\x83\xec\x10", 3, "sub r12d, 0x10");                       /* sub esp,16 */
    expect_code("\x66\x01\xe0", 3, "add ax, r12w");                         /* add ax,sp */
    expect_code("\x8d\x64\x24\xf8", 4, "lea r12d, [r12 - 8]");              /* lea esp,[esp-8] */
    expect_code("\x44", 1, "inc r12d");                                     /* inc esp */
    expect_code("\x66\x4b", 2, "dec bx");                                   /* dec bx */
    expect_code("\x94", 1, "xchg eax, r12d");                               /* xchg eax,esp */
    expect_code("\xa1\x44\x33\x22\x11", 5, "mov eax, dword ptr [r9 + r8]"); /* mov eax,[0x11223344] */
    expect_code("\xf0\x65\x67\x0f\xc1\x17", 6, "lock xadd dword ptr [r9 + r8], edx");
    expect_code("\x65\xf3\x0f\x10\x04\x24", 6, "movss xmm0, dword ptr [r9 + r8]");
    expect_code("\xf3\x0f\xbc\xc1", 4, "bsf eax, ecx"); /* not TZCNT */
    expect_code("\x82\xc4\x05", 3, "add ah, 5");
    expect_code("\x00\xe5", 2, "add ch, ah");
}

Test(reencode, high_bytes_beside_rex_go_through_r10)
{
    expect_code("\x00\x23", 2, "rorx r10d, eax, 8; add byte ptr [r9 + r8], r10b"); /* add [ebx],ah */
    expect_code("\x3a\x3b", 2, "rorx r10d, ebx, 8; cmp r10b, byte ptr [r9 + r8]"); /* cmp bh,[ebx] */
    expect_code("\x8a\x2b", 2,
                "rorx r10d, ecx, 8; mov r10b, byte ptr [r9 + r8]; rorx ecx, ecx, 8; mov cl, r10b; "
                "rorx ecx, ecx, 0x18"); /* mov ch,[ebx] */
    expect_code("\x86\x33", 2,
                "rorx r10d, edx, 8; xchg byte ptr [r9 + r8], r10b; rorx edx, edx, 8; mov dl, r10b; "
                "rorx edx, edx, 0x18");                                    /* xchg [ebx],dh */
    expect_code("\x0f\xb6\xe4", 3, "rorx r10d, eax, 8; movzx r12d, r10b"); /* movzx esp,ah */
}

/* ---- a full buffer ---- */

Test(reencode, a_full_buffer_ends_it_cleanly)
{
    static const char *const cases[] = {"\x8a\x2b", "\x0f\xab\x0b", "\x8b\x44\x8b\x08"};
    struct host_mem mem = host_mem_index(HOST_R9, HOST_R8, 0, 0x1000);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t room = 0; room < 2 * REENCODE_MAX; room++) {
            uint8_t buffer[2 * REENCODE_MAX];
            struct emit e;
            decode(cases[i], (unsigned)strlen(cases[i]));
            memset(buffer, 0xa5, sizeof(buffer));
            emit_init(&e, buffer, buffer + room, 0);
            reencode_lea(&e, &sample.insn, HOST_R8);
            reencode(&e, &sample.insn, &mem);
            cr_expect(e.at <= buffer + room && !e.out_of_reach);
            for (size_t at = room; at < sizeof(buffer); at++) {
                cr_expect_eq(buffer[at], 0xa5);
            }
        }
    }
}
