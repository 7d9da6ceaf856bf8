; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A real-mode address is segment * 16 + offset, in far calls, returns and data
; mode: real16
; mem: 0x21234 = 78 56
; event: checkpoint eax=0x5678 cs=0x0080 esp=0x7ffc
; event: checkpoint cs=0 esp=0x8000
; expect: ds=0x2000 ss=0
; expect-mem: 0x7ffc = 0b 10 00 00
%include "real.inc"
    mov ax, 0x2000
    mov ds, ax
    nop
    call 0x0080:routine - 0x800
    CHECKPOINT
    hlt
routine:
    mov ax, [0x1234]
    CHECKPOINT
    retf
