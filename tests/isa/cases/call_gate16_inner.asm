; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A 16-bit call gate pushes words, whatever the size of the caller
; mode: flat32
; event: checkpoint cpl=0 esp=STACK0_TSS+-12 [STACK0_TSS+-4]=0x0023affc [STACK0_TSS+-8]=0x22221111 [STACK0_TSS+-12]=0x001b0000+behind
; event: checkpoint cpl=3 esp=STACK3 ss=UDATA
%include "protected.inc"
CALL_GATE GATE, KCODE, routine, ATTR_CALL16 | ATTR_DPL3, 2
    PROTECTED
    USER user
user:
    push dword 0x22221111
    call GATE:0
behind:
    CHECKPOINT
    KERNEL
    hlt
routine:
    CHECKPOINT
    o16 retf 4
