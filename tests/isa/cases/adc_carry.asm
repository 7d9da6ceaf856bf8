; SPDX-License-Identifier: GPL-3.0-or-later
; isa: ADC takes the carry in and sets overflow
; mode: flat32
; set: eax=0x7fffffff cf=1
; expect: eax=0x80000000 cf=0 of=1 sf=1 zf=0 af=1 pf=1
bits 32
org 0x1000
    adc eax, ebx
    hlt
