/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ROM images and the teaching kernel, as built from roms/ and embedded by embed.S.
 *
 *   bootrom   our own system ROM, 64 KiB: map it at F0000h and at FFFF0000h; used without SeaBIOS
 *   bootopt   the option ROM through which SeaBIOS boots what a boot list (boot/bootlist.h) names
 *   kernel    "Alexandria", the teaching kernel: an ELF32 image with Multiboot 1 and 2 headers
 *   font      the glyphs that bootrom shows, for what the host draws itself: 20h-7Fh, 8 x 8 dots; in groups of eight that stand
 *             side by side, row r of glyph g of a group is byte r * 8 + g of its 64, leftmost dot in bit 7. Behind those, font.inc has eight more
 */
#ifndef ROMS_ROMS_H
#define ROMS_ROMS_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t rom_bootrom[];
extern const size_t rom_bootrom_size;
extern const uint8_t rom_bootopt[];
extern const size_t rom_bootopt_size;
extern const uint8_t rom_kernel[];
extern const size_t rom_kernel_size;
extern const uint8_t rom_font[];
extern const size_t rom_font_size;

#endif
