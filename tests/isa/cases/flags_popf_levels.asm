; SPDX-License-Identifier: GPL-3.0-or-later
; isa: POPF changes IOPL at CPL 0 only and IF up to IOPL, without a fault; VM and RF never
; mode: flat32
; event: checkpoint iopl=2 if=1 vm=0 rf=0 ac=1
; event: checkpoint cpl=3 iopl=0 if=1 cf=1
; event: checkpoint cpl=3 iopl=3 if=0
; event: checkpoint eflags=0x3002
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    push 0x72202                    ; AC, VM, RF, IOPL 2, IF
    popfd
    CHECKPOINT
    USER user, FLAG_IF
user:
    push 0x3003                     ; IOPL 3, IF clear, CF
    popfd
    CHECKPOINT
    KERNEL
    USER user3, FLAG_IF | FLAG_IOPL3
user3:
    push 2
    popfd
    CHECKPOINT
    push 0x1002
    popf
    add esp, 2
    push 0x3002
    popfd
    CHECKPOINT
    KERNEL
    hlt
