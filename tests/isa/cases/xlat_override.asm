; SPDX-License-Identifier: GPL-3.0-or-later
; isa: XLAT honours a segment override and the address size
; mode: flat32
; set: eax=0x12 ebx=0x11fff0
; mem: 0x2 = 77
; expect: eax=0x77
bits 32
org 0x1000
    a16 fs xlatb
    hlt
