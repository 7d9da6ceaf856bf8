; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With CR4.PVI, CLI and STI at CPL 3 work on VIF instead of raising #GP(0), and VIP makes STI fault; POPF is not changed
; mode: flat32
; event: #GP error=0 eip=without
; event: checkpoint vif=1 if=0
; event: checkpoint vif=0
; event: #GP error=0 eip=pending vip=1
; event: checkpoint vif=0
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    USER .user, 2
.user:
without: FAULTS sti
    KERNEL
    mov eax, 2                      ; PVI
    mov cr4, eax
    USER .pvi, 2
.pvi:
    sti
    CHECKPOINT
    cli
    CHECKPOINT
    KERNEL
    USER .vip, FLAG_VIP
.vip:
pending: FAULTS sti
    push 0x202
    popfd
    CHECKPOINT
    KERNEL
    hlt
