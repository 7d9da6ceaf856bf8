; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An instruction of 15 bytes is executed, one of 16 raises #GP(0), also when what is too long is undefined or in the next page absent
; mode: flat32
; event: checkpoint eax=1
; event: #GP error=0 eip=sixteen
; event: #GP error=0 eip=bad_and_long
; event: #GP error=0 eip=0x400ff1
; event: #PF error=0 eip=0x400ff2 cr2=0x401000
; expect: eax=1
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    times 14 ds
    inc eax
    CHECKPOINT
    FIXUP sixteen, bad_and_long
sixteen:
    times 15 db 0x3e
    inc eax
    FIXUP bad_and_long, on
bad_and_long:
    times 15 db 0x3e
    ud2
on:
    ; Fifteen prefixes at the end of the last page: the sixteenth byte is not asked for. Fourteen: the next is.
    SET_PTE 0x400000, DATA | PTE_ALL
    mov edi, DATA + 0xff0
    mov ecx, 16
    push eax
    mov al, 0x3e
    rep stosb
    pop eax
    FIXUP 0x400ff1, on2
    mov ecx, 0x400ff1
    jmp ecx
on2:
    FIXUP 0x400ff2, on3
    inc ecx
    jmp ecx
on3:
    hlt
