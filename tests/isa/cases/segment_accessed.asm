; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Loading a segment sets the accessed flag of its descriptor in memory; LAR, VERR and a failed load do not
; mode: flat32
; event: checkpoint [gdt+A]=0x0000ffff [gdt+A+4]=0x00cf9200
; event: #GP error=A
; event: checkpoint [gdt+A+4]=0x00cf9200
; event: checkpoint [gdt+A+4]=0x00cf9300
; event: checkpoint [gdt+B+4]=0x00cf9b00
%include "protected.inc"
DESCRIPTOR A, 0, 0xfffff, 0xc092
DESCRIPTOR B, 0, 0xfffff, 0xc09a
    PROTECTED
    mov bx, A
    lar eax, bx
    verr bx
    CHECKPOINT
    mov bx, A | 3
    FAULTS mov es, bx
    CHECKPOINT
    mov bx, A
    mov es, bx
    CHECKPOINT
    jmp B:.code
.code:
    CHECKPOINT
    hlt
