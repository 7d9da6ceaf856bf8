; SPDX-License-Identifier: GPL-3.0-or-later
;
; bootopt.bin: the option ROM through which a PC BIOS boots the kernel named by a boot list.
;
; SeaBIOS copies every fw_cfg file genroms/* below 1 MiB, calls its initialisation entry, and enters the
; bootstrap entry vector of its PnP header into the list of boot devices; the fw_cfg file "bootorder" with the
; line /rom@genroms/bootopt.bin puts it first. Chosen, it asks the BIOS for the memory map and lets
; bootload.inc do the rest. If there is nothing to boot it says so and hands back by INT 18h, so that the next
; boot device gets its turn.
;
; Follows: PnP BIOS Specification 1.0A, "Option ROM Header"; BIOS Boot Specification 1.01, "BEV devices";
; ACPI, "INT 15H, E820H". Not modelled: a PCI data structure (the ROM belongs to no PCI device), unloading.

    org 0

%include "bootlist.inc"
%include "protect.inc"

; Two sums of bytes are to be zero modulo 256: the whole ROM's and the PnP header's. checksum.cmake assembles
; once with both corrections zero, adds up, and assembles again.
%ifndef ROM_SUM
%define ROM_SUM 0
%define PNP_SUM 0
%endif

ROM_BLOCKS equ 4                        ; of 512 bytes

bits 16
    db 55h, 0aah
    db ROM_BLOCKS
    jmp short initialise                ; offset 3: called once by the BIOS
    times 1ah - ($ - $$) db 0
    dw pnp_header                       ; offset 1Ah
    db ROM_SUM

initialise:
    xor ax, ax                          ; nothing hooked: INT 13h and INT 19h stay the BIOS' own
    retf

align 16
pnp_header:
    db '$PnP'
    db 1                                ; revision
    db 2                                ; length of this header in 16-byte units
    dw 0                                ; no further header
    db 0
    db PNP_SUM
    dd 0                                ; device identifier
    dw manufacturer_name
    dw product_name
    db 0, 0, 0                          ; device type: none
    db 14h                              ; not needed for booting the rest; can be shadowed in RAM
    dw 0                                ; boot connection vector: none
    dw 0                                ; disconnect vector: none
    dw bootstrap                        ; bootstrap entry vector
    dw 0
    dw 0                                ; static resource vector: none
PNP_HEADER_SIZE equ $ - pnp_header

manufacturer_name: db 'Hypatia', 0
product_name:      db 'Hypatia kernel loader', 0

; ----------------------------------------------------------------------------------------------------------
; The bootstrap entry vector, entered by a far call in real mode.
bootstrap:
    cli
    cld
    xor ax, ax
    mov ds, ax
    mov [WORK_BIOS_SS_SP], sp
    mov [WORK_BIOS_SS_SP + 2], ss
    mov ss, ax
    mov sp, WORK_STACK
    mov es, ax
    call map_from_bios
    cli
    xor ax, ax
    mov ds, ax
    enter_protected_mode boot_main

; INT 15h E820h until the BIOS has no more, into WORK_MAP. ACPI 3.0 BIOSes may return 24 bytes when asked for
; them; we ask for 20. A BIOS without the call leaves the count at zero, and the list's own map is used.
bits 16
map_from_bios:
    mov dword [WORK_MAP_COUNT], 0
    mov di, WORK_MAP
    xor ebx, ebx
.next:
    mov eax, 0e820h
    mov edx, 'PAMS'                     ; "SMAP", first character on top
    mov ecx, E820_SIZE
    push di
    int 15h
    pop di
    jc .done
    cmp eax, 'PAMS'
    jne .done
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov eax, [di + m_length]
    or eax, [di + m_length + 4]
    jz .empty                           ; an entry of no length says nothing
    inc dword [WORK_MAP_COUNT]
    add di, E820_SIZE
    cmp dword [WORK_MAP_COUNT], WORK_MAP_MAX
    jae .done
.empty:
    test ebx, ebx
    jnz .next
.done:
    ret

; ----------------------------------------------------------------------------------------------------------
; From protected mode to real mode: AX = CS, DX = IP to continue at, with DS = 0. The 16-bit segments first put the
; limits and attributes of real mode into the hidden parts of the segment registers.
bits 32
real_mode:
    mov [WORK_FAR_ENTRY], dx
    mov [WORK_FAR_ENTRY + 2], ax
    mov eax, SEL_DATA16
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov ss, eax
    jmp SEL_ROM_CODE16:.protected_16
bits 16
.protected_16:
    mov eax, cr0
    and al, 0feh
    mov cr0, eax
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    jmp far [WORK_FAR_ENTRY]            ; loads CS as real mode does

; Linux' real-mode entry; ECX = SP.
bits 32
enter_linux16:
    mov ebx, [WORK_LIST + h_entry]
    shr ebx, 4                          ; the setup code's segment
    mov esi, ecx
    call rom_segment
    mov edx, .real
    jmp real_mode
bits 16
.real:
    mov ds, bx
    mov es, bx
    mov fs, bx
    mov gs, bx
    mov ss, bx
    mov esp, esi
    add bx, 20h
    push bx                             ; into the heap's last bytes, which the setup code has not begun to use
    push word 0
    retf

; EAX = this ROM's real-mode segment.
bits 32
rom_segment:
    mov eax, [WORK_ROM_BASE]
    shr eax, 4
    ret

; EAX = message. Say it with INT 10h on the BIOS' own stack and give up the turn.
boot_failed:
    mov esi, eax
    mov esp, WORK_STACK
    call rom_segment
    mov edx, .real
    jmp real_mode
bits 16
.real:
    lss sp, [WORK_BIOS_SS_SP]
    sti
    push si
    mov si, message_prefix
    call print
    pop si
    call print
    mov si, message_suffix
    call print
    int 18h
    hlt
    jmp $ - 1

; Teletype output of the NUL-terminated text at CS:SI.
print:
    cs lodsb
    test al, al
    jz .done
    mov ah, 0eh
    mov bx, 7                           ; page 0, grey
    push si
    int 10h
    pop si
    jmp print
.done:
    ret

message_prefix: db 'Hypatia boot: ', 0
message_suffix: db 13, 10, 0

%include "bootload.inc"

    times ROM_BLOCKS * 512 - ($ - $$) db 0
