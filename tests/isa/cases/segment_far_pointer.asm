; SPDX-License-Identifier: GPL-3.0-or-later
; isa: LDS and its kin load register and segment together, or neither; they cast no interrupt shadow
; mode: flat32
; set: edi=0x20000
; event: checkpoint eax=0x11223344 es=UDATA
; event: #NP error=ABSENT eip=fails
; event: #GP error=0 eip=ss_null
; event: checkpoint esp=0x7000 ss=KDATA
; expect: eax=0x11223344 es=UDATA
%include "protected.inc"
DESCRIPTOR ABSENT, 0, 0xfffff, ATTR_DATA & ~0x80
    PROTECTED
    mov dword [edi], 0x11223344
    mov word [edi + 4], UDATA
    les eax, [edi]
    CHECKPOINT
    mov dword [edi], 0x55667788
    mov word [edi + 4], ABSENT
fails: FAULTS les eax, [edi]
    mov word [edi + 4], 0
ss_null: FAULTS lss esp, [edi]
    mov dword [edi], 0x7000
    mov word [edi + 4], KDATA
    lss esp, [edi]
    CHECKPOINT
    hlt
