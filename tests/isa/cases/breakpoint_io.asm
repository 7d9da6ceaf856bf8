; SPDX-License-Identifier: GPL-3.0-or-later
; isa: With CR4.DE an I/O breakpoint traps behind IN and OUT of its port
; mode: flat32
; set: edx=0x300
; event: #DB eip=after_out dr6=0xffff0ff1
; event: #DB eip=after_in dr6=0xffff0ff1
; event: #DB eip=after_wide dr6=0xffff0ff1
; expect: edx=0x2fe
%include "protected.inc"
    PROTECTED
    mov eax, cr4
    or eax, 8                       ; DE
    mov cr4, eax
    mov eax, 0x300
    mov dr0, eax
    mov eax, 0x20002                ; G0: I/O, one byte
    mov dr7, eax
    inc edx
    out dx, al
    dec edx
    out dx, al
after_out:
    in al, dx
after_in:
    dec edx
    in al, dx
    dec edx
    in eax, dx
after_wide:
    nop
    hlt
