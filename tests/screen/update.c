/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How long does an update of the screen take? Run it by hand: nothing here is a test.
 *
 * For each mode the least of many times: all of the screen drawn anew; a screen with one word written; an unchanged one.
 */
#include <stdio.h>
#include <time.h>

#include "devices/vga.h"

enum { ROUNDS = 50, QUIET = 30 };

struct mode {
    unsigned width, height, bpp; /* bpp 0: 80 x 25 characters */
};

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Update, and keep the time if it is the least so far. */
static void time_update(const struct display *display, double *least)
{
    double start = now_us();
    display_update(display);
    double time = now_us() - start;
    *least = time < *least ? time : *least;
}

static void out16(struct board *board, uint16_t port, unsigned index, unsigned value)
{
    addr_space_write(board->io, port, index | value << 8, 2);
}

static void set_text(struct board *board)
{
    static const uint8_t crtc[VGA_CRTC_COUNT] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                                 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x0e,
                                                 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
    addr_space_write(board->io, 0x3c2, 0x67, 1);
    for (unsigned i = 0; i < VGA_CRTC_COUNT; i++) {
        out16(board, 0x3d4, i, crtc[i]);
    }
    out16(board, 0x3c4, SEQ_MAP_MASK, 0x03);
    out16(board, 0x3c4, SEQ_MEMORY_MODE, 0x02);
    out16(board, 0x3ce, GFX_MODE, 0x10);
    out16(board, 0x3ce, GFX_MISC, 0x0e);
    out16(board, 0x3ce, GFX_BIT_MASK, 0xff);
    addr_space_read(board->io, 0x3da, 1);
    addr_space_write(board->io, 0x3c0, 0x20, 1);
}

static void set_dispi(struct board *board, const struct mode *mode)
{
    const unsigned values[][2] = {{DISPI_ENABLE, 0},
                                  {DISPI_XRES, mode->width},
                                  {DISPI_YRES, mode->height},
                                  {DISPI_BPP, mode->bpp},
                                  {DISPI_ENABLE, DISPI_ENABLED | DISPI_LFB_ENABLED}};
    for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
        addr_space_write(board->io, 0x1ce, values[i][0], 2);
        addr_space_write(board->io, 0x1cf, values[i][1], 2);
    }
}

static void measure(struct vga *vga, const struct mode *mode)
{
    struct display display = vga_display(vga);
    gpa_t written = mode->bpp ? 0xa0000 : 0xb8000;
    double all = 1e9, one = 1e9, none = 1e9;

    for (unsigned round = 0; round < ROUNDS; round++) {
        vga_picture_invalidate(vga);
        time_update(&display, &all);
        addr_space_write(vga->device.board->mem, written, round * 257, 2);
        time_update(&display, &one);
        for (unsigned i = 0; i < QUIET; i++) { /* hot frames cool down */
            time_update(&display, &none);
        }
    }
    printf("%4u x %4u, %2u bits: all %.0f us, one write %.1f us, unchanged %.2f us\n",
           vga->picture.surface.width, vga->picture.surface.height, mode->bpp, all, one, none);
}

int main(void)
{
    static const struct mode modes[] = {
        {0, 0, 0}, {640, 480, 8}, {1024, 768, 16}, {1024, 768, 32}, {1920, 1200, 32}};
    struct ram ram;
    struct addr_space mem, io;
    struct clock clock;
    struct error error = {.text = "out of memory"};

    if (ram_init(&ram, 64 * MIB, &error) < 0 || addr_space_init(&mem, "memory", BITS(31, 0), &ram) < 0 ||
        addr_space_init(&io, "ports", UINT16_MAX, NULL) < 0) {
        fprintf(stderr, "update: %s\n", error.text);
        return 1;
    }
    clock_init(&clock, CLOCK_STEPPED);
    struct board board = {.mem = &mem, .io = &io, .clock = &clock};
    struct pci_bus *bus = pci_bus_create(&board);
    struct vga *vga = bus ? vga_create(&board, bus, NULL, 0) : NULL;
    if (!vga) {
        fprintf(stderr, "update: out of memory\n");
        return 1;
    }
    set_text(&board);
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        if (modes[i].bpp) {
            set_dispi(&board, &modes[i]);
        }
        measure(vga, &modes[i]);
    }
    board_destroy_devices(&board);
    addr_space_fini(&io);
    addr_space_fini(&mem);
    ram_fini(&ram);
    return 0;
}
