; SPDX-License-Identifier: GPL-3.0-or-later
; isa: RDMSR and WRMSR raise #GP(0) for registers that do not exist and values that they cannot hold
; mode: flat32
; event: #GP error=0 eip=read_unknown
; event: #GP error=0 eip=write_unknown
; event: #GP error=0 eip=efer_reserved
; event: #GP error=0 eip=pat_reserved
; event: #GP error=0 eip=mtrr_reserved
; event: checkpoint eax=0x01040506 edx=0x00070406
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    mov ecx, 0x12345678
read_unknown: FAULTS rdmsr
write_unknown: FAULTS wrmsr
    mov ecx, 0xc0000080             ; EFER
    mov eax, 2
    xor edx, edx
efer_reserved: FAULTS wrmsr
    mov ecx, 0x277                  ; PAT: types 2 and 3 do not exist
    mov eax, 0x02040506
pat_reserved: FAULTS wrmsr
    mov eax, 0x01040506
    mov edx, 0x00070406
    wrmsr
    mov ecx, 0x2ff                  ; MTRR_DEF_TYPE
    mov eax, 2
    xor edx, edx
mtrr_reserved: FAULTS wrmsr
    mov ecx, 0x277
    xor eax, eax
    rdmsr
    CHECKPOINT
    hlt
