; SPDX-License-Identifier: GPL-3.0-or-later
; isa: DIV by zero raises #DE at the instruction
; mode: flat32
; set: eax=1
; expect-exception: #DE eip=0x1001
bits 32
org 0x1000
    nop
    div ecx
    hlt
