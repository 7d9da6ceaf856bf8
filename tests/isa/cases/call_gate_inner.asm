; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A 32-bit call gate to CPL 0 takes the stack from the TSS, copies parameters, and RETF n releases them on both stacks
; mode: flat32
; event: checkpoint cpl=0 cs=KCODE ss=KDATA esp=STACK0_TSS+-28 [STACK0_TSS+-4]=UDATA [STACK0_TSS+-8]=STACK3+-12 [STACK0_TSS+-12]=0x33333333 [STACK0_TSS+-16]=0x22222222 [STACK0_TSS+-20]=0x11111111 [STACK0_TSS+-24]=UCODE [STACK0_TSS+-28]=behind ds=UDATA
; event: checkpoint cpl=3 cs=UCODE ss=UDATA esp=STACK3 ds=UDATA
; expect: cpl=0
%include "protected.inc"
CALL_GATE GATE, KCODE, routine, ATTR_CALL32 | ATTR_DPL3, 3
    PROTECTED
    USER user
user:
    push dword 0x33333333
    push dword 0x22222222
    push dword 0x11111111
    call (GATE | 3):0
behind:
    CHECKPOINT
    KERNEL
    hlt
routine:
    CHECKPOINT
    retf 12
