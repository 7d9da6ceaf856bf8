; SPDX-License-Identifier: GPL-3.0-or-later
; isa: IDIV truncates towards zero, the remainder has the sign of the dividend
; mode: flat32
; set: eax=-7 ebx=2
; expect: eax=-3 edx=-1
bits 32
org 0x1000
    cdq
    idiv ebx
    hlt
