; SPDX-License-Identifier: GPL-3.0-or-later
; isa: MOV to CR0 and CR4 checks what it is given; CR1, CR5 to CR7 do not exist; the operand is a register whatever mod says
; mode: flat32
; event: #GP error=0 eip=pg_without_pe
; event: #GP error=0 eip=nw_without_cd
; event: #GP error=0 eip=cr4_reserved
; event: #UD eip=no_cr1
; event: #UD eip=no_cr5
; event: #GP error=0 eip=user_read
; event: checkpoint ebx=0x12345678
; expect: cr0=0x60000011 cr2=0x12345678
%include "protected.inc"
    PROTECTED
    mov eax, 0x80000010
pg_without_pe: FAULTS mov cr0, eax
    mov eax, 0x20000011
nw_without_cd: FAULTS mov cr0, eax
    mov eax, 0x80000000
cr4_reserved: FAULTS mov cr4, eax
no_cr1: FAULTS db 0x0f, 0x20, 0xc8
no_cr5: FAULTS db 0x0f, 0x22, 0xe8
    USER user
user:
user_read: FAULTS mov eax, cr0
    KERNEL
    mov eax, 0x12345678
    mov cr2, eax
    db 0x0f, 0x20, 0x13             ; MOV EBX, CR2 with mod = 0
    CHECKPOINT
    hlt
