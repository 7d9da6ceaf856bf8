; SPDX-License-Identifier: GPL-3.0-or-later
;
; Alexandria's assembly: the Multiboot headers, the first instructions, the gates of all traps, the context
; switch, and the one routine that runs in ring 3 before a program's C code.
;
; Follows: Multiboot 0.6.96 and Multiboot2 2.0; SDM Volume 3A, "Interrupt and Exception Handling". Everything
; that C can do is in C; what is here has to do with stacks, of which C knows nothing.

bits 32

MULTIBOOT1_MAGIC equ 1badb002h
MULTIBOOT1_FLAGS equ 3                          ; modules page-aligned; tell us the memory
MULTIBOOT2_MAGIC equ 0e85250d6h
BOOT_STACK_SIZE  equ 4096                       ; main.c

extern kernel_main, trap, boot_stack
global _start, trap_gates, trap_return, context_switch, user_start

; One image, two headers: a loader looks for the one it knows in the first 8 KiB (1) or 32 KiB (2).
section .multiboot
align 8
multiboot2_header:
    dd MULTIBOOT2_MAGIC, 0, multiboot2_end - multiboot2_header
    dd -(MULTIBOOT2_MAGIC + 0 + multiboot2_end - multiboot2_header)
    dw 0, 0                                     ; end tag
    dd 8
multiboot2_end:
align 4
    dd MULTIBOOT1_MAGIC, MULTIBOOT1_FLAGS, -(MULTIBOOT1_MAGIC + MULTIBOOT1_FLAGS)

; Entered with EAX = magic, EBX = information, flat segments, paging and interrupts off, no usable stack.
section .text
_start:
    mov esp, boot_stack + BOOT_STACK_SIZE
    push dword 0
    popfd
    push ebx
    push eax
    call kernel_main
.halt:
    cli
    hlt
    jmp .halt

; ----------------------------------------------------------------------------------------------------------
; The gates. The processor has pushed SS, ESP (from ring 3 only), EFLAGS, CS, EIP and for some exceptions an error code;
; each gate adds the missing 0 and its vector, and trap_common the rest of struct trap_frame.
%macro gate 1
gate_%1:
  %if !(%1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17)
    push dword 0
  %endif
    push dword %1
    jmp trap_common
%endmacro

%assign vector 0
%rep 48
    gate vector
  %assign vector vector + 1
%endrep
    gate 128

trap_common:
    pushad
    push ds
    push es
    push fs
    push gs
    mov eax, 10h                                ; kernel data
    mov ds, eax
    mov es, eax
    cld
    push esp                                    ; struct trap_frame *
    call trap
    add esp, 4
trap_return:                                    ; also where a new task begins: its stack holds a made-up frame
    pop gs
    pop fs
    pop es
    pop ds
    popad
    add esp, 8                                  ; vector, error code
    iretd

; void context_switch(uint32_t **save_esp, uint32_t *load_esp): what C expects a call to preserve, the old
; stack pointer away, the new one in; the return address on the new stack is where that task once called us.
context_switch:
    mov eax, [esp + 4]
    mov edx, [esp + 8]
    push ebp
    push ebx
    push esi
    push edi
    mov [eax], esp
    mov esp, edx
    pop edi
    pop esi
    pop ebx
    pop ebp
    ret

section .rodata
align 4
trap_gates:                                     ; addresses of gates 0 to 47, then of gate 128
%assign vector 0
%rep 48
    dd gate_ %+ vector
  %assign vector vector + 1
%endrep
    dd gate_128

; ----------------------------------------------------------------------------------------------------------
; Ring 3: EBX = the program's function, EAX = its argument. The first push is the task's first page fault.
section .user_text exec
user_start:
    push eax
    call ebx
    mov ebx, eax
    xor eax, eax                                ; SYS_EXIT
    int 80h
    ud2
