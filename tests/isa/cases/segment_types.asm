; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Segment types: code is never writable, execute-only code not readable, read-only data not writable; system descriptors fit no data register
; mode: flat32
; event: #GP error=0 eip=write_code
; event: #GP error=0 eip=write_cs
; event: #GP error=0 eip=write_readonly
; event: #GP error=EXECUTE_ONLY eip=load_execute_only
; event: #GP error=READ_ONLY eip=ss_readonly
; event: #GP error=KCODE eip=ss_code
; event: #GP error=TSS eip=ds_tss
; event: #GP error=LDT eip=ds_ldt
; event: #GP error=KDATA eip=jump_data
; event: #GP error=0 eip=cs_execute_only
; expect: eax=0x66
%include "protected.inc"
DESCRIPTOR EXECUTE_ONLY, 0, 0xfffff, 0xc099
DESCRIPTOR READ_ONLY, 0, 0xfffff, 0xc091
    PROTECTED
    mov byte [DATA], 0x66
    mov ax, KCODE
    mov es, ax
    xor eax, eax
    mov al, [es:DATA]
write_code: FAULTS mov [es:DATA], bl
write_cs: FAULTS mov [cs:DATA], bl
    mov dx, READ_ONLY
    mov es, dx
    cmp al, [es:DATA]
    jne bad
write_readonly: FAULTS inc byte [es:DATA]
    mov dx, EXECUTE_ONLY
load_execute_only: FAULTS mov es, dx
    mov dx, READ_ONLY
ss_readonly: FAULTS mov ss, dx
    mov dx, KCODE
ss_code: FAULTS mov ss, dx
    mov dx, TSS
ds_tss: FAULTS mov ds, dx
    mov dx, LDT
ds_ldt: FAULTS mov ds, dx
jump_data: FAULTS jmp KDATA:bad
    jmp EXECUTE_ONLY:.execute_only
.execute_only:
cs_execute_only: FAULTS mov bl, [cs:DATA]
    hlt
bad:
    ud2
