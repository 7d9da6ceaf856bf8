; SPDX-License-Identifier: GPL-3.0-or-later
; isa: LGDT and LIDT take 24 bits of base with a 16-bit operand; SGDT and SIDT store limit and base
; mode: flat32
; expect-mem: 0x20010 = 22 11 66 55 44 00
; expect-mem: 0x20020 = 22 11 66 55 44 33
bits 32
org 0x1000
    mov word [0x20000], 0x1122
    mov dword [0x20002], 0x33445566
    o16 lidt [0x20000]
    sidt [0x20010]
    lidt [0x20000]
    sidt [0x20020]
    hlt
