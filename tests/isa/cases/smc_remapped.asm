; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The same linear address with another frame behind it is other code, and the old frame's code is found again
; mode: flat32
; event: checkpoint eax=1
; event: checkpoint eax=2
; event: checkpoint eax=1
; event: checkpoint eax=3
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    mov dword [DATA], 0xc301b0
    mov dword [DATA + 0x1000], 0xc302b0
    xor eax, eax
    mov ebx, 0x400000
    MAP 0x400000, DATA | PTE_ALL
    call ebx
    CHECKPOINT
    MAP 0x400000, (DATA + 0x1000) | PTE_ALL
    call ebx
    CHECKPOINT
    MAP 0x400000, DATA | PTE_ALL
    call ebx
    CHECKPOINT
    MAP 0x400000, (DATA + 0x1000) | PTE_ALL
    mov byte [0x400001], 3
    call ebx
    CHECKPOINT
    hlt
