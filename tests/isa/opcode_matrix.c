/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * opcode_matrix: write docs/instructions.md, the list of what the processor can do, from the opcode table.
 *
 *   opcode_matrix                print it
 *   opcode_matrix -check FILE    compare FILE with it; status 1 and the refreshing command when they differ
 *
 * SDM: Volume 2, "Opcode Column in the Instruction Summary Table".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/decode.h"

static const struct {
    uint64_t feature;
    const char *name;
} features[] = {
    {CPU_FEATURE_CPUID, "CPUID"}, {CPU_FEATURE_FPU, "FPU"},     {CPU_FEATURE_VME, "VME"},
    {CPU_FEATURE_DE, "DE"},       {CPU_FEATURE_PSE, "PSE"},     {CPU_FEATURE_TSC, "TSC"},
    {CPU_FEATURE_MSR, "MSR"},     {CPU_FEATURE_PAE, "PAE"},     {CPU_FEATURE_MCE, "MCE"},
    {CPU_FEATURE_CX8, "CX8"},     {CPU_FEATURE_APIC, "APIC"},   {CPU_FEATURE_SEP, "SEP"},
    {CPU_FEATURE_MTRR, "MTRR"},   {CPU_FEATURE_PGE, "PGE"},     {CPU_FEATURE_MCA, "MCA"},
    {CPU_FEATURE_CMOV, "CMOV"},   {CPU_FEATURE_PAT, "PAT"},     {CPU_FEATURE_PSE36, "PSE36"},
    {CPU_FEATURE_CLFSH, "CLFSH"}, {CPU_FEATURE_NX, "NX"},       {CPU_FEATURE_MMX, "MMX"},
    {CPU_FEATURE_FXSR, "FXSR"},   {CPU_FEATURE_SSE, "SSE"},     {CPU_FEATURE_SSE2, "SSE2"},
    {CPU_FEATURE_SSE3, "SSE3"},   {CPU_FEATURE_SSSE3, "SSSE3"}, {CPU_FEATURE_MONITOR, "MONITOR"},
    {CPU_FEATURE_NOPL, "NOPL"},
};

static const struct {
    uint32_t flag;
    const char *text;
} flag_names[] = {
    {OPF_LOCK, "LOCK"},
    {OPF_STRING, "REP"},
    {OPF_CPL0, "CPL 0"},
    {OPF_PE, "PE"},
    {OPF_END, "ends block"},
    {OPF_READ_FLAGS, "reads flags"},
    {OPF_WRITE_FLAGS, "writes flags"},
    {OPF_MEM_READ, "loads"},
    {OPF_MEM_WRITE, "stores"},
    {OPF_UNALIGNED, "any alignment"},
    {OPF_SIMD_FP, "#XM"},
    {OPF_FPU, "x87"},
};

static const char introduction[] =
    "# Instructions\n"
    "\n"
    "What the emulated processors execute: one line for each of the %zu rows of `cpu/opcodes.def` and\n"
    "`cpu/opcodes_fpu.def`. This file is generated; after a change to the table, refresh it with\n"
    "`BUILD/tests/isa/opcode_matrix > docs/instructions.md` (a test compares the two).\n"
    "\n"
    "Columns, in the words of the SDM (Volume 2, \"Interpreting the Instruction Reference Pages\"):\n"
    "\n"
    "- **Opcode**: bytes in hexadecimal. `/r`: a ModRM byte follows; `/0` to `/7`: its reg field is part of "
    "the opcode;\n"
    "  `+r`: the low three bits name a register; `mem`, `reg`: only this form of the r/m operand; `NP`: no "
    "66, F2 or F3\n"
    "  prefix. Where all of ModRM is part of the opcode (x87), it is a second byte.\n"
    "- **Operands**: the letters of the opcode map (Volume 2D, \"Key to Abbreviations\"), explained at the "
    "top of\n"
    "  `cpu/opcodes.def`. Two mnemonics with a slash belong to operand size 16 and 32.\n"
    "- **Needs**: the feature without which the encoding is undefined; nothing: every model has it.\n"
    "- **Notes**: `LOCK`: the prefix is legal with a memory destination; `REP`: repeat prefixes apply; `CPL "
    "0`: #GP(0) at\n"
    "  other levels; `PE`: #UD in real and virtual-8086 mode; `ends block`: control, or what decoding "
    "depends on, may\n"
    "  change; `#XM`: may raise SIMD floating-point exceptions; `x87`: subject to #NM and pending #MF.\n"
    "\n";

static const char *const map_titles[MAP_COUNT] = {
    [MAP_1BYTE] = "One-byte opcodes",
    [MAP_0F] = "Two-byte opcodes (0F)",
    [MAP_0F38] = "Three-byte opcodes (0F 38)",
    [MAP_0F3A] = "Three-byte opcodes (0F 3A)",
};
static const char *const map_bytes[MAP_COUNT] = {
    [MAP_1BYTE] = "",
    [MAP_0F] = "0F ",
    [MAP_0F38] = "0F 38 ",
    [MAP_0F3A] = "0F 3A ",
};

/* ---- Models -------------------------------------------------------------------------------------------- */

static void print_models(FILE *out)
{
    fprintf(out, "## Models\n\n| feature |");
    for (const struct cpu_model *model = cpu_models; model->name; model++) {
        fprintf(out, " %s |", model->name);
    }
    fprintf(out, "\n|---|");
    for (const struct cpu_model *model = cpu_models; model->name; model++) {
        fprintf(out, "---|");
    }
    fputc('\n', out);
    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        fprintf(out, "| %s |", features[i].name);
        for (const struct cpu_model *model = cpu_models; model->name; model++) {
            fprintf(out, " %s |", model->features & features[i].feature ? "x" : "");
        }
        fputc('\n', out);
    }
    fputc('\n', out);
}

/* ---- Rows ---------------------------------------------------------------------------------------------- */

static void print_opcode(FILE *out, const struct opcode *row)
{
    if (row->prefix == OPP_NP) {
        fprintf(out, "NP ");
    } else if (row->prefix) {
        fprintf(out, "%02X ", row->prefix);
    }
    fprintf(out, "%s%02X", map_bytes[row->map], row->byte);
    if (row->plus_reg) {
        fprintf(out, "+r");
    }
    if (row->reg >= 0 && row->rm >= 0 && row->mod == 3) {
        fprintf(out, " %02X", 0xc0 | row->reg << 3 | row->rm);
        return;
    }
    if (row->reg >= 0) {
        fprintf(out, " /%d", row->reg);
    } else if (opcode_has_modrm(row)) {
        fprintf(out, " /r");
    }
    if (row->mod >= 0) {
        fprintf(out, row->mod == 3 ? " reg" : " mem");
    }
    if (row->rm >= 0) {
        fprintf(out, " rm=%d", row->rm);
    }
}

/* Names of the bits of `feature`; more than one are all needed. */
static void print_needs(FILE *out, uint64_t feature)
{
    const char *separator = "";

    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        if (feature & features[i].feature) {
            fprintf(out, "%s%s", separator, features[i].name);
            separator = " ";
        }
    }
}

static void print_notes(FILE *out, uint32_t flags)
{
    const char *separator = "";

    for (size_t i = 0; i < ARRAY_LEN(flag_names); i++) {
        if (flags & flag_names[i].flag) {
            fprintf(out, "%s%s", separator, flag_names[i].text);
            separator = ", ";
        }
    }
}

static void print_row(FILE *out, const struct opcode *row)
{
    fprintf(out, "| ");
    print_opcode(out, row);
    fprintf(out, " | %s | %s | ", row->mnemonic, row->operands);
    print_needs(out, row->feature);
    fprintf(out, " | ");
    print_notes(out, row->flags);
    fprintf(out, " |\n");
}

static void print_map(FILE *out, enum opcode_map map)
{
    fprintf(out, "## %s\n\n| opcode | mnemonic | operands | needs | notes |\n|---|---|---|---|---|\n",
            map_titles[map]);
    for (size_t i = 0; i < opcode_count; i++) {
        if (opcode_table[i].map == map) {
            print_row(out, &opcode_table[i]);
        }
    }
}

static void print_matrix(FILE *out)
{
    fprintf(out, introduction, opcode_count);
    print_models(out);
    for (unsigned map = 0; map < MAP_COUNT; map++) {
        print_map(out, (enum opcode_map)map);
        fprintf(out, "%s", map + 1 < MAP_COUNT ? "\n" : "");
    }
}

/* ---- Comparison ---------------------------------------------------------------------------------------- */

/* The first line in which `path` and `text` differ, 0 when they do not. */
static unsigned first_difference(FILE *file, const char *text)
{
    unsigned line = 1;

    for (;; text++) {
        int character = fgetc(file);
        if (character == EOF && !*text) {
            return 0;
        }
        if (character != (unsigned char)*text) {
            return line;
        }
        line += character == '\n';
    }
}

static int check(const char *path, const char *program)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size), *file = fopen(path, "r");

    if (!stream || !file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    print_matrix(stream);
    fclose(stream);
    unsigned line = first_difference(file, text);
    fclose(file);
    free(text);
    if (line) {
        fprintf(stderr, "%s:%u: differs from the opcode table; refresh it with: %s > %s\n", path, line,
                program, path);
    }
    return line != 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "-check") == 0) {
        return check(argv[2], argv[0]);
    }
    if (argc != 1) {
        fprintf(stderr, "usage: opcode_matrix [-check FILE]\n");
        return 2;
    }
    print_matrix(stdout);
    return 0;
}
