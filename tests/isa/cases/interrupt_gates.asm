; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An interrupt gate clears IF, a trap gate keeps it, both clear TF, NT and RF; the frame holds the flags as they were
; mode: flat32
; event: int 0x30 eip=behind1 cs=KCODE esp=0x8000 if=1 nt=1 cf=1 now.if=0 now.nt=0 now.cf=1 now.esp=0x7fec
; event: int 0x31 eip=behind2 if=1 nt=1 now.if=1 now.nt=0
; expect: if=1 nt=1
%include "protected.inc"
    PROTECTED
    SET_GATE 0x31, KCODE, trap, ATTR_TRAP32
    push FLAG_IF | FLAG_NT | 3
    popfd
    int 0x30
behind1:
    int 0x31
behind2:
    hlt
; The common handler would end with IRETD under NT, had the gate not cleared it.
trap:
    push byte 0
    push byte 0x31
    out PORT_FRAME32, al
    add esp, 8
    iretd
