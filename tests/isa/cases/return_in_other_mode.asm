; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A return to another address, after segments became unusable or usable, is not taken for the expected one
; mode: flat32
; event: checkpoint eax=0 ebx=1
; event: checkpoint eax=0 ebx=1
; event: checkpoint eax=0 ebx=1
%include "protected.inc"
DESCRIPTOR A, 0, 0xfffff, 0xc093

; Call a function that loads %1 with %2 and returns %3 bytes further than it was called from; the same for an indirect call.
%macro RETURNS_ELSEWHERE 3
    mov eax, 0
    mov ebx, 0
    mov edx, %3
    mov esi, %2
    call load_%1
%%expected:
    inc eax                     ; never executed
    times 1024 - ($ - %%expected) nop
    mov ebx, 1                  ; up to a kilobyte of nothing, entered anywhere
    CHECKPOINT
%endmacro

    PROTECTED
    mov ecx, A
    mov fs, ecx
    mov gs, ecx
    RETURNS_ELSEWHERE fs, 0, 128
    mov ecx, A
    mov fs, ecx
    RETURNS_ELSEWHERE gs, 0, 256
    mov ecx, A
    mov gs, ecx
    mov fs, ecx
    RETURNS_ELSEWHERE both, 0, 384
    hlt

load_fs:
    mov fs, si
    add [esp], edx
    ret
load_gs:
    mov gs, si
    add [esp], edx
    ret
load_both:
    mov fs, si
    mov gs, si
    add [esp], edx
    ret
