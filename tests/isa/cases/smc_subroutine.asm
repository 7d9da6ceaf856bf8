; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Code that was executed, is rewritten by a string instruction and executed again, is the new code each time
; mode: flat32
; event: checkpoint eax=1
; event: checkpoint eax=2
; event: checkpoint eax=1
%include "protected.inc"
    PROTECTED
    mov esi, one
    call install
    call DATA
    CHECKPOINT
    mov esi, two
    call install
    call DATA
    CHECKPOINT
    mov esi, one
    call install
    call DATA
    CHECKPOINT
    hlt
install:
    mov edi, DATA
    mov ecx, 6
    rep movsb
    ret
one:
    mov eax, 1
    ret
two:
    mov eax, 2
    ret
