; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The 32-bit protected-mode environment: FCW, FSW, full tag word, and the pointers as offset and selector with the opcode; FNSTENV masks all exceptions; FLDENV brings it back
; mode: flat32
; event: checkpoint [0x20000]=0xffff0340 [0x20004]=0xffff2800 [0x20008]=0xffff13ff fcw=0x37f
; event: checkpoint [0x2000c]=load [0x20010]=0x05830000+KCODE [0x20014]=0x20100 [0x20018]=0xffff0000+KDATA
; event: checkpoint fcw=0x340 fsw=0x2800
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    mov ebx, DATA
    mov dword [ebx + 0x100], 0
    mov dword [ebx + 0x104], 0x3ff00000
    fninit
    push dword 0x0340
    fldcw [esp]
    fld1                            ; register 7: valid
    fldz                            ; 6: zero
load:
    fld qword [dword ebx + 0x100]   ; 5: valid; DD 83: opcode 583h
    fnstenv [ebx]
    CHECKPOINT
    CHECKPOINT
    fninit
    fldenv [ebx]
    CHECKPOINT
    hlt
