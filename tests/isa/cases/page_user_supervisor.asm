; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A page is the user's only when both levels say so; the processor's own accesses to tables and stacks are the supervisor's
; mode: flat32
; event: #PF error=5 eip=closed_above cr2=0x400000
; event: #PF error=5 eip=0x401000 cr2=0x401000 cs=UCODE
; event: int 0x30 eip=behind cs=UCODE
; event: checkpoint ds=UDATA_
; expect: cpl=0
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    or byte [idt + 8 * 0x30 + 5], ATTR_DPL3
    SET_PTE 0x400000, 0x21000 | PTE_ALL
    SET_PTE 0x401000, 0x21000 | PTE_ALL
    mov dword [PAGE_DIRECTORY + 4], PAGE_TABLE2 | PTE_P | PTE_W
    MAP 0x4000, 0x4000 | PTE_P | PTE_W  ; GDT, IDT
    MAP 0x5000, 0x5000 | PTE_P | PTE_W  ; TSS
    MAP 0x8000, 0x8000 | PTE_P | PTE_W  ; the stack it names
    USER user
user:
closed_above: FAULTS mov al, [0x400000]
    FIXUP 0x401000, fetched
    mov ecx, 0x401000
    jmp ecx
fetched:
    int 0x30
behind:
    mov ax, UDATA_                  ; the processor reads the descriptor
    mov ds, ax
    CHECKPOINT
    KERNEL
    hlt
