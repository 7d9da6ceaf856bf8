; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A limit loaded in protected mode stays after the return to real mode ("unreal mode"), also when the segment register is loaded again
; mode: real16
; mem: 0x123456 = 78 56 34 12
; event: checkpoint eax=0x12345678 cpl=0 ds=0
; event: checkpoint eax=0x12345678 ds=0x0010
%include "real.inc"
    REAL
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    mov bx, 8
    mov ds, bx
    and al, ~1
    mov cr0, eax
    xor bx, bx
    mov ds, bx
    mov eax, [dword 0x123456]
    CHECKPOINT
    xor eax, eax
    mov bx, 0x10
    mov ds, bx
    mov eax, [dword 0x123356]       ; + 10h * 16
    CHECKPOINT
    hlt
gdt_pointer:
    dw 15
    dd gdt
gdt:
    dq 0, 0x00cf93000000ffff
