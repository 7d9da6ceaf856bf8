; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A call gate of the same level ignores the offset of the CALL and pushes CS and EIP
; mode: flat32
; event: checkpoint cpl=0 cs=KCODE esp=0x7ff8 [0x7ff8]=behind [0x7ffc]=KCODE
; event: checkpoint esp=0x8000
; event: checkpoint cs=KCODE esp=0x8000
%include "protected.inc"
CALL_GATE GATE, KCODE, routine, ATTR_CALL32
CALL_GATE JUMP_GATE, KCODE, jumped, ATTR_CALL32
    PROTECTED
    call GATE:0xdeadbeef
behind:
    CHECKPOINT
    jmp JUMP_GATE:0
routine:
    CHECKPOINT
    retf
jumped:
    CHECKPOINT
    hlt
