; SPDX-License-Identifier: GPL-3.0-or-later
; isa: BOUND and INTO in real mode: #BR is a fault, #OF a trap
; mode: real16
; set: eax=5 ebx=0x3000
; mem: 0x3000 = 01 00 04 00
; event: #BR eip=range
; event: #OF eip=behind
%include "real.inc"
    REAL
range: FAULTS bound ax, [bx]
    dec ax
    bound ax, [bx]
    add ax, 0x7fff
    into
behind:
    hlt
