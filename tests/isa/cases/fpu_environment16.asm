; SPDX-License-Identifier: GPL-3.0-or-later
; isa: The 16-bit protected-mode environment has words and no opcode
; mode: flat32
; event: checkpoint [0x20000]=0x3800037f [0x20004]=0x11007fff ebx=0x20000
; expect-mem: 0x20008 = 08 00 00 01 10 00 55
%include "protected.inc"
    PROTECTED
    mov ebx, DATA
    mov byte [ebx + 14], 0x55
    fninit
    jmp load
    times 0x1100 - ORIGIN - ($ - $$) nop
load:
    fld dword [ebx + 0x100]
    o16 fnstenv [ebx]
    CHECKPOINT
    hlt
