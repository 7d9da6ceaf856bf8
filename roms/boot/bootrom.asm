; SPDX-License-Identifier: GPL-3.0-or-later
;
; bootrom.bin: a system ROM of 64 KiB that boots the kernel named by a boot list and is no BIOS.
;
; It lies at FFFF0000h, where the processor starts, and at F0000h. It goes to protected mode at once, brings
; the chips a kernel expects a BIOS to have set up into a BIOS-like state (interrupt controllers, timer, local
; APIC, VGA text mode with a font, PIIX4 power management base, a few BIOS data area words) and leaves the
; rest to bootload.inc. Everything that went wrong is said on the text screen and on COM1; then the machine
; halts.
;
; Follows: the 8259A, 8254 and 16550 data sheets, IBM VGA registers as in FreeVGA's documents, the 82371AB
; (PIIX4) data sheet. Not modelled: every BIOS interrupt, so no real-mode entry (kind LINUX16), no option
; ROMs, no PCI resource assignment, no ACPI or SMBIOS tables.

    org 0

%include "bootlist.inc"
%include "protect.inc"

ROM_SIZE equ 10000h

COM1     equ 3f8h

; ----------------------------------------------------------------------------------------------------------
bits 16
start:
    cli
    cld
    xor ax, ax
    mov ds, ax
    mov dword [WORK_MAP_COUNT], 0
    enter_protected_mode setup

setup:
    call pic_setup
    call pit_setup
    call apic_setup
    call vga_setup
    call power_setup
    call bda_setup
    jmp boot_main

; ----------------------------------------------------------------------------------------------------------
; Both 8259A: edge-triggered, cascaded on IRQ 2, vectors 08h and 70h as a BIOS leaves them, every line masked.
pic_setup:
    mov esi, pic_writes
    jmp write_ports

pic_writes:
    dw 020h, 11h, 021h, 08h, 021h, 04h, 021h, 01h
    dw 0a0h, 11h, 0a1h, 70h, 0a1h, 02h, 0a1h, 01h
    dw 021h, 0ffh, 0a1h, 0ffh
    dw 0

; 8254 channel 0: mode 3, divisor 65536, so 18.2 Hz.
pit_setup:
    mov esi, pit_writes
    jmp write_ports

pit_writes:
    dw 43h, 36h, 40h, 0, 40h, 0
    dw 0

; Where there is a local APIC it stands between the 8259A and the processor: let it pass their interrupts
; (LINT0) and the NMI (LINT1) through. MultiProcessor Specification 1.4 calls that virtual wire mode and wants
; it of a BIOS.
APIC_BASE       equ 0fee00000h
APIC_SPURIOUS   equ APIC_BASE + 0f0h
APIC_LINT0      equ APIC_BASE + 350h
APIC_LINT1      equ APIC_BASE + 360h
CPUID_APIC      equ 1 << 9

apic_setup:
    mov eax, 1
    cpuid
    test edx, CPUID_APIC
    jz .done
    mov dword [APIC_SPURIOUS], 1ffh     ; enabled, spurious vector FFh
    mov dword [APIC_LINT0], 700h        ; external interrupt, not masked
    mov dword [APIC_LINT1], 400h        ; NMI
.done:
    ret

; Write the bytes of a table in the ROM at ESI: port, value, ..., ended by port 0.
write_ports:
    mov dx, [cs:esi]
    test dx, dx
    jz .done
    mov al, [cs:esi + 2]
    out dx, al
    add esi, 4
    jmp write_ports
.done:
    ret

; ----------------------------------------------------------------------------------------------------------
; The words of the BIOS data area that kernels look at: COM1's port, no extended area, base memory, the video mode.
bda_setup:
    mov word [400h], COM1
    mov word [40eh], 0
    mov word [413h], 640
    mov byte [449h], 3
    mov word [44ah], 80
    mov word [463h], CRTC_INDEX
    mov byte [484h], 24                 ; last row
    mov word [485h], 16                 ; scan lines a character
    ret

; PIIX4 function 3, if there is one: its power management registers to I/O port 600h and switched on, so that
; the soft-off port is at 604h, where SeaBIOS has it too.
PCI_ADDRESS equ 0cf8h
PCI_DATA    equ 0cfch
PIIX4_PM    equ 80000000h | (1 << 11) | (3 << 8)

%macro pci_select 1
    mov eax, %1
    mov dx, PCI_ADDRESS
    out dx, eax
    mov dx, PCI_DATA
%endmacro

power_setup:
    pci_select PIIX4_PM
    in eax, dx
    cmp eax, 71138086h
    jne .done
    pci_select PIIX4_PM + 40h           ; PMBA
    mov eax, 601h
    out dx, eax
    pci_select PIIX4_PM + 80h           ; PMREGMISC: PMIOSE
    mov al, 1
    out dx, al
.done:
    ret

; ----------------------------------------------------------------------------------------------------------
; VGA: mode 3, 80x25 characters of 9x16 dots, 720x400, colours as always.
ATTRIBUTE     equ 3c0h
MISC_WRITE    equ 3c2h
SEQUENCER     equ 3c4h
DAC_MASK      equ 3c6h
DAC_WRITE     equ 3c8h
GRAPHICS      equ 3ceh
CRTC_INDEX    equ 3d4h
INPUT_STATUS  equ 3dah
TEXT_MEMORY   equ 0b8000h
FONT_MEMORY   equ 0a0000h

; Send CX index/value pairs, from index 0 up, of the table in the ROM at ESI to the index port DX.
write_indexed:
    xor eax, eax
.next:
    mov ah, [cs:esi]                    ; index in AL, value in AH, one 16-bit write
    out dx, ax
    inc esi
    inc eax
    loop .next
    ret

vga_setup:
    mov dx, MISC_WRITE
    mov al, 67h                         ; colour addresses, 28.3 MHz, RAM on, 400 lines
    out dx, al
    mov dx, SEQUENCER
    mov esi, sequencer_values
    mov ecx, 5
    call write_indexed
    mov dx, CRTC_INDEX
    mov ax, 0e11h                       ; unlock CRTC registers 0-7
    out dx, ax
    mov esi, crtc_values
    mov ecx, 25
    call write_indexed
    mov dx, GRAPHICS
    mov esi, graphics_values
    mov ecx, 9
    call write_indexed
    call vga_palette
    call vga_font
    mov edi, TEXT_MEMORY
    mov eax, 07200720h                  ; grey blanks
    mov ecx, 2000h
    rep stosd
    jmp vga_attributes

; The attribute controller takes index and value at one port in turn; reading the status starts with the
; index.
vga_attributes:
    mov dx, INPUT_STATUS
    in al, dx
    mov dx, ATTRIBUTE
    xor ecx, ecx
.next:
    mov al, cl
    out dx, al
    mov al, [cs:attribute_values + ecx]
    out dx, al
    inc ecx
    cmp ecx, 21
    jb .next
    mov al, 20h                         ; picture on
    out dx, al
    ret

; The 64 colours of the EGA, rgbRGB with r, g, b one third and R, G, B two thirds of full strength; six bits
; each.
vga_palette:
    mov dx, DAC_MASK
    mov al, 0ffh
    out dx, al
    mov dx, DAC_WRITE
    xor eax, eax
    out dx, al
    inc edx
    xor ebx, ebx
.colour:
    mov ecx, 2                          ; red, green, blue: bits 2 and 5, 1 and 4, 0 and 3
.part:
    xor eax, eax
    bt ebx, ecx
    jnc .third
    add al, 2ah
.third:
    lea esi, [ecx + 3]
    bt ebx, esi
    jnc .out
    add al, 15h
.out:
    out dx, al
    sub ecx, 1
    jnc .part
    inc ebx
    cmp ebx, 64
    jb .colour
    ret

; Load the font: it lives in plane 2, 32 bytes a character, of which 16 show. The plane is made visible at
; A0000h for it.
vga_font:
    mov esi, font_open
    call write_ports_16
    mov edi, FONT_MEMORY
    xor eax, eax
    mov ecx, 256 * 32 / 4
    rep stosd
    mov ecx, 32
.ascii:
    lea ebx, [ecx - 32]                 ; place in the picture
    call vga_glyph
    inc ecx
    cmp ecx, 128
    jb .ascii
    mov ebx, 96
.extra:
    movzx ecx, byte [cs:font_extra + ebx - 96]
    call vga_glyph
    inc ebx
    cmp ebx, 104
    jb .extra
    mov esi, font_close
    jmp write_ports_16

; Glyph EBX of the picture becomes character ECX, each row twice.
vga_glyph:
    mov edi, ecx
    shl edi, 5
    add edi, FONT_MEMORY
    mov esi, ebx
    and esi, ~7
    shl esi, 3                          ; 64 bytes for eight glyphs
    mov eax, ebx
    and eax, 7
    add esi, eax
    mov edx, 8
.row:
    mov al, [cs:font_rows + esi]
    mov ah, al
    stosw
    add esi, 8
    dec edx
    jnz .row
    ret

; As write_ports, with 16-bit values: index and data in one.
write_ports_16:
    mov dx, [cs:esi]
    test dx, dx
    jz .done
    mov ax, [cs:esi + 2]
    out dx, ax
    add esi, 4
    jmp write_ports_16
.done:
    ret

font_open:
    dw SEQUENCER, 0402h                 ; write plane 2 only
    dw SEQUENCER, 0604h                 ; all of its memory, no odd/even
    dw GRAPHICS, 0005h                  ; no odd/even
    dw GRAPHICS, 0406h                  ; window A0000h, 64 KiB
    dw 0
font_close:
    dw SEQUENCER, 0302h                 ; planes 0 and 1: characters and attributes
    dw SEQUENCER, 0204h
    dw GRAPHICS, 1005h
    dw GRAPHICS, 0e06h                  ; window B8000h, text
    dw 0

sequencer_values:
    db 03h, 00h, 03h, 00h, 02h
crtc_values:
    db 5fh, 4fh, 50h, 82h, 55h, 81h     ; 00h horizontal: total, shown, blanking, retrace
    db 0bfh, 1fh                        ; 06h vertical total, overflow bits
    db 00h, 4fh                         ; 08h no panning; 16 lines a character
    db 0dh, 0eh                         ; 0Ah cursor: last lines but one
    db 00h, 00h, 00h, 00h               ; 0Ch start address, cursor address
    db 9ch, 8eh, 8fh                    ; 10h vertical retrace, end of the picture at line 399
    db 28h, 1fh                         ; 13h 80 characters a row; underline line
    db 96h, 0b9h                        ; 15h vertical blanking
    db 0a3h, 0ffh                       ; 17h mode, line compare
graphics_values:
    db 00h, 00h, 00h, 00h, 00h, 10h, 0eh, 00h, 0ffh
attribute_values:
    db 00h, 01h, 02h, 03h, 04h, 05h, 14h, 07h, 38h, 39h, 3ah, 3bh, 3ch, 3dh, 3eh, 3fh
    db 0ch, 00h, 0fh, 08h, 00h          ; text with blinking and line graphics; overscan; planes; panning; select

; ----------------------------------------------------------------------------------------------------------
; EAX = message: on the top row of the screen, and on COM1 at 115200 baud; then nothing more.
boot_failed:
    push eax
    mov esi, com1_writes
    call write_ports
    mov edi, TEXT_MEMORY
    mov esi, message_prefix
    call print
    pop esi
    call print
    mov esi, message_suffix
    call print
.halt:
    hlt
    jmp .halt

; A list of kind LINUX16 wants a BIOS.
enter_linux16:
    mov eax, message_linux16
    jmp boot_failed

; The NUL-terminated text at CS:ESI, to the screen at EDI and to COM1. A transmitter that never becomes ready
; is given up on after some tries: perhaps there is no COM1.
print:
    mov al, [cs:esi]
    inc esi
    test al, al
    jz .done
    cmp al, ' '
    jb .serial
    mov [edi], al
    mov byte [edi + 1], 0fh             ; white
    add edi, 2
.serial:
    mov ah, al
    mov ecx, 10000h
    mov dx, COM1 + 5
.ready:
    in al, dx
    test al, 20h
    loopz .ready
    mov al, ah
    mov dx, COM1
    out dx, al
    jmp print
.done:
    ret

com1_writes:
    dw COM1 + 1, 0, COM1 + 3, 80h, COM1, 1, COM1 + 1, 0, COM1 + 3, 3, COM1 + 2, 7
    dw 0

message_prefix:  db 'Hypatia boot: ', 0
message_suffix:  db 13, 10, 0
message_linux16: db 'a real-mode kernel entry needs a BIOS', 0

%include "bootload.inc"

align 4
%include "font.inc"

; ----------------------------------------------------------------------------------------------------------
    times ROM_SIZE - 16 - ($ - $$) db 0ffh
bits 16
reset_vector:                           ; FFFFFFF0h; the far jump brings CS down to F000h
    jmp 0f000h:start
    db '01/01/26'                       ; where a PC's ROM carries its date
    db 0ffh, 0fch, 0                    ; model byte: AT
