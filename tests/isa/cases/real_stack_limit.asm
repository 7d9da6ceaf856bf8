; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A word at SP = 1 in real mode raises #SS
; mode: real16
; set: esp=1
; expect-exception: #SS eip=0x1000
bits 16
org 0x1000
    push ax
    hlt
