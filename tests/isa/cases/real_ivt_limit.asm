; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A real-mode interrupt whose entry lies beyond IDTR's limit raises #GP
; mode: real16
; event: int 0x10 eip=first
; event: #GP eip=beyond
%include "real.inc"
    REAL
    lidt [short_table]
    int 0x10
first:
    nop
beyond: FAULTS int 0x11
    hlt
short_table:
    dw 4 * 0x10 + 3
    dd 0
