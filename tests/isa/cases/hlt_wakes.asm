; SPDX-License-Identifier: GPL-3.0-or-later
; isa: STI; HLT does not miss an interrupt that is already there: HLT is entered, and the frame points behind it
; mode: flat32
; event: int 0x20 eip=behind if=1 ebx=1
; expect: ebx=2
%include "protected.inc"
    PROTECTED
    inc ebx
    mov al, 0x20
    out PORT_INTR, al
    sti
    hlt
behind:
    inc ebx
    cli
    hlt
