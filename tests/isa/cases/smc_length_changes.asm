; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A store may turn the next instructions into one of another length
; mode: flat32
; expect: eax=0x90909090
bits 32
org 0x1000
    mov byte [patched], 0xb8        ; five NOPs become MOV EAX, 90909090h
patched:
    times 5 nop
    hlt
