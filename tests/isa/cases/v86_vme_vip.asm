; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With VIP set, enabling VIF by STI, POPF or IRET raises #GP(0), so that the monitor can deliver the pending interrupt
; mode: flat32
; event: #GP error=0 eip=i_sti vip=1 vif=0
; event: #GP error=0 eip=i_popf esp=STACK_V86+-2
; event: #GP error=0 eip=i_iret esp=STACK_V86+-8
; event: checkpoint vif=0 vip=1
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    mov eax, CR4_VME
    mov cr4, eax
    V86 .v86, FLAG_VIP
.v86:
i_sti: FAULTS sti
    push word 0x0202
i_popf: FAULTS popf
    mov sp, STACK_V86 - 8
    mov word [STACK_V86 - 8], done
    mov word [STACK_V86 - 6], 0
    mov word [STACK_V86 - 4], 0x0202
i_iret: FAULTS iret
done:
    cli                             ; is always allowed
    CHECKPOINT
    LEAVE_V86
    hlt
