; SPDX-License-Identifier: GPL-3.0-or-later
;
; Firmware of 64 KiB that is never at rest: a timer interrupt every millisecond, and for ever
;
;   read two sectors by PIO, each with its interrupt       8000h
;   write two sectors by DMA, made of what was read        LBA 64..127
;   read them back by DMA                                  9000h
;   write a line to the log, and to COM1                   10000h..1FFFFh
;
; Everything goes into a sum that also takes in the timer's counter at every interrupt: one wrong byte, or one interrupt
; an instruction too early, and all that follows is different.
        bits    16
        org     0f0000h
sum     equ     500h
ticks   equ     504h
round   equ     508h
done    equ     50ch            ; the disk has interrupted
inside  equ     50dh            ; depth of interrupts, for the test to look at
prd     equ     6000h
idt     equ     1000h

start:  cli
        cld
        o32 lgdt [cs:gdtr - $$]
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        jmp     dword 8:flat

        bits    32
flat:   mov     ax, 10h
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, 7000h
        mov     edi, 500h
        xor     eax, eax
        mov     ecx, 16
        rep     stosb
        mov     ebx, tick
        mov     edi, idt + 20h*8
        call    gate
        mov     ebx, disk
        mov     edi, idt + 2eh*8
        call    gate
        lidt    [idtr]
        mov     esi, ports
        mov     ecx, (ports.end - ports) / 4
.port:  lodsw
        mov     edx, eax
        lodsw
        out     dx, al
        loop    .port
        mov     eax, 80000920h          ; PIIX3 IDE: bus master registers at C000h
        mov     ebx, 0c001h
        call    config
        mov     eax, 80000904h          ; I/O and bus master on
        mov     ebx, 5
        call    config
        sti

again:  inc     dword [round]
        mov     byte [done], 0
        mov     al, [round]
        and     al, 3fh
        mov     ah, 20h                 ; READ SECTORS
        call    command
        mov     edi, 8000h
        call    pio
        call    pio

        mov     esi, 8000h              ; what is written: what was read, and the sum
        mov     ecx, 256
.mix:   mov     eax, [sum]
        xor     [esi], eax
        add     esi, 4
        loop    .mix
        mov     al, [round]
        and     al, 3fh
        add     al, 64
        mov     ah, 0cah                ; WRITE DMA
        mov     ebx, 8000h
        mov     cl, 1
        call    dma
        mov     al, [round]
        and     al, 3fh
        add     al, 64
        mov     ah, 0c8h                ; READ DMA
        mov     ebx, 9000h
        mov     cl, 9
        call    dma
        mov     esi, 9000h
        mov     ecx, 256
        call    add_up

        movzx   edi, byte [round]       ; the log: 256 lines
        shl     edi, 8
        add     edi, 10000h
        mov     eax, [sum]
        mov     ecx, 64
        rep     stosd
        mov     edx, 3f8h
        out     dx, al
        jmp     again

; an interrupt gate at EDI that leads to EBX
gate:   mov     [edi], bx
        mov     word [edi+2], 8
        mov     word [edi+4], 8e00h
        shr     ebx, 16
        mov     [edi+6], bx
        ret

; EBX to the configuration register EAX
config: mov     edx, 0cf8h
        out     dx, eax
        mov     edx, 0cfch
        mov     eax, ebx
        out     dx, eax
        ret

; AH at LBA AL, two sectors
command:
        mov     edx, 1f2h
        push    eax
        mov     al, 2
        out     dx, al
        inc     edx
        pop     eax
        out     dx, al
        inc     edx
        xor     al, al
        out     dx, al
        inc     edx
        out     dx, al
        inc     edx
        mov     al, 0e0h
        out     dx, al
        inc     edx
        mov     al, ah
        out     dx, al
        ret

wait_disk:
        cli
        cmp     byte [done], 0
        jne     .yes
        sti
        hlt
        jmp     wait_disk
.yes:   mov     byte [done], 0
        sti
        ret

pio:    call    wait_disk
        mov     edx, 1f0h
        mov     ecx, 256
        rep     insw
        lea     esi, [edi-512]
        mov     ecx, 128

; ECX doublewords at ESI
add_up: lodsd
        add     [sum], eax
        rol     dword [sum], 3
        loop    add_up
        ret

; command AH, LBA AL, buffer EBX, start value of the bus master CL
dma:    mov     [prd], ebx
        mov     dword [prd+4], 80000400h ; 1024 bytes, the last
        push    eax
        mov     edx, 0c004h
        mov     eax, prd
        out     dx, eax
        mov     edx, 0c002h
        mov     al, 66h
        out     dx, al
        mov     edx, 0c000h
        mov     al, cl
        and     al, 8
        out     dx, al
        pop     eax
        call    command
        mov     edx, 0c000h
        mov     al, cl
        out     dx, al
        call    wait_disk
        mov     edx, 0c000h
        xor     al, al
        out     dx, al
        ret

tick:   inc     byte [inside]
        push    eax
        xor     al, al
        out     43h, al                 ; latch counter 0
        in      al, 40h
        add     [sum], al
        in      al, 40h
        add     [sum+1], al
        inc     dword [ticks]
        mov     al, 20h
        out     20h, al
        pop     eax
        dec     byte [inside]
        iretd

disk:   inc     byte [inside]
        push    eax
        push    edx
        mov     edx, 1f7h
        in      al, dx
        mov     edx, 0c002h
        in      al, dx
        out     dx, al
        mov     byte [done], 1
        mov     al, 20h
        out     0a0h, al
        out     20h, al
        pop     edx
        pop     eax
        dec     byte [inside]
        iretd

        align   8
gdt:    dq      0, 00cf9b000000ffffh, 00cf93000000ffffh
gdtr:   dw      $ - gdt - 1
        dd      gdt
idtr:   dw      30h*8 - 1
        dd      idt

; port, value: interrupt controllers (vectors 20h and 28h), counter 0 in mode 2 with 1193
ports:  dw      20h, 11h, 21h, 20h, 21h, 4, 21h, 1
        dw      0a0h, 11h, 0a1h, 28h, 0a1h, 2, 0a1h, 1
        dw      21h, 0fah, 0a1h, 0bfh
        dw      43h, 34h, 40h, 0a9h, 40h, 4
.end:
        times   0fff0h-($-$$) db 0
        bits    16
        jmp     0f000h:(start - $$)
        times   10000h-($-$$) db 0
