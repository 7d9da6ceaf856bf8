; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A selector must lie within its table; one of the LDT needs an LDT
; mode: flat32
; event: #GP error=0x400 eip=beyond_gdt
; event: #GP error=0x304 eip=beyond_ldt
; event: checkpoint eax=0x77 ldtr=LDT
; event: #GP error=LOCAL eip=no_ldt
; event: #GP error=KDATA eip=not_an_ldt
; event: #GP error=LOCAL eip=ldt_in_ldt
; event: #NP error=ABSENT_LDT eip=absent_ldt
; expect: ldtr=0
%include "protected.inc"
LDT_DESCRIPTOR LOCAL, DATA, 0xfff, 0x4093
DESCRIPTOR ABSENT_LDT, 0x4400, 0xff, ATTR_LDT & ~0x80
    PROTECTED
    mov byte [DATA + 4], 0x77
    mov ax, 0x400
beyond_gdt: FAULTS mov es, ax
    mov ax, LDT
    lldt ax
    mov ax, 0x104
    or ax, 0x300
beyond_ldt: FAULTS mov es, ax
    mov ax, LOCAL
    mov es, ax
    xor eax, eax
    mov al, [es:4]
    CHECKPOINT
    xor ebx, ebx
    lldt bx
    mov al, [es:4]                  ; what was loaded stays
    mov cx, LOCAL
no_ldt: FAULTS mov es, cx
    mov cx, KDATA
not_an_ldt: FAULTS lldt cx
    mov cx, LOCAL
ldt_in_ldt: FAULTS lldt cx
    mov cx, ABSENT_LDT
absent_ldt: FAULTS lldt cx
    hlt
