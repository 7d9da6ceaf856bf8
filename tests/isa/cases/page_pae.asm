; SPDX-License-Identifier: GPL-3.0-or-later
; isa: PAE paging: four directory-pointer entries loaded by MOV to CR3, entries of 64 bits, pages of 4 KiB and 2 MiB
; mode: flat32
; mem: 0x601234 = 11 22 33 44
; event: checkpoint eax=0x44332211
; event: checkpoint eax=0x55
; event: #PF error=0 eip=no_pdpte cr2=0x40000000
; event: #PF error=0 eip=not_yet cr2=0x40000000
; event: checkpoint eax=0x44332211
; event: #PF error=9 eip=reserved cr2=0x35000
; event: #GP error=0 eip=bad_pdpte
; event: checkpoint cr3=PDPT
%include "protected.inc"
%include "paging.inc"
PDPT    equ 0x14000
PD      equ 0x15000
PT      equ 0x16000
    PROTECTED
    mov edi, PT                     ; 0 - 2 MiB by 4 KiB pages
    mov eax, PTE_ALL
.fill:
    mov [edi], eax
    mov dword [edi + 4], 0
    add edi, 8
    add eax, 0x1000
    cmp edi, PT + 0x1000
    jb .fill
    mov dword [PT + 0x30 * 8], 0x21000 | PTE_ALL
    mov byte [0x21000], 0x55
    mov dword [PD], PT | PTE_ALL
    mov dword [PD + 8 * 2], 0x600000 | PTE_PS | PTE_ALL ; 4 - 6 MiB
    mov dword [PDPT], PD | PTE_P
    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov eax, PDPT
    mov cr3, eax
    mov eax, cr0
    or eax, CR0_PG | CR0_WP
    mov cr0, eax
    mov eax, [0x401234]
    CHECKPOINT
    movzx eax, byte [0x30000]
    CHECKPOINT
no_pdpte: FAULTS mov eax, [0x40000000]
    mov dword [PDPT + 8], PD | PTE_P
not_yet: FAULTS mov eax, [0x40000000] ; the entries are registers
    mov eax, cr3
    mov cr3, eax
    mov eax, [0x40401234]
    CHECKPOINT
    mov dword [PT + 0x35 * 8 + 4], 0x80000000 ; NX, which is reserved without EFER.NXE
    invlpg [0x35000]
reserved: FAULTS mov eax, [0x35000]
    mov dword [PDPT + 16], PD | PTE_P | PTE_W ; reserved in this entry
    mov eax, PDPT
bad_pdpte: FAULTS mov cr3, eax
    CHECKPOINT
    hlt
