; SPDX-License-Identifier: GPL-3.0-or-later
; isa: RDTSC never goes back, and CR4.TSD makes it #GP(0) outside CPL 0; WRMSR sets the counter
; mode: flat32
; event: #GP error=0 eip=user_tsc
; event: checkpoint esi=1 cpl=3
; expect: ebx=1 edi=0x12345
%include "protected.inc"
    PROTECTED
    rdtsc
    mov ebp, eax
    mov ecx, edx
    nop
    rdtsc
    sub eax, ebp
    sbb edx, ecx
    setnc bl                        ; later is not less
    mov ecx, 0x10                   ; IA32_TIME_STAMP_COUNTER
    mov edx, 0x12345
    xor eax, eax
    wrmsr
    rdtsc
    mov edi, edx
    mov eax, 4                      ; TSD
    mov cr4, eax
    rdtsc                           ; CPL 0 still may
    USER user
user:
user_tsc: FAULTS rdtsc
    KERNEL
    xor eax, eax
    mov cr4, eax
    USER user2
user2:
    xor esi, esi
    rdtsc
    inc esi
    CHECKPOINT
    KERNEL
    hlt
