; SPDX-License-Identifier: GPL-3.0-or-later
; isa: One frame at two linear addresses is one memory, for data, stack and an access that crosses from one to the other
; mode: flat32
; event: checkpoint eax=0x44332211
; event: checkpoint ebx=0x22114433
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    SET_PTE 0x400000, 0x21000 | PTE_ALL
    SET_PTE 0x401000, 0x21000 | PTE_ALL
    mov dword [0x400ffe], 0x44332211 ; bytes 11 22 at the end of the frame, 33 44 at its beginning
    mov eax, [0x400ffe]
    CHECKPOINT
    mov bx, [0x21ffe]
    shl ebx, 16
    mov bx, [0x21000]
    CHECKPOINT
    hlt
