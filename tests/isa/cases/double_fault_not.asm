; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A page fault in the delivery of #GP, and any fault in that of #UD, is handled on its own; an error code that names a gate has EXT
; mode: flat32
; event: #PF error=0 eip=pf_after_gp cr2=0x5ffff8
; event: #NP error=0x33 eip=np_after_ud
; event: #GP error=0x33 eip=gp_after_ud
; expect: eax=0xfff8
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    ; A copy of the IDT across two pages: the gates up to #GP are in an absent one, that of #PF (14) begins the next.
    mov esi, idt
    mov edi, DATA + 0x1000 - 8 * 14
    mov ecx, 0x200
    rep movsd
    SET_PTE 0x600000, (DATA + 0x1000) | PTE_ALL
    lidt [moved_idt]
    mov eax, 0xfff8
pf_after_gp: FAULTS mov ds, ax
    lidt [cs:idt_pointer]
    mov byte [idt + 8 * 6 + 5], ATTR_INT32 & ~0x80
np_after_ud: FAULTS ud2
    mov byte [idt + 8 * 6 + 5], ATTR_CALL32
gp_after_ud: FAULTS ud2
    hlt
moved_idt:
    dw 0x7ff
    dd 0x600000 - 8 * 14
