; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A data breakpoint in a repeated string instruction traps between iterations, at the instruction
; mode: flat32
; set: ecx=4 edi=0x20000 eax=0x55
; event: #DB eip=repeated dr6=0xffff0ff1 ecx=1 edi=0x20003
; expect: ecx=0 edi=0x20004 eax=0x20055
; expect-mem: 0x20000 = 55 55 55 55
%include "protected.inc"
    PROTECTED
    mov ebx, DATA + 2
    mov dr0, ebx
    mov ebx, 0x10002                ; G0: write of a byte
    mov dr7, ebx
repeated:
    rep stosb
    or eax, DATA
    hlt
