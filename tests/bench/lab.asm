; SPDX-License-Identifier: GPL-3.0-or-later
;
; The guests of tests/bench/lab: a ROM of 64 KiB each, by what nasm is told.
;
;   -DWORK=BYTES           computes for ever: passes over so many bytes of memory, or in registers alone (0)
;   -DYIELD=n -DPERIOD=p   computes for n counts of the i8254 (838 ns each) after each of its ticks, then sleeps until the next
;   -DNAP -DPERIOD=p       sleeps; after each tick it looks how long ago that was
;
; It counts its own work: 500h, 64 bits, how much has been done. 1000h, NAP: 4096 numbers of 32 bits, how many wakes came
; within 16, 32, 48... counts.
        bits 16
        org 0

work    equ 0x500
bins    equ 0x1000

%ifdef WORK
start:  cli
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
        mov eax, 0x12345678
pass:
%if WORK > 0
        mov esi, 0x200000
        mov ecx, WORK / 64
line:   add eax, [esi]
        add [esi + 32], eax
        add esi, 64
        dec ecx
        jnz line
%else
        mov ecx, 4096
step:   imul eax, eax, 1664525
        add eax, 1013904223
        dec ecx
        jnz step
%endif
        add dword [work], 1
        adc dword [work + 4], 0
        jmp pass

        align 8
gdt:    dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
        dw 23
        dd 0xf0000 + gdt
        bits 16
%else

start:  xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x800
        mov word [8 * 4], tick
        mov word [8 * 4 + 2], 0xf000
        mov al, 0x11            ; i8259: vectors from 8 on, IRQ 0 alone
        out 0x20, al
        mov al, 8
        out 0x21, al
        mov al, 4
        out 0x21, al
        mov al, 1
        out 0x21, al
        mov al, 0xfe
        out 0x21, al
        mov al, 0x34            ; i8254: counter 0, mode 2
        out 0x43, al
        mov al, PERIOD & 255
        out 0x40, al
        mov al, PERIOD >> 8
        out 0x40, al
        sti
sleep:  hlt
%ifdef YIELD
busy:   mov cx, 64
mix:    imul bx, bx, 25173
        add bx, 13849
        dec cx
        jnz mix
        add dword [work], 1
        adc dword [work + 4], 0
        call passed
        cmp ax, YIELD
        jb busy
%endif
        jmp sleep

; ax: counts since the last tick
passed: mov al, 0
        out 0x43, al
        in al, 0x40
        mov dl, al
        in al, 0x40
        mov dh, al
        mov ax, PERIOD
        sub ax, dx
        ret

tick:   push ax
        push bx
        push dx
%ifdef NAP
        call passed
        mov bx, ax
        shr bx, 4
        and bx, 4095
        shl bx, 2
        inc dword [bx + bins]
        add dword [work], 1
        adc dword [work + 4], 0
%endif
        mov al, 0x20
        out 0x20, al
        pop dx
        pop bx
        pop ax
        iret
%endif

        times 0xfff0 - ($ - $$) db 0
        jmp start
        times 0x10000 - ($ - $$) db 0
