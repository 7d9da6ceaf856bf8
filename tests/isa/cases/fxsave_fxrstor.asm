; SPDX-License-Identifier: GPL-3.0-or-later
; isa: FXSAVE writes the x87 registers in stack order, the abridged tag word, MXCSR and the XMM registers, and FXRSTOR brings all back; it reports no pending error
; mode: flat32
; event: checkpoint fsw=0x3000 [0x20004]=0xc0 [0x20018]=0x1f80
; event: checkpoint fsw=0 fcw=0x37f
; event: checkpoint fsw=0x3000 mxcsr=0x1f80
; expect-mem: 0x20020 = 00 00 00 00 00 00 00 80 ff 3f
; expect-mem: 0x20030 = 00 00 00 00 00 00 00 00 00 00
; expect-mem: 0x200a0 = 44 33 22 11 44 33 22 11 44 33 22 11 44 33 22 11
; expect-mem: 0x30000 = 00 00 80 3f
; expect-mem: 0x30010 = 44 33 22 11 44 33 22 11
%include "protected.inc"
    PROTECTED
    mov eax, 0x200
    mov cr4, eax
    push dword 0x1f80
    ldmxcsr [esp]
    push dword 0x11223344
    movss xmm0, [esp]
    shufps xmm0, xmm0, 0
    fninit
    fldz
    fld1
    fxsave [DATA]
    and dword [DATA + 4], 0xff      ; the opcode beside it
    CHECKPOINT
    and dword [DATA + 0x1c], 0
    fninit
    xorps xmm0, xmm0
    CHECKPOINT
    fxrstor [DATA]
    CHECKPOINT
    fstp dword [0x30000]
    movups [0x30010], xmm0
    hlt
