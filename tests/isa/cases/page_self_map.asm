; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A directory that names itself shows its tables as memory, and a change made there takes effect
; mode: flat32
; mem: 0x21000 = 11
; event: checkpoint eax=PAGE_TABLE+0x27 ebx=0x8007
; event: checkpoint ecx=0x11
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    mov eax, [0xfffff000]           ; the directory's first entry
    mov ebx, [0xffc00000 + 8 * 4]   ; the entry of 8000h
    and ebx, ~(PTE_A | PTE_D)
    and eax, ~PTE_D
    CHECKPOINT
    mov dword [0xffc00000 + 0x400 * 4], 0x21000 | PTE_ALL ; the entry of 400000h
    movzx ecx, byte [0x400000]
    CHECKPOINT
    hlt
