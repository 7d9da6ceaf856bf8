; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A model without a feature raises #UD for its instructions
; mode: flat32
; cpu: 486
; event: #UD eip=i_cmov
; event: #UD eip=i_rdtsc
; event: #UD eip=i_rdmsr
; event: #UD eip=i_cmpxchg8b
; event: #UD eip=i_sysenter
; event: #UD eip=i_mmx
; event: #UD eip=i_sse
; event: #UD eip=i_fxsave
; event: #UD eip=i_fcomi
; event: #GP error=0 eip=i_pae
; expect: eax=0x04030201
%include "protected.inc"
    PROTECTED
i_cmov: FAULTS cmovc eax, ebx
i_rdtsc: FAULTS rdtsc
i_rdmsr: FAULTS rdmsr
i_cmpxchg8b: FAULTS cmpxchg8b [DATA]
i_sysenter: FAULTS sysenter
i_mmx: FAULTS paddb mm0, mm1
i_sse: FAULTS addps xmm0, xmm1
i_fxsave: FAULTS fxsave [DATA]
i_fcomi: FAULTS fcomi st1
    mov eax, 0x20
i_pae: FAULTS mov cr4, eax
    mov eax, 0x01020304
    bswap eax                       ; came with the 486
    hlt
