; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A store into an instruction a few ahead, in the same straight line, is seen
; mode: flat32
; expect: eax=0x22 ebx=3
bits 32
org 0x1000
    inc ebx
    mov byte [patched + 1], 0x22
    inc ebx
    inc ebx
patched:
    mov al, 0x11
    hlt
