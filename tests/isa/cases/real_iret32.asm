; SPDX-License-Identifier: GPL-3.0-or-later
; isa: IRETD in real mode pops 32-bit values and keeps VM, VIF and VIP
; mode: real16
; event: checkpoint cf=1 ac=1 id=1 vm=0 vif=0 vip=0 rf=0 esp=STACK0
%include "real.inc"
    push dword 0x003e0003           ; ID, VIP, VIF, AC, VM, fixed 1, CF
    push dword 0
    push dword target
    iretd
target:
    CHECKPOINT
    hlt
