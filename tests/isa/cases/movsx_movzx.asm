; SPDX-License-Identifier: GPL-3.0-or-later
; isa: MOVSX and MOVZX extend to the operand size
; mode: flat32
; set: ebx=0x80 edx=0x12340000
; expect: eax=0xffffff80 ecx=0x80 edx=0x1234ff80
bits 32
org 0x1000
    movsx eax, bl
    movzx ecx, bl
    movsx dx, bl
    hlt
