/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Processor models under QEMU's names, and their features.
 *
 * SDM: Volume 2A, "CPUID"; Volume 4 for the MSRs a model has (cpu/msr.c).
 */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "base/types.h"
#include "cpu/vcpu.h"

/* Bits of vcpu.features: the low word is CPUID.1:EDX, the high word CPUID.1:ECX, except that bits CPUID.1
 * leaves reserved are used for features found elsewhere (noted). */
#define CPU_FEATURE_FPU  BIT(0)
#define CPU_FEATURE_VME  BIT(1)
#define CPU_FEATURE_DE   BIT(2)
#define CPU_FEATURE_PSE  BIT(3)
#define CPU_FEATURE_TSC  BIT(4)
#define CPU_FEATURE_MSR  BIT(5)
#define CPU_FEATURE_PAE  BIT(6)
#define CPU_FEATURE_MCE  BIT(7)
#define CPU_FEATURE_CX8  BIT(8)
#define CPU_FEATURE_APIC BIT(9)
#define CPU_FEATURE_CPUID                                                                                    \
    BIT(10) /* reserved in CPUID.1: the CPUID instruction and RFLAGS.ID (486 and later) */
#define CPU_FEATURE_SEP   BIT(11)
#define CPU_FEATURE_MTRR  BIT(12)
#define CPU_FEATURE_PGE   BIT(13)
#define CPU_FEATURE_MCA   BIT(14)
#define CPU_FEATURE_CMOV  BIT(15)
#define CPU_FEATURE_PAT   BIT(16)
#define CPU_FEATURE_PSE36 BIT(17)
#define CPU_FEATURE_CLFSH BIT(19)
#define CPU_FEATURE_NX    BIT(20) /* reserved in CPUID.1: CPUID.80000001H:EDX.20 */
#define CPU_FEATURE_MMX   BIT(23)
#define CPU_FEATURE_FXSR  BIT(24)
#define CPU_FEATURE_SSE   BIT(25)
#define CPU_FEATURE_SSE2  BIT(26)
#define CPU_FEATURE_SS    BIT(27)
#define CPU_FEATURE_NOPL                                                                                     \
    BIT(30) /* IA64 bit in CPUID.1, never reported: multi-byte NOP, UD2, RDPMC (family 6) */
#define CPU_FEATURE_SSE3       BIT(32 + 0)
#define CPU_FEATURE_MONITOR    BIT(32 + 3)
#define CPU_FEATURE_SSSE3      BIT(32 + 9)
#define CPU_FEATURE_HYPERVISOR BIT(32 + 31)

struct cpu_model {
    const char *name;   /* "coreduo" */
    const char *help;   /* "Intel Core Duo T2600" */
    const char *vendor; /* 12 characters */
    const char *brand;  /* 48 characters at most, NULL when the model has no brand string */
    uint8_t family, model, stepping;
    uint8_t phys_bits;
    uint32_t max_leaf;          /* highest basic leaf; 0 when there is no CPUID */
    uint32_t max_extended_leaf; /* 0 when there are none */
    uint64_t features;
};

extern const struct cpu_model cpu_models[]; /* ends with a NULL name */

/* By name; NULL when unknown. `name` NULL gives the default, the fullest. */
const struct cpu_model *cpu_model_find(const char *name);

/* Parse "MODEL[,+f][,-f]...": -EINVAL names what is unknown. Features the host cannot execute (SSE3, SSSE3) are
 * refused with the reason. */
struct error;
int cpu_model_parse(const char *text, const struct cpu_model **model, uint64_t *features,
                    struct error *error);

/* Family, model and stepping as CPUID.1:EAX has them and EDX after reset. */
uint32_t cpu_signature(const struct cpu_model *model);

/* CPUID with EAX = leaf, ECX = subleaf. */
void cpuid_read(const struct vcpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

/* RDMSR, WRMSR: #GP(0) for what the model lacks or the value forbids. */
bool msr_read(struct vcpu *cpu, uint32_t index, uint64_t *value);
bool msr_write(struct vcpu *cpu, uint32_t index, uint64_t value);

#endif
