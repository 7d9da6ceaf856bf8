; SPDX-License-Identifier: GPL-3.0-or-later
; isa: INT1 raises #DB as a trap without touching DR6, and does not look at the gate's DPL
; mode: flat32
; event: #DB eip=behind dr6=0xffff0ff0 cs=KCODE
; event: #DB eip=behind_user cs=UCODE now.cpl=0
; event: #GP error=0x0a eip=int_one
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    db 0xf1
behind:
    USER user
user:
    db 0xf1
behind_user:
int_one: FAULTS int 1
    KERNEL
    hlt
