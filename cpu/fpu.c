/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The x87 unit's state: see cpu/fpu.h.
 *
 * SDM: Volume 1, "Programming with the x87 FPU", "Programming with Intel MMX Technology".
 */
#include "cpu/fpu.h"

void fpu_init(struct vcpu *cpu)
{
    struct fxsave *fpu = &cpu->fpu;

    fpu_set_top(fpu, 0);
    fpu->ftw = 0;
    fpu->fop = fpu->fcs = fpu->fds = 0;
    fpu->fip = fpu->fdp = 0;
    fpu_set_words(cpu, FCW_INIT, 0);
}

/*
 * Extended format: sign and exponent in bytes 8-9, significand with its explicit integer bit (63) in bytes
 * 0-7.
 * SDM: Volume 1, "x87 FPU Tag Word".
 */
static unsigned register_tag(const uint8_t st[16])
{
    uint64_t significand = load_le64(st);
    unsigned exponent = load_le16(st + 8) & 0x7fffu;

    if (exponent == 0 && significand == 0) {
        return 1;
    }
    return exponent == 0 || exponent == 0x7fff || !(significand >> 63) ? 2 : 0;
}

uint16_t fpu_tag_word(const struct fxsave *fpu)
{
    unsigned word = 0;

    for (unsigned n = 0; n < 8; n++) {
        bool used = fpu->ftw >> n & 1;
        unsigned tag = used ? register_tag(fpu->st[(n - fpu_top(fpu)) & 7]) : 3;
        word |= tag << (2 * n);
    }
    return (uint16_t)word;
}

void fpu_set_top(struct fxsave *fpu, unsigned top)
{
    unsigned distance = top - fpu_top(fpu);
    uint8_t old[8][16];

    if ((distance & 7) == 0) {
        return;
    }
    memcpy(old, fpu->st, sizeof(old));
    for (unsigned i = 0; i < 8; i++) {
        memcpy(fpu->st[i], old[(i + distance) & 7], sizeof(old[0]));
    }
    fpu->fsw = (uint16_t)((fpu->fsw & ~FSW_TOP) | top << 11);
}

void fpu_set_words(struct vcpu *cpu, uint16_t fcw, uint16_t fsw)
{
    bool was_pending = cpu->fpu.fsw & FSW_ES;
    bool pending = (fsw & ~fcw & FSW_EXCEPTIONS) != 0;

    cpu->fpu.fcw = (uint16_t)((fcw & FCW_WRITABLE) | FCW_FIXED1);
    cpu->fpu.fsw = (uint16_t)((fsw & ~(FSW_ES | FSW_B)) | (pending ? FSW_ES | FSW_B : 0));
    if (pending && !was_pending && !(cpu->cr0 & CR0_NE)) {
        cpu->ferr = true;
        if (cpu->wiring.ferr) {
            cpu->wiring.ferr(cpu->wiring.board, true);
        }
    }
}

/*
 * SDM: Volume 1, "MS-DOS Compatibility Sub-mode". vcpu.ferr is the board's latch of FERR#: set with the
 * error, cleared by the write to port F0h, which asserts IGNNE# until the error is gone. So a pending error
 * with the latch clear means that IGNNE# is asserted.
 */
bool fpu_wait(struct vcpu *cpu, bool *ready)
{
    *ready = true;
    if (LIKELY(!(cpu->fpu.fsw & ~cpu->fpu.fcw & FSW_EXCEPTIONS))) {
        return true;
    }
    if (cpu->cr0 & CR0_NE) {
        return raise_exception(cpu, EXC_MF);
    }
    if (cpu->ferr) {
        *ready = false;
        cpu->next_rip = cpu->rip;
        cpu->halted = true;
        /* The dispatch loop must not go on to the next instruction of a decoded run. */
        __atomic_or_fetch(&cpu->attention, ATTENTION_CODE, __ATOMIC_RELAXED);
    }
    return true;
}

void fpu_enter_mmx(struct vcpu *cpu)
{
    fpu_set_top(&cpu->fpu, 0);
    cpu->fpu.ftw = 0xff;
}
