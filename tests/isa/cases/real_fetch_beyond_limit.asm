; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An instruction that crosses offset FFFFh of a real-mode code segment raises #GP and is not executed
; mode: real16
; mem: 0xfffe = 90 b0
; event: #GP eip=0xffff cs=0
; expect: eax=0
%include "real.inc"
    REAL
    FIXUP 0xffff, out
    jmp 0:0xfffe                    ; NOP, then the first byte of MOV AL, imm8
out:
    hlt
