; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With CR0.NE an unmasked x87 error is reported as #MF by the next waiting instruction; non-waiting ones go ahead
; mode: flat32
; event: checkpoint fsw=0xb084
; event: #MF eip=waiting
; event: #MF eip=wait_itself
; event: #MF eip=mmx
; event: checkpoint eax=0xb084
; event: checkpoint fsw=0x3000
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    mov eax, cr0
    or al, 0x20                     ; NE
    mov cr0, eax
    fninit
    push dword 0x37b                ; unmask ZE
    fldcw [esp]
    fld1
    fldz
    fdivp st1, st0                  ; no pop: the error is here, the report later
    CHECKPOINT
waiting: FAULTS fld1
wait_itself: FAULTS wait
mmx: FAULTS emms
    xor eax, eax
    fnstsw ax
    CHECKPOINT
    fnclex
    wait
    CHECKPOINT
    hlt
