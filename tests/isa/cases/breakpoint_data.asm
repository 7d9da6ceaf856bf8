; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Data breakpoints trap behind the instruction: writes or all accesses, 1, 2 or 4 bytes that overlap; B0-B3 show what matched this time
; mode: flat32
; event: #DB eip=after_write dr6=0xffff0ff1 rf=0
; event: #DB eip=after_wide dr6=0xffff0ff1
; event: #DB eip=after_read dr6=0xffff0ff2
; event: #DB eip=after_rmw dr6=0xffff0ff2
; event: #DB eip=after_both dr6=0xffff0ff3
; event: #DB eip=after_push dr6=0xffff0ff4
; event: #DB eip=after_byte dr6=0xffff0ff8
; expect: dr7=0x1df506aa
%include "protected.inc"
    PROTECTED
    mov eax, DATA
    mov dr0, eax
    mov eax, DATA + 8
    mov dr1, eax
    mov eax, DATA + 0x7c
    mov dr2, eax
    mov eax, DATA + 17
    mov dr3, eax
    ; DR0: write of a word; DR1: access of a doubleword; DR2: write of a doubleword; DR3: write of a byte
    mov eax, 0x1df502aa
    mov dr7, eax
    mov ecx, [DATA]                 ; a read does not match DR0
    mov [DATA + 2], cl              ; beside it
    mov [DATA + 1], cl
after_write:
    mov [DATA - 2], ecx
after_wide:
    mov cl, [DATA + 11]
after_read:
    inc byte [DATA + 8]
after_rmw:
    mov esi, DATA + 8
    mov edi, DATA
    movsw
after_both:
    mov esp, DATA + 0x80
    push ecx
after_push:
    mov esp, STACK0
    mov [DATA + 16], cl
    mov [DATA + 18], cl
    mov [DATA + 17], cl
after_byte:
    hlt
