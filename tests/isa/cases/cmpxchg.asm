; SPDX-License-Identifier: GPL-3.0-or-later
; isa: CMPXCHG loads the accumulator when the comparison fails
; mode: flat32
; set: eax=1 ebx=9
; mem: 0x2000 = 05 00 00 00
; expect: eax=5 zf=1
; expect-mem: 0x2000 = 09 00 00 00
bits 32
org 0x1000
    cmpxchg [0x2000], ebx
    cmpxchg [0x2000], ebx
    hlt
