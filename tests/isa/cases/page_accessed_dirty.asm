; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A is set in both levels by any access, D by the first write only; a fault sets no D
; mode: flat32
; event: checkpoint [PAGE_TABLE2]=0x22007
; event: checkpoint [PAGE_TABLE2]=0x22027 [PAGE_DIRECTORY+4]=PAGE_TABLE2+0x27
; event: checkpoint [PAGE_TABLE2]=0x22067
; event: checkpoint [PAGE_TABLE2]=0x22007
; event: checkpoint [PAGE_TABLE2]=0x22067
; event: #PF error=3 eip=readonly
; event: checkpoint [PAGE_TABLE2+4]=0x23005
; expect: eax=0
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    SET_PTE 0x400000, 0x22000 | PTE_ALL
    CHECKPOINT
    mov al, [0x400000]
    CHECKPOINT
    mov [0x400000], al
    CHECKPOINT
    MAP 0x400000, 0x22000 | PTE_ALL
    CHECKPOINT
    inc byte [0x400000]             ; a write that begins with a read
    CHECKPOINT
    SET_PTE 0x401000, 0x23000 | PTE_P | PTE_U
readonly: FAULTS mov [0x401000], al
    mov eax, [PAGE_TABLE2 + 4]
    and eax, PTE_D
    and dword [PAGE_TABLE2 + 4], ~PTE_A ; whether A was set is the processor's choice
    CHECKPOINT
    hlt
