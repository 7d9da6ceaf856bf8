; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A loop that increments an immediate of its own body sees every value
; mode: flat32
; set: ecx=100
; expect: eax=5050 ecx=0 edx=100
bits 32
org 0x1000
again:
    inc dword [patched + 1]
patched:
    mov edx, 0
    add eax, edx
    loop again
    hlt
