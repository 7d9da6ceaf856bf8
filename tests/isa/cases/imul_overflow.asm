; SPDX-License-Identifier: GPL-3.0-or-later
; isa: IMUL sets CF and OF when the product does not fit
; mode: flat32
; set: eax=0x10000 ebx=0x10000
; expect: eax=0 cf=1 of=1
bits 32
org 0x1000
    imul eax, ebx
    hlt
