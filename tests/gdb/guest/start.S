/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A firmware image for debuggers: from the reset vector through real and protected mode to paging, and into C.
 *
 *   0xf0000   16-bit code, then 32-bit code, run where they are
 *   0xf1000   the kernel, which is copied to 0x100000 and runs, paged, at 0xc0100000
 *   0xffff0   the reset vector
 *
 * Page tables: 0x90000 the directory, 0x91000 one table, which maps the first 4 MiB where they are and at 0xc0000000.
 */
        .code16
        .section .rom16, "ax", @progbits
        .globl real_start
        .type real_start, @function
real_start:
        cli
        xorw %ax, %ax
        movw %ax, %ss
        movw $0x7000, %sp
        movw $0x1234, %bx
        callw real_add
        .globl real_after_call
real_after_call:
        movw %cs, %ax
        movw %ax, %ds
        lgdtl gdt_pointer_offset
        movl %cr0, %eax
        orl $1, %eax
        .globl real_last
real_last:
        movl %eax, %cr0
        ljmpl $8, $protected_start
        .size real_start, . - real_start

        .globl real_add
        .type real_add, @function
real_add:
        addw $0x1111, %bx
        retw
        .size real_add, . - real_add

        .code32
        .globl protected_start
        .type protected_start, @function
protected_start:
        movw $16, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movl $0x80000, %esp
        cld
        movl $kernel_image, %esi
        movl $0x100000, %edi
        movl $kernel_size, %ecx
        .globl protected_copy
protected_copy:
        rep movsb
        movl $0x91000, %edi
        movl $3, %eax
1:      stosl
        addl $0x1000, %eax
        cmpl $0x400003, %eax
        jne 1b
        movl $0x91003, 0x90000
        movl $0x91003, 0x90c00
        movl $0x90000, %eax
        movl %eax, %cr3
        movl %cr0, %eax
        orl $0x80000000, %eax
        .globl protected_last
protected_last:
        movl %eax, %cr0
        .globl paging_on
paging_on:
        movl $boot_stack_top, %esp
        xorl %ebp, %ebp
        movl $kernel_main, %eax
        call *%eax
1:      hlt
        jmp 1b
        .size protected_start, . - protected_start

        .balign 8
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff
        .quad 0x00cf93000000ffff
        .globl gdt_pointer
gdt_pointer:
        .word gdt_pointer - gdt - 1
        .long gdt

        .section .reset, "ax", @progbits
        .code16
        .globl reset_vector
reset_vector:
        ljmpw $0xf000, $real_start_offset
        .balign 16

        .section .note.GNU-stack, "", @progbits
