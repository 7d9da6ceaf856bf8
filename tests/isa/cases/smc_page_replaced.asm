; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A whole page of code that was executed is replaced by REP MOVS and executed again
; mode: flat32
; event: checkpoint eax=4096 ebx=0
; event: checkpoint eax=4096 ebx=4096
%include "protected.inc"
    PROTECTED
    mov edi, DATA
    mov ecx, 4096
    mov al, 0x40                    ; INC EAX
    rep stosb
    mov byte [edi], 0xc3
    mov edi, 0x30000
    mov ecx, 4096
    mov al, 0x43                    ; INC EBX
    rep stosb
    xor eax, eax
    mov edx, DATA
    call edx
    CHECKPOINT
    mov esi, 0x30000
    mov edi, DATA
    mov ecx, 1024
    rep movsd
    call edx
    CHECKPOINT
    hlt
