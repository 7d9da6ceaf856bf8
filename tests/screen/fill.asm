; SPDX-License-Identifier: GPL-3.0-or-later
;
; How fast is the linear frame buffer? A guest for tests/screen/fill, started as screens.asm is; it runs on QEMU, too.
;
; It sets 1024 x 768 x 32 by VBE and goes to 32-bit protected mode. For each kind of work it prints "NAME TICKS BYTES" on
; COM1, in hexadecimal: ticks of the ACPI PM timer (3.579545 MHz), and how many bytes of the frame buffer were touched.
;
;   stores   one MOV a dword      stos   REP STOSD      scroll   REP MOVSD by 16 lines, frame buffer to itself
;   loads    one ADD from memory a dword
;   banked   REP STOSD through A0000, 8 bits a pixel, the bank switched by hand after every 64 KiB
;   planar   REP STOSD through A0000, 4 planes, 32 KiB; every byte goes through the plane logic
;
; Ends by isa-debug-exit (port F4h).

        bits 16
        org 0

BASE     equ 10000h                    ; where this file is loaded
SECTORS  equ 4
COM1     equ 3f8h
PM_TIMER equ 608h
WIDTH    equ 1024
HEIGHT   equ 768
SIZE     equ WIDTH * HEIGHT * 4
%ifndef REPEAT
%define REPEAT 100
%endif

        times 1f1h - ($ - $$) db 0
        db SECTORS - 1                  ; setup_sects
        dw 0                            ; root_flags
        dd 1                            ; syssize, in 16 bytes
        dw 0, 0ffffh, 0                 ; ram_size, vid_mode, root_dev
        dw 0aa55h
        jmp short start                 ; 200h: the entry
        db "HdrS"
        dw 203h
        dd 0
        dw 0, 0
        db 0
        db 1                            ; loadflags: LOADED_HIGH
        dw 0
        dd 100000h, 0, 0, 0             ; code32_start, ramdisk_image, _size, bootsect_kludge
        dw 0, 0
        dd 0, 37ffffffh                 ; cmd_line_ptr, initrd_addr_max

start:  cld
        mov ax, cs
        sub ax, 20h
        mov ds, ax
        mov es, ax
        mov dx, COM1 + 3
        mov al, 3                       ; 8 bits
        out dx, al
        mov di, mode_info
        mov cx, 144h                    ; 1024 x 768 x 32 of Bochs' VGA BIOS
        mov ax, 4f01h
        int 10h
        mov ax, 4f02h
        mov bx, 4144h
        int 10h
        cli
        lgdt [gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 8:BASE + protected

        align 8
gdt:    dq 0
        dq 00cf9b000000ffffh            ; code, flat
        dq 00cf93000000ffffh            ; data, flat
gdtr:   dw 23
        dd BASE + gdt

        bits 32
protected:
        mov ax, 16
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, 80000h
        mov ebp, BASE
        mov ebx, [ebp + mode_info + 40] ; the frame buffer

%macro measure 2                        ; name, bytes; the work follows, up to `measured`
        call read_timer
        mov [ebp + began], eax
        mov dword [ebp + left], REPEAT
%%again:
        call %1
        dec dword [ebp + left]
        jnz %%again
        call read_timer
        sub eax, [ebp + began]
        and eax, 0ffffffh
        lea esi, [ebp + %%name]
        mov ecx, %2
        call report
        jmp %%over
%%name: db %str(%1), " ", 0
%%over:
%endmacro

        call stores                     ; untimed: pages appear, code is translated
        measure stores, SIZE
        measure stos, SIZE
        measure scroll, SIZE - WIDTH * 4 * 16
        measure loads, SIZE
        call set_banked
        measure banked, SIZE / 4
        call set_planar
        measure planar, 32768
        mov al, 33
        out 0f4h, al
.halt:  hlt
        jmp .halt

stores: mov edi, ebx
        mov ecx, SIZE / 4
.dword: mov [edi], ecx
        add edi, 4
        dec ecx
        jnz .dword
        ret

stos:   mov edi, ebx
        mov ecx, SIZE / 4
        mov eax, [ebp + left]
        rep stosd
        ret

scroll: mov edi, ebx
        lea esi, [ebx + WIDTH * 4 * 16]
        mov ecx, (SIZE - WIDTH * 4 * 16) / 4
        rep movsd
        ret

loads:  mov edi, ebx
        mov ecx, SIZE / 4
        xor eax, eax
.dword: add eax, [edi]
        add edi, 4
        dec ecx
        jnz .dword
        ret

; DISPI registers, index in AX, value in CX.
set_dispi:
        mov dx, 1ceh
        out dx, ax
        inc edx
        mov eax, ecx
        out dx, ax
        ret

set_banked:
        mov ax, 4
        xor ecx, ecx
        call set_dispi
        mov ax, 3
        mov ecx, 8
        call set_dispi
        mov ax, 4
        mov ecx, 1
        jmp set_dispi

set_planar:
        mov ax, 4
        xor ecx, ecx
        call set_dispi                  ; the VGA's own modes
        mov edx, 3c4h
        mov eax, 0f02h                  ; map mask: all
        out dx, ax
        mov eax, 0604h                  ; memory mode: planar
        out dx, ax
        mov edx, 3ceh
        mov eax, 0005h                  ; write mode 0
        out dx, ax
        mov eax, 0506h                  ; 64 KiB at A0000
        out dx, ax
        mov eax, 0f01h                  ; set/reset all planes
        out dx, ax
        mov eax, 0aa08h                 ; bit mask
        out dx, ax
        ret

planar: mov edi, 0a0000h
        mov ecx, 8192
        mov eax, [ebp + left]
        rep stosd
        ret

banked: xor esi, esi
.bank:  mov ax, 5
        mov ecx, esi
        call set_dispi
        mov edi, 0a0000h
        mov ecx, 4000h
        mov eax, esi
        rep stosd
        inc esi
        cmp esi, SIZE / 4 / 10000h
        jb .bank
        ret

read_timer:
        mov edx, PM_TIMER
        in eax, dx
        and eax, 0ffffffh
        ret

; "NAME TICKS BYTES": ESI = name, EAX = ticks, ECX = bytes of one turn
report: push ecx
        push eax
.name:  mov al, [esi]
        inc esi
        test al, al
        jz .ticks
        call putc
        jmp .name
.ticks: pop eax
        call put_hex
        mov al, ' '
        call putc
        mov eax, REPEAT
        pop ecx
        mul ecx
        push eax
        mov eax, edx
        call put_hex
        pop eax
        call put_hex
        mov al, 13
        call putc
        mov al, 10
putc:   push eax
        mov edx, COM1 + 5
.busy:  in al, dx
        test al, 20h
        jz .busy
        pop eax
        mov edx, COM1
        out dx, al
        ret

put_hex:                                ; EAX
        mov ecx, 8
.digit: rol eax, 4
        push eax
        and al, 15
        cmp al, 10
        sbb al, 69h
        das
        call putc
        pop eax
        dec ecx
        jnz .digit
        ret

        times SECTORS * 512 - ($ - $$) db 0
        times 16 db 0                   ; a kernel that is never started

        absolute 3000h
mode_info: resb 256
began:  resd 1
left:   resd 1
