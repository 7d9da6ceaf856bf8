; SPDX-License-Identifier: GPL-3.0-or-later
; isa: In an expand-down segment the limit is the last invalid offset, and B says where the segment ends
; mode: flat32
; event: #GP error=0 eip=below
; event: #GP error=0 eip=across
; event: #GP error=0 eip=above_64k
; event: #GP error=0 eip=big_below
; expect: eax=0x11 ebx=0x22 ecx=0x33
%include "protected.inc"
DESCRIPTOR DOWN16, DATA, 0x0fff, 0x0097         ; valid: 1000h - ffffh
DESCRIPTOR DOWN32, DATA, 0x0fff, 0x4097         ; valid: 1000h - ffffffffh
    PROTECTED
    mov byte [DATA + 0x1000], 0x11
    mov byte [DATA + 0xffff], 0x22
    mov byte [DATA + 0x10000], 0x33
    mov dx, DOWN16
    mov es, dx
    xor eax, eax
    xor ebx, ebx
    mov al, [es:0x1000]
    mov bl, [es:0xffff]
below: FAULTS mov al, [es:0xfff]
across: FAULTS mov ax, [es:0xffff]
above_64k: FAULTS mov al, [es:0x10000]
    mov dx, DOWN32
    mov es, dx
    xor ecx, ecx
    mov cl, [es:0x10000]
big_below: FAULTS mov al, [es:0]
    hlt
