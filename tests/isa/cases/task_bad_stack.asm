; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A bad LDT, CS or SS in the new TSS is raised in the new task too; a task gate handles it, with the selector on the handler's stack
; mode: flat32
; event: checkpoint tr=TSS nt=1 [0x7ffc]=TSS [tss]=TSS2 [gdt+TSS2+4]=0x00008b00 [tss2+0x20]=other
; event: checkpoint tr=TSS [0x7ff8]=KDATA
; event: checkpoint tr=TSS [0x7ff4]=ABSENT_CODE
; event: checkpoint tr=TSS [0x7ff0]=UDATA_
; event: checkpoint tr=TSS [0x7fec]=ABSENT
; expect: esp=0x7fec
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
DESCRIPTOR ABSENT, 0, 0xfffff, ATTR_DATA & ~0x80
DESCRIPTOR ABSENT_CODE, 0, 0xfffff, ATTR_CODE & ~0x80
TASK other, 0x7000
; ENTER offset, bad, good: the exception comes back into this task, behind the JMP.
%macro ENTER_WITH 3
    mov word [tss2 + %1], %2
    jmp TSS2:0
    CHECKPOINT
    mov word [tss2 + %1], %3
    mov byte [gdt + TSS2 + 5], ATTR_TSS32 ; available again
%endmacro
%macro TO_TASK 1
    mov dword [idt + 8 * %1], TSS << 16
    mov dword [idt + 8 * %1 + 4], ATTR_TASK_GATE << 8
%endmacro
    PROTECTED
    TO_TASK 10
    TO_TASK 11
    TO_TASK 12
    ENTER_WITH 0x60, TSS, LDT
    ENTER_WITH 0x4c, KDATA, KCODE
    ENTER_WITH 0x4c, ABSENT_CODE, KCODE
    ENTER_WITH 0x50, UDATA, KDATA
    ENTER_WITH 0x50, ABSENT, KDATA
    hlt
other:
    ud2
