; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A store through another linear address of the frame changes the code
; mode: flat32
; event: checkpoint eax=0x11
; event: checkpoint eax=0x22
; event: checkpoint eax=0x33
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    MAP 0x400000, DATA | PTE_ALL
    MAP 0x401000, DATA | PTE_ALL
    mov dword [0x400000], 0xc311b0  ; MOV AL, 11h; RET
    xor eax, eax
    mov ebx, 0x401000
    call ebx
    CHECKPOINT
    mov byte [0x400001], 0x22
    mov cr2, eax                    ; serializes: the addresses differ
    call ebx
    CHECKPOINT
    mov byte [DATA + 1], 0x33
    mov cr2, eax
    call ebx
    CHECKPOINT
    hlt
