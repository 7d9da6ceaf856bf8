; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A CALL to a TSS links the tasks and sets NT in the new one; IRET goes back along the link, frees the task and clears NT in its image; the next call goes on behind that IRET
; mode: flat32
; event: checkpoint nt=1 tr=TSS2 [gdt+TSS+4]=0x00008b00 [gdt+TSS2+4]=0x00008b00 [tss2]=TSS [tss+0x24]=2
; event: checkpoint nt=0 tr=TSS esp=0x8000 [gdt+TSS+4]=0x00008b00 [gdt+TSS2+4]=0x00008900 [tss2+0x24]=2 [tss2+0x20]=second
; event: checkpoint nt=1 eax=0xa1 tr=TSS2
; event: checkpoint nt=0 tr=TSS [tss2+0x28]=0xa1
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
TASK other, 0x7000
    PROTECTED
    call TSS2:0
    CHECKPOINT
    call TSS2:0
    CHECKPOINT
    hlt
other:
    CHECKPOINT
    iretd
second:
    inc eax
    CHECKPOINT
    iretd
