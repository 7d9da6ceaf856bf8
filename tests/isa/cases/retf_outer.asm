; SPDX-License-Identifier: GPL-3.0-or-later
; isa: RETF to an outer level loads SS:ESP from the stack and makes null the data segments that the new level may not use
; mode: flat32
; event: checkpoint cpl=3 cs=UCODE ss=UDATA esp=STACK3+8 ds=0 es=UDATA fs=CONFORMING gs=0
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR CONFORMING, 0, 0xfffff, ATTR_CODE | 4
    PROTECTED
    mov ax, UDATA
    mov es, ax
    mov ax, CONFORMING
    mov fs, ax
    mov ax, KCODE
    mov gs, ax
    push UDATA
    push STACK3
    push dword 1                    ; two parameters
    push dword 2
    push UCODE
    push user
    retf 8
user:
    CHECKPOINT
    KERNEL
    hlt
