; SPDX-License-Identifier: GPL-3.0-or-later
; isa: JCXZ and LOOP count in the address size
; mode: flat32
; set: ecx=0x10001
; expect: ecx=0x10000
bits 32
org 0x1000
    dec ecx
    a16 jcxz .zero
    ud2
.zero:
    jecxz .bad
    hlt
.bad:
    ud2
