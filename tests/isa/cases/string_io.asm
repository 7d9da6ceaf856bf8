; SPDX-License-Identifier: GPL-3.0-or-later
; isa: INS and OUTS move between port DX and memory, with repetition; a fault on the memory side comes before the port is touched
; mode: flat32
; set: esi=0x20000 edi=0x20011 edx=0x300 ecx=3
; mem: 0x20000 = 11 22 33 44
; event: checkpoint esi=0x20003 ecx=0
; event: checkpoint eax=0x33
; event: checkpoint edi=0x20013
; event: #PF error=2 eip=absent edi=0x500000
; event: #PF error=0 eip=absent_out esi=0x500000
; expect-mem: 0x20011 = 33 33
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    rep outsb
    CHECKPOINT
    in al, dx
    CHECKPOINT
    mov ecx, 2
    rep insb
    CHECKPOINT
    mov edi, 0x500000
absent: FAULTS insd
    mov esi, 0x500000
absent_out: FAULTS outsd
    hlt
