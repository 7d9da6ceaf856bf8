; SPDX-License-Identifier: GPL-3.0-or-later
; isa: CPUID answers at any level; the highest leaf answers for what lies above; ID in EFLAGS can be toggled
; mode: flat32
; event: checkpoint cpl=3 esi=0x756e6547 edi=0x49656e69 ebp=0x6c65746e
; event: checkpoint id=1
; event: checkpoint id=0 eax=1
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    USER user
user:
    xor eax, eax
    cpuid
    mov esi, ebx                    ; "GenuineIntel"
    mov edi, edx
    mov ebp, ecx
    CHECKPOINT
    pushfd
    xor dword [esp], 0x200000
    popfd
    CHECKPOINT
    pushfd
    xor dword [esp], 0x200000
    popfd
    mov eax, 1
    cpuid
    and edx, 0x06008171             ; FPU, PSE, TSC, MSR, PAE, CX8, CMOV, SSE, SSE2
    xor eax, eax
    cmp edx, 0x06008171
    sete al
    CHECKPOINT
    KERNEL
    hlt
