; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A gate's DPL must not be below CPL and RPL; it must be present; its target must be present code that the caller may reach
; mode: flat32
; event: #GP error=RPL_GATE eip=rpl
; event: #GP error=KERNEL_GATE eip=cpl
; event: #NP error=ABSENT_GATE eip=absent
; event: #GP error=0 eip=null_target
; event: #GP error=KDATA eip=data_target
; event: #NP error=ABSENT_CODE eip=absent_target
; event: #GP error=KCODE eip=jump_inward
; event: #GP error=UCODE_ eip=outward cs=KCODE
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR ABSENT_CODE, 0, 0xfffff, ATTR_CODE & ~0x80
CALL_GATE KERNEL_GATE, KCODE, never, ATTR_CALL32
CALL_GATE RPL_GATE, KCODE, never, ATTR_CALL32 | ATTR_DPL2
CALL_GATE ABSENT_GATE, KCODE, never, (ATTR_CALL32 | ATTR_DPL3) & ~0x80
CALL_GATE NULL_GATE, 3, never, ATTR_CALL32 | ATTR_DPL3
CALL_GATE DATA_GATE, KDATA, never, ATTR_CALL32 | ATTR_DPL3
CALL_GATE ABSENT_CODE_GATE, ABSENT_CODE, never, ATTR_CALL32 | ATTR_DPL3
CALL_GATE INWARD_GATE, KCODE, never, ATTR_CALL32 | ATTR_DPL3
CALL_GATE OUTWARD_GATE, UCODE, never, ATTR_CALL32 | ATTR_DPL3
    PROTECTED
rpl: FAULTS call (RPL_GATE | 3):0
    USER user
user:
cpl: FAULTS call KERNEL_GATE:0
absent: FAULTS call ABSENT_GATE:0
null_target: FAULTS call NULL_GATE:0
data_target: FAULTS call DATA_GATE:0
absent_target: FAULTS call ABSENT_CODE_GATE:0
jump_inward: FAULTS jmp INWARD_GATE:0
    KERNEL
outward: FAULTS call OUTWARD_GATE:0
    hlt
never:
    ud2
