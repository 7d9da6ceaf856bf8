; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With IOPL below 3, V86 code raises #GP(0) for CLI, STI, PUSHF, POPF, INT n and IRET; INT3, INTO and I/O by the bit map are not subject to it
; mode: flat32
; event: #GP error=0 eip=i_cli vm=1 cs=0
; event: #GP error=0 eip=i_sti
; event: #GP error=0 eip=i_pushf
; event: #GP error=0 eip=i_popf
; event: #GP error=0 eip=i_pushfd
; event: #GP error=0 eip=i_int
; event: #GP error=0 eip=i_iret esp=STACK_V86
; event: #OF eip=behind_into vm=1
; event: #GP error=0 eip=i_in
; event: #GP error=0 eip=i_out
; event: checkpoint iopl=2
; expect: cpl=0 vm=0
%include "protected.inc"
%include "v86.inc"
    PROTECTED
    or byte [idt + 8 * 4 + 5], ATTR_DPL3
    V86 .v86, 0x2000                ; IOPL 2
.v86:
i_cli: FAULTS cli
i_sti: FAULTS sti
i_pushf: FAULTS pushf
i_popf: FAULTS popf
i_pushfd: FAULTS pushfd
i_int: FAULTS int 0x30
i_iret: FAULTS iret
    mov al, 0x7f
    inc al
    into
behind_into:
i_in: FAULTS in al, 0x60
    mov dx, PORT_SCRATCH
i_out: FAULTS out dx, al
    CHECKPOINT
    LEAVE_V86
    hlt
