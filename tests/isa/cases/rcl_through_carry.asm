; SPDX-License-Identifier: GPL-3.0-or-later
; isa: RCL rotates through CF
; mode: flat32
; set: eax=0x80 ebx=0x5a cf=0
; expect: eax=0 ebx=0x5a cf=1
bits 32
org 0x1000
    rcl al, 1
    rcl bl, 9
    hlt
