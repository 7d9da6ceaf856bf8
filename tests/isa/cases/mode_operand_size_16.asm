; SPDX-License-Identifier: GPL-3.0-or-later
; isa: In a 16-bit protected segment operands and addresses are 16 bits wide, and the prefixes make them 32
; mode: flat32
; set: eax=0x11112222 ebx=0x33330000
; event: checkpoint eax=0x11112223 cs=KCODE16
; event: checkpoint eax=0x11112224
; event: checkpoint ecx=0x11112225
; expect-mem: 0x20000 = 25 22 11 11
; expect-mem: 0x7ffe = 23 22
%include "protected.inc"
    PROTECTED
    jmp KCODE16:.code
bits 16
.code:
    inc ax
    push ax
    CHECKPOINT
    inc eax
    CHECKPOINT
    lea ecx, [eax + 1]
    mov [dword DATA], ecx
    CHECKPOINT
    hlt
