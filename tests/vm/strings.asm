; SPDX-License-Identifier: GPL-3.0-or-later
;
; Firmware of 64 KiB whose every act is a repeated string instruction that something happens to in the middle: for ever
;
;   read eight sectors, four for each interrupt, by one REP INSW     across pages that are not present at first
;   write two sectors by one REP OUTSW each
;   REP OUTSB to COM1, whose transmitter interrupts
;   REP STOSD in the shadow of an STI, REP MOVSB under TF, REP LODSD that faults, REPE CMPSB
;   timers that are due at once: the local APIC's, set by REP STOSD, one element
;
; Paging is on. Handlers add up what they interrupt: EFLAGS, EIP, ECX, ESI, EDI. The sum goes into a log of 256 lines at
; 10000h, so one interrupt an instruction or an element too early, and all that follows is different.
;
; The page table at 3000h maps the first 4 MiB one to one, but for 200000h..20ffffh, which the #PF handler makes present
; and every round takes away again.
        bits    16
        org     0f0000h
sum     equ     500h
round   equ     504h
done    equ     508h
idt     equ     1000h
pages   equ     2000h           ; directory
table   equ     3000h
apic    equ     4000h           ; table of FEC00000h..FEFFFFFFh
area    equ     200000h

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
        mov     edi, pages
        mov     ecx, 3 * 1024
        rep     stosd
        mov     dword [pages], table + 7
        mov     dword [pages + 3fbh * 4], apic + 7
        mov     edi, table
        mov     eax, 7
.map:   stosd
        add     eax, 1000h
        cmp     eax, 400007h
        jb      .map
        mov     dword [apic + 200h * 4], 0fee00007h
        mov     eax, pages
        mov     cr3, eax
        mov     eax, cr0
        or      eax, 80010000h          ; PG, WP
        mov     cr0, eax
        mov     esi, gates
        mov     ecx, (gates.end - gates) / 8
.gate:  lodsd
        mov     edi, eax
        lodsd
        mov     [edi], ax
        mov     word [edi+2], 8
        mov     word [edi+4], 8e00h
        shr     eax, 16
        mov     [edi+6], ax
        loop    .gate
        lidt    [idtr]
        mov     esi, ports
        mov     ecx, (ports.end - ports) / 4
.port:  lodsw
        mov     edx, eax
        lodsw
        out     dx, al
        loop    .port
        mov     eax, 80000904h          ; PIIX3 IDE: I/O on
        mov     edx, 0cf8h
        out     dx, eax
        mov     edx, 0cfch
        mov     eax, 1
        out     dx, eax
        mov     dword [0fee000f0h], 1ffh ; local APIC on
        mov     dword [0fee003e0h], 0bh ; timer: divide by 1
        mov     dword [0fee00320h], 40h ; vector 40h, one shot
        mov     dword [0fee00350h], 700h ; LINT0: ExtINT

again:  inc     dword [round]
        mov     edi, table + 200h * 4   ; take the area away
        mov     ecx, 16
.away:  and     byte [edi], 0feh
        add     edi, 4
        loop    .away
        mov     eax, cr3
        mov     cr3, eax

        mov     al, 4                   ; SET MULTIPLE, then READ MULTIPLE of eight
        mov     ah, 0c6h
        call    command
        call    wait_disk
        mov     al, 8
        mov     ah, 0c4h
        call    command
        mov     edi, area + 0e00h
        call    .half
        call    .half
        jmp     .write
.half:  call    wait_disk
        mov     edx, 1f0h
        mov     ecx, 1024
        sti
        rep     insw
        ret

.write: mov     al, 2                   ; WRITE SECTORS
        mov     ah, 30h
        call    command
        mov     esi, area + 0e00h
        call    .ready
        call    .one
        call    wait_disk
        call    .one
        call    wait_disk
        jmp     .serial
.ready: mov     edx, 1f7h
.drq:   in      al, dx
        test    al, 8
        jz      .drq
        ret
.one:   mov     edx, 1f0h
        mov     ecx, 256
        sti
        rep     outsw
        ret

.serial:
        mov     edx, 3f8h
        mov     esi, area + 0e00h
        mov     ecx, 40
        rep     outsb

        mov     edi, 0fee00380h         ; the timer: due after 1..16 ns
        mov     eax, [round]
        and     eax, 15
        inc     eax
        mov     ecx, 1
        rep     stosd
        mov     edi, area + 0ff00h      ; the last page, in the shadow of an STI
        mov     ecx, 64
        cli
        mov     eax, [sum]
        sti
        rep     stosd

        mov     edi, 0fee00380h
        mov     ecx, 1
        rep     stosd                   ; a far deadline, or a near one
        mov     esi, area + 3ff0h       ; a page that is not there in the middle
        mov     ecx, 16
        xor     ebp, ebp
        rep     lodsd
        add     [sum], eax

        mov     esi, area + 0e00h
        mov     edi, area + 8ffeh
        mov     ecx, 12
        pushfd
        or      dword [esp], 100h       ; TF
        popfd
        rep     movsb
        pushfd
        and     dword [esp], ~100h
        popfd

        mov     esi, area + 0e00h
        mov     edi, area + 8ffeh
        mov     ecx, 20
        repe    cmpsb
        add     [sum], ecx
        lahf
        add     [sum], ah

        movzx   edi, byte [round]       ; the log
        shl     edi, 8
        add     edi, 10000h
        mov     eax, [sum]
        mov     ecx, 64
        rep     stosd
        jmp     again

; AH with AL sectors, at LBA of the round
command:
        mov     edx, 1f2h
        out     dx, al
        inc     edx
        mov     al, [round]
        shl     al, 3
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

; what is interrupted goes into the sum: EIP, EFLAGS (at %1 from ESP, behind EAX) and the registers of a string instruction
%macro take_in 1
        mov     eax, [esp + %1]
        xor     eax, [esp + %1 + 8]
        add     eax, ecx
        rol     eax, 5
        add     eax, esi
        rol     eax, 5
        add     eax, edi
        rol     dword [sum], 3
        add     [sum], eax
%endmacro

tick:   push    eax
        take_in 4
        xor     al, al
        out     43h, al                 ; latch counter 0
        in      al, 40h
        add     [sum], al
        in      al, 40h
        add     [sum+1], al
        mov     al, 20h
        out     20h, al
        pop     eax
        iretd

serial: push    eax
        push    edx
        take_in 8
        mov     edx, 3fah
        in      al, dx
        add     [sum], al
        mov     al, 20h
        out     20h, al
        pop     edx
        pop     eax
        iretd

disk:   push    eax
        push    edx
        take_in 8
        mov     edx, 1f7h
        in      al, dx
        mov     byte [done], 1
        mov     al, 20h
        out     0a0h, al
        out     20h, al
        pop     edx
        pop     eax
        iretd

local:  push    eax
        take_in 4
        mov     dword [0fee000b0h], 0   ; EOI
        pop     eax
        iretd

single: push    eax
        take_in 4
        pop     eax
        iretd

fault:  push    eax                     ; #PF: make the page present
        take_in 8
        mov     eax, cr2
        add     [sum], eax
        shr     eax, 12
        or      byte [table + eax * 4], 1
        pop     eax
        add     esp, 4
        iretd

        align   8
gdt:    dq      0, 00cf9b000000ffffh, 00cf93000000ffffh
gdtr:   dw      $ - gdt - 1
        dd      gdt
idtr:   dw      41h*8 - 1
        dd      idt

        align   4
gates:  dd      idt + 1*8, single, idt + 0eh*8, fault, idt + 20h*8, tick, idt + 24h*8, serial, idt + 2eh*8, disk
        dd      idt + 40h*8, local
.end:
; port, value: interrupt controllers (vectors 20h and 28h), counter 0 in mode 2 with 131, COM1 at its fastest
ports:  dw      20h, 11h, 21h, 20h, 21h, 4, 21h, 1
        dw      0a0h, 11h, 0a1h, 28h, 0a1h, 2, 0a1h, 1
        dw      21h, 0eah, 0a1h, 0bfh
        dw      43h, 34h, 40h, 131, 40h, 0
        dw      3fbh, 83h, 3f8h, 1, 3f9h, 0, 3fbh, 3, 3fah, 1, 3fch, 8, 3f9h, 2
.end:
        times   0fff0h-($-$$) db 0
        bits    16
        jmp     0f000h:(start - $$)
        times   10000h-($-$$) db 0
