; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Words and doublewords at the end of a real-mode segment raise #GP, or #SS on the stack; bytes do not
; mode: real16
; set: ebx=0xffff ebp=0xffff esi=0xfffd
; mem: 0xffff = 5a
; event: #GP eip=word_ds
; event: #GP eip=dword_ds
; event: #SS eip=word_ss
; expect: eax=0x5a
%include "real.inc"
    REAL
    mov al, [bx]
word_ds: FAULTS mov cx, [bx]
dword_ds: FAULTS mov ecx, [si]
word_ss: FAULTS mov cx, [bp]
    hlt
