; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A word at offset FFFFh in real mode raises #GP
; mode: real16
; set: ebx=0xffff
; expect-exception: #GP eip=0x1000
bits 16
org 0x1000
    mov ax, [bx]
    hlt
