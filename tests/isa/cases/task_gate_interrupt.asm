; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An exception through a task gate runs in the other task, with the error code on its stack; NT leads back to the instruction that faulted
; mode: flat32
; event: checkpoint tr=TSS2 nt=1 esp=0x6ffc [0x6ffc]=0xfff8 [tss2]=TSS [tss+0x20]=bad [tss+0x24]=0x00010002 cpl=0
; event: checkpoint tr=TSS nt=0 eax=KDATA ds=KDATA
; event: checkpoint tr=TSS2 nt=1 esp=0x7000 [tss+0x20]=behind [tss+0x24]=2
; event: checkpoint tr=TSS
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
TASK handler, 0x7000
    PROTECTED
    mov dword [idt + 8 * 13], TSS2 << 16
    mov dword [idt + 8 * 13 + 4], ATTR_TASK_GATE << 8
    mov dword [idt + 8 * 0x30], TSS2 << 16
    mov dword [idt + 8 * 0x30 + 4], ATTR_TASK_GATE << 8
    mov eax, 0xfff8
bad:
    mov ds, ax
    CHECKPOINT
    int 0x30
behind:
    CHECKPOINT
    hlt
handler:
    CHECKPOINT
    add esp, 4
    mov dword [tss + 0x28], KDATA   ; the EAX that the instruction is tried with again
    iretd
    CHECKPOINT
    iretd
