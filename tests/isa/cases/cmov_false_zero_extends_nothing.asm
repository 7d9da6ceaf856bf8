; SPDX-License-Identifier: GPL-3.0-or-later
; isa: CMOVcc with a false condition keeps the destination
; mode: flat32
; set: eax=1 ebx=2 ecx=3
; expect: eax=1 ecx=2
bits 32
org 0x1000
    cmovc eax, ebx
    cmovnc ecx, ebx
    hlt
