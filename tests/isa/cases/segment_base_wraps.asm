; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Base plus offset is a sum of 32 bits
; mode: flat32
; event: checkpoint eax=0x1234
%include "protected.inc"
DESCRIPTOR HIGH, 0xfffff000, 0xfffff, ATTR_DATA
    PROTECTED
    mov word [DATA], 0x1234
    mov bx, HIGH
    mov fs, bx
    xor eax, eax
    mov ax, [fs:DATA + 0x1000]
    CHECKPOINT
    hlt
