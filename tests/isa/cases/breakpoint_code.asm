; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An instruction breakpoint is a fault before its first byte, at linear addresses; four at once show all their bits
; mode: flat32
; event: #DB eip=here dr6=0xffff0ff5 rf=0 ebx=0
; expect: ebx=1 dr6=0xffff0ff5
%include "protected.inc"
    PROTECTED
    mov eax, here
    mov dr0, eax
    mov dr2, eax
    inc eax
    mov dr1, eax                    ; inside the instruction: does not match
    mov eax, 0x2a                   ; G0, G1, G2
    mov dr7, eax
here:
    add ebx, 1
    hlt
