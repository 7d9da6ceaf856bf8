; SPDX-License-Identifier: GPL-3.0-or-later
; isa: When the stack of the inner level is absent, a page fault from CPL 3 cannot be delivered: #DF comes, which a task gate can still handle
; mode: flat32
; event: checkpoint tr=TSS2 cr2=0x8ffc [tss+0x20]=user_write [tss+0x4c]=UCODE esp=0x6ffc [0x6ffc]=0 nt=1
; expect: cpl=0
%include "protected.inc"
%include "paging.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
TASK double_fault, 0x7000
    PROTECTED
    PAGING
    mov dword [tss2 + 0x1c], PAGE_DIRECTORY
    mov dword [idt + 8 * 8], TSS2 << 16
    mov dword [idt + 8 * 8 + 4], ATTR_TASK_GATE << 8
    MAP 0x8000, 0
    USER user
user:
user_write:
    mov [0x500000], al
    ud2
double_fault:
    CHECKPOINT
    hlt
