; SPDX-License-Identifier: GPL-3.0-or-later
; isa: LIDT moves the real-mode interrupt table
; mode: real16
; event: int 0x05 eip=behind
%include "real.inc"
    REAL
    mov ax, [4 * 5]
    mov [0x3000 + 4 * 7], ax        ; vector 7 of the new table is vector 5 of the old one
    mov ax, [4 * 5 + 2]
    mov [0x3000 + 4 * 7 + 2], ax
    lidt [moved_table]
    int 7
behind:
    hlt
moved_table:
    dw 0x3ff
    dd 0x3000
