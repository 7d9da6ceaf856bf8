; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An instruction that faults is not trapped; TF is in the fault's frame and the single step follows the retried or next instruction
; mode: flat32
; event: #DE eip=divide tf=1 now.tf=0
; event: #DB eip=after_nop
; event: #DB eip=after_popf tf=0
%include "protected.inc"
    PROTECTED
    push 2
    push FLAG_TF | 2
    popfd
divide: FAULTS div ecx
    nop
after_nop:
    popfd
after_popf:
    nop
    hlt
