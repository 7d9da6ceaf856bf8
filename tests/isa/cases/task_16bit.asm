; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A 16-bit TSS holds words; FS, GS and CR3 are not in it
; mode: flat32
; set: eax=0x12345678 edi=0x9abcdef0
; event: checkpoint cs=KCODE ds=KDATA tr=TSS2 ldtr=LDT cf=1 nt=1 [gdt+TSS2+4]=0x00008300 [tss2]=0x90000000+TSS
; event: checkpoint eax=0x12345678 edi=0x9abcdef0 tr=TSS esp=0x8000
; event: checkpoint [tss2+0x0e]=0x00470000+after
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x2b, ATTR_TSS16
TASK16 other, 0x7000
    PROTECTED
    call TSS2:0
    CHECKPOINT
    CHECKPOINT
    hlt
other:
    cmp ax, 0xa0
    jne bad
    cmp di, 0xd1
    jne bad
    stc
    CHECKPOINT
    iretd
after:
bad:
    ud2
