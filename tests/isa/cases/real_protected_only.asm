; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Instructions of protected mode raise #UD in real mode
; mode: real16
; event: #UD eip=i_sldt
; event: #UD eip=i_str
; event: #UD eip=i_lldt
; event: #UD eip=i_ltr
; event: #UD eip=i_verr
; event: #UD eip=i_verw
; event: #UD eip=i_lar
; event: #UD eip=i_lsl
; event: #UD eip=i_arpl
%include "real.inc"
    REAL
i_sldt: FAULTS sldt ax
i_str: FAULTS str ax
i_lldt: FAULTS lldt ax
i_ltr: FAULTS ltr ax
i_verr: FAULTS verr ax
i_verw: FAULTS verw ax
i_lar: FAULTS lar ax, bx
i_lsl: FAULTS lsl ax, bx
i_arpl: FAULTS arpl ax, bx
    hlt
