; SPDX-License-Identifier: GPL-3.0-or-later
; isa: AAM with base 0 raises #DE
; mode: flat32
; set: eax=0x55
; expect-exception: #DE eip=0x1000
bits 32
org 0x1000
    aam 0
    hlt
