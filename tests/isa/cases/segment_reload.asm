; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A selector that is loaded again and again takes what its descriptor holds by then
; mode: flat32
; event: checkpoint eax=0x11111111 ebx=0x11111111 ecx=0
; event: checkpoint eax=0x22222222 ebx=0x22222222 ecx=0
; event: #NP error=A eip=absent
; event: checkpoint fs=0 gs=A
%include "protected.inc"
DESCRIPTOR A, 0x20000, 0xfffff, 0xc093
    PROTECTED
    mov dword [0x20000], 0x11111111
    mov dword [0x30000], 0x22222222
    call load
    CHECKPOINT
    mov byte [gdt + A + 4], 3   ; base 0x30000
    mov byte [gdt + A + 2], 0
    mov byte [gdt + A + 3], 0
    call load
    CHECKPOINT
    mov byte [gdt + A + 5], 0x13 ; not present
    mov eax, A
absent: FAULTS mov fs, eax
    CHECKPOINT
    hlt

; Both registers, by MOV and by POP, with null selectors between; each access tells which base there is.
load:
    mov ecx, 8
.again:
    mov edx, A
    mov fs, edx
    mov eax, [fs:0]
    push edx
    pop gs
    mov ebx, [gs:0]
    mov ds, [data]
    xor edx, edx
    mov fs, edx
    dec ecx
    jnz .again
    ret
data: dw KDATA
