; SPDX-License-Identifier: GPL-3.0-or-later
; isa: SALC spreads CF over AL
; mode: flat32
; expect: eax=0xff cf=1
bits 32
org 0x1000
    stc
    db 0xd6
    hlt
