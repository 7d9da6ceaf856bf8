; SPDX-License-Identifier: GPL-3.0-or-later
; isa: BSWAP reverses the bytes
; mode: flat32
; set: eax=0x12345678
; expect: eax=0x78563412
bits 32
org 0x1000
    bswap eax
    hlt
