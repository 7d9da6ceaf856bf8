; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Data up to the limit is accessible; the first byte beyond raises #GP(0), or #SS(0) through SS
; mode: flat32
; event: checkpoint eax=0x44 ebx=0x4433
; event: #GP error=0 eip=byte_beyond
; event: #GP error=0 eip=word_across
; event: #GP error=0 eip=dword_across
; event: #GP error=0 eip=far_beyond
; event: #SS error=0 eip=stack_read esp=0xfe ss=SMALL+3
; event: #SS error=0 eip=stack_push esp=0x102
; event: checkpoint eax=0x44332211 esp=0x100
; expect: ecx=0
; expect-mem: 0x200fc = 11 22 33 44 55
%include "protected.inc"
DESCRIPTOR SMALL, DATA, 0xff, 0x40f3
    PROTECTED
    mov dword [DATA + 0xfc], 0x44332211
    mov byte [DATA + 0x100], 0x55
    mov ax, SMALL
    mov ds, ax
    xor eax, eax
    mov al, [0xff]
    mov bx, [0xfe]
    CHECKPOINT
byte_beyond: FAULTS mov cl, [0x100]
word_across: FAULTS mov cx, [0xff]
dword_across: FAULTS mov dword [0xfd], -1
far_beyond: FAULTS mov cl, [0xffffffff]
    USER user
user:
    mov eax, SMALL | 3
    mov ss, ax
    mov esp, 0xfe
stack_read: FAULTS mov ecx, [esp]
    mov esp, 0x102
stack_push: FAULTS push eax
    mov esp, 0xfc
    pop eax
    CHECKPOINT
    KERNEL
    hlt
