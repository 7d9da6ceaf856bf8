; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The same bytes are two different programs as 32-bit and as 16-bit code
; mode: flat32
; event: checkpoint eax=0x12345678 cs=KCODE
; event: checkpoint eax=0x0000566a cs=KCODE16
; event: checkpoint eax=0x12345678 cs=KCODE
%include "protected.inc"
    PROTECTED
    mov esi, again
    jmp shared
again:
    xor eax, eax
    mov esi, back16
    jmp KCODE16:shared
bits 16
back16:
    mov esi, finish
    jmp dword KCODE:shared
bits 32
finish:
    hlt
; As 32-bit code MOV EAX, 12345678h; as 16-bit code MOV AX, 5678h and XOR AL, 12h. JMP SI and JMP ESI are the same bytes.
shared:
    db 0xb8, 0x78, 0x56, 0x34, 0x12
    CHECKPOINT
    jmp esi
