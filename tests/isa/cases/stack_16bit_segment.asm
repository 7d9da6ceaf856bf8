; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With a 16-bit stack segment SP wraps at 64 KiB and the upper half of ESP stays; pushes, interrupts and frames use SP
; mode: flat32
; set: ebx=0x12340000
; event: checkpoint esp=0x1234fffc [0x2fffc]=0x11112222
; event: int 0x30 eip=behind esp=0x1234fffc
; event: checkpoint eax=0x11112222 esp=0x12340000
; event: checkpoint esp=0x12347ffc ebp=0x12347ffe [0x27ffc]=0x33333333
; event: checkpoint esp=0x12348000 ebp=0x12343333
%include "protected.inc"
DESCRIPTOR STACK16, DATA, 0xffff, 0x0093
    PROTECTED
    SET_GATE 0x30, KCODE, handler, ATTR_INT32
    mov ax, STACK16
    mov ss, ax
    mov esp, ebx
    push dword 0x11112222
    CHECKPOINT
    int 0x30
behind:
    pop eax
    CHECKPOINT
    mov esp, 0x12348000
    mov ebp, 0x12343333
    o16 enter 2, 0
    mov word [ss:0x7ffc], 0x3333
    CHECKPOINT
    o16 leave
    CHECKPOINT
    hlt
handler:
    push byte 0
    push byte 0x30
    out PORT_FRAME32, al
    add sp, 8
    iretd
