; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The stack of the inner level must be good: #TS or #SS with the selector of SS, #TS with that of the TSS when it is too short
; mode: flat32
; event: #TS error=0 eip=null cs=CODE1 now.cpl=1
; event: #TS error=UDATA_ eip=outer
; event: #TS error=KDATA eip=rpl
; event: #TS error=READ_ONLY eip=readonly
; event: #TS error=KCODE eip=code
; event: #SS error=ABSENT eip=absent
; event: #SS error=TINY eip=no_room
; event: #TS error=0x400 eip=beyond
; event: #TS error=SHORT_TSS eip=short_tss cs=UCODE
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR READ_ONLY, 0, 0xfffff, 0xc091
DESCRIPTOR ABSENT, 0, 0xfffff, ATTR_DATA & ~0x80
DESCRIPTOR TINY, 0, 11, 0x4093
DESCRIPTOR SHORT_TSS, 0x5000, 0x67, ATTR_TSS32
DESCRIPTOR CONFORMING, 0, 0xfffff, ATTR_CODE | 4
; TRY_STACK label, selector, esp: INT 30h at CPL 1 with this stack for CPL 0
%macro TRY_STACK 3
    mov dword [tss + 8], %2
    mov dword [tss + 4], %3
%1: FAULTS int 0x30
%endmacro
    PROTECTED
    ; The faults are handled at CPL 1, whose stack is good, by conforming code.
    mov word [idt + 8 * 10 + 2], CONFORMING
    mov word [idt + 8 * 12 + 2], CONFORMING
    or byte [idt + 8 * 0x30 + 5], ATTR_DPL3
    mov ax, UDATA
    mov ds, ax
    push DATA1
    push STACK1_TSS
    push 0x1002                     ; IOPL 1: the handler writes to a port
    push CODE1
    push level1
    iretd
level1:
    TRY_STACK null, 0, STACK0_TSS
    TRY_STACK outer, UDATA, STACK0_TSS
    TRY_STACK rpl, KDATA | 1, STACK0_TSS
    TRY_STACK readonly, READ_ONLY, STACK0_TSS
    TRY_STACK code, KCODE, STACK0_TSS
    TRY_STACK absent, ABSENT, STACK0_TSS
    TRY_STACK no_room, TINY, 12     ; 20 bytes are needed
    TRY_STACK beyond, 0x400, STACK0_TSS
    mov dword [tss + 8], KDATA
    mov dword [tss + 4], STACK0_TSS
    KERNEL
    mov word [idt + 8 * 10 + 2], KCODE
    mov word [idt + 8 * 0x30 + 2], CODE1_
    mov byte [gdt + SHORT_TSS], 0x10 ; SS0 is inside, SS1 is not
    mov ax, SHORT_TSS
    ltr ax
    USER user
user:
short_tss: FAULTS int 0x30
    KERNEL
    hlt
