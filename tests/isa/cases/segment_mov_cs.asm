; SPDX-License-Identifier: GPL-3.0-or-later
; isa: MOV to CS and to segment registers 6 and 7 raises #UD; MOV from one to a register clears the upper half
; mode: flat32
; set: eax=-1 ebx=-1
; event: #UD eip=to_cs
; event: #UD eip=to_six
; event: #UD eip=from_seven
; expect: eax=0xffffffff ebx=KCODE edx=0xffff0010
%include "protected.inc"
    PROTECTED
to_cs: FAULTS db 0x8e, 0xc8
to_six: FAULTS db 0x8e, 0xf0
from_seven: FAULTS db 0x8c, 0xf8
    mov ebx, cs
    mov edx, -1
    o16 mov dx, ds
    hlt
