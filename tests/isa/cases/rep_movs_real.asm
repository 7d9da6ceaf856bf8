; SPDX-License-Identifier: GPL-3.0-or-later
; isa: REP MOVS in real mode wraps its index registers
; mode: real16
; set: esi=0x2000 edi=0xfffe ecx=4
; mem: 0x2000 = 01 02 03 04
; expect: esi=0x2004 edi=2 ecx=0
; expect-mem: 0xfffe = 01 02
; expect-mem: 0x0000 = 03 04
bits 16
org 0x1000
    rep movsb
    hlt
