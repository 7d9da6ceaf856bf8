; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A store into the second page of an instruction that crosses two is seen, and so is one into the first
; mode: flat32
; event: checkpoint eax=0x44332211
; event: checkpoint eax=0x44992211
; event: checkpoint eax=0x44992288
%include "protected.inc"
CROSSING equ DATA + 0xffd
    PROTECTED
    mov byte [CROSSING], 0xb8       ; MOV EAX, imm32; RET
    mov dword [CROSSING + 1], 0x44332211
    mov byte [CROSSING + 5], 0xc3
    mov ebx, CROSSING
    call ebx
    CHECKPOINT
    mov byte [CROSSING + 3], 0x99
    call ebx
    CHECKPOINT
    mov byte [CROSSING + 1], 0x88
    call ebx
    CHECKPOINT
    hlt
