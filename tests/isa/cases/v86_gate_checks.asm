; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An interrupt out of V86 mode must go to CPL 0: other gates raise #GP with the selector of the code
; mode: flat32
; event: #GP error=CODE1_ eip=level1
; event: #GP error=CONFORMING eip=conforming
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
DESCRIPTOR CONFORMING, 0, 0xfffff, ATTR_CODE | 4
    PROTECTED
    SET_GATE 0x30, CODE1, never, ATTR_INT32 | ATTR_DPL3
    SET_GATE 0x31, CONFORMING, never, ATTR_INT32 | ATTR_DPL3
    V86 .v86, FLAG_IOPL3
.v86:
level1: FAULTS int 0x30
conforming: FAULTS int 0x31
    LEAVE_V86
    hlt
never:
    ud2
