; SPDX-License-Identifier: GPL-3.0-or-later
; isa: LOCK is for read-modify-write instructions with a memory destination; anything else, and any register form, raises #UD
; mode: flat32
; set: ebx=0x20000
; event: #UD eip=l1
; event: #UD eip=l2
; event: #UD eip=l3
; event: #UD eip=l4
; event: #UD eip=l5
; event: #UD eip=l6
; event: #UD eip=l7
; event: #UD eip=l8
; event: #UD eip=l9
; expect: eax=3
; expect-mem: 0x20000 = 20 00 00 00
%include "protected.inc"
    PROTECTED
    lock add dword [ebx], 5
    lock or dword [ebx], 0x10
    lock bts dword [ebx], 5
    lock neg dword [ebx]
    lock not dword [ebx]
    lock inc dword [ebx]
    lock btr dword [ebx], 31
    lock and dword [ebx], 0x3f
    lock dec dword [ebx]
    lock xor dword [ebx], 0x1a
    mov eax, 3
    lock xadd [ebx], eax
    lock cmpxchg [ebx], ecx
    xchg eax, [ebx]
    lock xchg [ebx], eax
    mov dword [ebx], 0x20
    mov eax, 3
l1: FAULTS db 0xf0, 0x01, 0xd8     ; LOCK ADD EAX, EBX
l2: FAULTS db 0xf0, 0x03, 0x03     ; LOCK ADD EAX, [EBX]
l3: FAULTS db 0xf0, 0x39, 0x03     ; LOCK CMP [EBX], EAX
l4: FAULTS db 0xf0, 0x89, 0x03     ; LOCK MOV [EBX], EAX
l5: FAULTS db 0xf0, 0x0f, 0xa3, 0x03 ; LOCK BT [EBX], EAX
l6: FAULTS db 0xf0, 0xd1, 0x23     ; LOCK SHL [EBX], 1
l7: FAULTS db 0xf0, 0x90           ; LOCK NOP
l8: FAULTS db 0xf0, 0xa4           ; LOCK MOVSB
l9: FAULTS db 0xf0, 0x87, 0xc8     ; LOCK XCHG EAX, ECX
    hlt
