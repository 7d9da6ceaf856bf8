; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A task switch loads CR3 and the LDT from the new TSS; the old ones are not saved
; mode: flat32
; event: checkpoint cr3=0x13000 eax=0x22222222 ldtr=LDT
; event: checkpoint cr3=0x10000 eax=0x11111111 ldtr=0
; expect-mem: 0x501c = 00 00 01 00
%include "protected.inc"
%include "paging.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
TASK other, 0x7000
    PROTECTED
    ; A second directory that maps the page of DATA elsewhere.
    PAGING
    mov dword [0x13000], 0x14000 | PTE_ALL
    mov esi, PAGE_TABLE
    mov edi, 0x14000
    mov ecx, 1024
    rep movsd
    mov dword [0x14000 + DATA / 0x1000 * 4], 0x21000 | PTE_ALL
    mov dword [DATA], 0x11111111
    mov dword [DATA + 0x1000], 0x22222222
    mov dword [tss + 0x1c], PAGE_DIRECTORY
    mov dword [tss2 + 0x1c], 0x13000
    call TSS2:0
    mov eax, [DATA]
    CHECKPOINT
    hlt
other:
    mov eax, [DATA]
    CHECKPOINT
    iretd
