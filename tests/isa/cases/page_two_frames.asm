; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Data and instructions across a page boundary come from two frames that need not be neighbours
; mode: flat32
; mem: 0x21ffd = 11 22 33
; mem: 0x23000 = 44
; mem: 0x25ffe = b8 78
; mem: 0x22000 = 56 34 12 c3
; event: checkpoint eax=0x12345678 ebx=0x44332211
; event: #PF error=0 eip=0x402ffe cr2=0x403000 eax=0
; event: checkpoint eax=0x12345678
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    SET_PTE 0x400000, 0x21000 | PTE_ALL
    SET_PTE 0x401000, 0x23000 | PTE_ALL
    SET_PTE 0x402000, 0x25000 | PTE_ALL
    SET_PTE 0x403000, 0x22000 | PTE_ALL
    mov ebx, [0x400ffd]
    mov ecx, 0x402ffe               ; MOV EAX, 12345678h; RET
    call ecx
    CHECKPOINT
    ; Its second half absent: the fault is the instruction's, the address that of the half.
    MAP 0x403000, 0
    xor eax, eax
    FIXUP 0x402ffe, back
    call ecx
back:
    MAP 0x403000, 0x22000 | PTE_ALL
    call ecx
    CHECKPOINT
    hlt
