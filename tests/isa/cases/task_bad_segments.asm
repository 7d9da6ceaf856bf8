; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Once the new task is entered, what is wrong with its segments is raised in it: #TS or #NP with the selector, at its first instruction
; mode: flat32
; event: #TS error=EXECUTE_ONLY eip=other tr=TSS2 cs=KCODE ss=KDATA eax=0xa0
; event: #NP error=ABSENT eip=other tr=TSS2
; event: #TS error=KDATA eip=other tr=TSS2
; event: #GP error=0 eip=0x10000 tr=TSS2 cs=KCODE16
; expect: tr=TSS
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
DESCRIPTOR EXECUTE_ONLY, 0, 0xfffff, 0xc099
DESCRIPTOR ABSENT, 0, 0xfffff, ATTR_DATA & ~0x80
TASK other, 0x7000
; ROUND offset, selector[, eip]: enter the task with a bad selector in its TSS. The fault is handled in the task, whose code
; and stack segments are good; the handler steps on to `back`.
%macro ROUND 2-3 other
    mov dword [tss2 + 0x20], %3
    mov dword [tss2 + %1], %2
    jmp TSS2:0
%endmacro
    FIXUP other, back
    FIXUP 0x10000, back16
    PROTECTED
    ROUND 0x54, EXECUTE_ONLY        ; DS
    ROUND 0x48, ABSENT              ; ES
    ROUND 0x58, KDATA | 3           ; FS
    ROUND 0x4c, KCODE16, 0x10000    ; EIP is beyond its limit
    hlt
other:
    ud2
bits 16
back16:
    jmp dword KCODE:back
bits 32
; Leave the task such that it can be entered again.
back:
    mov ax, KDATA
    mov ds, ax
    mov es, ax
    mov fs, ax
    mov eax, 0xa0
    jmp TSS:0
    jmp other
