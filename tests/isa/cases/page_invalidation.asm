; SPDX-License-Identifier: GPL-3.0-or-later
; isa: What makes a changed entry visible: INVLPG for its page, CR3, CR0.PG; an entry that was not present needs nothing, nor does one that gains rights, because the fault looks again
; mode: flat32
; mem: 0x21000 = 11
; mem: 0x22000 = 22
; event: #PF error=0 eip=absent cr2=0x400000
; event: checkpoint eax=0x11
; event: checkpoint eax=0x22
; event: checkpoint eax=0x11
; event: checkpoint eax=0x22
; event: #PF error=3 eip=readonly cr2=0x402000
; expect-mem: 0x21000 = 99
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    xor eax, eax
absent: FAULTS mov al, [0x400000]
    SET_PTE 0x400000, 0x21000 | PTE_ALL
    mov al, [0x400000]
    CHECKPOINT
    MAP 0x400000, 0x22000 | PTE_ALL
    mov al, [0x400000]
    CHECKPOINT
    SET_PTE 0x400000, 0x21000 | PTE_ALL
    mov edx, cr3
    mov cr3, edx
    mov al, [0x400000]
    CHECKPOINT
    SET_PTE 0x400000, 0x22000 | PTE_ALL
    mov edx, cr0
    and edx, ~CR0_PG
    mov cr0, edx
    or edx, CR0_PG
    mov cr0, edx
    mov al, [0x400000]
    CHECKPOINT
    SET_PTE 0x402000, 0x21000 | PTE_P | PTE_U
    mov bl, [0x402000]
readonly: FAULTS mov byte [0x402000], 0x98
    SET_PTE 0x402000, 0x21000 | PTE_ALL
    mov byte [0x402000], 0x99       ; the fault above forgot the old entry
    hlt
