; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The #DB of an instruction breakpoint pushes RF clear; the handler sets it, and the instruction runs once without its breakpoint
; mode: flat32
; event: #DB eip=here dr6=0xffff0ff1 rf=0 ebx=0
; event: checkpoint ebx=1 rf=0
; event: #DB eip=here dr6=0xffff0ff1 ebx=1
; expect: ebx=2 dr7=0x402
%include "protected.inc"
    PROTECTED
    mov eax, here
    mov dr0, eax
    mov eax, 2                      ; G0: execution
    mov dr7, eax
    call here                       ; #DB; the handler sets RF in the frame
    CHECKPOINT
    call here
    hlt
here:
    inc ebx
    ret
