; SPDX-License-Identifier: GPL-3.0-or-later
; isa: IRET to CPL 3 loads SS:ESP and all flags; at CPL 3 it changes IOPL never and IF only up to IOPL
; mode: flat32
; event: checkpoint cpl=3 ss=UDATA esp=STACK3 iopl=1 if=1 cf=1 id=1 ac=1 df=1
; event: checkpoint iopl=1 if=1 cf=0 esp=STACK3
; event: checkpoint iopl=3 if=0
; expect: cpl=0
%include "protected.inc"
    PROTECTED
    USER user, 0x00241603           ; ID, AC, IOPL 1, DF, IF, CF
user:
    CHECKPOINT
    push dword 0x3002               ; IOPL 3, IF 0: both ignored
    push UCODE
    push same
    iretd
same:
    CHECKPOINT
    KERNEL
    USER user3, 0x3202
user3:
    push dword 0x0002               ; now IF may change; IOPL still not
    push UCODE
    push same3
    iretd
same3:
    CHECKPOINT
    KERNEL
    hlt
