; SPDX-License-Identifier: GPL-3.0-or-later
;
; A guest that means harm: a ROM of 64 KiB that does one random thing after the other in ring 0, for ever.
;
;   00000 this program     00ff0 seed (hostile.c writes it)     01000 random code (hostile.c writes it)     0fff0 reset
;
; Every exception and interrupt leads back to the choice of the next act. What random code leaves behind (segments, paging,
; a masked timer) is repaired as far as that is possible. hostile.c sends NMIs to one that is halted for good, resets it,
; and replaces it in the end; it begins with other random numbers each time.
RANDOM  equ 0x500                      ; xorshift32 state, in memory
IDT     equ 0x1000
RINGS   equ 0x20000                    ; descriptors, random bytes
STACK   equ 0x9000

        bits 16
        org 0
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
        mov esp, STACK
        rdtsc
        xor eax, [0xf0000 + seed]
        or eax, 1
        mov [RANDOM], eax
        mov edi, IDT                   ; 256 interrupt gates to `again`
        mov ecx, 256
gate:   mov eax, 0x80000 + again
        stosd
        mov eax, 0xf8e00               ; offset 000f....; present, DPL 0, 32-bit interrupt gate
        stosd
        loop gate
        mov al, 0x11                   ; both PICs from vector 20h on, nothing masked
        out 0x20, al
        out 0xa0, al
        mov al, 0x20
        out 0x21, al
        mov al, 0x28
        out 0xa1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xa1, al
        mov al, 1
        out 0x21, al
        out 0xa1, al
        xor eax, eax
        out 0x21, al
        out 0xa1, al

again:  cli
        cld
        mov eax, cr0
        and eax, 0x7ffffff1            ; no paging, no FPU traps
        mov cr0, eax
        mov ax, 16
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, STACK
        lgdt [0xf0000 + gdt_pointer]
        lidt [0xf0000 + idt_pointer]
        push dword 2                   ; an IRET, for the next NMI to come in
        push dword 8
        push dword 0xf0000 + free
        iretd
free:
        mov al, 0x34                   ; the timer, every 2 ms: it ends loops that forget to mask it
        out 0x43, al
        mov al, 0x52
        out 0x40, al
        mov al, 9
        out 0x40, al
        mov al, 0x20
        out 0xa0, al
        out 0x20, al
        call random
        and eax, 7
        jmp [0xf0000 + acts + eax * 4]

        align 4
acts:   dd 0xf0000 + ports, 0xf0000 + pci, 0xf0000 + mmio, 0xf0000 + rings, 0xf0000 + ide
        dd 0xf0000 + code, 0xf0000 + code, 0xf0000 + code

; eax: the next random number; ebx, ecx, edx, esi, edi are kept
random: mov eax, [RANDOM]
        push ecx
        mov ecx, eax
        shl ecx, 13
        xor eax, ecx
        mov ecx, eax
        shr ecx, 17
        xor eax, ecx
        mov ecx, eax
        shl ecx, 5
        xor eax, ecx
        pop ecx
        test eax, eax
        jnz .kept
        inc eax
.kept:  mov [RANDOM], eax
        ret

; 64 accesses to ports: any, of any size
ports:  mov ecx, 64
.next:  call random
        mov edx, eax
        call random
        mov ebx, eax
        call random
        mov esi, eax
        mov eax, ebx
        and esi, 7
        jz .in8
        dec esi
        jz .in16
        dec esi
        jz .in32
        dec esi
        jz .out16
        dec esi
        jz .out32
        out dx, al
        jmp .done
.in8:   in al, dx
        jmp .done
.in16:  in ax, dx
        jmp .done
.in32:  in eax, dx
        jmp .done
.out16: out dx, ax
        jmp .done
.out32: out dx, eax
.done:  loop .next
        jmp again

; 16 writes to configuration space of bus 0: base addresses onto memory and onto each other, commands, anything
pci:    mov ecx, 16
.next:  call random
        and eax, 0xfffc
        or eax, 0x80000000
        mov dx, 0xcf8
        out dx, eax
        call random
        mov dx, 0xcfc
        out dx, eax
        loop .next
        jmp again

; 64 accesses where devices are mapped: display, APICs, BARs, the top of memory
mmio:   mov ecx, 64
.next:  call random
        mov esi, eax
        and esi, 7
        mov edi, [0xf0000 + bases + esi * 4]
        call random
        and eax, 0xfffff
        add edi, eax
        call random
        test al, 1
        jz .load
        mov [edi], eax
        loop .next
        jmp again
.load:  mov eax, [edi]
        mov bx, [edi + 1]
        loop .next
        jmp again

        align 4
bases:  dd 0xa0000, 0xc0000, 0xe0000000, 0xfd000000, 0xfeb00000, 0xfec00000, 0xfee00000, 0xfff00000

; ebx: configuration address of the device with the identity in eax, 0: there is none
find:   mov edi, eax
        mov ebx, 0x80000000
.slot:  mov eax, ebx
        mov dx, 0xcf8
        out dx, eax
        mov dx, 0xcfc
        in eax, dx
        cmp eax, edi
        je .found
        add ebx, 0x100
        cmp ebx, 0x80010000
        jb .slot
        xor ebx, ebx
.found: ret

; eax: the configuration register at bl + ebx's function
config: mov dx, 0xcf8
        out dx, eax
        mov dx, 0xcfc
        in eax, dx
        ret

; An e1000 with rings of random descriptors, or at random places, of random lengths
rings:  mov edi, RINGS
        mov ecx, 1024
.fill:  call random
        stosd
        loop .fill
        mov eax, 0x100e8086
        call find
        test ebx, ebx
        jz again
        lea eax, [ebx + 4]             ; memory, bus master
        mov dx, 0xcf8
        out dx, eax
        mov eax, 7
        mov dx, 0xcfc
        out dx, eax
        lea eax, [ebx + 0x10]
        call config
        and eax, ~15
        mov edi, eax
        mov ecx, 24
.write: call random
        mov esi, eax
        and esi, 15
        mov esi, [0xf0000 + registers + esi * 4]
        call random
        mov ebx, eax
        call random
        test al, 3
        jz .poke                       ; anything
        test al, 4
        jz .near
        and ebx, 0xff                  ; a small number: heads and tails
        jmp .poke
.near:  mov ebx, RINGS
.poke:  mov [edi + esi], ebx
        loop .write
        mov dword [edi + 0x3818], 7    ; transmit
        mov eax, [edi + 0xc0]          ; causes
        jmp again

        align 4
registers:                             ; CTRL RCTL TCTL, TDBAL TDBAH TDLEN TDH TDT, RDBAL RDBAH RDLEN RDH RDT, IMS ICS EERD
        dd 0x0000, 0x0100, 0x0400, 0x3800, 0x3804, 0x3808, 0x3810, 0x3818
        dd 0x2800, 0x2804, 0x2808, 0x2810, 0x2818, 0x00d0, 0x00c8, 0x0014

; Disk commands with a table of regions that is random bytes, or anywhere
ide:    mov eax, 0x70108086
        call find
        test ebx, ebx
        jz again
        lea eax, [ebx + 4]
        mov dx, 0xcf8
        out dx, eax
        mov eax, 5
        mov dx, 0xcfc
        out dx, eax
        lea eax, [ebx + 0x20]
        call config
        and eax, 0xfffc
        mov edi, eax
        call random
        mov ebx, eax
        test al, 1
        jz .table
        mov ebx, RINGS
.table: lea edx, [edi + 4]
        mov eax, ebx
        out dx, eax
        mov edx, 0x1f2                 ; count, place, drive
        mov ecx, 5
.task:  call random
        out dx, al
        inc edx
        loop .task
        call random
        and eax, 15
        mov al, [0xf0000 + commands + eax]
        mov dx, 0x1f7
        out dx, al
        mov edx, edi
        call random
        and al, 8
        or al, 1
        out dx, al
        mov ecx, 64                    ; data by hand, in case it wants that
        mov dx, 0x1f0
.data:  call random
        out dx, ax
        in ax, dx
        loop .data
        jmp again

commands:
        db 0xc8, 0xca, 0x20, 0x30, 0xc4, 0xc5, 0xec, 0xa0, 0xa1, 0x25, 0x35, 0xe7, 0xef, 0x90, 0xc6, 0x08

; Random code with random registers, sometimes with interrupts
code:   mov ecx, 7
.push:  call random
        test al, 0x30                  ; often an address of memory
        jz .any
        and eax, 0xffffc
.any:   push eax
        loop .push
        call random
        and eax, 0xdfff
        lea ebx, [eax + 0xf1000]
        pop eax
        pop ecx
        pop edx
        pop esi
        pop edi
        pop ebp
        test al, 8
        jz .masked
        sti
.masked:
        jmp ebx

        align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff
        dq 0x00cf93000000ffff
gdt_pointer:
        dw 23
        dd 0xf0000 + gdt
idt_pointer:
        dw 0x7ff
        dd IDT

        times 0xff0 - ($ - $$) db 0
seed:   dd 0
        times 0xfff0 - ($ - $$) db 0xcc
        bits 16
        jmp 0xf000:start
        times 0x10000 - ($ - $$) db 0
