; SPDX-License-Identifier: GPL-3.0-or-later
; isa: DAA corrects both digits
; mode: flat32
; set: eax=0x79 ebx=0x35
; expect: eax=0x14 cf=1 af=1
bits 32
org 0x1000
    add al, bl
    daa
    hlt
