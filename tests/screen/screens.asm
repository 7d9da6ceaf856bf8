; SPDX-License-Identifier: GPL-3.0-or-later
;
; A guest that shows one picture after the other, by the VGA BIOS and by hand, for screen dumps.
;
; It looks like a Linux kernel (boot protocol 2.03), so that -kernel starts its "setup code" in real mode under SeaBIOS,
; where INT 10h works. On COM1 it lists the VBE modes, asks for the backdoor, says "picture NAME" when a picture is complete, and waits for a
; byte before it goes on. `screens.exp` knows what must be seen. It runs on QEMU just as well.
;
; Follows: Linux Documentation/arch/x86/boot.rst; VESA BIOS Extension core functions 2.0; IBM VGA registers.

        bits 16
        org 0

SECTORS     equ 8
COM1        equ 3f8h
SEQUENCER   equ 3c4h
CRTC        equ 3d4h
SCREEN      equ 0a000h

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
        mov ds, ax                      ; offsets count from the start of the file
        jmp main

%macro say 1
        mov si, %%text
        call print
        jmp %%over
%%text: db %1, 0
%%over:
%endmacro

; The picture is complete: tell, and wait.
%macro picture 1
        say {"picture ", %1, 13, 10}
        call wait_byte
%endmacro

; ---- COM1 ----

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

wait_byte:
        mov dx, COM1 + 5
.idle:  in al, dx
        test al, 1
        jz .idle
        mov dx, COM1
        in al, dx
        ret

print_decimal:                          ; AX
        push bx
        push cx
        push dx
        xor cx, cx
        mov bx, 10
.digit: xor dx, dx
        div bx
        push dx
        inc cx
        test ax, ax
        jnz .digit
.out:   pop ax
        add al, '0'
        call putc
        loop .out
        pop dx
        pop cx
        pop bx
        ret

; ---- VBE ----

list_modes:
        mov ax, ds
        mov es, ax
        mov di, vbe_info
        mov ax, 4f00h
        int 10h
        cmp ax, 4fh
        jne .none
        say {"vbe "}
        mov ax, [vbe_info + 4]
        mov al, ah
        xor ah, ah
        call print_decimal
        say {" memory "}
        mov ax, [vbe_info + 18]         ; in 64 KiB
        call print_decimal
        say {13, 10}
        mov bp, [vbe_info + 14]         ; the list, a far pointer
.next:  mov ax, [vbe_info + 16]
        mov fs, ax
        mov cx, [fs:bp]
        add bp, 2
        cmp cx, 0ffffh
        je .none
        mov di, mode_info
        mov ax, 4f01h
        int 10h
        cmp ax, 4fh
        jne .next
        call note_mode
        jmp .next
.none:  ret

; Mode CX: print its geometry, and remember its number if it is one that is drawn later.
note_mode:
        say {"mode "}
        mov ax, [mode_info + 18]
        call print_decimal
        say {"x"}
        mov ax, [mode_info + 20]
        call print_decimal
        say {"x"}
        movzx ax, [mode_info + 25]
        call print_decimal
        say {13, 10}
        mov si, wanted
.look:  cmp word [si], 0
        je .end
        mov ax, [mode_info + 18]
        cmp ax, [si]
        jne .other
        mov al, [mode_info + 25]
        cmp al, [si + 2]
        jne .other
        mov [si + 4], cx
        mov eax, [mode_info + 40]
        mov [frame_buffer], eax
.other: add si, 6
        jmp .look
.end:   ret

set_vbe:                                ; BX = mode
        mov ax, 4f02h
        int 10h
        ret

; ---- VMware's backdoor ----

; "backdoor VERSION", where there is one
ask_backdoor:
        mov eax, 564d5868h
        xor ebx, ebx
        mov ecx, 10
        mov edx, 5658h
        in eax, dx
        cmp ebx, 564d5868h
        jne .none
        push ax
        say {"backdoor "}
        pop ax
        call print_decimal
        say {13, 10}
.none:  ret

; ---- Memory beyond 1 MiB: FS with a limit of 4 GiB ----

enter_unreal:
        cli
        xor eax, eax
        mov ax, ds
        shl eax, 4
        add eax, gdt
        mov [gdtr + 2], eax
        lgdt [gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, 8
        mov fs, bx
        and al, 0feh
        mov cr0, eax
        xor bx, bx
        mov fs, bx
        sti
        ret

; ECX bytes from EDI on become EAX, as dwords.
fill:   shr ecx, 2
.dword: mov [fs:edi], eax
        add edi, 4
        dec ecx
        jnz .dword
        ret

; ---- Pictures ----

main:   mov dx, COM1 + 3
        mov al, 3                       ; 8 bits
        out dx, al
        call list_modes
        call ask_backdoor

        ; Text: a blue screen with a line of text, by the BIOS.
        mov ax, 3
        int 10h
        mov ax, 600h
        mov bh, 1fh
        xor cx, cx
        mov dx, 184fh
        int 10h
        mov si, hello
.char:  lodsb
        test al, al
        jz .shown
        mov ah, 0eh
        mov bx, 7
        int 10h
        jmp .char
.shown: picture {"text"}

        ; 40 columns, written to the window directly: yellow on red.
        mov ax, 1
        int 10h
        mov ax, 0b800h
        mov es, ax
        xor di, di
        mov cx, 1000
        mov ax, 4edbh                   ; DBh: a full block
        rep stosw
        picture {"text40"}
        mov di, 2 * (12 * 40 + 20)      ; one cell of a screen that was looked at: blue
        mov byte [es:di + 1], 11h
        picture {"text40_again"}

        ; Mode 13h: colours 0 to 255, over and over: row n begins with colour 64 n.
        mov ax, 13h
        int 10h
        mov ax, SCREEN
        mov es, ax
        xor di, di
.pixel: mov al, cl
        stosb
        inc cx
        cmp di, 64000
        jb .pixel
        picture {"mode13"}
        mov byte [es:100 * 320 + 160], 4
        picture {"mode13_again"}

        ; Unchained, four bytes a pixel column apart: the map mask picks every fourth column.
        mov dx, SEQUENCER
        mov ax, 604h                    ; memory mode: no chain 4
        out dx, ax
        mov dx, CRTC
        mov ax, 14h                     ; no doubleword addresses
        out dx, ax
        mov ax, 0e317h                  ; byte addresses
        out dx, ax
        mov bl, 1
        mov bh, 9                       ; light blue, green, cyan, red
.plane: mov dx, SEQUENCER
        mov ah, bl
        mov al, 2
        out dx, ax
        xor di, di
        mov cx, 16000
        mov al, bh
        rep stosb
        inc bh
        shl bl, 1
        cmp bl, 10h
        jb .plane
        picture {"modex"}

        ; Mode 12h: light red above, and a line of colour 5 by the BIOS.
        mov ax, 12h
        int 10h
        mov dx, SEQUENCER
        mov ax, 0c02h
        out dx, ax
        mov ax, SCREEN
        mov es, ax
        xor di, di
        mov cx, 240 * 80
        mov al, 0ffh
        rep stosb
        mov ax, 0f02h
        out dx, ax
        mov cx, 100
.dot:   mov ax, 0c05h
        xor bh, bh
        mov dx, 300
        int 10h
        inc cx
        cmp cx, 200
        jb .dot
        picture {"mode12"}

        ; CGA's four colours: even lines from left to right, odd lines, in the other bank, from right to left.
        mov ax, 4
        int 10h
        mov ax, 0b800h
        mov es, ax
        xor di, di
        mov cx, 8192
        mov al, 1bh                     ; pixels 0, 1, 2, 3
        rep stosb
        mov cx, 8192
        mov al, 0e4h                    ; 3, 2, 1, 0
        rep stosb
        picture {"cga4"}

        ; VBE, 8 bits, through the banked window: bank n in colour n + 1.
        mov bx, [wanted_8 + 4]
        call set_vbe
        xor dx, dx
.bank:  mov ax, 4f05h
        xor bx, bx
        int 10h
        mov ax, SCREEN
        mov es, ax
        xor di, di
        mov cx, 8000h
        mov al, dl
        inc al
        mov ah, al
        rep stosw
        inc dx
        cmp dx, 8                       ; 800 x 600 ends in the eighth bank
        jb .bank
        picture {"banked"}

        ; VBE, 32 bits, linear: green above, a line of white at 100.
        mov bx, [wanted_32 + 4]
        or bx, 4000h
        call set_vbe
        call enter_unreal
        mov edi, [frame_buffer]
        mov ecx, 1024 * 384 * 4
        mov eax, 00208040h
        call fill
        mov edi, [frame_buffer]
        add edi, 100 * 1024 * 4
        mov ecx, 1024 * 4
        mov eax, 0ffffffh
        call fill
        picture {"linear"}
        mov ebp, 5                      ; again and again, so that the stores are translated code by then
.again: mov edi, [frame_buffer]
        add edi, 500 * 1024 * 4
        mov ecx, 1024 * 4 * 3
        mov eax, ebp
        shl eax, 4
        call fill
        picture {"linear_again"}
        dec ebp
        jnz .again

        say {"the end", 13, 10}
.halt:  cli
        hlt
        jmp .halt

hello:  db "Hypatia", 0

        align 4
wanted:                                 ; width, bits, the mode's number
wanted_8:  dw 800, 8, 0
wanted_32: dw 1024, 32, 0
        dw 0
frame_buffer: dd 0
        align 8
gdt:    dq 0
        dq 008f92000000ffffh            ; data, 4 GiB
gdtr:   dw 15
        dd 0

        times SECTORS * 512 - ($ - $$) db 0
        times 16 db 0                   ; a kernel that is never started

; Behind the file's image, in the same segment.
        absolute 3000h
vbe_info:  resb 512
mode_info: resb 256
