; SPDX-License-Identifier: GPL-3.0-or-later
; isa: An instruction that faults on its memory operand leaves registers and stack pointer: PUSH, POP, CALL, RET, XCHG, CMPXCHG, PUSHA, ENTER, LEAVE
; mode: flat32
; set: eax=1 ebx=2 ebp=0x500000
; event: #PF error=6 eip=i_push esp=0x401000 cr2=0x400ffc
; event: #PF error=6 eip=i_call esp=0x401000
; event: #PF error=6 eip=i_pusha esp=0x401010 cr2=0x400ffc
; event: #PF error=6 eip=i_enter esp=0x401000 ebp=0x500000
; event: #PF error=4 eip=i_pop esp=0x400ff0 eax=1 cr2=0x400ff0
; event: #PF error=4 eip=i_ret esp=0x400ff0
; event: #PF error=4 eip=i_leave ebp=0x500000
; event: #PF error=6 eip=i_xchg eax=1
; event: #PF error=6 eip=i_cmpxchg eax=1
; event: #PF error=6 eip=i_pop_memory esp=0x401000
; expect: eax=1 ebx=2 ebp=0x500000
%include "protected.inc"
%include "paging.inc"
    PROTECTED
    PAGING
    SET_PTE 0x401000, 0x21000 | PTE_ALL
    ; At CPL 3, so that the handler has a stack.
    USER user
user:
    mov esp, 0x401000
i_push: FAULTS push ebx
i_call: FAULTS call i_push
    mov esp, 0x401010
i_pusha: FAULTS pushad
    mov esp, 0x401000
i_enter: FAULTS enter 8, 0
    mov esp, 0x400ff0
i_pop: FAULTS pop eax
i_ret: FAULTS ret
i_leave: FAULTS leave
i_xchg: FAULTS xchg eax, [0x400000]
i_cmpxchg: FAULTS cmpxchg [0x400000], ebx
    mov esp, 0x401000
i_pop_memory: FAULTS pop dword [0x400000]
    KERNEL
    hlt
