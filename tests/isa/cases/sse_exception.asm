; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An unmasked SIMD exception is #XM at the instruction with CR4.OSXMMEXCPT, #UD without; flags are set, the destination is not
; mode: flat32
; event: #UD eip=divide mxcsr=0x1d84
; event: #XM eip=again mxcsr=0x1d84
; event: checkpoint mxcsr=0x1d84
; expect-mem: 0x20000 = 00 00 80 3f
%include "protected.inc"
    PROTECTED
    mov eax, 0x200
    mov cr4, eax
    push dword 0x1d80               ; unmask ZE
    ldmxcsr [esp]
    mov dword [DATA], 0x3f800000
    movss xmm0, [DATA]
    xorps xmm1, xmm1
divide: FAULTS divss xmm0, xmm1
    mov eax, 0x600
    mov cr4, eax
    mov dword [esp], 0x1d80
    ldmxcsr [esp]
again: FAULTS divss xmm0, xmm1
    movss [DATA], xmm0
    CHECKPOINT
    hlt
