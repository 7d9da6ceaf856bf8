; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Too little room on the stack of the inner level raises #SS with its selector in a CALL through a gate, and nothing is changed
; mode: flat32
; event: #SS error=SMALL1 eip=no_room cs=UCODE esp=STACK3+-4 cpl=0
; event: checkpoint cpl=3 esp=STACK3+-4
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR SMALL1, 0, 0xff, 0x40b3
CALL_GATE GATE1, CODE1_, never, ATTR_CALL32 | ATTR_DPL3, 1
    PROTECTED
    mov dword [tss + 0x10], SMALL1 | 1
    mov dword [tss + 0x0c], 16      ; 20 bytes are needed
    USER user
user:
    push 1
no_room: FAULTS call GATE1:0
    CHECKPOINT
    KERNEL
    hlt
never:
    ud2
