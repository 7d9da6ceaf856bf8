; SPDX-License-Identifier: GPL-3.0-or-later
; isa: MUL leaves the upper half in EDX
; mode: flat32
; set: eax=0xffffffff ebx=0xffffffff
; expect: eax=1 edx=0xfffffffe cf=1 of=1
bits 32
org 0x1000
    mul ebx
    hlt
