; SPDX-License-Identifier: GPL-3.0-or-later
; isa: #AC(0) needs CR0.AM, EFLAGS.AC and CPL 3; it comes for words, doublewords and quadwords off their size, not for bytes
; mode: flat32
; event: #AC error=0 eip=word_odd now.cpl=0
; event: #AC error=0 eip=dword_even
; event: #AC error=0 eip=push_odd esp=STACK3+-2
; event: #AC error=0 eip=store_qword
; event: #GP error=0 eip=sse
; event: checkpoint ac=0
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    mov eax, cr0
    or eax, 0x00040000              ; AM
    mov cr0, eax
    mov eax, 0x200                  ; OSFXSR
    mov cr4, eax
    push FLAG_AC | 2
    popfd
    mov eax, [DATA + 1]             ; not at CPL 0
    USER user, FLAG_AC | 2
user:
    mov al, [DATA + 1]
    mov ax, [DATA + 2]
word_odd: FAULTS mov ax, [DATA + 1]
dword_even: FAULTS mov eax, [DATA + 2]
    sub esp, 2
push_odd: FAULTS push eax
    mov esp, STACK3
    fninit
    fldz
store_qword: FAULTS fstp qword [DATA + 4]
sse: FAULTS movaps xmm0, [DATA + 8]
    push 2
    popfd
    mov eax, [DATA + 1]
    CHECKPOINT
    KERNEL
    hlt
