; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Data in the page of code, and even in the same bytes as an immediate, changes without harm
; mode: flat32
; set: ecx=50
; expect: eax=50 ebx=1275 ecx=0
bits 32
org 0x1000
again:
    inc eax
    mov [counter], eax
    add ebx, [counter]
    loop again
    jmp end
counter:
    dd 0
end:
    hlt
