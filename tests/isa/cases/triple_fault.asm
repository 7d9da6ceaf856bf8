; SPDX-License-Identifier: GPL-3.0-or-later
; isa: A fault in the delivery of #DF shuts the processor down
; mode: flat32
; expect-shutdown: #GP #NP #DF
; expect: eax=0xfff8
%include "protected.inc"
    PROTECTED
    mov byte [idt + 8 * 13 + 5], ATTR_INT32 & ~0x80
    mov byte [idt + 8 * 8 + 5], ATTR_INT32 & ~0x80
    mov eax, 0xfff8
    mov ds, ax
    hlt
