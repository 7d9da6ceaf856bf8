; SPDX-License-Identifier: GPL-3.0-or-later
; isa: 16-bit interrupt and trap gates push words and zero-extend the handler's offset; a 16-bit IRET returns
; mode: flat32
; event: checkpoint esp=0x7ffa [0x7ffa]=0x00080000+behind1 if=0
; event: checkpoint esp=STACK0_TSS+-10 [STACK0_TSS+-10]=0x001b0000+behind2 [STACK0_TSS+-4]=0x0023b000 if=1
; event: checkpoint cpl=3 esp=STACK3 ss=UDATA if=1
%include "protected.inc"
    PROTECTED
    SET_GATE 0x30, KCODE, handler, ATTR_INT16
    SET_GATE 0x31, KCODE, handler, ATTR_TRAP16 | ATTR_DPL3
    sti
    int 0x30
behind1:
    USER user, FLAG_IF
user:
    int 0x31
behind2:
    CHECKPOINT
    KERNEL
    hlt
handler:
    CHECKPOINT
    o16 iret
