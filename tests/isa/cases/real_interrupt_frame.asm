; SPDX-License-Identifier: GPL-3.0-or-later
; isa: In real mode INT n pushes FLAGS, CS and IP, clears IF and TF, and IRET brings all of them back
; mode: real16
; event: int 0x21 eip=behind cs=0 if=1 cf=1 iopl=0 esp=STACK0 now.if=0 now.tf=0 now.cf=1
; event: checkpoint if=1 cf=1 esp=STACK0
%include "real.inc"
    REAL
    sti
    nop
    stc
    int 0x21
behind:
    CHECKPOINT
    cli
    hlt
