; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Beyond the limit of CS there are no instructions: a branch raises #GP(0) at the branch, falling off the end at the instruction that is not all there
; mode: flat32
; event: #GP error=0 eip=near_branch+-0x1000 cs=SMALL
; event: #GP error=0 eip=indirect+-0x1000
; event: #GP error=0 eip=far_branch+-0x1000
; event: #GP error=0 eip=0x103 ebx=1
; expect: eax=0x104 ebx=1 cs=SMALL
%include "protected.inc"
DESCRIPTOR SMALL, ORIGIN, 0x103, 0x409b
    PROTECTED
    mov eax, 0x104
    jmp SMALL:near_branch - ORIGIN
near_branch:
    jmp near ORIGIN + 0x104
indirect:
    jmp eax
far_branch:
    jmp SMALL:0x104
off_the_end:
    jmp near ORIGIN + 0x102
    FIXUP near_branch - ORIGIN, indirect - ORIGIN
    FIXUP indirect - ORIGIN, far_branch - ORIGIN
    FIXUP far_branch - ORIGIN, off_the_end - ORIGIN
    FIXUP 0x103, end - ORIGIN
end:
    hlt
    times 0x102 - ($ - $$) nop
    inc ebx                         ; the last whole instruction
    mov al, 0xff                    ; its second byte lies beyond the limit
