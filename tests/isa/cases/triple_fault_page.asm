; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Page faults all the way, because the IDT's page is absent, shut the processor down
; mode: flat32
; expect-shutdown: #PF #PF #DF
; expect: cr2=0x600040
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    lidt [moved_idt]
    mov [0x500000], al
    hlt
moved_idt:
    dw 0x7ff
    dd 0x600000
