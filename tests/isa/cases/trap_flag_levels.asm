; SPDX-License-Identifier: GPL-3.0-or-later
; isa: TF follows IRET into CPL 3 and V86 mode and is cleared on the way in; REP with a count of 0 is one step
; mode: flat32
; event: #DB eip=step_user cs=UCODE tf=1 dr6=0xffff4ff0 now.cpl=0 now.tf=0
; event: #DB eip=step_rep cs=UCODE ecx=0
; event: int 0x30 eip=step_int cs=UCODE tf=1 now.tf=0
; event: #DB eip=step_end cs=UCODE
; event: #DB eip=step_v86 vm=1 tf=1 now.vm=0
; event: #DB eip=step_v86_pop vm=1 tf=0
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    or byte [idt + 8 * 0x30 + 5], ATTR_DPL3
    xor ecx, ecx
    USER user, FLAG_TF
user:
    nop
step_user:
    rep movsb
step_rep:
    int 0x30
step_int:
    nop
step_end:
    KERNEL
    V86 v86, FLAG_TF | FLAG_IOPL3
v86:
    nop
step_v86:
    popf
step_v86_pop:
    nop
    LEAVE_V86
    hlt
