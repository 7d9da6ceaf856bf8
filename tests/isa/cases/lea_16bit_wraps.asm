; SPDX-License-Identifier: GPL-3.0-or-later
; isa: LEA computes in the address size
; mode: flat32
; set: ebx=0xfffff000 esi=0x1000
; expect: eax=0x10
bits 32
org 0x1000
    lea eax, [bx + si + 0x10]
    hlt
