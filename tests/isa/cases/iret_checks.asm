; SPDX-License-Identifier: GPL-3.0-or-later
; isa: IRET checks CS, SS and the limit before anything changes
; mode: flat32
; event: #GP error=0 eip=return1 esp=0x7fc0
; event: #GP error=KDATA eip=return2 esp=0x7fc0
; event: #GP error=KCODE eip=return3 esp=0x7fc0
; event: #GP error=UDATA_ eip=return4 esp=0x7fc0
; event: #GP error=0 eip=return5 esp=0x7fc0 cf=0
; event: #GP error=KCODE eip=inward cs=UCODE
; expect: cpl=0
%include "protected.inc"
%macro RETURN 4
    mov esp, 0x7fd4
    push dword %3
    push dword STACK3
    push dword 3
    push dword %2
    push dword %4
    clc
return%1: FAULTS iretd
%endmacro
    PROTECTED
    RETURN 1, 0, UDATA, never
    RETURN 2, KDATA, UDATA, never
    RETURN 3, KCODE | 3, UDATA, never
    RETURN 4, UCODE, UDATA_ | 2, never
    RETURN 5, KCODE16, UDATA, 0x10000 ; beyond the limit
    mov esp, STACK0
    USER user
user:
    pushfd
    push KCODE
    push never
inward: FAULTS iretd
    KERNEL
    hlt
never:
    ud2
