; SPDX-License-Identifier: GPL-3.0-or-later
; isa: In V86 mode with IOPL 3, PUSHFD shows neither VM nor RF, and POPFD and IRETD change neither VM, IOPL, VIF nor VIP; NT starts no task switch
; mode: flat32
; event: checkpoint eax=0x00003002 vm=1
; event: checkpoint vm=1 iopl=3 vif=0 vip=0 ac=1 id=1 if=1 nt=1
; event: checkpoint vm=1 iopl=3 vif=0 vip=0 ac=0 if=0 nt=0 cf=1
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    V86 .v86, FLAG_IOPL3
.v86:
    pushfd
    pop eax
    CHECKPOINT
    push dword 0x003d4202           ; ID VIP VIF AC RF, NT, IF, IOPL 0, no VM
    popfd
    CHECKPOINT
    push dword 0x00180003           ; VIP VIF CF
    push dword 0
    push dword .back
    iretd
.back:
    CHECKPOINT
    LEAVE_V86
    hlt
