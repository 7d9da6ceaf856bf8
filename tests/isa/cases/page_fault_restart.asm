; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A repeated string instruction that faults has done what it did: the registers say where, and it goes on there
; mode: flat32
; set: esi=0x20ff0 edi=0x400ff8 ecx=8
; mem: 0x20ff0 = 01 00 00 00 02 00 00 00 03 00 00 00 04 00 00 00
; mem: 0x21000 = 05 00 00 00 06 00 00 00 07 00 00 00 08 00 00 00
; event: #PF error=2 eip=copy cr2=0x401000 ecx=6 esi=0x20ff8 edi=0x401000 rf=1
; event: #PF error=0 eip=copy cr2=0x21000 ecx=4 esi=0x21000 edi=0x401008
; expect: ecx=0 esi=0x21010 edi=0x401018
; expect-mem: 0x22ff8 = 01 00 00 00 02 00 00 00
; expect-mem: 0x24000 = 03 00 00 00 04 00 00 00 05 00 00 00 06 00 00 00 07 00 00 00 08 00 00 00
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    SET_GATE 14, KCODE, handler, ATTR_INT32
    SET_PTE 0x400000, 0x22000 | PTE_ALL
    SET_PTE 0x21000, 0
copy:
    rep movsd
    hlt
; Gives the missing page and returns, as an operating system does.
handler:
    push byte 14
    out PORT_FRAME32, al
    add esp, 8
    push eax
    mov eax, cr2
    cmp eax, 0x401000
    je .destination
    SET_PTE 0x21000, 0x21000 | PTE_ALL
    pop eax
    iretd
.destination:
    SET_PTE 0x401000, 0x24000 | PTE_ALL
    pop eax
    iretd
