; SPDX-License-Identifier: GPL-3.0-or-later
; isa: PUSH, the return address of a CALL, and read-modify-write instructions change code like any store
; mode: flat32
; event: checkpoint eax=0x11111111
; event: checkpoint eax=0x22222222
; event: checkpoint eax=0x22222223
; event: checkpoint eax=back
%include "protected.inc"
CODE equ DATA
    PROTECTED
    mov byte [CODE], 0xb8           ; MOV EAX, imm32; RET
    mov dword [CODE + 1], 0x11111111
    mov byte [CODE + 5], 0xc3
    mov ebx, CODE
    call ebx
    CHECKPOINT
    mov esp, CODE + 5
    push dword 0x22222222
    mov esp, STACK0
    call ebx
    CHECKPOINT
    lock inc dword [CODE + 1]
    call ebx
    CHECKPOINT
    mov esp, CODE + 5
    call back
back:
    mov esp, STACK0
    call ebx
    CHECKPOINT
    hlt
