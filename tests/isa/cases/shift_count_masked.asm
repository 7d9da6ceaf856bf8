; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Shift counts are modulo 32, and zero leaves the flags
; mode: flat32
; set: eax=5 ecx=0x20 cf=1 zf=1 of=1
; expect: eax=5 cf=1 zf=1 of=1
bits 32
org 0x1000
    shl eax, cl
    hlt
