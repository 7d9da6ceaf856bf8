; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Repeated string instructions at misaligned, overlapping and page-crossing operands
; mode: flat32
; expect: eax=0x11cc edx=8 ebp=2 esp=0x7ffc edi=0x7008 esi=0x6008 ecx=3 ebx=0 cf=1 zf=0
; expect-mem: 0x2000 = 01 01 02 03 04 04 06 07 08
; expect-mem: 0x5001 = 11 22 33 44 55 66 77 88 99 aa bb cc
; expect-mem: 0x8ffe = cc 11 cc 11 cc 11 00
; expect-mem: 0x7ffc = 02 00 00 00 # 2: ZF stays
bits 32
org 0x1000
    mov ebx, 3                  ; more than once: what has been executed before is translated otherwise
again:
    mov esp, 0x8000
    mov dword [0x2000], 0x04030201 ; MOVSD whose destination begins inside the first element
    mov dword [0x2004], 0x08070605
    mov esi, 0x2000
    mov edi, 0x2001
    mov ecx, 2
    rep movsd

    mov dword [0x3ffe], 0x44332211 ; MOVSD whose first element crosses a page
    mov dword [0x4002], 0x88776655
    mov dword [0x4006], 0xccbbaa99
    mov esi, 0x3ffe
    mov edi, 0x5001
    mov ecx, 3
    rep movsd

    mov edi, 0x5001             ; SCASB ends at the twelfth byte
    mov ecx, 20
    mov eax, 0x11cc
    repne scasb
    mov edx, ecx

    mov dword [0x9002], 0       ; STOSW whose second element begins a page
    mov edi, 0x8ffe
    mov ecx, 3
    rep stosw

    mov edi, 0x5001             ; no element at all: the flags stay
    xor ecx, ecx
    cmp edi, edi
    repne scasd
    setz cl
    add ecx, 1
    push ecx
    mov ebp, ecx

    mov dword [0x6000], 0x22221111 ; CMPSW ends at the fourth word
    mov dword [0x6004], 0x33332222
    mov dword [0x7000], 0x22221111
    mov dword [0x7004], 0x44442222
    mov esi, 0x6000
    mov edi, 0x7000
    mov ecx, 7
    dec ebx
    pushfd
    cmp ebx, ebx
    repe cmpsw
    popfd
    jnz again
    mov ecx, 7
    mov esi, 0x6000
    mov edi, 0x7000
    repe cmpsw
    hlt
