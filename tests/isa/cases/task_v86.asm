; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A TSS whose EFLAGS has VM enters V86 mode; the interrupt that leaves it saves the V86 state in that TSS
; mode: flat32
; event: checkpoint vm=1 cpl=3 cs=0 ds=0x10 es=0x10 tr=TSS2 eax=0xa0
; event: checkpoint vm=0 cpl=0 tr=TSS [tss2+0x24]=0x00023002 [tss2+0x20]=behind [gdt+TSS2+4]=0x00008b00
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x68 + 0x20, ATTR_TSS32
TASK v86, STACK_V86, FLAG_VM | FLAG_IOPL3 | 2, 0, 0
[section .tss2]
    times 0x20 db 0                 ; I/O map: the first 256 ports are free
    db 0xff
__SECT__
    PROTECTED
    mov dword [idt + 8 * 0x30], TSS << 16
    mov dword [idt + 8 * 0x30 + 4], (ATTR_TASK_GATE | ATTR_DPL3) << 8
    jmp TSS2:0
    CHECKPOINT
    hlt
bits 16
v86:
    CHECKPOINT
    int 0x30
behind:
    hlt
