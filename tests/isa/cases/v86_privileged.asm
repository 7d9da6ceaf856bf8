; SPDX-License-Identifier: GPL-3.0-or-later
; isa: V86 mode is CPL 3: system instructions raise #GP(0), those of protected mode #UD
; mode: flat32
; event: #GP error=0 eip=i_hlt
; event: #GP error=0 eip=i_lgdt
; event: #GP error=0 eip=i_lmsw
; event: #GP error=0 eip=i_cr0
; event: #GP error=0 eip=i_from_cr0
; event: #GP error=0 eip=i_dr7
; event: #GP error=0 eip=i_clts
; event: #GP error=0 eip=i_invlpg
; event: #GP error=0 eip=i_rdmsr
; event: #GP error=0 eip=i_wbinvd
; event: #UD eip=i_lldt
; event: #UD eip=i_sldt
; event: #UD eip=i_lar
; event: #UD eip=i_arpl
; event: checkpoint eax=0x11
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    V86 .v86
.v86:
i_hlt: FAULTS hlt
i_lgdt: FAULTS lgdt [0]
i_lmsw: FAULTS lmsw ax
i_cr0: FAULTS mov cr0, eax
i_from_cr0: FAULTS mov eax, cr0
i_dr7: FAULTS mov dr7, eax
i_clts: FAULTS clts
i_invlpg: FAULTS invlpg [0]
i_rdmsr: FAULTS rdmsr
i_wbinvd: FAULTS wbinvd
i_lldt: FAULTS lldt ax
i_sldt: FAULTS sldt ax
i_lar: FAULTS lar ax, bx
i_arpl: FAULTS arpl ax, bx
    xor eax, eax
    smsw ax                         ; is not privileged
    CHECKPOINT
    LEAVE_V86
    hlt
