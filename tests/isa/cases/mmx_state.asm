; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An MMX instruction makes TOP 0 and all tags valid, its results have sign and exponent of ones; EMMS empties the tags
; mode: flat32
; event: checkpoint fsw=0 [0x20008]=0xffff0556
; event: checkpoint fsw=0 [0x20008]=0xffffffff
; expect-mem: 0x20020 = 88 77 66 55 44 33 22 11 ff ff
%include "protected.inc"
    PROTECTED
    fninit
    fld1
    fld1
    push dword 0x11223344
    push dword 0x55667788
    movq mm0, [esp]
    fnstenv [DATA]
    CHECKPOINT
    fxsave [DATA]
    emms
    fnstenv [DATA]
    CHECKPOINT
    hlt
