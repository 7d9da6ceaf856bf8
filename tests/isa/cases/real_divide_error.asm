; SPDX-License-Identifier: GPL-3.0-or-later
; isa: #DE in real mode pushes the address of the division, and leaves its operands alone
; mode: real16
; set: eax=0x1234 edx=1
; event: #DE eip=divide eax=0x1234 edx=1 ebx=0
; expect: eax=0x1234 edx=1
%include "real.inc"
    REAL
divide: FAULTS div bx
    hlt
