; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Far calls, returns, INT3 and exceptions in V86 mode work with paragraphs and leave 16-bit frames to the 8086 program
; mode: flat32
; event: checkpoint cs=0x80 vm=1 [STACK_V86+-4]=behind
; event: checkpoint cs=0 esp=STACK_V86
; event: #DE eip=divide vm=1 cs=0 esp=STACK_V86
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    V86 .v86
.v86:
    call 0x80:routine - 0x800
behind:
    CHECKPOINT
    xor cx, cx
divide: FAULTS div cx
    LEAVE_V86
    hlt
bits 16
routine:
    CHECKPOINT
    retf
