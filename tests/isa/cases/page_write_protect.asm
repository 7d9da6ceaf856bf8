; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Without CR0.WP a supervisor writes read-only pages, the user's too; with it never
; mode: flat32
; event: #PF error=7 eip=user_write cr2=0x21000
; event: #PF error=3 eip=with_wp cr2=0x21000
; event: #PF error=3 eip=directory_ro cr2=0x400000
; expect: cpl=0
; expect-mem: 0x21000 = 11 22
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    SET_PTE 0x21000, 0x21000 | PTE_P | PTE_U
    SET_PTE 0x400000, 0x22000 | PTE_ALL
    mov dword [PAGE_DIRECTORY + 4], PAGE_TABLE2 | PTE_P | PTE_U
    mov eax, cr0
    and eax, ~CR0_WP
    mov cr0, eax
    mov byte [0x21000], 0x11
    mov byte [0x400000], 0          ; read-only in the directory
    USER user
user:
user_write: FAULTS mov byte [0x21000], 0x99
    KERNEL
    mov byte [0x21001], 0x22
    mov eax, cr0
    or eax, CR0_WP
    mov cr0, eax
with_wp: FAULTS mov byte [0x21000], 0x99
directory_ro: FAULTS mov byte [0x400000], 0x99
    hlt
