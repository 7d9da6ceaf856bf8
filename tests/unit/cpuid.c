/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Processor models: names, signatures, leaves, and the feature list of -cpu.
 * SDM: Volume 2A, "CPUID".
 */
#include "system_fixture.h"

static struct fixture f;

static void teardown(void)
{
    if (f.cpu) {
        fixture_fini(&f);
        f.cpu = NULL;
    }
}

TestSuite(cpuid, .fini = teardown);

enum { EAX, EBX, ECX, EDX };

static void use(const char *model)
{
    teardown();
    fixture_init_model(&f, model);
}

static const uint32_t *leaf(uint32_t number, uint32_t subleaf, uint32_t regs[4])
{
    cpuid_read(f.cpu, number, subleaf, regs);
    return regs;
}

Test(cpuid, signatures_and_features_of_the_models)
{
    struct {
        const char *name;
        uint32_t signature, edx, ecx, max;
    } rows[] = {
        {"486", 0x480, 0x0000000b, 0x80000000, 1},      {"pentium", 0x543, 0x008003bf, 0x80000000, 1},
        {"pentium2", 0x652, 0x0183fbff, 0x80000000, 2}, {"pentium3", 0x683, 0x0383fbff, 0x80000000, 3},
        {"coreduo", 0x6e8, 0x0f89fbff, 0x80000001, 10}, {"n270", 0x106c2, 0x0f89fbff, 0x80000201, 10},
        {"qemu32", 0x663, 0x0781abfd, 0x80000001, 4},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t regs[4];
        use(rows[i].name);
        cr_assert_eq(leaf(0, 0, regs)[EAX], rows[i].max, "%s", rows[i].name);
        cr_assert_eq(memcmp(&regs[EBX], "Genu", 4), 0);
        cr_assert_eq(memcmp(&regs[EDX], "ineI", 4), 0);
        cr_assert_eq(memcmp(&regs[ECX], "ntel", 4), 0);
        cr_assert_eq(leaf(1, 0, regs)[EAX], rows[i].signature, "%s: %x", rows[i].name, regs[EAX]);
        cr_assert_eq(regs[EDX], rows[i].edx, "%s: %x", rows[i].name, regs[EDX]);
        cr_assert_eq(regs[ECX], rows[i].ecx, "%s: %x", rows[i].name, regs[ECX]);
        cr_assert_eq(f.cpu->gpr[RDX], rows[i].signature);
    }
}

Test(cpuid, default_is_the_fullest_and_aliases_mean_it)
{
    cr_assert_str_eq(cpu_model_find(NULL)->name, "n270");
    cr_assert_str_eq(cpu_model_find("max")->name, "n270");
    cr_assert_str_eq(cpu_model_find("host")->name, "n270");
    cr_assert_null(cpu_model_find("pentium9"));
    cr_assert_null(cpu_model_find(""));
    for (const struct cpu_model *model = cpu_models; model->name; model++) {
        cr_assert_eq(cpu_model_find(model->name), model);
        cr_assert_not_null(model->help);
    }
}

Test(cpuid, feature_list_adds_and_removes)
{
    const struct cpu_model *model;
    uint64_t features;
    struct error error;

    cr_assert_eq(cpu_model_parse("pentium3,-sse,+ss", &model, &features, &error), 0);
    cr_assert_str_eq(model->name, "pentium3");
    cr_assert_eq(features, (model->features & ~CPU_FEATURE_SSE) | CPU_FEATURE_SS);
    cr_assert_eq(cpu_model_parse("n270,-fxsr", &model, &features, &error), 0);
    cr_assert_not(features & (CPU_FEATURE_SSE | CPU_FEATURE_SSE2 | CPU_FEATURE_SSE3 | CPU_FEATURE_SSSE3),
                  "what needs FXSR goes with it");
    cr_assert(features & CPU_FEATURE_MMX);
    cr_assert_eq(cpu_model_parse("n270,-pae", &model, &features, &error), 0);
    cr_assert_not(features & CPU_FEATURE_NX);
}

Test(cpuid, bad_texts_are_refused_by_name)
{
    static const char *const rows[][2] = {
        {"pentium9", "pentium9"},
        {"n270,+avx512", "avx512"},
        {"n270,sse", "sse"},
        {"n270,+", "+"},
        {"n270,", "''"},
        {"", "''"},
        {"a-name-that-is-far-too-long-for-any-model", "far-too-long"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct cpu_model *model;
        uint64_t features;
        struct error error = {.text = ""};
        cr_assert_lt(cpu_model_parse(rows[i][0], &model, &features, &error), 0, "%s", rows[i][0]);
        cr_assert_not_null(strstr(error.text, rows[i][1]), "%s", error.text);
    }
}

Test(cpuid, leaf_beyond_the_last_answers_with_the_last)
{
    uint32_t beyond[4], last[4];
    use("pentium2");
    leaf(2, 0, last);
    leaf(0x7fffffff, 0, beyond);
    cr_assert_eq(memcmp(beyond, last, sizeof(last)), 0);
    leaf(0x80000000, 0, beyond);
    cr_assert_eq(memcmp(beyond, last, sizeof(last)), 0, "no extended leaves on this model");
    cr_assert_eq(last[EAX], 1);
    cr_assert_eq(last[EDX], 0x2c307d);
}

Test(cpuid, cache_leaf_agrees_with_the_descriptors)
{
    uint32_t regs[4];
    const uint32_t bytes[] = {32 * 1024, 32 * 1024, 2048 * 1024};
    use("n270");
    for (uint32_t i = 0; i < 3; i++) {
        leaf(4, i, regs);
        uint32_t ways = (regs[EBX] >> 22) + 1, partitions = (regs[EBX] >> 12 & 0x3ff) + 1;
        uint32_t line = (regs[EBX] & 0xfff) + 1, sets = regs[ECX] + 1;
        cr_assert_eq(ways * partitions * line * sets, bytes[i]);
    }
    cr_assert_eq(leaf(4, 3, regs)[EAX] & 0x1f, 0);
}

Test(cpuid, brand_and_extended_leaves)
{
    uint32_t regs[12];
    use("n270");
    for (uint32_t i = 0; i < 3; i++) {
        leaf(0x80000002 + i, 0, regs + 4 * i);
    }
    cr_assert_str_eq((const char *)regs, "Intel(R) Atom(TM) CPU N270   @ 1.60GHz");
    cr_assert_eq(leaf(0x80000000, 0, regs)[EAX], 0x80000008);
    cr_assert_eq(leaf(0x80000001, 0, regs)[EDX], 1u << 20);
    cr_assert_eq(leaf(0x80000008, 0, regs)[EAX], 0x2020);
    use("n270,-nx");
    cr_assert_eq(leaf(0x80000001, 0, regs)[EDX], 0);
}

Test(cpuid, hypervisor_leaf_names_us)
{
    uint32_t regs[4];
    use("n270");
    leaf(0x40000000, 0, regs);
    cr_assert_eq(memcmp(&regs[EBX], "HypatiaVMM  ", 12), 0);
    use("n270,-hypervisor");
    leaf(0x40000000, 0, regs);
    cr_assert_neq(memcmp(&regs[EBX], "Hypa", 4), 0);
    cr_assert_not(leaf(1, 0, regs)[ECX] >> 31);
}

Test(cpuid, msrs_switch_features_off)
{
    uint32_t regs[4];
    use("n270");
    cr_assert(msr_write(f.cpu, 0x1b, 0xfee00100));
    cr_assert_not(leaf(1, 0, regs)[EDX] & 1u << 9);
    cr_assert(msr_write(f.cpu, 0x1a0, BIT(34) | BIT(22)));
    cr_assert_eq(leaf(0x80000001, 0, regs)[EDX], 0);
    cr_assert_eq(leaf(0, 0, regs)[EAX], 3);
}

Test(cpuid, instruction_fills_four_registers_and_shows_the_microcode_revision)
{
    uint64_t value;
    use("n270");
    enter_protected(&f);
    cr_assert(msr_write(f.cpu, 0x8b, 0));
    f.cpu->gpr[RAX] = 1;
    cr_assert(RUN(&f, 0x0f, 0xa2));
    cr_assert_eq(f.cpu->gpr[RAX], 0x106c2);
    cr_assert_eq(f.cpu->gpr[RBX], 0x800);
    cr_assert(msr_read(f.cpu, 0x8b, &value));
    cr_assert_eq(value, BIT(32));
}
