; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A 32-bit branch beyond 64 KiB in real mode raises #GP at the branch
; mode: real16
; event: #GP eip=near_jump
; event: #GP eip=far_jump
%include "real.inc"
    REAL
near_jump: FAULTS jmp dword near_jump + 0x10000
far_jump: FAULTS jmp dword 0:0x10000
    hlt
