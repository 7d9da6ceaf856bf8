; SPDX-License-Identifier: GPL-3.0-or-later
;
; A 64 KiB firmware image for two measurements, assembled twice (see tests/bench/run):
;
;   -DTOUCH_MIB=0   the first instructions after reset end the emulator through isa-debug-exit (port F4h), with
;                   status 67
;   -DTOUCH_MIB=N   writes one word into every page of N MiB from 1 MiB up, says "!" on the debug console (port
;                   E9h) and halts for good, so that somebody can look at the emulator's memory meanwhile
;
; SDM volume 3, "First Instruction Executed": the processor starts 16 bytes below the image's end, CS base
; FFFF0000h.
        bits 16
        org 0
DEBUG_EXIT    equ 0xf4
DEBUG_CONSOLE equ 0xe9
ONE_MIB       equ 0x100000
PAGE          equ 0x1000

%if TOUCH_MIB > 0
touch:  cli
        o32 lgdt [cs:gdtr]
        mov eax, cr0
        or al, 1                        ; CR0.PE
        mov cr0, eax
        jmp dword 8:0xffff0000 + protected

        bits 32
protected:
        mov ax, 16
        mov ds, ax
        mov edi, ONE_MIB
        mov ecx, TOUCH_MIB * (ONE_MIB / PAGE)
page:   mov [edi], edi
        add edi, PAGE
        dec ecx
        jnz page
        mov al, '!'
        out DEBUG_CONSOLE, al
stop:   hlt
        jmp stop

        align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff           ; code, flat
        dq 0x00cf93000000ffff           ; data, flat
gdtr:   dw 23
        dd 0xffff0000 + gdt
        bits 16
%endif

        times 0xfff0 - ($ - $$) db 0
reset:
%if TOUCH_MIB > 0
        jmp touch
%else
        mov al, 33                      ; the status is twice that and one
        out DEBUG_EXIT, al
halt:   hlt
        jmp halt
%endif
        times 0x10000 - ($ - $$) db 0
