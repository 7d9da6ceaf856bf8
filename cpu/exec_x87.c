/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * x87 instructions. Arithmetic, loads and stores run on the host's unit (cpu/hostfpu.h); instructions that
 * move control, status and environment are written out here, because they are about the guest's own
 * instruction and data pointers, which the host's unit never sees.
 *
 * A guest without an FPU (the 486SX, or the FPU taken off by the user) has these encodings all the same: with
 * CR0.EM they raise #NM for the benefit of an emulator, without it they do nothing, which is how systems
 * detect the absence.
 *
 * SDM: Volume 1, "Programming with the x87 FPU"; Volume 2A, instruction reference; Volume 3A, "Exception 16".
 * DEVIATION: transcendental functions have the host's last bit. FOP is updated by every non-control
 * instruction, as on the P6 family, not only by those that raise an unmasked exception.
 * NOTE: with CR0.NE = 0 an error pending since CR0.NE was 1 counts as ignored (IGNNE#).
 */
#include "cpu/access_inline.h"
#include "cpu/cpuid.h"
#include "cpu/exec.h"
#include "cpu/fpu.h"
#include "cpu/hostfpu.h"

/* Can the instruction run? False: #NM is pending. True without *ready: there is no FPU, nothing happens. */
static bool x87_available(struct vcpu *cpu, bool *ready)
{
    *ready = cpu->features & CPU_FEATURE_FPU;
    if (cpu->cr0 & (CR0_EM | CR0_TS)) {
        return raise_exception(cpu, EXC_NM);
    }
    return true;
}

/* The same for an instruction that first reports a pending error. */
static bool x87_begin(struct vcpu *cpu, bool *ready)
{
    TRY(x87_available(cpu, ready));
    return *ready ? fpu_wait(cpu, ready) : true;
}

/* FIP, FCS, FOP and, for a memory operand, FDP and FDS. SDM: Volume 1, "x87 FPU Instruction and Data
 * Pointers". */
static void set_pointers(struct vcpu *cpu, const struct insn *insn, uint32_t offset)
{
    struct fxsave *fpu = &cpu->fpu;

    fpu->fip = (uint32_t)cpu->rip;
    fpu->fcs = cpu->seg[SEG_CS].selector;
    fpu->fop = (uint16_t)((insn->opcode->byte & 7) << 8 | insn->modrm);
    if (insn->memory) {
        fpu->fdp = offset;
        fpu->fds = cpu->seg[insn->seg].selector;
    }
}

/* The x87 part of the image, without what the host must not act upon. */
static void load_frame(const struct vcpu *cpu, struct hostfpu_frame *frame)
{
    const struct fxsave *fpu = &cpu->fpu;
    struct fxsave *image = &frame->x87;
    uint16_t pending = fpu->fsw & ~fpu->fcw & FSW_EXCEPTIONS; /* not 0 only under IGNNE# */

    image->fcw = fpu->fcw;
    image->fsw = fpu->fsw & (uint16_t) ~(FSW_ES | FSW_B | pending);
    image->ftw = fpu->ftw;
    image->fop = image->fcs = image->fds = 0;
    image->fip = image->fdp = 0;
    image->mxcsr = MXCSR_INIT;
    memcpy(image->st, fpu->st, sizeof(image->st));
    frame->rflags = (cpu->rflags & RFLAGS_ARITH) | RFLAGS_FIXED1;
}

static void commit_frame(struct vcpu *cpu, const struct insn *insn, const struct hostfpu_frame *frame)
{
    struct fxsave *fpu = &cpu->fpu;
    uint16_t kept = fpu->fsw & FSW_EXCEPTIONS; /* flags are sticky, those hidden from the host too */

    fpu->ftw = frame->x87.ftw;
    memcpy(fpu->st, frame->x87.st, sizeof(fpu->st));
    fpu_set_words(cpu, fpu->fcw, frame->x87.fsw | kept);
    if (insn->opcode->flags & OPF_WRITE_FLAGS) {
        cpu->rflags = (cpu->rflags & ~RFLAGS_ARITH) | (frame->rflags & RFLAGS_ARITH);
    }
}

/* Unmasked invalid operation, overflow and underflow stop a store to memory. */
static bool stored(const struct hostfpu_frame *frame)
{
    return !(frame->x87.fsw & ~frame->x87.fcw & (FSW_IE | FSW_OE | FSW_UE));
}

/* Write the result. Where the store is stopped its faults still come first.
 * SDM: Volume 3A, "Priority Among Concurrent Events". */
static bool store_result(struct vcpu *cpu, const struct insn *insn, uint32_t offset,
                         const struct hostfpu_stub *stub, const struct hostfpu_frame *frame)
{
    unsigned size = stub->memory_size, align = stub->memory_align;
    lin_t linear;

    if (stored(frame)) {
        return mem_write(cpu, insn->seg, offset, frame->memory, size, align);
    }
    if (access_segment_allows(cpu, insn->seg, offset, size, true, &linear) && alignment_checked(cpu) &&
        align && linear % align) {
        return raise_error(cpu, EXC_AC, 0);
    }
    return mem_probe_write(cpu, insn->seg, offset, size);
}

bool exec_x87(struct vcpu *cpu, const struct insn *insn)
{
    uint32_t offset = insn->memory ? insn_ea(cpu, insn) : 0;
    bool ready;

    TRY(x87_begin(cpu, &ready));
    if (!ready) {
        return true;
    }
    const struct hostfpu_stub *stub = hostfpu_stub(cpu->hostfpu, insn);
    struct hostfpu_frame *frame = hostfpu_frame(cpu->hostfpu);
    if (insn->opcode->flags & OPF_MEM_READ) {
        TRY(mem_read(cpu, insn->seg, offset, frame->memory, stub->memory_size, stub->memory_align));
    }
    load_frame(cpu, frame);
    stub->run(frame);
    if (insn->opcode->flags & OPF_MEM_WRITE) {
        TRY(store_result(cpu, insn, offset, stub, frame));
    }
    commit_frame(cpu, insn, frame);
    set_pointers(cpu, insn, offset);
    return true;
}

/* WAIT looks at CR0.MP, not CR0.EM. */
bool exec_wait(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    (void)insn;
    if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) {
        return raise_exception(cpu, EXC_NM);
    }
    return fpu_wait(cpu, &ready);
}

/* FNENI, FNDISI, FNSETPM. */
bool exec_x87_nop(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    (void)insn;
    return x87_available(cpu, &ready);
}

/* ---- control and status words ---- */

bool exec_fldcw(struct vcpu *cpu, const struct insn *insn)
{
    uint16_t word;
    bool ready;

    TRY(x87_begin(cpu, &ready));
    if (!ready) {
        return true;
    }
    TRY(mem_read16(cpu, insn->seg, insn_ea(cpu, insn), &word));
    fpu_set_words(cpu, word, cpu->fpu.fsw);
    return true;
}

bool exec_fnstcw(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    TRY(x87_available(cpu, &ready));
    return ready ? mem_write16(cpu, insn->seg, insn_ea(cpu, insn), cpu->fpu.fcw) : true;
}

bool exec_fnstsw(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    TRY(x87_available(cpu, &ready));
    return ready ? mem_write16(cpu, insn->seg, insn_ea(cpu, insn), cpu->fpu.fsw) : true;
}

bool exec_fnstsw_ax(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    (void)insn;
    TRY(x87_available(cpu, &ready));
    if (ready) {
        set_reg16(cpu, RAX, cpu->fpu.fsw);
    }
    return true;
}

bool exec_fnclex(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    (void)insn;
    TRY(x87_available(cpu, &ready));
    if (ready) {
        fpu_set_words(cpu, cpu->fpu.fcw, cpu->fpu.fsw & (uint16_t) ~(FSW_EXCEPTIONS | FSW_SF));
    }
    return true;
}

bool exec_fninit(struct vcpu *cpu, const struct insn *insn)
{
    bool ready;

    (void)insn;
    TRY(x87_available(cpu, &ready));
    if (ready) {
        fpu_init(cpu);
    }
    return true;
}

/* ---- environment and state images ---- */

/*
 * The environment, 7 words or doublewords in four formats.
 * SDM: Volume 1, "Saving the x87 FPU's State with FSTENV/FNSTENV and FSAVE/FNSAVE".
 *
 *        protected mode                    real-address and V86 mode
 *   0    FCW                               FCW
 *   1    FSW                               FSW
 *   2    tag word                          tag word
 *   3    FIP                               linear FIP, low 16 bits
 *   4    FCS; 32-bit: FOP in bits 26-16    linear FIP, rest, from bit 12 up; FOP in bits 10-0
 *   5    FDP                               linear FDP, low 16 bits
 *   6    FDS                               linear FDP, rest, from bit 12 up
 *
 * In the 32-bit formats the reserved upper halves are written as ones.
 */
enum { ENV_WORDS = 7, ENV_SIZE_MAX = 28, X87_STATE_SIZE_MAX = ENV_SIZE_MAX + 8 * 10 };

static unsigned env_size(const struct insn *insn)
{
    return ENV_WORDS * insn->opsize;
}

static void env_words(const struct vcpu *cpu, bool wide, uint32_t words[ENV_WORDS])
{
    const struct fxsave *fpu = &cpu->fpu;

    words[0] = fpu->fcw | 0xffff0000;
    words[1] = fpu->fsw | 0xffff0000;
    words[2] = fpu_tag_word(fpu) | 0xffff0000;
    if (cpu->protected_mode) {
        words[3] = fpu->fip;
        words[4] = fpu->fcs | (uint32_t)fpu->fop << 16;
        words[5] = fpu->fdp;
        words[6] = fpu->fds | 0xffff0000;
    } else {
        uint32_t mask = wide ? 0xffff : 0xf; /* of the upper part: 32- or 20-bit addresses */
        uint32_t ip = fpu->fip + ((uint32_t)fpu->fcs << 4);
        uint32_t dp = fpu->fdp + ((uint32_t)fpu->fds << 4);
        words[3] = ip | 0xffff0000;
        words[4] = (ip >> 16 & mask) << 12 | fpu->fop;
        words[5] = dp | 0xffff0000;
        words[6] = (dp >> 16 & mask) << 12;
    }
}

static void store_env(const struct vcpu *cpu, unsigned opsize, uint8_t *bytes)
{
    uint32_t words[ENV_WORDS];

    env_words(cpu, opsize == 4, words);
    for (unsigned i = 0; i < ENV_WORDS; i++) {
        memcpy(bytes + i * opsize, &words[i], opsize);
    }
}

/* Abridged tag word: bit n is clear when the two bits of register n say empty. */
static uint8_t abridge(uint32_t tag_word)
{
    uint8_t ftw = 0;

    for (unsigned n = 0; n < 8; n++) {
        ftw |= (uint8_t)(((tag_word >> (2 * n) & 3) != 3) << n);
    }
    return ftw;
}

/* st[] is in the order of the present TOP on entry and of the new one on return. */
static void load_env(struct vcpu *cpu, unsigned opsize, const uint8_t *bytes)
{
    struct fxsave *fpu = &cpu->fpu;
    uint32_t words[ENV_WORDS] = {0};

    for (unsigned i = 0; i < ENV_WORDS; i++) {
        memcpy(&words[i], bytes + i * opsize, opsize);
    }
    fpu_set_top(fpu, (unsigned)bits_get(words[1], 13, 11));
    fpu_set_words(cpu, (uint16_t)words[0], (uint16_t)words[1]);
    fpu->ftw = abridge(words[2]);
    if (cpu->protected_mode) {
        fpu->fip = words[3];
        fpu->fcs = (uint16_t)words[4];
        fpu->fop = (uint16_t)bits_get(words[4], 26, 16); /* 0 from the 16-bit format, which has none */
        fpu->fdp = words[5];
        fpu->fds = (uint16_t)words[6];
    } else {
        fpu->fip = (words[3] & 0xffff) | (uint32_t)bits_get(words[4], 27, 12) << 16;
        fpu->fop = (uint16_t)bits_get(words[4], 10, 0);
        fpu->fdp = (words[5] & 0xffff) | (uint32_t)bits_get(words[6], 27, 12) << 16;
        fpu->fcs = fpu->fds = 0;
    }
}

bool exec_fldenv(struct vcpu *cpu, const struct insn *insn)
{
    uint8_t bytes[ENV_SIZE_MAX];
    bool ready;

    TRY(x87_begin(cpu, &ready));
    if (!ready) {
        return true;
    }
    TRY(mem_read(cpu, insn->seg, insn_ea(cpu, insn), bytes, env_size(insn), insn->opsize));
    load_env(cpu, insn->opsize, bytes);
    return true;
}

/* Masks all exceptions after the store. */
bool exec_fnstenv(struct vcpu *cpu, const struct insn *insn)
{
    uint8_t bytes[ENV_SIZE_MAX];
    bool ready;

    TRY(x87_available(cpu, &ready));
    if (!ready) {
        return true;
    }
    store_env(cpu, insn->opsize, bytes);
    TRY(mem_write(cpu, insn->seg, insn_ea(cpu, insn), bytes, env_size(insn), insn->opsize));
    fpu_set_words(cpu, cpu->fpu.fcw | FSW_EXCEPTIONS, cpu->fpu.fsw);
    return true;
}

/* The environment and eight registers of 10 bytes in stack order. */
bool exec_frstor(struct vcpu *cpu, const struct insn *insn)
{
    uint8_t bytes[X87_STATE_SIZE_MAX];
    unsigned size = env_size(insn) + 80;
    bool ready;

    TRY(x87_begin(cpu, &ready));
    if (!ready) {
        return true;
    }
    TRY(mem_read(cpu, insn->seg, insn_ea(cpu, insn), bytes, size, insn->opsize));
    load_env(cpu, insn->opsize, bytes);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(cpu->fpu.st[i], bytes + env_size(insn) + 10 * i, 10);
    }
    return true;
}

bool exec_fnsave(struct vcpu *cpu, const struct insn *insn)
{
    uint8_t bytes[X87_STATE_SIZE_MAX];
    unsigned size = env_size(insn) + 80;
    bool ready;

    TRY(x87_available(cpu, &ready));
    if (!ready) {
        return true;
    }
    store_env(cpu, insn->opsize, bytes);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(bytes + env_size(insn) + 10 * i, cpu->fpu.st[i], 10);
    }
    TRY(mem_write(cpu, insn->seg, insn_ea(cpu, insn), bytes, size, insn->opsize));
    fpu_init(cpu);
    return true;
}
