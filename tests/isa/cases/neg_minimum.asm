; SPDX-License-Identifier: GPL-3.0-or-later
; isa: NEG of the least number overflows to itself
; mode: flat32
; set: eax=0x80000000
; expect: eax=0x80000000 of=1 cf=1 sf=1
bits 32
org 0x1000
    neg eax
    hlt
