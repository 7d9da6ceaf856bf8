; SPDX-License-Identifier: GPL-3.0-or-later
; isa: DR4 and DR5 are DR6 and DR7 unless CR4.DE makes them #UD; reserved bits are fixed; MOV needs CPL 0; GD protects them all, and its #DB clears it
; mode: flat32
; event: checkpoint eax=0xffff0ff0 ebx=0x400
; event: checkpoint eax=0xffffeff0 ebx=0xffff0700
; event: #UD eip=i_dr4
; event: #UD eip=i_dr5
; event: #GP error=0 eip=i_user
; event: #DB eip=i_guarded dr6=0xffff2ff0 now.dr7=0x400
; expect: dr7=0x400 dr6=0xffff2ff0
%include "protected.inc"
    PROTECTED
    mov eax, dr6
    mov ebx, dr7
    CHECKPOINT
    mov ecx, 0xfffffff0
    mov dr6, ecx
    mov ecx, 0xffffdf00             ; no GD, nothing enabled
    mov dr7, ecx
    mov eax, dr4
    mov ebx, dr5
    CHECKPOINT
    mov eax, cr4
    or eax, 8                       ; DE
    mov cr4, eax
i_dr4: FAULTS mov eax, dr4
i_dr5: FAULTS mov dr5, eax
    USER user
user:
i_user: FAULTS mov eax, dr0
    KERNEL
    mov eax, 0xffff0ff0
    mov dr6, eax
    mov eax, 0x2000                 ; GD
    mov dr7, eax
i_guarded:
    mov eax, dr0                    ; restarted by the handler, with GD clear
    hlt
