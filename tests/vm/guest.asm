; SPDX-License-Identifier: GPL-3.0-or-later
;
; A ROM of 64 KiB whose guest works for ever in flat 32-bit code: it mixes a megabyte's worth of words, one step a word, and
; reads port 77h after every 64 steps, where a test may have put something. Without that the port decodes nothing.
        bits 16
        org 0

start:  cli
        mov ax, cs
        mov ds, ax
        lgdt [cs:gdt_pointer]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 8:0xf0000 + flat

        bits 32
flat:   mov ax, 16
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, 0x8000
        mov esi, 0x10000
        mov eax, 0x12345678
mix:    mov ecx, 64
step:   imul eax, eax, 1664525
        add eax, 1013904223
        xor eax, [esi]
        mov [esi], eax
        add esi, 4
        and esi, 0x3ffff
        or esi, 0x10000
        dec ecx
        jnz step
        mov ebx, eax
        in al, 0x77
        mov eax, ebx
        jmp mix

        align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff
        dq 0x00cf93000000ffff
gdt_pointer:
        dw 23
        dd 0xf0000 + gdt

        times 0xfff0 - ($ - $$) db 0xff
        bits 16
        jmp 0xf000:start
        times 0x10000 - ($ - $$) db 0
