; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An instruction of more than 15 bytes raises #GP(0)
; mode: flat32
; expect-exception: #GP error=0 eip=0x1000
bits 32
org 0x1000
    times 15 db 0x66
    nop
    hlt
