; SPDX-License-Identifier: GPL-3.0-or-later
; isa: TF traps behind every iteration of a repeated string instruction, at the instruction itself until the last
; mode: flat32
; set: ecx=3 esi=0x20000 edi=0x20100
; mem: 0x20000 = 41 42 43
; event: #DB eip=repeated ecx=2 edi=0x20101
; event: #DB eip=repeated ecx=1 edi=0x20102
; event: #DB eip=behind ecx=0 edi=0x20103
; event: #DB eip=behind_popf tf=0
; expect-mem: 0x20100 = 41 42 43
%include "protected.inc"
    PROTECTED
    push 2
    push FLAG_TF | 2
    popfd
repeated:
    rep movsb
behind:
    popfd
behind_popf:
    nop
    hlt
