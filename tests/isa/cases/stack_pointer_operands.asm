; SPDX-License-Identifier: GPL-3.0-or-later
; isa: PUSH ESP stores the old value, POP ESP loads the value read, POP [ESP] uses ESP after the increment, PUSH [ESP] before the decrement
; mode: flat32
; event: checkpoint esp=0x7ffc [0x7ffc]=0x8000
; event: checkpoint esp=0x8000
; event: checkpoint esp=0x7ffc [0x7ffc]=0x22222222
; event: checkpoint esp=0x7ff8 [0x7ff8]=0x22222222
; event: checkpoint esp=0x7ff8 [0x7ff8]=0x00007ffa
; event: checkpoint esp=0x2222
%include "protected.inc"
    PROTECTED
    push esp
    CHECKPOINT
    pop esp
    CHECKPOINT
    push dword 0x11111111
    push dword 0x22222222
    pop dword [esp]
    CHECKPOINT
    push dword [esp]
    CHECKPOINT
    mov dword [esp], 0
    add esp, 2
    push sp
    CHECKPOINT
    mov esp, STACK0 - 4
    mov dword [esp], 0x22222222
    mov esp, 0x7ffc
    pop sp
    movzx esp, sp
    CHECKPOINT
    hlt
