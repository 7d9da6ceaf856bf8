; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A store into the target of a branch that was taken before is seen the next time
; mode: flat32
; set: ecx=4
; expect: eax=0x40302010 ecx=0
bits 32
org 0x1000
again:
    shl eax, 8
    jmp target
back:
    add byte [target + 1], 0x10
    loop again
    bswap eax
    hlt
target:
    mov al, 0x10
    jmp back
