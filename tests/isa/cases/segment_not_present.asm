; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A segment that is not present raises #NP(selector), in SS #SS(selector); the register keeps what it has
; mode: flat32
; event: #NP error=ABSENT eip=to_ds rf=1
; event: #SS error=ABSENT eip=to_ss
; event: #NP error=ABSENT_CODE eip=to_cs
; event: #NP error=ABSENT eip=pop_fs esp=0x7ffc
; expect: ds=KDATA ss=KDATA cs=KCODE fs=KDATA
%include "protected.inc"
DESCRIPTOR ABSENT, 0, 0xfffff, ATTR_DATA & ~0x80
DESCRIPTOR ABSENT_CODE, 0, 0xfffff, ATTR_CODE & ~0x80
    PROTECTED
    mov eax, ABSENT
to_ds: FAULTS mov ds, ax
to_ss: FAULTS mov ss, ax
to_cs: FAULTS jmp ABSENT_CODE:0x1000
    push eax
pop_fs: FAULTS pop fs
    hlt
