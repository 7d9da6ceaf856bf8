; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A contributory exception in the delivery of another, and any of them in that of a page fault, make #DF(0)
; mode: flat32
; event: #DF error=0 eip=np_after_gp
; event: #DF error=0 eip=np_after_de
; event: #DF error=0 eip=gp_after_pf cr2=0x500000
; event: #DF error=0 eip=pf_after_pf cr2=0x600000
; expect: eax=0xfff8
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    mov byte [idt + 8 * 13 + 5], ATTR_INT32 & ~0x80
    mov byte [idt + 8 * 0 + 5], ATTR_INT32 & ~0x80
    mov eax, 0xfff8
np_after_gp: FAULTS mov ds, ax      ; #GP, then #NP at its gate
    xor ecx, ecx
np_after_de: FAULTS div ecx         ; #DE, then #NP
    PAGING
    mov byte [idt + 8 * 14 + 5], ATTR_CALL32 ; no gate for an interrupt: #GP
gp_after_pf: FAULTS mov [0x500000], cl
    ; A copy of the IDT that begins in one page and ends in the next, which holds the gate of #PF and is absent: with
    ; the table at 5fff90h the gate lies at 600000h.
    mov esi, idt
    mov edi, DATA + 0xf90
    mov ecx, 0x200
    rep movsd
    SET_PTE 0x5ff000, DATA | PTE_ALL
    lidt [moved_idt]
pf_after_pf: FAULTS mov [0x500000], cl
    hlt
moved_idt:
    dw 0x7ff
    dd 0x5fff90
