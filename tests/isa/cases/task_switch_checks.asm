; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Before the switch: a busy TSS raises #GP(TSS), an absent one #NP, a short one #TS; IRET wants a busy one (#TS); nothing changes
; mode: flat32
; event: #GP error=TSS eip=busy
; event: #NP error=ABSENT eip=absent
; event: #TS error=SHORT_TSS eip=short_tss
; event: #TS error=0 eip=no_link nt=1
; event: #TS error=TSS2 eip=not_busy nt=1
; event: #TS error=KDATA eip=not_a_tss nt=1
; expect: tr=TSS eax=0 nt=1
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
DESCRIPTOR ABSENT, 0x5400, 0x67, ATTR_TSS32 & ~0x80
DESCRIPTOR SHORT_TSS, 0x5400, 0x66, ATTR_TSS32
TASK never, 0x7000
    PROTECTED
busy: FAULTS jmp TSS:0
absent: FAULTS jmp ABSENT:0
short_tss: FAULTS jmp SHORT_TSS:0
    push FLAG_NT | 2
    popfd
no_link: FAULTS iretd
    mov word [tss], TSS2
not_busy: FAULTS iretd
    mov word [tss], KDATA
not_a_tss: FAULTS iretd
    hlt
never:
    ud2
