; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With CR4.VME the TSS's bit map sends INT n to the 8086 program's own table, without a change of level, whatever the IOPL
; mode: flat32
; event: checkpoint cs=0 vm=1 cpl=3 vif=0 if=0 esp=STACK_V86+-6 [STACK_V86+-6]=behind [STACK_V86+-2]=0x00003202
; event: checkpoint vif=1 esp=STACK_V86
; event: #GP error=0 eip=to_kernel_iopl0
; event: checkpoint cs=0 vm=1 vif=0 if=0 iopl=3 esp=STACK_V86+-6 [STACK_V86+-2]=0x00003202
; event: int 0x31 eip=behind31 vm=1 iopl=3
; expect: cpl=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    or byte [redirection + 0x31 / 8], 1 << (0x31 % 8) ; vector 31h goes to the kernel
    or byte [idt + 8 * 0x31 + 5], ATTR_DPL3
    mov dword [4 * 0x30], handler   ; the 8086 program's table
    mov dword [STACK_V86], 0
    mov eax, CR4_VME
    mov cr4, eax
    V86 .v86, FLAG_VIF
.v86:
    int 0x30
behind:
    CHECKPOINT
to_kernel_iopl0: FAULTS int 0x31
    LEAVE_V86
    V86 .iopl3, FLAG_IOPL3 | FLAG_IF
.iopl3:
    int 0x30
    int 0x31
behind31:
    LEAVE_V86
    hlt
bits 16
handler:
    CHECKPOINT
    iret
