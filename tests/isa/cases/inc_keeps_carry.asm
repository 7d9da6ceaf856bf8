; SPDX-License-Identifier: GPL-3.0-or-later
; isa: INC and DEC leave CF alone
; mode: flat32
; set: eax=0xffffffff ebx=1 cf=1
; expect: eax=0 ebx=0 cf=1 zf=1 of=0
bits 32
org 0x1000
    inc eax
    dec ebx
    hlt
