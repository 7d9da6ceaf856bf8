; SPDX-License-Identifier: GPL-3.0-or-later
; isa: INT n, INT3 and INTO clear TF for the handler and are not trapped themselves; IRET that brings TF back is followed by one instruction
; mode: flat32
; event: int 0x30 eip=after_int tf=1 now.tf=0
; event: #DB eip=after_nop dr6=0xffff4ff0
; event: #BP eip=after_int3 tf=1
; event: #DB eip=after_nop3 dr6=0xffff4ff0
; event: #DB eip=after_popf tf=0
%include "protected.inc"
    PROTECTED
    push 2
    push FLAG_TF | 2
    popfd
    int 0x30
after_int:
    nop
after_nop:
    int3
after_int3:
    nop
after_nop3:
    popfd
after_popf:
    nop
    hlt
