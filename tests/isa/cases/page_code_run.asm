; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Straight-line code runs from one page into the next wherever its frame is; what the second page holds may change, be absent, or be another's between two runs
; mode: flat32
; event: checkpoint eax=7
; event: checkpoint eax=5
; event: #PF error=0 eip=0x401000 cr2=0x401000 eax=4
; event: checkpoint eax=7
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    SET_PTE 0x400000, 0x21000 | PTE_ALL
    SET_PTE 0x401000, 0x25000 | PTE_ALL
    mov dword [0x21ffc], 0x40404040 ; INC EAX four times
    mov dword [0x25000], 0xc3404040 ; and three times; RET
    mov dword [0x23000], 0xc3404840 ; INC, DEC, INC; RET
    mov ebx, 0x400ffc
    xor eax, eax
    call ebx
    CHECKPOINT
    MAP 0x401000, 0x23000 | PTE_ALL
    xor eax, eax
    call ebx
    CHECKPOINT
    MAP 0x401000, 0
    FIXUP 0x401000, absent
    xor eax, eax
    call ebx
absent:
    MAP 0x401000, 0x25000 | PTE_ALL
    mov esp, STACK0
    xor eax, eax
    call ebx
    CHECKPOINT
    hlt
