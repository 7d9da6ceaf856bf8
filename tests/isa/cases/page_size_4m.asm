; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With CR4.PSE a directory entry with PS maps 4 MiB, with A and D of its own; reserved address bits fault; without PSE the bit means nothing
; mode: flat32
; mem: 0x823456 = 78 56 34 12
; event: checkpoint eax=0x12345678 [PAGE_DIRECTORY+8]=0x008000a7
; event: checkpoint [PAGE_DIRECTORY+8]=0x008000e7
; event: #PF error=9 eip=reserved cr2=0x800000
; event: checkpoint eax=0x5a
; expect-mem: 0x823456 = 79
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    mov eax, cr4
    or eax, CR4_PSE
    mov cr4, eax
    mov dword [PAGE_DIRECTORY + 8], 0x800000 | PTE_PS | PTE_ALL
    mov eax, [0x823456]
    CHECKPOINT
    inc byte [0x823456]
    CHECKPOINT
    mov dword [PAGE_DIRECTORY + 8], 0xa00000 | PTE_PS | PTE_ALL ; bit 21: reserved
    mov eax, cr3
    mov cr3, eax
reserved: FAULTS mov eax, [0x800000]
    ; Without PSE the same kind of entry names a page table.
    mov eax, cr4
    and eax, ~CR4_PSE
    mov cr4, eax
    mov dword [0x24000], 0x25000 | PTE_ALL
    mov byte [0x25000], 0x5a
    mov dword [PAGE_DIRECTORY + 8], 0x24000 | PTE_PS | PTE_ALL
    mov eax, cr3
    mov cr3, eax
    movzx eax, byte [0x800000]
    CHECKPOINT
    hlt
