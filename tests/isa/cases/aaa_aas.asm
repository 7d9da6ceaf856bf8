; SPDX-License-Identifier: GPL-3.0-or-later
; isa: AAA and AAS carry into and borrow from AH
; mode: flat32
; set: eax=0x010c
; expect: eax=0x0106 ebx=0x0202 cf=1 af=1
bits 32
org 0x1000
    aaa
    mov ebx, eax
    mov eax, 0x0205
    sub al, 9
    aas
    hlt
