; SPDX-License-Identifier: GPL-3.0-or-later
; isa: In real mode the environment has linear addresses and the opcode, in words and in doublewords
; mode: real16
; event: checkpoint [0x7800]=0x3800037f [0x7804]=0x11007fff
; event: checkpoint [0x7808]=0x56780000+0x0187 [0x780c]=0x00002000
; event: checkpoint [0x7818]=0xffff1100 [0x781c]=0x00000187 [0x7820]=0xffff5678 [0x7824]=0x00002000
%include "real.inc"
    mov ax, 0x2000
    mov ds, ax
    xor bx, bx
    fninit
    jmp load
    times 0x1100 - ORIGIN - ($ - $$) nop
load:
    fld dword [word bx + 0x5678]    ; D9 87
    fnstenv [ss:0x7800]
    CHECKPOINT
    CHECKPOINT
    fldcw [ss:0x7800]
    o32 fnstenv [ss:0x780c]
    CHECKPOINT
    hlt
