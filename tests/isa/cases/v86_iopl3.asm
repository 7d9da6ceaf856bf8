; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With IOPL 3, V86 code controls IF itself, and INT n goes to the kernel with all segments in the frame, the data segments becoming null
; mode: flat32
; event: checkpoint cpl=3 cs=0 ss=0 vm=1 iopl=3 if=0
; event: checkpoint if=1 esp=STACK_V86+-2 [STACK_V86+-2]=0x00003202
; event: checkpoint if=0
; event: checkpoint if=1 esp=STACK_V86
; event: checkpoint cf=1 if=1 esp=STACK_V86
; event: int 0x30 eip=behind cs=0 ss=0x100 esp=STACK_V86+-0x1000 vm=1 if=1 v86.es=0x200 v86.ds=0x300 v86.fs=0x400 v86.gs=0x500 now.ds=0 now.es=0 now.fs=0 now.gs=0 now.cs=KCODE now.ss=KDATA now.esp=STACK0_TSS+-44 now.vm=0 now.if=0
; event: checkpoint ds=0x300 es=0x200 fs=0x400 gs=0x500 ss=0x100 vm=1 cpl=3
; expect: cpl=0 vm=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    or byte [idt + 8 * 0x30 + 5], ATTR_DPL3
    V86 .v86, FLAG_IOPL3
.v86:
    CHECKPOINT
    sti
    pushf
    CHECKPOINT
    cli
    CHECKPOINT
    popf
    CHECKPOINT
    push word 0x3203
    push word 0
    push word .back
    iret
.back:
    CHECKPOINT
    mov ax, 0x200
    mov es, ax
    mov ax, 0x400
    mov fs, ax
    mov ax, 0x500
    mov gs, ax
    mov ax, 0x100
    mov ss, ax
    mov sp, STACK_V86 - 0x1000
    mov ax, 0x300
    mov ds, ax
    int 0x30
behind:
    CHECKPOINT
    LEAVE_V86
    hlt
