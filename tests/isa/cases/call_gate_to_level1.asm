; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Call gates and interrupts go to levels 1 and 2 as well, with the stacks that the TSS has for them; each RETF goes back out
; mode: flat32
; event: checkpoint cpl=1 cs=CODE1 ss=DATA1 esp=STACK1_TSS+-16
; event: int 0x30 cs=CODE1 ss=DATA1 esp=STACK1_TSS+-16 now.esp=STACK0_TSS+-28
; event: checkpoint cpl=3 cs=UCODE esp=STACK3
; event: checkpoint cpl=2 cs=CODE2_+2 ss=DATA2_+2 esp=STACK2_TSS+-20
; event: checkpoint cpl=3
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR CODE2_, 0, 0xfffff, ATTR_CODE | ATTR_DPL2
DESCRIPTOR DATA2_, 0, 0xfffff, ATTR_DATA | ATTR_DPL2
CALL_GATE GATE1, CODE1_, level1, ATTR_CALL32 | ATTR_DPL3
    PROTECTED
    mov dword [tss + 0x18], DATA2_ | 2
    SET_GATE 0x31, CODE2_, level2, ATTR_TRAP32 | ATTR_DPL3
    or byte [idt + 8 * 0x30 + 5], ATTR_DPL3
    USER user
user:
    call GATE1:0
    CHECKPOINT
    int 0x31
    CHECKPOINT
    KERNEL
    hlt
level1:
    CHECKPOINT
    int 0x30
    retf
level2:
    CHECKPOINT
    iretd
