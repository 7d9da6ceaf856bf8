; SPDX-License-Identifier: GPL-3.0-or-later
;
; A guest that writes down what its keyboard and mouse say, for the tests of windows.
;
; It looks like a Linux kernel (boot protocol 2.03), so that -kernel starts its "setup code" in real mode under SeaBIOS. On COM1:
;
;   ready              it listens
;   K 1e               a byte of the keyboard (translated to set 1)
;   M 08               a byte of the PS/2 mouse
;   P 00 8000 ffff     with -DABSOLUTE: a packet of VMware's absolute pointer: buttons, x, y
;
; The screen shows all characters in many colours and stands still: no cursor, nothing blinks.
;
; Follows: Linux Documentation/arch/x86/boot.rst; IBM PS/2 technical reference (i8042); devices/vmmouse.h.

        bits 16
        org 0

SECTORS     equ 4
COM1        equ 3f8h
DATA        equ 60h
STATUS      equ 64h
FULL        equ 1
BUSY        equ 2
FROM_MOUSE  equ 20h
MAGIC       equ 564d5868h
BACKDOOR    equ 5658h

        times 1f1h - ($ - $$) db 0
        db SECTORS - 1                  ; setup_sects
        dw 0
        dd 1                            ; syssize, in 16 bytes
        dw 0, 0ffffh, 0
        dw 0aa55h
        jmp short start                 ; 200h: the entry
        db "HdrS"
        dw 203h
        dd 0
        dw 0, 0
        db 0
        db 1                            ; loadflags: LOADED_HIGH
        dw 0
        dd 100000h, 0, 0, 0
        dw 0, 0
        dd 0, 37ffffffh

start:  cld
        mov ax, cs
        sub ax, 20h
        mov ds, ax                      ; offsets count from the start of the file
        mov dx, COM1 + 3                ; 8 data bits
        mov al, 3
        out dx, al
        call picture
        in al, 21h                      ; IRQ 1, and IRQ 12 of the second PIC, are polled; the timer wakes us
        or al, 2
        out 21h, al
        in al, 0a1h
        or al, 10h
        out 0a1h, al
        mov al, 0a8h                    ; the mouse is plugged in and reports
        call command
        mov al, 0d4h
        call command
        mov al, 0f4h
        out DATA, al
%ifdef ABSOLUTE
        mov cx, 41                      ; read its id, then ask for positions
        mov ebx, 45414552h
        call backdoor
        mov cx, 39
        mov ebx, 1
        call backdoor
        mov cx, 41
        mov ebx, 53424152h
        call backdoor
%endif
.acknowledged:
        in al, STATUS
        test al, FULL
        jz .acknowledged
        in al, DATA
        mov si, ready
        call print
        sti

listen: hlt
.more:  in al, STATUS
        test al, FULL
        jz .pointer
        mov ah, al
        in al, DATA
        mov bl, 'K'
        test ah, FROM_MOUSE
        jz .tell
        mov bl, 'M'
.tell:  call tell_byte
        jmp .more
.pointer:
%ifdef ABSOLUTE
        mov cx, 40                      ; words that wait
        call backdoor
        cmp ax, 4
        jb listen
        mov cx, 39
        mov ebx, 4
        call backdoor
        push ecx
        push ebx
        push eax
        mov al, 'P'
        call putc
        mov al, ' '
        call putc
        pop eax
        call hex_byte
        mov al, ' '
        call putc
        pop eax
        call hex_word
        mov al, ' '
        call putc
        pop eax
        call hex_word
        call line
        jmp .pointer
%else
        jmp listen
%endif

; AL to the i8042 as a command.
command:
        push ax
.busy:  in al, STATUS
        test al, BUSY
        jnz .busy
        pop ax
        out STATUS, al
.done:  in al, STATUS
        test al, BUSY
        jnz .done
        ret

backdoor:
        mov eax, MAGIC
        mov dx, BACKDOOR
        in eax, dx
        ret

; Character n of attribute n mod 127 + 1 at each place; the cursor is off.
picture:
        mov ax, 3
        int 10h
        mov ah, 1
        mov cx, 2000h
        int 10h
        mov ax, 0b800h
        mov es, ax
        xor di, di
        xor bx, bx
.cell:  mov al, bl
        mov ah, bh
        and ah, 7fh
        stosw
        inc bl
        add bh, 3
        cmp di, 80 * 25 * 2
        jb .cell
        ret

tell_byte:                              ; BL: which, AL: the byte
        push ax
        mov al, bl
        call putc
        mov al, ' '
        call putc
        pop ax
        call hex_byte
line:   mov al, 10
        jmp putc

hex_word:                               ; AX
        push ax
        mov al, ah
        call hex_byte
        pop ax
hex_byte:                               ; AL
        push ax
        shr al, 4
        call hex_digit
        pop ax
hex_digit:
        and al, 15
        add al, '0'
        cmp al, '9'
        jbe putc
        add al, 'a' - '0' - 10
putc:   push dx
        push ax
        mov dx, COM1 + 5
.busy:  in al, dx
        test al, 20h
        jz .busy
        pop ax
        mov dx, COM1
        out dx, al
        pop dx
        ret

print:  lodsb
        test al, al
        jz .end
        call putc
        jmp print
.end:   ret

ready:  db "ready", 10, 0

        times (SECTORS * 512) - ($ - $$) db 0
        times 16 db 0                   ; the "kernel"
