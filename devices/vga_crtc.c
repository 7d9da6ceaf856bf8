/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: the CRT controller's arithmetic, from its registers to moments, sizes and memory addresses.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem", CRT controller.
 *
 *   counter --byte, word or doubleword--> address --row scan instead of bits 13, 14--> plane offset
 *
 *   byte         A15..A0 = MA15..MA0
 *   word         A15..A1 = MA14..MA0, A0 = MA13 or MA15
 *   doubleword   A15..A2 = MA13..MA0, A1..A0 = MA15..MA14
 *
 * DEVIATION: the manual has MA13..MA12 as the low bits of doubleword addresses. With these, pixels that chain-4 addressing
 * put beyond 16 KiB of a plane would not be found where vga_memory.c has them.
 *
 * The beam follows the virtual clock alone: nothing is stored, and a status read costs a few divisions.
 *
 * Not modelled: interlace, the vertical counter at half rate (mode control bit 2), display enable skew.
 */
#include "devices/vga.h"

#define DOT_CLOCK_25      25175000u
#define DOT_CLOCK_28      28322000u
#define STATUS_1_BLANK    0x01u
#define STATUS_1_VRETRACE 0x08u

struct frame_time {
    uint64_t columns, lines; /* all of them: characters in a scan line, scan lines in a frame */
    uint64_t ns;             /* of a frame, at least 1 */
};

/* 10-bit vertical values have bits 9 and 8 in the overflow register. */
static unsigned vertical_value(const struct vga *vga, unsigned index, unsigned bit_8, unsigned bit_9)
{
    uint8_t overflow = vga->crtc[CRTC_OVERFLOW];
    return vga->crtc[index] | ((overflow >> bit_8) & 1u) << 8 | ((overflow >> bit_9) & 1u) << 9;
}

static struct frame_time find_frame_time(const struct vga *vga)
{
    struct frame_time time = {.columns = vga->crtc[CRTC_HORIZONTAL_TOTAL] + 5u,
                              .lines = vertical_value(vga, CRTC_VERTICAL_TOTAL, 0, 5) + 2u};
    uint8_t clocking = vga->seq[SEQ_CLOCKING];
    uint64_t dots =
        time.columns * time.lines * (clocking & CLOCKING_8_DOTS ? 8 : 9) * (clocking & CLOCKING_HALF ? 2 : 1);
    uint64_t dot_clock = (vga->misc & MISC_CLOCK) == MISC_CLOCK_28 ? DOT_CLOCK_28 : DOT_CLOCK_25;

    time.ns = MAX(muldiv64(dots, NS_PER_SEC, dot_clock), 1u);
    return time;
}

uint64_t vga_crtc_frame(const struct vga *vga)
{
    return clock_now(vga->device.board->clock) / find_frame_time(vga).ns;
}

uint8_t vga_crtc_status(const struct vga *vga)
{
    struct frame_time time = find_frame_time(vga);
    uint64_t moment = clock_now(vga->device.board->clock) % time.ns;
    uint64_t position = muldiv64(moment, time.columns * time.lines, time.ns);
    uint64_t column = position % time.columns, line = position / time.columns;
    unsigned retrace = vertical_value(vga, CRTC_RETRACE_START, 2, 7);
    unsigned retrace_lines = ((vga->crtc[CRTC_RETRACE_END] & 15u) - retrace) & 15u;
    uint8_t status = 0;

    if (column >= vga_crtc_columns(vga) || line >= vga_crtc_lines(vga)) {
        status |= STATUS_1_BLANK;
    }
    if (line >= retrace && line < retrace + MAX(retrace_lines, 1u)) {
        status |= STATUS_1_VRETRACE | STATUS_1_BLANK;
    }
    return status;
}

unsigned vga_crtc_columns(const struct vga *vga)
{
    return vga->crtc[CRTC_HORIZONTAL_END] + 1u;
}

unsigned vga_crtc_lines(const struct vga *vga)
{
    return vertical_value(vga, CRTC_VERTICAL_END, 1, 6) + 1u;
}

unsigned vga_crtc_line_compare(const struct vga *vga)
{
    return vga->crtc[CRTC_LINE_COMPARE] | (vga->crtc[CRTC_OVERFLOW] & 0x10u) << 4 |
           (vga->crtc[CRTC_MAX_SCAN_LINE] & 0x40u) << 3;
}

unsigned vga_crtc_word(const struct vga *vga, unsigned high)
{
    return (unsigned)vga->crtc[high] << 8 | vga->crtc[high + 1];
}

uint32_t vga_crtc_offset(const struct vga *vga, uint32_t counter, unsigned row_scan)
{
    uint8_t mode = vga->crtc[CRTC_MODE];
    uint32_t address = counter;

    if (vga->crtc[CRTC_UNDERLINE] & UNDERLINE_DWORD) {
        address = counter << 2 | ((counter >> 14) & 3);
    } else if (!(mode & CRTC_MODE_BYTE)) {
        address = counter << 1 | ((counter >> (mode & CRTC_MODE_WRAP_MA15 ? 15 : 13)) & 1);
    }
    if (!(mode & CRTC_MODE_MA13)) {
        address = (address & ~0x2000u) | (row_scan & 1) << 13;
    }
    if (!(mode & CRTC_MODE_MA14)) {
        address = (address & ~0x4000u) | (row_scan & 2) << 13;
    }
    return address & (VGA_PLANE_SIZE - 1);
}
