; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Above IOPL every byte port of an access needs a clear bit in the TSS's map; ports beyond the map are forbidden; up to IOPL all are allowed
; mode: flat32
; set: edx=0x300
; event: #GP error=0 eip=four
; event: #GP error=0 eip=two
; event: #GP error=0 eip=beyond
; event: #GP error=0 eip=string edi=0x20000
; event: checkpoint eax=0x3355 cpl=3 iopl=0
; event: checkpoint iopl=3
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    mov byte [tss + TSS_IO_MAP + 0x300 / 8], 0xfc ; 300h and 301h
    mov ax, 0x3355
    out dx, ax
    mov edi, DATA
    USER user, 2
user:
    xor eax, eax
    in ax, dx
four: FAULTS in eax, dx
    inc edx
    mov ecx, eax
two: FAULTS in ax, dx
    mov eax, ecx
    mov edx, 0x400
beyond: FAULTS in al, dx
    mov edx, 0x302
string: FAULTS insb
    CHECKPOINT
    KERNEL
    USER user3, FLAG_IOPL3 | 2
user3:
    in al, dx
    mov edx, 0x3000
    in al, dx
    CHECKPOINT
    KERNEL
    hlt
