; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An interrupt from CPL 3 switches to the stack in the TSS and pushes SS:ESP; data segments stay; IRET restores all
; mode: flat32
; event: int 0x30 eip=behind cs=UCODE ss=UDATA esp=STACK3 if=1 iopl=0 now.cs=KCODE now.ss=KDATA now.esp=STACK0_TSS+-28 now.if=0 now.cpl=0 ds=UDATA
; event: checkpoint cpl=3 cs=UCODE ss=UDATA esp=STACK3 if=1 ds=UDATA
%include "protected.inc"
    PROTECTED
    or byte [idt + 8 * 0x30 + 5], ATTR_DPL3
    USER user, FLAG_IF
user:
    int 0x30
behind:
    CHECKPOINT
    KERNEL
    hlt
