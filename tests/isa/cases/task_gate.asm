; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A task gate in the GDT or LDT stands for its TSS: its own DPL counts, the TSS's does not
; mode: flat32
; event: #GP error=TSS2 eip=direct cs=UCODE
; event: #GP error=CLOSED_GATE eip=closed
; event: #NP error=ABSENT_GATE eip=absent
; event: #GP error=0 eip=null
; event: #GP error=KDATA eip=data
; event: #GP error=LOCAL_TSS eip=local
; event: checkpoint tr=TSS2 cpl=0 [tss+0x4c]=UCODE nt=1
; event: checkpoint tr=TSS cpl=3 nt=0
; expect: cpl=0
%include "protected.inc"
DESCRIPTOR TSS2, 0x5400, 0x67, ATTR_TSS32
LDT_DESCRIPTOR LOCAL_TSS, 0x5400, 0x67, ATTR_TSS32
LDT_DESCRIPTOR UNUSED, 0, 0, 0
CALL_GATE OPEN_GATE, TSS2, 0, ATTR_TASK_GATE | ATTR_DPL3
CALL_GATE CLOSED_GATE, TSS2, 0, ATTR_TASK_GATE
CALL_GATE ABSENT_GATE, TSS2, 0, (ATTR_TASK_GATE | ATTR_DPL3) & ~0x80
CALL_GATE NULL_GATE, 0, 0, ATTR_TASK_GATE | ATTR_DPL3
CALL_GATE DATA_GATE, KDATA, 0, ATTR_TASK_GATE | ATTR_DPL3
CALL_GATE LOCAL_GATE, LOCAL_TSS, 0, ATTR_TASK_GATE | ATTR_DPL3
TASK other, 0x7000
    PROTECTED
    mov dword [tss + 0x60], LDT
    mov ax, LDT
    lldt ax
    USER user
user:
direct: FAULTS call TSS2:0
closed: FAULTS call CLOSED_GATE:0
absent: FAULTS call ABSENT_GATE:0
null: FAULTS call NULL_GATE:0
data: FAULTS call DATA_GATE:0
local: FAULTS call LOCAL_GATE:0
    call (OPEN_GATE | 3):0
    CHECKPOINT
    KERNEL
    hlt
other:
    CHECKPOINT
    iretd
