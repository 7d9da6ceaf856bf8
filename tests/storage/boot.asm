; SPDX-License-Identifier: GPL-3.0-or-later
;
; A boot sector that tries its own drive through INT 13h and reports on COM1:
;
;   hard disk, floppy   "chs SSHH"           sectors a track, heads (AH=08h)
;                       "sum XXXXXXXX"       all bytes of the first `count` sectors, read one by one (AH=02h)
;                       "wrote"              the last of them was written with 5Ah and read back (AH=03h)
;   CD, no emulation    "cd CD001"           the volume descriptor of sector 16 (AH=42h)
;
; and ends through isa-debug-exit at F4h: 10h all is well, 11h an error after "error AH". The test patches `count`, the
; word at offset 506.
        bits    16
        org     7c00h
buffer  equ     8000h

start:  cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 7c00h
        cld
        sti
        jmp     0:main

main:   mov     [drive], dl
        mov     dx, 3fbh                ; 8 bits a character
        mov     al, 3
        out     dx, al
        mov     dl, [drive]
        cmp     dl, 0e0h
        jae     cd
        mov     ah, 8
        int     13h
        jc      error
        and     cl, 3fh
        inc     dh
        mov     [sectors], cl
        mov     [heads], dh
        mov     si, text_chs
        call    print
        mov     al, [sectors]
        call    hex
        mov     al, [heads]
        call    hex
        push    ds
        pop     es                      ; AH=08h changes ES on floppies
        xor     bp, bp
.next:  mov     ax, 0201h
        call    disk
        mov     si, buffer
        mov     cx, 512
.add:   lodsb
        movzx   eax, al
        add     [sum], eax
        loop    .add
        inc     bp
        cmp     bp, [count]
        jb      .next
        mov     si, text_sum
        call    print
        mov     cx, 4
        mov     di, sum + 3
.digit: mov     al, [di]
        dec     di
        call    hex
        loop    .digit
        dec     bp                      ; the last of them
        call    fill
        mov     ax, 0301h
        call    disk
        mov     byte [pattern], 0
        call    fill
        mov     ax, 0201h
        call    disk
        mov     di, buffer
        mov     cx, 512
        mov     al, 5ah
        repe    scasb
        jne     error
        mov     si, text_wrote
done:   call    print
        mov     al, 10h
        out     0f4h, al

cd:     mov     si, packet
        mov     ah, 42h
        int     13h
        jc      error
        mov     si, text_cd
        call    print
        mov     byte [buffer + 6], 0
        mov     si, buffer + 1
        jmp     done

error:  push    ax
        mov     si, text_error
        call    print
        pop     ax
        mov     al, ah
        call    hex
        mov     al, 11h
        out     0f4h, al

fill:   mov     di, buffer
        mov     cx, 512
        mov     al, [pattern]
        rep     stosb
        ret

; One sector, number BP; AX as INT 13h wants it. Tried three times.
disk:   mov     byte [tries], 3
.again: push    ax
        mov     ax, bp
        xor     dx, dx
        movzx   cx, byte [sectors]
        div     cx
        mov     cl, dl
        inc     cl
        div     byte [heads]            ; AL cylinder (fewer than 256 of them), AH head
        mov     ch, al
        mov     dh, ah
        mov     dl, [drive]
        mov     bx, buffer
        pop     ax
        push    ax
        int     13h
        pop     bx
        jnc     .done
        dec     byte [tries]
        jz      error
        push    bx
        xor     ax, ax
        mov     dl, [drive]
        int     13h
        pop     ax
        jmp     .again
.done:  ret

hex:    push    ax
        shr     al, 4
        call    .one
        pop     ax
.one:   and     al, 15
        cmp     al, 10
        sbb     al, 69h
        das
        jmp     put
print:  lodsb
        test    al, al
        jz      ret_
        call    put
        jmp     print
put:    push    dx
        push    ax
        mov     dx, 3fdh
.wait:  in      al, dx
        test    al, 20h
        jz      .wait
        pop     ax
        mov     dx, 3f8h
        out     dx, al
        pop     dx
ret_:   ret

text_chs:       db 13, 10, "chs ", 0
text_sum:       db 13, 10, "sum ", 0
text_wrote:     db 13, 10, "wrote", 13, 10, 0
text_cd:        db 13, 10, "cd ", 0
text_error:     db 13, 10, "error ", 0
pattern:        db 5ah
sum:            dd 0
packet:         db 16, 0
                dw 1, buffer, 0
                dq 16
drive:          db 0
sectors:        db 0
heads:          db 0
tries:          db 0

        times   506 - ($ - $$) db 0
count:  dw      1
        dw      0
        dw      0aa55h
