/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ROM images and the teaching kernel, as built from roms/ and embedded by embed.S.
 *
 *   bootrom   our own system ROM, 64 KiB: map it at F0000h and at FFFF0000h; used without SeaBIOS
 *   bootopt   the option ROM through which SeaBIOS boots what a boot list (boot/bootlist.h) names
 *   kernel    "Alexandria", the teaching kernel: an ELF32 image with Multiboot 1 and 2 headers
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

#endif
