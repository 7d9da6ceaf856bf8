/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Carries the compiled DSDT (vm/dsdt.asl, see vm/dsdt.cmake) in the read-only data of the program.
 */
#include "vm/acpi_tables.h"

__asm__(".pushsection .rodata\n"
        ".balign 8\n"
        ".globl acpi_dsdt\n"
        "acpi_dsdt:\n"
        ".incbin \"" HYPATIA_DSDT_AML "\"\n"
        ".globl acpi_dsdt_end\n"
        "acpi_dsdt_end:\n"
        ".byte 0\n"
        ".popsection\n");
