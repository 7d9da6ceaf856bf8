; SPDX-License-Identifier: GPL-3.0-or-later
; isa: PUSHA stores the old stack pointer and POPA skips it
; mode: flat32
; set: eax=1 ebx=2 ecx=3 edx=4 esi=5 edi=6 ebp=7
; expect-mem: 0x7fe0 = 06 00 00 00 05 00 00 00 07 00 00 00 34 12 00 00
bits 32
org 0x1000
    pushad
    mov dword [esp + 12], 0x1234
    popad
    hlt
