; SPDX-License-Identifier: GPL-3.0-or-later
; isa: IRET loads RF, so that the instruction it goes to runs without a breakpoint; POPF does not load it
; mode: flat32
; event: #DB eip=here rf=0 ebx=1
; expect: ebx=2
%include "protected.inc"
    PROTECTED
    mov eax, here
    mov dr0, eax
    mov eax, 2
    mov dr7, eax
    push FLAG_RF | 2
    push KCODE
    push here
    mov dword [again], second
    iretd
second:
    mov dword [again], finish
    push FLAG_RF | 2
    popfd
here:
    inc ebx
    jmp [again]
finish:
    hlt
again: dd 0
