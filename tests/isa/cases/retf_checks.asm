; SPDX-License-Identifier: GPL-3.0-or-later
; isa: RETF goes to no inner level, and checks CS and SS of an outer one before anything changes
; mode: flat32
; event: #GP error=0 eip=return1 esp=0x7fd0
; event: #GP error=KDATA eip=return2 esp=0x7fd0
; event: #GP error=KCODE eip=return3 esp=0x7fd0
; event: #NP error=ABSENT_CODE eip=return4 esp=0x7fd0
; event: #GP error=0 eip=return5 esp=0x7fd0
; event: #GP error=UDATA_ eip=return6 esp=0x7fd0
; event: #GP error=KDATA eip=return7 esp=0x7fd0
; event: #SS error=ABSENT_DATA eip=return8 esp=0x7fd0
; event: #GP error=KCODE eip=inward esp=STACK3+-8
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR ABSENT_CODE, 0, 0xfffff, (ATTR_CODE | ATTR_DPL3) & ~0x80
DESCRIPTOR ABSENT_DATA, 0, 0xfffff, (ATTR_DATA | ATTR_DPL3) & ~0x80
; RETURN number, CS, SS: try to return with these selectors
%macro RETURN 3
    mov esp, 0x7fe0
    push dword %3
    push dword STACK3
    push dword %2
    push dword never
return%1: FAULTS retf
%endmacro
    PROTECTED
    RETURN 1, 0, UDATA
    RETURN 2, KDATA, UDATA
    RETURN 3, KCODE | 3, UDATA      ; DPL 0 is not RPL 3
    RETURN 4, ABSENT_CODE | 3, UDATA
    RETURN 5, UCODE, 0
    RETURN 6, UCODE, UDATA_         ; RPL 0
    RETURN 7, UCODE, KDATA | 3      ; DPL 0
    RETURN 8, UCODE, ABSENT_DATA | 3
    mov esp, STACK0
    USER user
user:
    push KCODE
    push never
inward: FAULTS retf
    KERNEL
    hlt
never:
    ud2
