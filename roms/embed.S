/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The built images as read-only bytes under the names roms.h declares. The paths are relative to the build
 * directory, which CMakeLists.txt hands to the assembler with -I.
 */
.macro embed name, file
        .balign 16
        .globl  rom_\name
        .type   rom_\name, @object
rom_\name:
        .incbin "\file"
.Lend_\name:
        .size   rom_\name, .Lend_\name - rom_\name
        .balign 8
        .globl  rom_\name\()_size
        .type   rom_\name\()_size, @object
        .size   rom_\name\()_size, 8
rom_\name\()_size:
        .quad   .Lend_\name - rom_\name
.endm

        .section .rodata
        embed   bootrom, "bootrom.bin"
        embed   bootopt, "bootopt.bin"
        embed   kernel, "alexandria.img"
        embed   font, "font.bin"

        .section .note.GNU-stack, "", @progbits
