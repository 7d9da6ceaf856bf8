; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A repeated store over the instructions behind it is seen by all of them
; mode: flat32
; set: eax=0x90 ecx=4
; expect: ecx=0 edi=behind+4 ebx=0
bits 32
org 0x1000
    mov edi, behind
    rep stosb
behind:
    inc ebx
    inc ebx
    ud2
    hlt
