; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The source of a string instruction may be overridden, the destination is always ES
; mode: flat32
; set: esi=0 edi=0
; mem: 0x20000 = aa bb
; mem: 0x30000 = cc dd
; event: #GP error=0 eip=no_es
; expect: esi=2 edi=2
; expect-mem: 0x40000 = cc bb
%include "protected.inc"
DESCRIPTOR AT_2, 0x20000, 0xffff, 0x4093
DESCRIPTOR AT_3, 0x30000, 0xffff, 0x4093
DESCRIPTOR AT_4, 0x40000, 0xffff, 0x4093
    PROTECTED
    mov ax, AT_2
    mov ds, ax
    mov ax, AT_3
    mov fs, ax
    mov ax, AT_4
    mov es, ax
    fs movsb
    movsb
    xor eax, eax
    mov es, ax
no_es: FAULTS fs stosb
    hlt
