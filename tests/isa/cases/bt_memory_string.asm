; SPDX-License-Identifier: GPL-3.0-or-later
; isa: BTS with a register index addresses a bit string
; mode: flat32
; set: eax=37 ebx=-1
; mem: 0x1ffc = ff ff ff ff 00 00 00 00 00 00 00 00
; expect: cf=1
; expect-mem: 0x1ffc = ff ff ff 7f 00 00 00 00 20 00 00 00
bits 32
org 0x1000
    bts [0x2000], eax
    btr [0x2000], ebx
    hlt
