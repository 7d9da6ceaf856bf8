; SPDX-License-Identifier: GPL-3.0-or-later
; isa: LOCK of a register destination raises #UD
; mode: flat32
; expect-exception: #UD eip=0x1001
bits 32
org 0x1000
    nop
    db 0xf0
    add eax, ebx
    hlt
