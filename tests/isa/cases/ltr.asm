; SPDX-License-Identifier: GPL-3.0-or-later
; isa: LTR takes an available TSS of the GDT and makes it busy, and checks as the manual says; STR and SLDT store selectors
; mode: flat32
; set: ebx=-1 ecx=-1
; event: #GP error=TSS eip=busy
; event: #GP error=0 eip=null
; event: #GP error=KDATA eip=data
; event: #GP error=LOCAL eip=local
; event: #NP error=ABSENT eip=absent
; event: #GP error=0 eip=user_ltr
; event: #GP error=0 eip=user_lldt
; expect: tr=TSS2 ebx=TSS2 ecx=0xffff0058 eax=0x58
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
DESCRIPTOR ABSENT, 0x5400, 0x67, ATTR_TSS32 & ~0x80
LDT_DESCRIPTOR LOCAL, 0x5400, 0x67, ATTR_TSS32
TASK 0, 0
    PROTECTED
    mov ax, LDT
    lldt ax
    mov eax, TSS
busy: FAULTS ltr ax
    xor eax, eax
null: FAULTS ltr ax
    mov eax, KDATA
data: FAULTS ltr ax
    mov eax, LOCAL
local: FAULTS ltr ax
    mov eax, ABSENT
absent: FAULTS ltr ax
    USER user
user:
user_ltr: FAULTS ltr ax
user_lldt: FAULTS lldt ax
    KERNEL
    mov ax, TSS2
    ltr ax
    xor eax, eax
    str ebx
    str cx
    str [DATA]
    mov eax, [DATA]
    hlt
