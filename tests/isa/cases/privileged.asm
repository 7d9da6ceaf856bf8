; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Privileged instructions raise #GP(0) at CPL 3 before they do anything
; mode: flat32
; event: #GP error=0 eip=p1
; event: #GP error=0 eip=p2
; event: #GP error=0 eip=p3
; event: #GP error=0 eip=p4
; event: #GP error=0 eip=p5
; event: #GP error=0 eip=p6
; event: #GP error=0 eip=p7
; event: #GP error=0 eip=p8
; event: #GP error=0 eip=p9
; event: #GP error=0 eip=p10
; event: #GP error=0 eip=p11
; event: #GP error=0 eip=p12
; event: #GP error=0 eip=p13
; event: checkpoint cpl=3
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    USER user
user:
p1: FAULTS hlt
p2: FAULTS lgdt [DATA]
p3: FAULTS lidt [DATA]
p4: FAULTS clts
p5: FAULTS invd
p6: FAULTS wbinvd
p7: FAULTS invlpg [DATA]
p8: FAULTS rdmsr
p9: FAULTS wrmsr
p10: FAULTS mov cr3, eax
p11: FAULTS mov dr7, eax
p12: FAULTS cli                     ; CPL > IOPL
p13: FAULTS in al, dx               ; and by the I/O map
    sgdt [DATA]                     ; these are not privileged
    sidt [DATA]
    str ax
    sldt ax
    CHECKPOINT
    KERNEL
    hlt
