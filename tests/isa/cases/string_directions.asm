; SPDX-License-Identifier: GPL-3.0-or-later
; isa: String instructions go down with DF set, count in the address size, compare the last pair in the flags, and do nothing with a count of 0
; mode: flat32
; set: ecx=4 esi=0x20003 edi=0x20013 df=1
; mem: 0x20000 = 11 22 33 44
; event: checkpoint ecx=0 esi=0x1ffff edi=0x2000f
; event: checkpoint ecx=1 edi=0x20013 zf=1
; event: checkpoint ecx=2 esi=0x20002 edi=0x20012 zf=0 cf=1
; event: checkpoint ecx=0x10000 esi=0x20002 edi=0x20012 zf=0
; expect-mem: 0x20010 = 11 22 33 44
%include "protected.inc"
    PROTECTED
    rep movsb
    CHECKPOINT
    cld
    mov edi, DATA + 0x10
    mov ecx, 4
    mov al, 0x33
    repne scasb
    CHECKPOINT
    mov byte [DATA + 0x11], 0x99
    mov esi, DATA
    mov edi, DATA + 0x10
    mov ecx, 4
    repe cmpsb
    CHECKPOINT
    mov byte [DATA + 0x11], 0x22
    mov ecx, 0x10000
    a16 repe cmpsb                  ; CX is 0: nothing, flags included
    CHECKPOINT
    hlt
