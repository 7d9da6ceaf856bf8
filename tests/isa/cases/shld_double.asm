; SPDX-License-Identifier: GPL-3.0-or-later
; isa: SHLD shifts bits in from the second operand
; mode: flat32
; set: eax=0x12345678 ebx=0xabcdef01 ecx=0x10
; expect: eax=0x345678ab ecx=0x10000001 cf=0
bits 32
org 0x1000
    shld eax, ebx, 8
    shrd ecx, ebx, 4
    hlt
