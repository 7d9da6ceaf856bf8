; SPDX-License-Identifier: GPL-3.0-or-later
; isa: INT n checks the gate's DPL, type, presence and target, and the IDT's limit; the error code is n * 8 + 2 or the target's selector
; mode: flat32
; event: #GP error=0x182 eip=wrong_type
; event: #NP error=0x18a eip=absent
; event: #GP error=0 eip=null_target
; event: #GP error=KDATA eip=data_target
; event: #NP error=ABSENT_CODE eip=absent_target
; event: #GP error=UCODE_ eip=outer_target
; event: #GP error=0x7fa eip=beyond
; event: #GP error=0x1ba eip=dpl cs=UCODE
; event: #GP error=0x1ba eip=dpl1 cs=CODE1
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR ABSENT_CODE, 0, 0xfffff, ATTR_CODE & ~0x80
    PROTECTED
    SET_GATE 0x30, KCODE, never, ATTR_CALL32
    SET_GATE 0x31, KCODE, never, ATTR_INT32 & ~0x80
    SET_GATE 0x32, 0, never, ATTR_INT32
    SET_GATE 0x33, KDATA, never, ATTR_INT32
    SET_GATE 0x34, ABSENT_CODE, never, ATTR_INT32
    SET_GATE 0x35, UCODE, never, ATTR_INT32
wrong_type: FAULTS int 0x30
absent: FAULTS int 0x31
null_target: FAULTS int 0x32
data_target: FAULTS int 0x33
absent_target: FAULTS int 0x34
outer_target: FAULTS int 0x35
    lidt [short_idt]
beyond: FAULTS int 0xff
    USER user
user:
dpl: FAULTS int 0x37
    KERNEL
    push DATA1
    push STACK1_TSS
    pushfd
    push CODE1
    push level1
    iretd
level1:
dpl1: FAULTS int 0x37
    KERNEL
    hlt
never:
    ud2
short_idt:
    dw 0x7fe                        ; one byte short of vector ffh
    dd idt
