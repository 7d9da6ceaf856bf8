; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Far calls and returns by 16-bit pointers in 32-bit code, and by 32-bit pointers in 16-bit code
; mode: flat32
; event: checkpoint cs=KCODE esp=0x7ffc [0x7ffc]=0x00080000+behind1
; event: checkpoint cs=KCODE16 esp=0x7ff8 [0x7ff8]=behind2 [0x7ffc]=KCODE
; event: checkpoint cs=KCODE esp=0x8000
; event: checkpoint cs=KCODE esp=0x8006
%include "protected.inc"
    PROTECTED
    o16 call far [pointer16]
behind1:
    call far [pointer32]
behind2:
    CHECKPOINT
    mov dword [STACK0 - 4], KCODE << 16
    mov word [STACK0 - 4], last
    mov esp, STACK0 - 4
    o16 retf 6
last:
    CHECKPOINT
    hlt
pointer16:
    dw routine, KCODE
pointer32:
    dd routine16
    dw KCODE16
routine:
    CHECKPOINT
    o16 retf
bits 16
routine16:
    CHECKPOINT
    o32 retf
