; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Conforming code runs at the level of its caller, which must not be inside its DPL; other code needs DPL = CPL
; mode: flat32
; event: checkpoint cpl=0 cs=CONFORMING
; event: #GP error=CONFORMING3 eip=outward
; event: #GP error=UCODE_ eip=other_level
; event: #GP error=KCODE eip=rpl
; event: checkpoint cpl=3 cs=CONFORMING+3
; event: checkpoint cpl=3 cs=CONFORMING+3 ss=UDATA
; event: #GP error=KCODE eip=inward cs=CONFORMING+3
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR CONFORMING, 0, 0xfffff, ATTR_CODE | 4
DESCRIPTOR CONFORMING3, 0, 0xfffff, ATTR_CODE | ATTR_DPL3 | 4
CALL_GATE GATE, CONFORMING, through_gate, ATTR_CALL32 | ATTR_DPL3
    PROTECTED
    jmp CONFORMING:.kernel
.kernel:
    CHECKPOINT
outward: FAULTS jmp CONFORMING3:never
other_level: FAULTS jmp UCODE_:never
rpl: FAULTS jmp (KCODE | 1):never
    USER user
user:
    jmp CONFORMING:.conforming
.conforming:
    CHECKPOINT
    call GATE:0
inward: FAULTS jmp KCODE:never
    KERNEL
    hlt
through_gate:
    CHECKPOINT
    retf
never:
    ud2
