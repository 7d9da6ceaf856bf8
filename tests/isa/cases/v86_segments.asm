; SPDX-License-Identifier: GPL-3.0-or-later
; isa: In V86 mode a segment is selector * 16 with a limit of FFFFh, whatever the tables hold
; mode: flat32
; mem: 0x2fff4 = 12 34
; event: #GP error=0 eip=beyond
; event: #SS error=0 eip=stack
; event: #GP error=0 eip=branch
; event: checkpoint ebx=0x12 ds=0x2000
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    xor ebx, ebx
    V86 .v86
.v86:
    mov ax, 0x2000
    mov ds, ax
    mov bl, [0xfff4]
beyond: FAULTS mov ax, [0xffff]
    mov sp, 1
stack: FAULTS push ax
    mov sp, STACK_V86
branch: FAULTS jmp dword 0x10000
    CHECKPOINT
    LEAVE_V86
    hlt
