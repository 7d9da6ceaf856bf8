; SPDX-License-Identifier: GPL-3.0-or-later
; isa: CMPXCHG8B compares EDX:EAX with memory, stores ECX:EBX or loads EDX:EAX, and changes ZF only
; mode: flat32
; set: eax=1 edx=2 ebx=3 ecx=4 cf=1 sf=1 of=1
; mem: 0x20000 = 01 00 00 00 02 00 00 00
; expect: eax=3 edx=4 zf=0 cf=1 sf=1 of=1 ebp=1
; expect-mem: 0x20000 = 03 00 00 00 04 00 00 00
bits 32
org 0x1000
    cmpxchg8b [0x20000]
    jne .end
    inc ebp                         ; (OF, SF, ZF, AF, PF are set by it)
    mov eax, 9
    push dword 0x8c3                ; OF, SF, ZF, CF
    popfd
    lock cmpxchg8b [0x20000]
.end:
    hlt
