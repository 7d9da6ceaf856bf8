; SPDX-License-Identifier: GPL-3.0-or-later
; isa: LAR, LSL, VERR and VERW answer in ZF from type, CPL, RPL and DPL, and never fault on a bad selector
; mode: flat32
; event: checkpoint eax=0x00cf9300 ebx=0xffffffff zf=1
; event: checkpoint eax=0x00cff300 ebx=0xffffffff zf=1 cpl=3
; event: checkpoint eax=0x77 ebx=0x77 zf=0
; event: checkpoint eax=0x00008b00 ebx=0x108 zf=1
; event: checkpoint eax=0x0000ec00 ebx=0x108 zf=0
; event: checkpoint eax=0x0000ec00 zf=0
; event: checkpoint eax=0x0000ffff zf=1
; event: checkpoint esi=0x35 edi=0x21
%include "protected.inc"
CALL_GATE GATE, KCODE, 0, ATTR_CALL32 | ATTR_DPL3
CALL_GATE INT_GATE, KCODE, 0, ATTR_INT32
DESCRIPTOR EXECUTE_ONLY, 0, 0xfffff, ATTR_CODE & ~2
DESCRIPTOR READ_ONLY, 0, 0xfffff, ATTR_DATA & ~2
; ASK selector: shift the answers of VERR into ESI, of VERW into EDI
%macro ASK 1
    mov cx, %1
    verr cx
    setz dl
    add esi, esi
    or esi, edx
    verw cx
    setz dl
    add edi, edi
    or edi, edx
%endmacro
    PROTECTED
    mov cx, KDATA
    lar eax, cx
    lsl ebx, cx
    CHECKPOINT
    USER user
user:
    mov cx, UDATA
    lar eax, cx
    lsl ebx, cx
    CHECKPOINT
    mov eax, 0x77
    mov ebx, eax
    mov cx, KDATA                   ; DPL 0 is not visible at CPL 3
    lar eax, cx
    lsl ebx, cx
    mov cx, 0xfff8
    lar eax, cx
    lsl ebx, cx
    xor cx, cx
    lsl ebx, cx
    lar eax, cx
    CHECKPOINT
    KERNEL
    mov cx, TSS
    lar eax, cx
    lsl ebx, cx
    CHECKPOINT
    mov cx, GATE
    lar eax, cx
    lsl ebx, cx                     ; a gate has no limit
    CHECKPOINT
    mov cx, INT_GATE
    lar eax, cx                     ; not one of LAR's types
    CHECKPOINT
    xor eax, eax
    mov cx, KCODE16
    lsl eax, cx
    CHECKPOINT
    xor edx, edx
    xor esi, esi
    xor edi, edi
    ASK KDATA
    ASK READ_ONLY
    ASK EXECUTE_ONLY
    ASK KCODE
    ASK TSS
    ASK UDATA
    CHECKPOINT
    hlt
