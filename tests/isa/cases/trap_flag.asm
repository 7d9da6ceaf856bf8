; SPDX-License-Identifier: GPL-3.0-or-later
; isa: TF raises #DB behind every instruction that began with TF set, DR6.BS set; POPF that sets it is not trapped itself, the one that clears it is
; mode: flat32
; event: #DB eip=step1 dr6=0xffff4ff0 tf=1 rf=0 now.tf=0 ebx=1
; event: #DB eip=step2 tf=1 ebx=2
; event: #DB eip=step3 tf=1 ebx=2
; event: #DB eip=step4 tf=1 esp=0x7ffc
; event: #DB eip=step5 tf=0 esp=0x8000
; expect: ebx=3
%include "protected.inc"
    PROTECTED
    push FLAG_TF | 2
    popfd
    inc ebx
step1:
    inc ebx
step2:
    jmp step3
    ud2
step3:
    push 2
step4:
    popfd
step5:
    inc ebx
    hlt
