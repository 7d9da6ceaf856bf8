; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With CR4.VME and IOPL 0, CLI, STI, PUSHF, POPF and IRET work on VIF; pushed images show IOPL 3 and VIF as IF
; mode: flat32
; event: checkpoint vif=1 if=0 iopl=0
; event: checkpoint vif=1 eax=0x3202
; event: checkpoint vif=0 if=0 cf=1 esp=STACK_V86
; event: checkpoint vif=0 eax=0x3003
; event: checkpoint vif=1 if=0 iopl=0 cf=0 esp=STACK_V86
; event: checkpoint vif=0
; event: #GP error=0 eip=i_pushfd
; event: #GP error=0 eip=i_popfd
; event: #GP error=0 eip=i_iretd
; event: #GP error=0 eip=popf_tf esp=STACK_V86+-2
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    mov eax, CR4_VME
    mov cr4, eax
    xor eax, eax
    V86 .v86
.v86:
    sti
    CHECKPOINT
    pushf
    pop ax
    CHECKPOINT
    push word 0x0003                ; IF clear, CF set
    popf
    CHECKPOINT
    pushf
    pop ax
    CHECKPOINT
    push word 0x0202                ; IF set
    push word 0
    push word .back
    iret
.back:
    CHECKPOINT
    cli
    CHECKPOINT
i_pushfd: FAULTS pushfd
i_popfd: FAULTS popfd
i_iretd: FAULTS iretd
    push word 0x0102                ; TF
popf_tf: FAULTS popf
    LEAVE_V86
    hlt
