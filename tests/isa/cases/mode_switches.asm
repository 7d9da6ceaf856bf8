; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Real mode, 16-bit and 32-bit protected mode and back; CS keeps its attributes until the far jump
; mode: real16
; event: checkpoint cpl=0 cs=0 cr0=0x60000011
; event: checkpoint cs=KCODE16
; event: checkpoint cs=KCODE esp=0x8000
; event: checkpoint cs=KCODE16
; event: checkpoint cs=0 cr0=0x60000010 esp=0x7ffe
%include "protected.inc"
bits 16
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    CHECKPOINT                      ; 16-bit code still, with the selector of real mode
    jmp KCODE16:.protected16
.protected16:
    CHECKPOINT
    mov bx, KDATA16
    mov ss, bx
    jmp dword KCODE:.protected32
bits 32
.protected32:
    push eax
    pop eax
    CHECKPOINT
    jmp KCODE16:.back16
bits 16
.back16:
    CHECKPOINT
    and al, ~1
    mov cr0, eax
    jmp 0:.real
.real:
    push ax
    CHECKPOINT
    hlt
