; SPDX-License-Identifier: GPL-3.0-or-later
; isa: ENTER copies the frame pointers of the outer levels
; mode: flat32
; set: ebp=0x3000
; mem: 0x2ff8 = 11 11 11 11 22 22 22 22
; expect: ebp=0x7ffc esp=0x7fe8
; expect-mem: 0x7ff0 = fc 7f 00 00 11 11 11 11 22 22 22 22
bits 32
org 0x1000
    enter 8, 3
    hlt
