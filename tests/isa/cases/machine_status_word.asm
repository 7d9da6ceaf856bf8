; SPDX-License-Identifier: GPL-3.0-or-later
; isa: SMSW reads CR0 at any level; LMSW sets PE, MP, EM and TS, cannot clear PE, and needs CPL 0
; mode: flat32
; set: eax=-1 ebx=-1 edx=-1
; event: checkpoint eax=0x60000011 ebx=0xffff0011
; event: checkpoint cr0=0x6000001f
; event: checkpoint cr0=0x60000011
; event: #GP error=0 eip=user_lmsw
; event: checkpoint eax=0x60000011 cpl=3
; expect: cr0=0x60000011
; expect-mem: 0x20000 = 11 00 00
%include "protected.inc"
    PROTECTED
    smsw eax
    smsw bx
    smsw [DATA]
    CHECKPOINT
    mov cx, 0xffff
    lmsw cx
    CHECKPOINT
    xor ecx, ecx
    lmsw cx
    CHECKPOINT
    USER user
user:
user_lmsw: FAULTS lmsw cx
    xor eax, eax
    smsw eax
    CHECKPOINT
    KERNEL
    hlt
