; SPDX-License-Identifier: GPL-3.0-or-later
;
; A payload that checks the promises of roms/boot/bootlist.h from where the kernel would stand, and reports by
; isa-debug-exit at port F4h: 10h = all kept, otherwise the number of the first one broken.
;
; make_bootlist.c loads it at 20000h. Offset 200h is Linux' real-mode entry (2020h:0), offset 400h the 32-bit
; entry; the numbers it expects in registers and memory are make_bootlist.c's.

    org 0

INFO      equ 30000h
HIGH_COPY equ 200000h
STACK32   equ 8f000h
STACK16   equ 0e000h

%macro expect 3                         ; promise, operand, value
    mov cl, %1
    cmp %2, %3
    jne failed%[__BITS__]
%endmacro

    times 200h - ($ - $$) db 0
bits 16
    mov cl, 21h
    pushf                               ; overwrites nothing: it is above SP + 2 by then
    pop ax
    test ah, 2                          ; IF
    jnz failed16
    expect 22h, sp, STACK16
    mov ax, cs
    expect 23h, ax, 2020h
    mov ax, ds
    expect 24h, ax, 2000h
    mov ax, es
    expect 25h, ax, 2000h
    mov ax, fs
    expect 26h, ax, 2000h
    mov ax, gs
    expect 27h, ax, 2000h
    mov ax, ss
    expect 28h, ax, 2000h
    mov cl, 29h
    mov eax, cr0
    test al, 1
    jnz failed16
    mov ah, 0fh                         ; the BIOS must still answer: video mode
    int 10h
    expect 2ah, ah, 80
    mov cl, 10h
failed16:
    mov al, cl
    out 0f4h, al
    hlt

    times 400h - ($ - $$) db 0
bits 32
    xor edx, edx
    pushfd
    pop eax
    mov cl, 31h
    test ah, 2
    jnz failed32
    expect 32h, esp, STACK32
    expect 33h, esi, INFO
    expect 34h, ebp, 0
    expect 35h, edi, 0
    expect 36h, ebx, 0
    mov ax, cs
    expect 37h, ax, 10h
    mov ax, ds
    expect 38h, ax, 18h
    mov ax, es
    expect 39h, ax, 18h
    mov ax, ss
    expect 3ah, ax, 18h
    mov cl, 3bh
    mov eax, cr0
    test eax, 80000000h
    jnz failed32
    test al, 1
    jz failed32
; pieces: copied above 1 MiB from an offset; then its second half zeroed
    expect 3ch, dword [HIGH_COPY], 44434241h
    expect 3dh, dword [HIGH_COPY + 4], 0
    expect 3eh, dword [HIGH_COPY + 8], 0
    expect 3fh, dword [HIGH_COPY + 0ch], 0deadbeefh
; A20: had it been off, this copy would have come down here
    expect 40h, dword [HIGH_COPY - 100000h], 55555555h
; memory map: RAM from address 0, and mem_lower and mem_upper made from it
    mov cl, 41h
    cmp byte [INFO + 1e8h], 2
    jb failed32
    expect 42h, dword [INFO + 2d0h], 0
    expect 43h, dword [INFO + 2d0h + 16], 1
    mov cl, 44h
    cmp dword [INFO + 8], 600
    jb failed32
    cmp dword [INFO + 8], 640
    ja failed32
    mov cl, 45h
    cmp dword [INFO + 0ch], 14 * 1024
    jb failed32
    mov cl, 10h
failed32:
    mov al, cl
    out 0f4h, al
    hlt
