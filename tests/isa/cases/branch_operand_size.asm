; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A near branch with operand size 16 clears the upper half of EIP; CALL and RET push and pop that size
; mode: flat32
; event: checkpoint eax=1 esp=0x8000
; event: checkpoint eax=2 esp=0x8000 [0x7ffe]=0x00000000+behind16
; event: checkpoint eax=3
; expect: ecx=0x10000
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    mov dword [STACK0], 0
    MAP 0x401000, 0x1000 | PTE_ALL  ; the case again
    mov ebx, high + 0x400000
    jmp ebx
high:
    o16 jmp short low               ; from 4xxxxxh to below 64 KiB
    times 3 nop
low:
    mov eax, 1
    CHECKPOINT
    db 0x66, 0xe8                   ; CALL rel16
    dw routine - behind16
behind16:
    mov eax, 2
    CHECKPOINT
    ; LOOP with a 16-bit count leaves the upper half of ECX.
    mov ecx, 0x10003
.again:
    a16 loop .again
    mov eax, 3
    CHECKPOINT
    hlt
routine:
    o16 ret
