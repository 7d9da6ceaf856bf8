/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Processor models, and what CPUID says about them.
 *
 * SDM: Volume 2A, "CPUID".
 *
 * The names, signatures and leaves are those that QEMU gives its models, so that a guest sees the processor it
 * expects under the same -cpu option; features that are not implemented here are not reported.
 *
 * One cache hierarchy serves every model: 32 KiB L1 data and instruction (8-way), 2 MiB L2 (8-way).
 *
 * NOT modelled: the processor serial number (leaf 3 reads zero), performance monitoring (leaf 0AH reads zero),
 * topology beyond one thread on one core.
 */
#include "cpu/cpuid.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>

#include "base/error.h"

#define FEATURES_486                                                                                         \
    (CPU_FEATURE_FPU | CPU_FEATURE_VME | CPU_FEATURE_PSE | CPU_FEATURE_CPUID | CPU_FEATURE_HYPERVISOR)
#define FEATURES_PENTIUM                                                                                     \
    (FEATURES_486 | CPU_FEATURE_DE | CPU_FEATURE_TSC | CPU_FEATURE_MSR | CPU_FEATURE_MCE | CPU_FEATURE_CX8 | \
     CPU_FEATURE_MMX | CPU_FEATURE_APIC)
#define FEATURES_PENTIUM2                                                                                    \
    (FEATURES_PENTIUM | CPU_FEATURE_PAE | CPU_FEATURE_SEP | CPU_FEATURE_MTRR | CPU_FEATURE_PGE |             \
     CPU_FEATURE_MCA | CPU_FEATURE_CMOV | CPU_FEATURE_PAT | CPU_FEATURE_PSE36 | CPU_FEATURE_FXSR |           \
     CPU_FEATURE_NOPL)
#define FEATURES_PENTIUM3 (FEATURES_PENTIUM2 | CPU_FEATURE_SSE)
/* What the later ones share: no PSE-36. */
#define FEATURES_SSE2                                                                                        \
    ((FEATURES_PENTIUM3 & ~(CPU_FEATURE_PSE36 | CPU_FEATURE_VME | CPU_FEATURE_MTRR | CPU_FEATURE_MCA)) |     \
     CPU_FEATURE_SSE2 | CPU_FEATURE_SSE3)
#define FEATURES_CORE                                                                                        \
    (FEATURES_SSE2 | CPU_FEATURE_VME | CPU_FEATURE_MTRR | CPU_FEATURE_MCA | CPU_FEATURE_CLFSH |              \
     CPU_FEATURE_SS | CPU_FEATURE_NX)

#define EXTENDED_MAX    0x80000008u
#define BRAND_MAX       0x80000004u
#define HYPERVISOR_LEAF 0x40000000u

static const char vendor_intel[] = "GenuineIntel";

const struct cpu_model cpu_models[] = {
    {
        .name = "n270",
        .help = "Intel Atom N270 (default)",
        .vendor = vendor_intel,
        .brand = "Intel(R) Atom(TM) CPU N270   @ 1.60GHz",
        .family = 6,
        .model = 28,
        .stepping = 2,
        .phys_bits = 32,
        .max_leaf = 10,
        .max_extended_leaf = EXTENDED_MAX,
        .features = FEATURES_CORE | CPU_FEATURE_SSSE3,
    },
    {
        .name = "coreduo",
        .help = "Intel Core Duo T2600",
        .vendor = vendor_intel,
        .brand = "Genuine Intel(R) CPU           T2600  @ 2.16GHz",
        .family = 6,
        .model = 14,
        .stepping = 8,
        .phys_bits = 32,
        .max_leaf = 10,
        .max_extended_leaf = EXTENDED_MAX,
        .features = FEATURES_CORE,
    },
    {
        .name = "pentium3",
        .help = "Intel Pentium III",
        .vendor = vendor_intel,
        .family = 6,
        .model = 8,
        .stepping = 3,
        .phys_bits = 36,
        .max_leaf = 3,
        .features = FEATURES_PENTIUM3,
    },
    {
        .name = "pentium2",
        .help = "Intel Pentium II",
        .vendor = vendor_intel,
        .family = 6,
        .model = 5,
        .stepping = 2,
        .phys_bits = 36,
        .max_leaf = 2,
        .features = FEATURES_PENTIUM2,
    },
    {
        .name = "pentium",
        .help = "Intel Pentium with MMX",
        .vendor = vendor_intel,
        .family = 5,
        .model = 4,
        .stepping = 3,
        .phys_bits = 32,
        .max_leaf = 1,
        .features = FEATURES_PENTIUM,
    },
    {
        .name = "486",
        .help = "Intel 486 DX4",
        .vendor = vendor_intel,
        .family = 4,
        .model = 8,
        .stepping = 0,
        .phys_bits = 32,
        .max_leaf = 1,
        .features = FEATURES_486,
    },
    {
        .name = "qemu32",
        .help = "32-bit virtual processor",
        .vendor = vendor_intel,
        .brand = "QEMU Virtual CPU version 2.5+",
        .family = 6,
        .model = 6,
        .stepping = 3,
        .phys_bits = 32,
        .max_leaf = 4,
        .max_extended_leaf = BRAND_MAX,
        .features = FEATURES_SSE2,
    },
    {.name = NULL},
};

/* Names that users type for "the best there is" all mean the first model. */
static const char *const default_names[] = {"max", "host"};

/* Features by the names that -cpu takes. */
static const struct {
    const char *name;
    uint64_t feature;
} feature_names[] = {
    {"fpu", CPU_FEATURE_FPU},         {"vme", CPU_FEATURE_VME},     {"de", CPU_FEATURE_DE},
    {"pse", CPU_FEATURE_PSE},         {"tsc", CPU_FEATURE_TSC},     {"msr", CPU_FEATURE_MSR},
    {"pae", CPU_FEATURE_PAE},         {"mce", CPU_FEATURE_MCE},     {"cx8", CPU_FEATURE_CX8},
    {"apic", CPU_FEATURE_APIC},       {"sep", CPU_FEATURE_SEP},     {"mtrr", CPU_FEATURE_MTRR},
    {"pge", CPU_FEATURE_PGE},         {"mca", CPU_FEATURE_MCA},     {"cmov", CPU_FEATURE_CMOV},
    {"pat", CPU_FEATURE_PAT},         {"pse36", CPU_FEATURE_PSE36}, {"clflush", CPU_FEATURE_CLFSH},
    {"nx", CPU_FEATURE_NX},           {"mmx", CPU_FEATURE_MMX},     {"fxsr", CPU_FEATURE_FXSR},
    {"sse", CPU_FEATURE_SSE},         {"sse2", CPU_FEATURE_SSE2},   {"ss", CPU_FEATURE_SS},
    {"sse3", CPU_FEATURE_SSE3},       {"pni", CPU_FEATURE_SSE3},    {"ssse3", CPU_FEATURE_SSSE3},
    {"monitor", CPU_FEATURE_MONITOR}, {"nopl", CPU_FEATURE_NOPL},   {"hypervisor", CPU_FEATURE_HYPERVISOR},
};

/* A feature, and those it cannot be without. */
static const struct {
    uint64_t feature, needs;
} dependencies[] = {
    {CPU_FEATURE_SSE, CPU_FEATURE_FXSR},
    {CPU_FEATURE_SSE2, CPU_FEATURE_SSE},
    {CPU_FEATURE_SSE3, CPU_FEATURE_SSE2},
    {CPU_FEATURE_SSSE3, CPU_FEATURE_SSE3},
    {CPU_FEATURE_FXSR, CPU_FEATURE_FPU},
    {CPU_FEATURE_MMX, CPU_FEATURE_FPU},
    {CPU_FEATURE_MTRR, CPU_FEATURE_MSR},
    {CPU_FEATURE_PAT, CPU_FEATURE_MSR},
    {CPU_FEATURE_SEP, CPU_FEATURE_MSR},
    {CPU_FEATURE_MCA, CPU_FEATURE_MSR | CPU_FEATURE_MCE},
    {CPU_FEATURE_NX, CPU_FEATURE_PAE | CPU_FEATURE_MSR},
};

/* ---- Choosing a model ----------------------------------------------------------------------------------- */

const struct cpu_model *cpu_model_find(const char *name)
{
    if (!name) {
        return &cpu_models[0];
    }
    for (size_t i = 0; i < ARRAY_LEN(default_names); i++) {
        if (strcmp(name, default_names[i]) == 0) {
            return &cpu_models[0];
        }
    }
    for (const struct cpu_model *model = cpu_models; model->name; model++) {
        if (strcmp(name, model->name) == 0) {
            return model;
        }
    }
    return NULL;
}

/* SSE instructions run on the host's own unit: features a guest cannot have here. */
static uint64_t features_host_lacks(void)
{
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;

    __get_cpuid(1, &eax, &ebx, &ecx, &edx);
    return ((ecx & bit_SSE3) ? 0 : CPU_FEATURE_SSE3) | ((ecx & bit_SSSE3) ? 0 : CPU_FEATURE_SSSE3);
}

static bool find_feature(const char *name, size_t length, uint64_t *feature)
{
    for (size_t i = 0; i < ARRAY_LEN(feature_names); i++) {
        if (strlen(feature_names[i].name) == length && memcmp(feature_names[i].name, name, length) == 0) {
            *feature = feature_names[i].feature;
            return true;
        }
    }
    return false;
}

/* One "+f" or "-f" of the list. */
static int parse_feature(const char *item, size_t length, uint64_t *features, struct error *error)
{
    uint64_t feature = 0;

    if (length < 2 || (item[0] != '+' && item[0] != '-')) {
        return error_set(error, -EINVAL, "processor feature '%.*s': expected +NAME or -NAME", (int)length,
                         item);
    }
    if (!find_feature(item + 1, length - 1, &feature)) {
        return error_set(error, -EINVAL, "processor feature '%.*s' is not known", (int)(length - 1),
                         item + 1);
    }
    if (item[0] == '-') {
        *features &= ~feature;
        return 0;
    }
    if (feature & features_host_lacks()) {
        return error_set(error, -EINVAL,
                         "processor feature '%.*s' runs on the host's own unit, which lacks it",
                         (int)(length - 1), item + 1);
    }
    *features |= feature;
    return 0;
}

static void drop_orphans(uint64_t *features)
{
    for (uint64_t before = 0; before != *features;) {
        before = *features;
        for (size_t i = 0; i < ARRAY_LEN(dependencies); i++) {
            if ((*features & dependencies[i].needs) != dependencies[i].needs) {
                *features &= ~dependencies[i].feature;
            }
        }
    }
}

int cpu_model_parse(const char *text, const struct cpu_model **model, uint64_t *features, struct error *error)
{
    char name[32] = "";
    size_t length = text ? strcspn(text, ",") : 0;

    if (length >= sizeof(name)) {
        return error_set(error, -EINVAL, "processor model '%.*s' is not known", (int)length, text);
    }
    if (text) {
        memcpy(name, text, length);
    }
    *model = cpu_model_find(text ? name : NULL);
    if (!*model) {
        return error_set(error, -EINVAL, "processor model '%s' is not known (-cpu help lists them)", name);
    }
    *features = (*model)->features & ~features_host_lacks();
    const char *item = text ? text + length : "";
    while (*item == ',') {
        item++;
        length = strcspn(item, ",");
        int result = parse_feature(item, length, features, error);
        if (result < 0) {
            return result;
        }
        item += length;
    }
    drop_orphans(features);
    return 0;
}

/* ---- CPUID ---------------------------------------------------------------------------------------------- */

enum { EAX, EBX, ECX, EDX };

uint32_t cpu_signature(const struct cpu_model *model)
{
    return (uint32_t)(model->model >> 4) << 16 | (uint32_t)model->family << 8 |
           (uint32_t)(model->model & 15) << 4 | model->stepping;
}

/* Twelve characters in three registers. */
static void put_vendor(const char *text, uint32_t *first, uint32_t *second, uint32_t *third)
{
    *first = load_le32(text);
    *second = load_le32(text + 4);
    *third = load_le32(text + 8);
}

/* IA32_MISC_ENABLE can take features away again. */
static uint64_t visible_features(const struct vcpu *cpu)
{
    uint64_t features = cpu->features & ~(CPU_FEATURE_CPUID | CPU_FEATURE_NX | CPU_FEATURE_NOPL);

    if (!(cpu->msr.apic_base & BIT(11))) {
        features &= ~CPU_FEATURE_APIC;
    }
    return features;
}

static void leaf_features(const struct vcpu *cpu, uint32_t regs[4])
{
    uint64_t features = visible_features(cpu);

    regs[EAX] = cpu_signature(cpu->model);
    regs[EBX] = (cpu->features & CPU_FEATURE_CLFSH) ? 8 << 8 : 0; /* CLFLUSH line in quadwords; APIC ID 0 */
    regs[ECX] = (uint32_t)(features >> 32);
    regs[EDX] = (uint32_t)features;
}

/* Deterministic cache parameters. */
static void leaf_caches(uint32_t subleaf, uint32_t regs[4])
{
    static const struct {
        uint8_t type, level; /* type: 1 data, 2 instruction, 3 unified */
        uint16_t ways, sets;
    } caches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 8, 4096}};

    if (subleaf >= ARRAY_LEN(caches)) {
        return;
    }
    regs[EAX] = caches[subleaf].type | (uint32_t)caches[subleaf].level << 5 | 1 << 8; /* self-initialising */
    regs[EBX] = (64 - 1) | (uint32_t)(caches[subleaf].ways - 1) << 22;
    regs[ECX] = caches[subleaf].sets - 1u;
    regs[EDX] = 1; /* WBINVD does not reach other threads' caches */
}

static void leaf_basic(const struct vcpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    switch (leaf) {
    case 0:
        regs[EAX] = cpu->model->max_leaf;
        if (cpu->msr.misc_enable & BIT(22)) { /* Limit CPUID Maxval */
            regs[EAX] = MIN(regs[EAX], 3u);
        }
        put_vendor(cpu->model->vendor, &regs[EBX], &regs[EDX], &regs[ECX]);
        break;
    case 1:
        leaf_features(cpu, regs);
        break;
    case 2: /* 2C: L1 data, 30: L1 instruction, 7D: L2, as above */
        regs[EAX] = 1;
        regs[EDX] = 0x2c307d;
        break;
    case 4:
        leaf_caches(subleaf, regs);
        break;
    case 5:
        if (cpu->features & CPU_FEATURE_MONITOR) {
            regs[EAX] = regs[EBX] = 64; /* monitor line */
            regs[ECX] = 3;              /* extensions are enumerated; interrupts break even when masked */
        }
        break;
    case 6:
        regs[EAX] = BIT(2); /* the APIC timer never stops */
        break;
    default:
        break;
    }
}

static void leaf_brand(const struct cpu_model *model, uint32_t leaf, uint32_t regs[4])
{
    char brand[49] = "";

    snprintf(brand, sizeof(brand), "%s", model->brand ? model->brand : "");
    memcpy(regs, brand + 16 * (leaf - 0x80000002), 16);
}

static void leaf_extended(const struct vcpu *cpu, uint32_t leaf, uint32_t regs[4])
{
    switch (leaf) {
    case 0x80000000:
        regs[EAX] = cpu->model->max_extended_leaf;
        break;
    case 0x80000001:
        if ((cpu->features & CPU_FEATURE_NX) && !(cpu->msr.misc_enable & BIT(34))) { /* XD Bit Disable */
            regs[EDX] = (uint32_t)CPU_FEATURE_NX;
        }
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        leaf_brand(cpu->model, leaf, regs);
        break;
    case 0x80000006: /* L2: size in KiB, associativity code 6 (8-way), line */
        regs[ECX] = 2048u << 16 | 6u << 12 | 64;
        break;
    case 0x80000007:
        if (cpu->features & CPU_FEATURE_TSC) {
            regs[EDX] = BIT(8); /* the TSC never changes its rate */
        }
        break;
    case 0x80000008:
        regs[EAX] = cpu->model->phys_bits | 32u << 8;
        break;
    default:
        break;
    }
}

void cpuid_read(const struct vcpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    const struct cpu_model *model = cpu->model;

    memset(regs, 0, 4 * sizeof(regs[0]));
    if (leaf == HYPERVISOR_LEAF && (cpu->features & CPU_FEATURE_HYPERVISOR)) {
        regs[EAX] = HYPERVISOR_LEAF;
        put_vendor("HypatiaVMM  ", &regs[EBX], &regs[ECX], &regs[EDX]);
        return;
    }
    if (leaf >= 0x80000000 && leaf <= model->max_extended_leaf) {
        leaf_extended(cpu, leaf, regs);
        return;
    }
    /* Beyond the last leaf, Intel's processors answer with the last basic one. */
    leaf_basic(cpu, MIN(leaf, model->max_leaf), subleaf, regs);
}
