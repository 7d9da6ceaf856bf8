; SPDX-License-Identifier: GPL-3.0-or-later
; isa: CR0.EM and TS make x87 instructions #NM; WAIT needs MP and TS; with EM set MMX and SSE raise #UD, with TS #NM; UD beats NM
; mode: flat32
; event: #NM eip=em_x87
; event: #UD eip=em_mmx
; event: #UD eip=em_sse
; event: #NM eip=ts_x87
; event: #NM eip=ts_mmx
; event: #NM eip=ts_sse
; event: #NM eip=mp_ts_wait
; event: #UD eip=no_osfxsr
; event: #NM eip=ts_fxsave
; expect: cr0=0x60000011
%include "protected.inc"
; CR0 clear, set
%macro SET_CR0 1
    mov eax, 0x60000011 | (%1)
    mov cr0, eax
%endmacro
MP equ 2
EM equ 4
TS equ 8
    PROTECTED
    mov eax, 0x200                  ; OSFXSR
    mov cr4, eax
    fninit
    SET_CR0 EM
em_x87: FAULTS fld1
em_mmx: FAULTS paddb mm0, mm1
em_sse: FAULTS addps xmm0, xmm1
    wait                            ; EM does not matter to it
    SET_CR0 TS
ts_x87: FAULTS fnstsw ax
ts_mmx: FAULTS emms
ts_sse: FAULTS addps xmm0, xmm1
    wait                            ; nor does TS alone
ts_fxsave0:
    SET_CR0 TS | MP
mp_ts_wait: FAULTS wait
    SET_CR0 0
    xor eax, eax
    mov cr4, eax
no_osfxsr: FAULTS addps xmm0, xmm1
    SET_CR0 TS
ts_fxsave: FAULTS fxsave [DATA]
    clts
    hlt
