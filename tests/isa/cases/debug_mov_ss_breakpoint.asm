; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A data breakpoint hit by MOV SS is reported behind the next instruction; if that is INT n, in its handler
; mode: flat32
; event: #DB eip=behind_inc dr6=0xffff0ff1 ebx=1
; event: checkpoint cs=KCODE
; event: #DB eip=handler_48 dr6=0xffff0ff1 esp=0x7ff4
; event: int 0x30 eip=behind_int
; expect: ebx=1
%include "protected.inc"
    PROTECTED
    mov eax, DATA
    mov dr0, eax
    mov dword [DATA], KDATA
    mov eax, 0x70002                ; G0: access of a word
    mov dr7, eax
    mov ss, [DATA]
    inc ebx
behind_inc:
    CHECKPOINT
    mov ss, [DATA]
    int 0x30
behind_int:
    hlt
