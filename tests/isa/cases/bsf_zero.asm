; SPDX-License-Identifier: GPL-3.0-or-later
; isa: BSF of zero sets ZF and keeps the destination
; mode: flat32
; set: eax=77
; expect: eax=77 zf=1
bits 32
org 0x1000
    bsf eax, ebx
    hlt
