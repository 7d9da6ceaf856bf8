; SPDX-License-Identifier: GPL-3.0-or-later
; isa: MOV SS and POP SS suppress the single-step trap behind themselves; the next one comes behind the following instruction
; mode: flat32
; event: #DB eip=behind_mov ebx=1
; event: #DB eip=behind_pop_ss ebx=2
; event: #DB eip=behind_ds
; event: #DB eip=behind_popf tf=0
%include "protected.inc"
    PROTECTED
    mov edx, ss
    push 2
    push edx
    push FLAG_TF | 2
    popfd
    mov ss, edx
    inc ebx
behind_mov:
    pop ss
    inc ebx
behind_pop_ss:
    mov ds, edx
behind_ds:
    popfd
behind_popf:
    nop
    hlt
