; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With A20M# asserted FFFF:0010 is address 0, without it 1 MiB
; mode: real16
; mem: 0 = 11
; mem: 0x100000 = 22
; event: checkpoint eax=0x22
; event: checkpoint eax=0x11
; event: checkpoint eax=0x22
%include "real.inc"
    mov bx, 0xffff
    mov ds, bx
    mov al, [0x10]
    CHECKPOINT
    mov al, 0
    out PORT_A20, al
    mov al, [0x10]
    CHECKPOINT
    mov al, 1
    out PORT_A20, al
    mov al, [0x10]
    CHECKPOINT
    hlt
