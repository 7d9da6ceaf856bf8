; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A page fault while INT n pushes its frame is handled at the INT; the interrupt is taken when the instruction runs again
; mode: flat32
; event: #PF error=2 eip=soft cr2=0x8ffc cs=UCODE
; event: int 0x30 eip=behind cs=UCODE esp=STACK3
; expect: cpl=0
%include "protected.inc"
%include "paging.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
TASK page_fault, 0x7000
    PROTECTED
    PAGING
    or byte [idt + 8 * 0x30 + 5], ATTR_DPL3
    mov dword [tss + 0x1c], PAGE_DIRECTORY
    mov dword [tss2 + 0x1c], PAGE_DIRECTORY
    mov dword [idt + 8 * 14], TSS2 << 16
    mov dword [idt + 8 * 14 + 4], ATTR_TASK_GATE << 8
    MAP 0x8000, 0
    USER user
user:
soft:
    int 0x30
behind:
    KERNEL
    hlt
; The report wants a frame: vector, error code, EIP, CS, EFLAGS. The error code is there.
page_fault:
    pop edx
    push dword [tss + 0x24]
    push dword [tss + 0x4c]
    push dword [tss + 0x20]
    push edx
    push byte 14
    MAP 0x8000, 0x8000 | PTE_ALL
    out PORT_FRAME32, al
    add esp, 20
    clts
    iretd
