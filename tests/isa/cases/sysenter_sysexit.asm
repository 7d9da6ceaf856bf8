; SPDX-License-Identifier: GPL-3.0-or-later
; isa: SYSENTER and SYSEXIT load flat segments from the MSR's selector and the stack and instruction pointers given, without looking at descriptors
; mode: flat32
; event: #GP error=0 eip=no_msr cs=UCODE
; event: checkpoint cpl=0 cs=0x100 ss=0x108 esp=0x7800 if=0 vm=0 ds=UDATA
; event: checkpoint cpl=3 cs=0x113 ss=0x11b esp=STACK3 if=0
; event: #GP error=0 eip=user_exit
; event: #GP error=0 eip=no_msr_exit cpl=0
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    USER early
early:
no_msr: FAULTS sysenter
    KERNEL
    xor edx, edx
    mov eax, 0x103                  ; RPL bits are ignored
    mov ecx, 0x174                  ; IA32_SYSENTER_CS
    wrmsr
    mov eax, 0x7800
    inc ecx                         ; ESP
    wrmsr
    mov eax, entry
    inc ecx                         ; EIP
    wrmsr
    USER user, FLAG_IF
user:
    mov ecx, esp
    mov edx, back
    sysenter
entry:
    CHECKPOINT
    sysexit
back:
    CHECKPOINT
    KERNEL
    USER again
again:
user_exit: FAULTS sysexit
    KERNEL
    xor eax, eax
    xor edx, edx
    mov ecx, 0x174
    wrmsr
no_msr_exit: FAULTS sysexit
    hlt
