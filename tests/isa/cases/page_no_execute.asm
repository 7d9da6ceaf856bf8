; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With EFER.NXE a page marked NX may be read, and raises #PF with the I bit when fetched; in all levels
; mode: flat32
; event: checkpoint eax=0xc3
; event: #PF error=0x11 eip=0x30000 cr2=0x30000
; event: #PF error=0x15 eip=0x30000 cr2=0x30000 cs=UCODE
; event: #PF error=0x11 eip=0x40005000 cr2=0x40005000
; expect: cpl=0
%include "protected.inc"
%include "paging.inc"
PDPT    equ 0x14000
PD      equ 0x15000
PT      equ 0x16000
PD2     equ 0x17000
    PROTECTED
    mov edi, PT
    mov eax, PTE_ALL
.fill:
    mov [edi], eax
    mov dword [edi + 4], 0
    add edi, 8
    add eax, 0x1000
    cmp edi, PT + 0x1000
    jb .fill
    mov byte [0x30000], 0xc3        ; RET
    mov dword [PT + 0x30 * 8 + 4], 0x80000000
    mov dword [PD], PT | PTE_ALL
    mov dword [PD2], PT | PTE_ALL
    mov dword [PD2 + 4], 0x80000000
    mov dword [PDPT], PD | PTE_P
    mov dword [PDPT + 8], PD2 | PTE_P
    mov ecx, 0xc0000080             ; EFER
    rdmsr
    or eax, 0x800                   ; NXE
    wrmsr
    mov eax, CR4_PAE
    mov cr4, eax
    mov eax, PDPT
    mov cr3, eax
    mov eax, cr0
    or eax, CR0_PG | CR0_WP
    mov cr0, eax
    movzx eax, byte [0x30000]
    CHECKPOINT
    FIXUP 0x30000, back
    mov ecx, 0x30000
    mov edx, kernel_done
    call ecx
kernel_done:
    USER user
user:
    mov edx, user_done
    call ecx
user_done:
    KERNEL
    FIXUP 0x40005000, end
    mov ecx, 0x40005000
    jmp ecx
back:
    pop eax
    jmp edx
end:
    hlt
