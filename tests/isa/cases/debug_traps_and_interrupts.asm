; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A data breakpoint hit in the instruction before is reported before an interrupt that came with it
; mode: flat32
; event: #DB eip=behind dr6=0xffff0ff1 if=1
; event: int 0x20 eip=behind if=1
; expect: ebx=1
%include "protected.inc"
    PROTECTED
    mov eax, MMIO_INTR
    mov dr0, eax
    mov eax, 0xf0002                ; G0: access of a doubleword
    mov dr7, eax
    sti
    nop
    mov eax, [MMIO_INTR]
behind:
    inc ebx
    cli
    hlt
