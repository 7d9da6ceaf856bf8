; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With CR0.NE clear an unmasked x87 error asserts FERR# (IRQ 13), the next waiting instruction waits for that interrupt, and IGNNE# lets it go ahead
; mode: flat32
; event: int 0x75 eip=waiting if=1
; event: checkpoint fsw=0xa884
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    SET_GATE 0x75, KCODE, handler, ATTR_INT32
    fninit
    push dword 0x37b
    fldcw [esp]
    fld1
    fldz
    fdivp st1, st0
    nop
    sti
waiting:
    fld1
    CHECKPOINT
    cli
    hlt
handler:
    push byte 0
    push byte 0x75
    out PORT_FRAME32, al
    add esp, 8
    out PORT_FERR, al               ; as a PC's handler writes to port F0h
    iretd
