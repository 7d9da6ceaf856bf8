; SPDX-License-Identifier: GPL-3.0-or-later
; isa: MOV SS and POP SS keep an interrupt or NMI that is raised meanwhile off for one instruction; other loads do not
; mode: flat32
; event: int 0x20 eip=behind_mov ebx=1 if=1
; event: int 0x20 eip=behind_ds ebx=1
; event: NMI eip=behind_nmi ebx=2
; event: NMI eip=behind_es ebx=2
; expect: ebx=2
%include "protected.inc"
    PROTECTED
    mov eax, KDATA                  ; what the memory-mapped registers read as
    mov dx, PORT_SCRATCH
    out dx, eax
    sti
    nop
    mov ss, [MMIO_INTR]
    inc ebx
behind_mov:
    mov ds, [MMIO_INTR]
behind_ds:
    mov ss, [MMIO_NMI]
    inc ebx
behind_nmi:
    mov es, [MMIO_NMI]
behind_es:
    cli
    hlt
