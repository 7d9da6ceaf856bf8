; SPDX-License-Identifier: GPL-3.0-or-later
; isa: ARPL raises the RPL of its destination to that of the source and says in ZF whether it did
; mode: flat32
; set: eax=0x12340009 ebx=3 ecx=0x1b edx=1
; mem: 0x20000 = 08 00
; event: checkpoint eax=0x1234000b zf=1
; event: checkpoint ecx=0x1b zf=0
; expect-mem: 0x20000 = 0b 00
%include "protected.inc"
    PROTECTED
    arpl ax, bx
    CHECKPOINT
    arpl cx, dx
    CHECKPOINT
    arpl [DATA], bx
    hlt
