; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A JMP to a TSS saves the old task's registers, loads the new one's, moves the busy flag, and sets CR0.TS
; mode: flat32
; set: ebx=0x11111111 esi=0x22222222
; event: checkpoint eax=0xa0 ecx=0xc0 edx=0xd0 ebx=0xb0 esp=0x7000 ebp=0xeb esi=0x51 edi=0xd1
; event: checkpoint cs=KCODE ss=KDATA ds=UDATA es=KDATA fs=0 gs=KDATA tr=TSS2 ldtr=LDT nt=0 cf=1 cr0=0x60000019
; event: checkpoint [gdt+TSS+4]=0x00008900 [gdt+TSS2+4]=0x00008b00 [tss]=0 [tss2]=0 [tss+0x20]=behind
; event: checkpoint [tss+0x34]=0x11111111 [tss+0x40]=0x22222222 [tss+0x38]=0x8000 [tss+0x4c]=KCODE
; event: checkpoint ebx=0x11111111 tr=TSS esp=0x8000 [gdt+TSS+4]=0x00008b00 [gdt+TSS2+4]=0x00008900
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
TASK other, 0x7000, 3, KCODE, KDATA, UDATA
    PROTECTED
    jmp TSS2:0xffffffff             ; the offset does not matter
behind:
    CHECKPOINT
    hlt
other:
    CHECKPOINT
    CHECKPOINT
    CHECKPOINT
    CHECKPOINT
    jmp TSS:0
