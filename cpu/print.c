/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The processor's registers in the form of QEMU's `info registers`, which tools and people parse.
 *
 * Segments show the visible selector, base, limit and the middle bytes of a descriptor's high doubleword; in
 * protected mode their DPL and type in words follow. II is the interrupt shadow, FTW the abridged tag word.
 *
 * NOT shown: MSRs (the snapshot table prints those).
 */
#include <inttypes.h>

#include "cpu/vcpu.h"

static void print_general(FILE *out, const struct vcpu *cpu)
{
    static const struct {
        const char *name;
        enum gpr gpr;
    } order[8] = {
        {"EAX", RAX}, {"EBX", RBX}, {"ECX", RCX}, {"EDX", RDX},
        {"ESI", RSI}, {"EDI", RDI}, {"EBP", RBP}, {"ESP", RSP},
    };

    for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
        fprintf(out, "%s=%08" PRIx32 "%c", order[i].name, reg32(cpu, order[i].gpr), i % 4 == 3 ? '\n' : ' ');
    }
}

static void print_flags(FILE *out, const struct vcpu *cpu)
{
    static const struct {
        char letter;
        uint64_t flag;
    } shown[7] = {
        {'D', RFLAGS_DF}, {'O', RFLAGS_OF}, {'S', RFLAGS_SF}, {'Z', RFLAGS_ZF},
        {'A', RFLAGS_AF}, {'P', RFLAGS_PF}, {'C', RFLAGS_CF},
    };
    char text[8] = "-------";

    for (unsigned i = 0; i < ARRAY_LEN(shown); i++) {
        if (cpu->rflags & shown[i].flag) {
            text[i] = shown[i].letter;
        }
    }
    fprintf(out, "EIP=%08" PRIx32 " EFL=%08" PRIx32 " [%s] CPL=%u II=%d A20=%d SMM=0 HLT=%d\n",
            (uint32_t)cpu->rip, (uint32_t)cpu->rflags, text, cpu->cpl, cpu->shadow != SHADOW_NONE, cpu->a20,
            cpu->halted);
}

/* A code or data segment's type: "CS32 [-RA]", "DS   [-WA]". */
static void print_type(FILE *out, uint32_t attr)
{
    bool code = attr & SEG_TYPE_CODE;
    bool wide = attr & SEG_DB;

    fprintf(out, "%s [%c%c%c]", code ? (wide ? "CS32" : "CS16") : (wide ? "DS  " : "DS16"),
            (attr & SEG_TYPE_ED) ? (code ? 'C' : 'E') : '-', (attr & SEG_TYPE_RW) ? (code ? 'R' : 'W') : '-',
            (attr & SEG_TYPE_ACCESSED) ? 'A' : '-');
}

static void print_segment(FILE *out, const struct vcpu *cpu, const char *name, const struct segment *segment)
{
    static const char *const system_types[16] = {
        "Reserved",   "TSS16-avl",  "LDT",       "TSS16-busy", "CallGate16", "TaskGate",
        "IntGate16",  "TrapGate16", "Reserved",  "TSS32-avl",  "Reserved",   "TSS32-busy",
        "CallGate32", "Reserved",   "IntGate32", "TrapGate32",
    };
    /* As a descriptor has them: limit 19:16 lies between the attribute bytes. */
    uint32_t raw_limit = (segment->attr & SEG_G) ? segment->limit >> 12 : segment->limit;
    uint32_t attr = (segment->attr & SEG_UNUSABLE) ? 0 : segment->attr;
    uint32_t flags = (attr << 8 & 0x00f0ff00) | (attr ? raw_limit & 0xf0000 : 0);

    fprintf(out, "%-3s=%04x %08" PRIx32 " %08" PRIx32 " %08" PRIx32, name, segment->selector,
            (uint32_t)segment->base, segment->limit, flags);
    if ((cpu->cr0 & CR0_PE) && (attr & SEG_P)) {
        fprintf(out, " DPL=%u ", segment_dpl(segment));
        if (attr & SEG_S) {
            print_type(out, attr);
        } else {
            fputs(system_types[attr & SEG_TYPE], out);
        }
    }
    fputc('\n', out);
}

static void print_fpu(FILE *out, const struct vcpu *cpu)
{
    const struct fxsave *fpu = &cpu->fpu;
    unsigned top = fpu->fsw >> 11 & 7;

    fprintf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08" PRIx32 "\n", fpu->fcw,
            fpu->fsw & ~(unsigned)0x3800, top, fpu->ftw, fpu->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *st = fpu->st[(i - top) & 7];
        fprintf(out, "FPR%u=%016" PRIx64 " %04x%c", i, load_le64(st), load_le16(st + 8), i % 2 ? '\n' : ' ');
    }
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *xmm = fpu->xmm[i];
        fprintf(out, "XMM%02u=%016" PRIx64 "%016" PRIx64 "%c", i, load_le64(xmm + 8), load_le64(xmm),
                i % 2 ? '\n' : ' ');
    }
}

void vcpu_print(FILE *out, const struct vcpu *cpu)
{
    static const char *const names[SEG_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS"};

    print_general(out, cpu);
    print_flags(out, cpu);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        print_segment(out, cpu, names[i], &cpu->seg[i]);
    }
    print_segment(out, cpu, "LDT", &cpu->ldtr);
    print_segment(out, cpu, "TR", &cpu->tr);
    fprintf(out, "GDT=     %08" PRIx32 " %08x\n", (uint32_t)cpu->gdtr.base, cpu->gdtr.limit);
    fprintf(out, "IDT=     %08" PRIx32 " %08x\n", (uint32_t)cpu->idtr.base, cpu->idtr.limit);
    fprintf(out, "CR0=%08" PRIx32 " CR2=%08" PRIx32 " CR3=%08" PRIx32 " CR4=%08" PRIx32 "\n",
            (uint32_t)cpu->cr0, (uint32_t)cpu->cr2, (uint32_t)cpu->cr3, (uint32_t)cpu->cr4);
    for (unsigned i = 0; i < 4; i++) {
        fprintf(out, "DR%u=%08" PRIx32 " ", i, (uint32_t)cpu->dr[i]);
    }
    fprintf(out, "\nDR6=%08" PRIx32 " DR7=%08" PRIx32 "\n", (uint32_t)cpu->dr[6], (uint32_t)cpu->dr[7]);
    fprintf(out, "EFER=%016" PRIx64 "\n", cpu->msr.efer);
    print_fpu(out, cpu);
}
