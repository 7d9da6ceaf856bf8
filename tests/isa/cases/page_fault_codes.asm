; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The error code of #PF says present, write, user; CR2 holds the address of the first byte that faults
; mode: flat32
; event: #PF error=0 eip=read cr2=0x500123
; event: #PF error=2 eip=write cr2=0x500123
; event: #PF error=3 eip=write_ro cr2=0x21000
; event: #PF error=2 eip=across cr2=0x500000
; event: #PF error=0 eip=0x500000 cr2=0x500000 esp=0x7ffc
; event: #PF error=4 eip=user_read cr2=0x500000 now.cpl=0
; event: #PF error=6 eip=user_write cr2=0x500000
; event: #PF error=5 eip=user_supervisor cr2=0x22000
; event: #PF error=7 eip=user_ro cr2=0x21fff
; event: #PF error=2 eip=rmw cr2=0x500000
; expect: cpl=0 eax=0
; expect-mem: 0x23ffe = 00 00
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    SET_PTE 0x21000, 0x21000 | PTE_P | PTE_U
    SET_PTE 0x22000, 0x22000 | PTE_P | PTE_W
    SET_PTE 0x4ff000, 0x23000 | PTE_ALL
read: FAULTS mov eax, [0x500123]
write: FAULTS mov [0x500123], al
write_ro: FAULTS mov [0x21000], al  ; CR0.WP is set
    mov eax, -1
across: FAULTS mov [0x4ffffe], eax  ; the first two bytes could be written, and are not
    xor eax, eax
    FIXUP 0x500000, fetched
    mov ecx, 0x500000
    call ecx
fetched:
    mov esp, STACK0
    USER user
user:
user_read: FAULTS mov al, [0x500000]
user_write: FAULTS mov [0x500000], al
user_supervisor: FAULTS mov al, [0x22000]
user_ro: FAULTS mov [0x21fff], al
    KERNEL
rmw: FAULTS inc byte [0x500000]     ; a read-modify-write is a write
    hlt
