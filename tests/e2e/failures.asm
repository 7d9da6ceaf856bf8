; SPDX-License-Identifier: GPL-3.0-or-later
;
; ROMs of 64 KiB whose guests fail, each in its way: FAIL is 1 for a triple fault, 2 for a panic on the first serial port, 3 for a hang.
        bits 16
        org 0

start:  cli
        mov ax, cs
        mov ds, ax
%if FAIL == 1
        lidt [nothing]
        ud2
nothing: dw 0
        dd 0
%elif FAIL == 2
        mov dx, 0x3fb           ; 8 bits a character
        mov al, 3
        out dx, al
        mov si, text
next:   lodsb
        test al, al
        jz forever
        mov ah, al
        mov dx, 0x3fd
busy:   in al, dx
        test al, 0x20
        jz busy
        mov dx, 0x3f8
        mov al, ah
        out dx, al
        jmp next
forever: jmp forever
text:   db "booting", 13, 10, "cpu0: panic: no fun left", 13, 10, 0
%else
        hlt
%endif
        times 0xfff0 - ($ - $$) db 0xff
        jmp 0xf000:start
        times 0x10000 - ($ - $$) db 0
