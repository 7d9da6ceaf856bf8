; SPDX-License-Identifier: GPL-3.0-or-later
; isa: Each exception with its error code (or none), and the address of the instruction (faults) or behind it (traps)
; mode: flat32
; event: #DE error=0 eip=i_de rf=1
; event: #DB eip=i_db dr6=0xffff0ff0 rf=0
; event: #BP eip=i_bp rf=0
; event: #OF eip=i_of rf=0
; event: #BR eip=i_br rf=1
; event: #UD eip=i_ud rf=1
; event: #NM eip=i_nm rf=1
; event: #TS error=0 eip=i_ts nt=1 rf=1
; event: #NP error=ABSENT eip=i_np rf=1
; event: #SS error=ABSENT eip=i_ss rf=1
; event: #GP error=0xfff8 eip=i_gp rf=1
; event: #PF error=2 eip=i_pf cr2=0x500000 rf=1
; event: #MF eip=i_mf rf=1
; event: #AC error=0 eip=i_ac cpl=0 cs=UCODE rf=1
; event: #XM eip=i_xm rf=1
; expect: cpl=0
%include "protected.inc"
%include "paging.inc"
DESCRIPTOR ABSENT, 0, 0xfffff, ATTR_DATA & ~0x80
    PROTECTED
    xor eax, eax
i_de: FAULTS div al
    db 0xf1                         ; INT1
i_db:
    int3
i_bp:
    mov al, 0x7f
    inc al
    into
i_of:
    mov dword [DATA], 1
    mov dword [DATA + 4], 2
i_br: FAULTS bound eax, [DATA]
i_ud: FAULTS ud2
    mov eax, cr0
    or eax, 8                       ; TS
    mov cr0, eax
i_nm: FAULTS fnop
    clts
    push FLAG_NT | 2
    popfd
i_ts: FAULTS iretd                  ; the TSS's link is null
    push 2
    popfd
    mov eax, ABSENT
i_np: FAULTS mov es, ax
i_ss: FAULTS mov ss, ax
    mov eax, 0xfff8
i_gp: FAULTS mov es, ax
    PAGING
i_pf: FAULTS mov [0x500000], al
    mov eax, cr0
    or eax, 0x00040020              ; AM, NE
    mov cr0, eax
    fninit
    fldz
    fld1
    push word 0x037b                ; unmask division by zero
    fldcw [esp]
    fdivrp
i_mf: FAULTS fldz
    fninit
    USER user, FLAG_AC
user:
i_ac: FAULTS mov eax, [DATA + 1]
    KERNEL
    mov eax, cr4
    or eax, 0x600                   ; OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov dword [DATA], 0x1d80        ; unmask division by zero
    ldmxcsr [DATA]
    mov dword [DATA], 0x3f800000    ; 1.0
    movss xmm0, [DATA]
    xorps xmm1, xmm1
i_xm: FAULTS divss xmm0, xmm1
    hlt
