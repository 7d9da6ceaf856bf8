; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A data segment needs DPL >= CPL and DPL >= RPL; SS needs DPL = RPL = CPL; the error code is the selector without its RPL
; mode: flat32
; event: #GP error=KDATA eip=rpl_above_dpl
; event: #GP error=UDATA_ eip=ss_dpl
; event: #GP error=KDATA eip=ss_rpl
; event: #GP error=KDATA eip=cpl_above_dpl
; event: #GP error=DATA1_ eip=cpl3_dpl1
; event: #GP error=UDATA_ eip=ss_rpl0
; event: checkpoint ds=UDATA es=UDATA_ fs=UDATA_+1
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    mov ax, KDATA | 3
rpl_above_dpl: FAULTS mov ds, ax
    mov ax, UDATA                   ; DPL 3 is open to CPL 0
    mov ds, ax
    mov ax, UDATA_
ss_dpl: FAULTS mov ss, ax
    mov ax, KDATA | 1
ss_rpl: FAULTS mov ss, ax
    USER .user
.user:
    mov ax, KDATA
cpl_above_dpl: FAULTS mov ds, ax
    mov ax, DATA1
cpl3_dpl1: FAULTS mov ds, ax
    mov ax, UDATA_
    mov es, ax                      ; an RPL below the CPL does not matter for data
ss_rpl0: FAULTS mov ss, ax
    mov ax, UDATA_ + 1
    mov fs, ax
    CHECKPOINT
    KERNEL
    hlt
