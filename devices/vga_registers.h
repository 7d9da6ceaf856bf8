/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: register numbers and the bits that more than one file of the device looks at.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem".
 */
#ifndef DEVICES_VGA_REGISTERS_H
#define DEVICES_VGA_REGISTERS_H

/* Miscellaneous output, 3C2. */
enum {
    MISC_COLOR = 0x01,      /* CRT controller at 3Dx, not 3Bx */
    MISC_RAM_ENABLE = 0x02, /* the aperture answers */
    MISC_CLOCK = 0x0c,
    MISC_CLOCK_28 = 0x04
};

/* Sequencer, 3C4. */
enum { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_CHARACTER_MAP, SEQ_MEMORY_MODE };
enum {
    CLOCKING_8_DOTS = 0x01,
    CLOCKING_HALF = 0x08, /* each dot twice as wide */
    CLOCKING_SCREEN_OFF = 0x20
};
enum {
    MEMORY_ODD_EVEN = 0x04, /* 0: odd/even addressing for writes */
    MEMORY_CHAIN_4 = 0x08
};

/* Graphics controller, 3CE. */
enum {
    GFX_SET_RESET,
    GFX_ENABLE_SET_RESET,
    GFX_COLOR_COMPARE,
    GFX_ROTATE, /* 2:0 count, 4:3 function */
    GFX_READ_MAP,
    GFX_MODE,
    GFX_MISC,
    GFX_COLOR_DONT_CARE,
    GFX_BIT_MASK
};
enum {
    MODE_WRITE = 0x03,
    MODE_READ_COLOR = 0x08,
    MODE_ODD_EVEN = 0x10,   /* for reads */
    MODE_INTERLEAVE = 0x20, /* shift two bits of two planes each: CGA's four colours */
    MODE_256 = 0x40         /* shift whole bytes */
};
enum { GFX_MISC_GRAPHICS = 0x01, GFX_MISC_MAP = 0x0c };

/* CRT controller, 3D4. Values of ten bits have more of them in the overflow registers. */
enum {
    CRTC_HORIZONTAL_TOTAL = 0x00,
    CRTC_HORIZONTAL_END = 0x01,
    CRTC_VERTICAL_TOTAL = 0x06,
    CRTC_OVERFLOW = 0x07,
    CRTC_PRESET_ROW_SCAN = 0x08, /* 4:0 first row scan, 6:5 byte panning */
    CRTC_MAX_SCAN_LINE = 0x09,   /* 4:0, 6 line compare bit 9, 7 double scan */
    CRTC_CURSOR_START = 0x0a,    /* 4:0, 5 cursor off */
    CRTC_CURSOR_END = 0x0b,      /* 4:0, 6:5 skew */
    CRTC_START_HIGH = 0x0c,
    CRTC_CURSOR_HIGH = 0x0e,
    CRTC_RETRACE_START = 0x10,
    CRTC_RETRACE_END = 0x11, /* 3:0, 7 protects registers 0 to 7 */
    CRTC_VERTICAL_END = 0x12,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14, /* 4:0, 5 count by 4, 6 doubleword addresses */
    CRTC_MODE = 0x17,
    CRTC_LINE_COMPARE = 0x18
};
enum {
    CRTC_DOUBLE_SCAN = 0x80,
    CRTC_CURSOR_OFF = 0x20,
    CRTC_PROTECT = 0x80,
    UNDERLINE_COUNT_BY_4 = 0x20,
    UNDERLINE_DWORD = 0x40,
    CRTC_MODE_MA13 = 0x01, /* 0: row scan bit 0 is address bit 13, as CGA has it */
    CRTC_MODE_MA14 = 0x02, /* 0: row scan bit 1 is address bit 14, as Hercules has it */
    CRTC_MODE_COUNT_BY_2 = 0x08,
    CRTC_MODE_WRAP_MA15 = 0x20,
    CRTC_MODE_BYTE = 0x40
};

/* Attribute controller, 3C0; 0 to 15 are the palette. */
enum {
    ATTR_MODE = 0x10,
    ATTR_OVERSCAN = 0x11,
    ATTR_PLANE_ENABLE = 0x12,
    ATTR_PANNING = 0x13,
    ATTR_COLOR_SELECT = 0x14
};
enum {
    ATTR_INDEX_MASK = 0x3f,
    ATTR_INDEX_PAS = 0x20, /* in the index: the palette belongs to the screen, not to the processor */
    ATTR_MODE_GRAPHICS = 0x01,
    ATTR_MODE_LINE_GRAPHICS = 0x04, /* the ninth dot of C0h to DFh repeats the eighth */
    ATTR_MODE_BLINK = 0x08,
    ATTR_MODE_PANNING_SPLIT = 0x20, /* panning ends at the split */
    ATTR_MODE_P54 = 0x80            /* palette bits 5:4 come from the colour select register */
};

#endif
