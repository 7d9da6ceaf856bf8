; SPDX-License-Identifier: GPL-3.0-or-later
; isa: BOUND raises #BR at itself outside the signed bounds, both inclusive; INTO raises #OF behind itself when OF is set; both bounds are read
; mode: flat32
; set: ebx=0x20000
; mem: 0x20000 = fe ff ff ff 05 00 00 00
; event: #BR eip=below
; event: #BR eip=above
; event: #OF eip=behind
; event: #BR eip=words
; expect: eax=0x80000000
%include "protected.inc"
    PROTECTED
    mov eax, -2
    bound eax, [ebx]
    mov eax, 5
    bound eax, [ebx]
    mov eax, -3
below: FAULTS bound eax, [ebx]
    mov eax, 6
above: FAULTS bound eax, [ebx]
    into
    mov eax, 0x7fffffff
    inc eax
    into
behind:
words: FAULTS o16 bound ax, [ebx]   ; bounds -2 and -1
    hlt
