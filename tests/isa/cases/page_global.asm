; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With CR4.PGE a global page stays in the TLB when CR3 is loaded, and leaves it by INVLPG or a change of CR4.PGE
; mode: flat32
; mem: 0x21000 = 11
; mem: 0x22000 = 22
; event: checkpoint eax=0x22
; event: checkpoint ebx=0x22
; event: checkpoint ebx=0x11
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    mov eax, CR4_PGE
    mov cr4, eax
    xor eax, eax
    xor ebx, ebx
    ; Not global: a load of CR3 forgets it.
    MAP 0x400000, 0x21000 | PTE_ALL
    mov al, [0x400000]
    SET_PTE 0x400000, 0x22000 | PTE_ALL
    mov edx, cr3
    mov cr3, edx
    mov al, [0x400000]
    CHECKPOINT
    ; Global: INVLPG forgets it.
    MAP 0x401000, 0x21000 | PTE_ALL | PTE_G
    mov bl, [0x401000]
    MAP 0x401000, 0x22000 | PTE_ALL | PTE_G
    mov bl, [0x401000]
    CHECKPOINT
    ; And so does a change of PGE.
    SET_PTE 0x401000, 0x21000 | PTE_ALL | PTE_G
    mov edx, cr4
    and edx, ~CR4_PGE
    mov cr4, edx
    mov bl, [0x401000]
    CHECKPOINT
    hlt
