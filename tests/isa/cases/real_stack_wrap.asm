; SPDX-License-Identifier: GPL-3.0-or-later
; isa: In real mode SP wraps between pushes; one push or pop that crosses FFFFh is #SS, which has no stack then: the processor shuts down
; mode: real16
; event: checkpoint esp=0 eax=0x11112222
; event: checkpoint esp=0xfffc [0xfffc]=0x11112222
; event: checkpoint esp=0 ebx=0x11112222
; expect-shutdown: #SS #SS #DF
%include "real.inc"
    REAL
    mov eax, 0x11112222
    mov esp, 0
    CHECKPOINT
    push eax
    CHECKPOINT
    pop ebx
    CHECKPOINT
    mov sp, 1
    push ax
    hlt
