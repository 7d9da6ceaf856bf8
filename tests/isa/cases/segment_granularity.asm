; SPDX-License-Identifier: GPL-3.0-or-later
; isa: G makes the limit count pages: the 12 low bits are not checked
; mode: flat32
; event: #GP error=0 eip=bytes_beyond
; event: #GP error=0 eip=pages_beyond
; expect: eax=0x4321
%include "protected.inc"
DESCRIPTOR BYTES, DATA, 1, 0x4093
DESCRIPTOR PAGES, DATA, 1, 0xc093               ; limit 1fffh
    PROTECTED
    mov word [DATA + 0x1ffe], 0x4321
    mov bx, BYTES
    mov es, bx
    mov al, [es:1]
bytes_beyond: FAULTS mov al, [es:2]
    mov bx, PAGES
    mov es, bx
    xor eax, eax
    mov ax, [es:0x1ffe]
pages_beyond: FAULTS mov cl, [es:0x2000]
    hlt
