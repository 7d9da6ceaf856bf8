; SPDX-License-Identifier: GPL-3.0-or-later
; isa: 16-byte operands off their alignment raise #GP(0), except for the unaligned moves; MXCSR's reserved bits and FXSAVE off 16 raise #GP(0)
; mode: flat32
; event: #GP error=0 eip=load
; event: #GP error=0 eip=arithmetic
; event: #GP error=0 eip=fx
; event: #GP error=0 eip=mxcsr_reserved
; event: checkpoint mxcsr=0x1f80
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    mov eax, 0x200
    mov cr4, eax
    push dword 0x1f80
    ldmxcsr [esp]
    movups xmm0, [DATA + 1]
load: FAULTS movaps xmm0, [DATA + 8]
arithmetic: FAULTS addps xmm0, [DATA + 4]
    addss xmm0, [DATA + 1]
fx: FAULTS fxsave [DATA + 8]
    mov dword [esp], 0x11f80
mxcsr_reserved: FAULTS ldmxcsr [esp]
    CHECKPOINT
    hlt
