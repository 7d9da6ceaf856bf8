; SPDX-License-Identifier: GPL-3.0-or-later
; isa: STI keeps interrupts off for one more instruction when IF was clear, and not when it was set; CLI there cancels
; mode: flat32
; event: int 0x20 eip=behind_one ebx=1 if=1
; event: int 0x20 eip=behind_out ebx=1 if=1
; event: int 0x20 eip=behind_sti ebx=1
; expect: ebx=2 if=0
%include "protected.inc"
    PROTECTED
    mov al, 0x20
    out PORT_INTR, al
    sti
    inc ebx
behind_one:
    out PORT_INTR, al               ; IF is set: at once behind the OUT
behind_out:
    cli
    out PORT_INTR, al
    sti
    cli                             ; nothing got in between
    sti
    sti                             ; the second casts no shadow: it is itself the instruction in the first one's
behind_sti:
    inc ebx
    cli
    hlt
