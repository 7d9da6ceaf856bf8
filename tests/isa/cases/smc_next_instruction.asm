; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A store into the next instruction is seen by it
; mode: flat32
; expect: eax=0x22
bits 32
org 0x1000
    mov byte [patched + 1], 0x22
patched:
    mov al, 0x11
    hlt
