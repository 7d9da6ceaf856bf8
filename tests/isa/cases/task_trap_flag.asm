; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The T flag of a TSS raises #DB with DR6.BT before the first instruction of the task; a switch clears the local breakpoints of DR7
; mode: flat32
; event: #DB eip=other dr6=0xffff8ff0 tr=TSS2 rf=0 eax=0xa0
; event: checkpoint dr7=0x00000602
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
TASK other, 0x7000
    PROTECTED
    mov byte [tss2 + 0x64], 1
    mov eax, 0x303                  ; L0, G0, LE, GE: execution at DR0
    mov dr7, eax
    jmp TSS2:0
other:
    CHECKPOINT
    hlt
