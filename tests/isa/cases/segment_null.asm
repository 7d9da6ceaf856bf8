; SPDX-License-Identifier: GPL-3.0-or-later
; isa: DS, ES, FS and GS may be loaded with a null selector of any RPL, and #GP(0) comes at the first use; SS may not
; mode: flat32
; event: #GP error=0 eip=use_ds
; event: #GP error=0 eip=use_es
; event: #GP error=0 eip=use_fs
; event: #GP error=0 eip=use_gs
; event: #GP error=0 eip=load_ss
; event: #GP error=0 eip=load_ss3
; expect: ds=0 es=1 fs=2 gs=3 ss=KDATA
%include "protected.inc"
    PROTECTED
    xor eax, eax
    mov ds, ax
    inc eax
    mov es, ax
    inc eax
    mov fs, ax
    inc eax
    mov gs, ax
use_ds: FAULTS mov bl, [0]
use_es: FAULTS stosb
use_fs: FAULTS mov [fs:DATA], al
use_gs: FAULTS mov bl, [gs:DATA]
    xor eax, eax
load_ss: FAULTS mov ss, ax
    mov al, 3
load_ss3: FAULTS mov ss, ax
    hlt
