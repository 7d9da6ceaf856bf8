; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An NMI blocks further ones until IRET; the one that came meanwhile is then delivered
; mode: flat32
; event: NMI eip=behind ebx=0
; event: checkpoint ebx=1
; event: NMI eip=behind ebx=1
; event: checkpoint ebx=2
; expect: ebx=2
%include "protected.inc"
    PROTECTED
    SET_GATE 2, KCODE, handler, ATTR_INT32
    out PORT_NMI, al
behind:
    hlt
handler:
    push byte 2
    push byte 2
    out PORT_FRAME32, al
    add esp, 8
    inc ebx
    cmp ebx, 2
    je .second
    out PORT_NMI, al                ; latched
    nop
.second:
    CHECKPOINT
    iretd
