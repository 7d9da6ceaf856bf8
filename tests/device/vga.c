/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: registers, plane logic, text picture, DISPI interface, PCI function.
 */
#include <criterion/criterion.h>

#include "devices/vga.h"
#include "tests/device/port_fuzz.h"

#define SLOT 0u

static const uint8_t rom_image[5000] = {0x55, 0xaa, 0x0a};

static void target_create(struct fake_board *fb)
{
    cr_assert_not_null(vga_create(&fb->board, pci_bus_create(&fb->board), rom_image, sizeof(rom_image)));
    addr_space_remove(&fb->mem, &fb->ram_region); /* leaves A0000-BFFFF to the adapter */
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    return fb;
}

static struct vga *find_vga(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "vga"), struct vga, device);
}

static void config_out(struct fake_board *fb, unsigned offset, uint32_t value)
{
    pci_config_write(find_vga(fb)->pci.bus, 0, SLOT, 0, offset, value, 4);
}

static uint32_t config_in(struct fake_board *fb, unsigned offset)
{
    return pci_config_read(find_vga(fb)->pci.bus, 0, SLOT, 0, offset, 4);
}

static void seq(struct fake_board *fb, uint8_t index, uint8_t value)
{
    fake_outw(fb, 0x3c4, (uint16_t)(index | value << 8));
}

static void gfx(struct fake_board *fb, uint8_t index, uint8_t value)
{
    fake_outw(fb, 0x3ce, (uint16_t)(index | value << 8));
}

static void crtc(struct fake_board *fb, uint8_t index, uint8_t value)
{
    fake_outw(fb, 0x3d4, (uint16_t)(index | value << 8));
}

static void attr(struct fake_board *fb, uint8_t index, uint8_t value)
{
    fake_inb(fb, 0x3da);
    fake_outb(fb, 0x3c0, index);
    fake_outb(fb, 0x3c0, value);
}

static void dispi(struct fake_board *fb, uint16_t index, uint16_t value)
{
    fake_outw(fb, 0x1ce, index);
    fake_outw(fb, 0x1cf, value);
}

static uint16_t dispi_in(struct fake_board *fb, uint16_t index)
{
    fake_outw(fb, 0x1ce, index);
    return fake_inw(fb, 0x1d0);
}

static uint8_t mem_in(struct fake_board *fb, gpa_t addr)
{
    return (uint8_t)addr_space_read(&fb->mem, addr, 1);
}

static void mem_out(struct fake_board *fb, gpa_t addr, uint8_t value)
{
    addr_space_write(&fb->mem, addr, value, 1);
}

static uint8_t *planes(struct fake_board *fb, uint32_t offset)
{
    return vga_planes(find_vga(fb), offset);
}

/* Mode 3: 80 x 25 text at B8000, as a VGA BIOS programs it. */
static void set_text_mode(struct fake_board *fb)
{
    static const uint8_t registers[25] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                          0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                                          0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
    static const uint8_t colors[16] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07,
                                       0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f};
    fake_outb(fb, 0x3c2, 0x67);
    seq(fb, 0, 0x03);
    seq(fb, 1, 0x00);
    seq(fb, 2, 0x03);
    seq(fb, 3, 0x00);
    seq(fb, 4, 0x02);
    crtc(fb, 0x11, 0x0e);
    for (uint8_t i = 0; i < 25; i++) {
        crtc(fb, i, registers[i]);
    }
    gfx(fb, 5, 0x10);
    gfx(fb, 6, 0x0e);
    gfx(fb, 7, 0x0f);
    gfx(fb, 8, 0xff);
    for (uint8_t i = 0; i < 16; i++) {
        attr(fb, i, colors[i]);
    }
    attr(fb, 0x10, 0x0c);
    attr(fb, 0x12, 0x0f);
    attr(fb, 0x13, 0x08);
    fake_inb(fb, 0x3da);
    fake_outb(fb, 0x3c0, 0x20);
}

/* Planar access to all four planes at A0000, write mode 0, nothing in the way. */
static void set_planar_mode(struct fake_board *fb)
{
    set_text_mode(fb);
    seq(fb, 2, 0x0f);
    seq(fb, 4, 0x06);
    gfx(fb, 5, 0x00);
    gfx(fb, 6, 0x05);
}

static void fill_planes(struct fake_board *fb, uint32_t offset, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    uint8_t *p = planes(fb, offset);
    p[0] = a;
    p[1] = b;
    p[2] = c;
    p[3] = d;
}

static void expect_planes(struct fake_board *fb, uint32_t offset, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    const uint8_t *p = planes(fb, offset);
    cr_assert(p[0] == a && p[1] == b && p[2] == c && p[3] == d, "planes %02x %02x %02x %02x", p[0], p[1],
              p[2], p[3]);
}

/* --- Registers ----------------------------------------------------------------------------------------- */

Test(vga, indexed_registers_read_back_their_defined_bits)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0x3c2, 0x01);
    seq(fb, 2, 0xff);
    cr_assert_eq(fake_inb(fb, 0x3c5), 0x0f);
    seq(fb, 7, 0xff);
    cr_assert_eq(fake_inb(fb, 0x3c5), 0, "no such register");
    gfx(fb, 8, 0xa5);
    cr_assert_eq(fake_inb(fb, 0x3cf), 0xa5);
    crtc(fb, 0x0f, 0x77);
    cr_assert_eq(fake_inb(fb, 0x3d5), 0x77);
    crtc(fb, 0x1f, 0x77);
    cr_assert_eq(fake_inb(fb, 0x3d5), 0);
    cr_assert_eq(fake_inb(fb, 0x3cc), 0x01);
    fake_board_destroy(fb);
}

Test(vga, the_miscellaneous_register_moves_the_crt_controller)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0x3c2, 0x01);
    crtc(fb, 0x0e, 0x12);
    cr_assert_eq(fake_inb(fb, 0x3b5), 0xff);
    fake_outb(fb, 0x3c2, 0x00);
    cr_assert_eq(fake_inb(fb, 0x3d5), 0xff);
    cr_assert_eq(fake_inb(fb, 0x3b5), 0x12);
    fake_board_destroy(fb);
}

Test(vga, crtc_registers_0_to_7_can_be_protected)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0x3c2, 0x01);
    crtc(fb, 0x00, 0x11);
    crtc(fb, 0x07, 0x00);
    crtc(fb, 0x11, 0x80);
    crtc(fb, 0x00, 0x22);
    crtc(fb, 0x07, 0xff);
    cr_assert_eq(fake_inb(fb, 0x3d5), 0x10, "only line compare bit 8");
    fake_outb(fb, 0x3d4, 0x00);
    cr_assert_eq(fake_inb(fb, 0x3d5), 0x11);
    fake_board_destroy(fb);
}

Test(vga, the_attribute_flip_flop_is_reset_by_reading_status_1)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0x3c2, 0x01);
    fake_outb(fb, 0x3c0, 0x05);
    fake_inb(fb, 0x3da);
    fake_outb(fb, 0x3c0, 0x06);
    fake_outb(fb, 0x3c0, 0x2a);
    fake_outb(fb, 0x3c0, 0x06);
    cr_assert_eq(fake_inb(fb, 0x3c1), 0x2a);
    cr_assert_eq(fake_inb(fb, 0x3c0), 0x06);
    fake_outb(fb, 0x3c0, 0x15);
    fake_outb(fb, 0x3c0, 0x1f);
    cr_assert_eq(fake_inb(fb, 0x3c1), 0, "no such register");
    fake_board_destroy(fb);
}

Test(vga, the_dac_takes_and_gives_three_components_an_entry)
{
    struct fake_board *fb = machine_create();
    fake_outb(fb, 0x3c8, 0xff);
    for (uint8_t i = 1; i <= 6; i++) {
        fake_outb(fb, 0x3c9, (uint8_t)(0xc0 | i));
    }
    cr_assert_eq(fake_inb(fb, 0x3c7), 0);
    fake_outb(fb, 0x3c7, 0xff);
    cr_assert_eq(fake_inb(fb, 0x3c7), 3);
    for (uint8_t i = 1; i <= 6; i++) {
        cr_assert_eq(fake_inb(fb, 0x3c9), i, "six bits, wrapping to entry 0");
    }
    fake_outb(fb, 0x3c6, 0x5a);
    cr_assert_eq(fake_inb(fb, 0x3c6), 0x5a);
    fake_board_destroy(fb);
}

Test(vga, status_1_follows_the_beam)
{
    struct fake_board *fb = machine_create();
    unsigned in_retrace = 0, blank = 0, samples = 0;
    set_text_mode(fb);
    for (uint64_t t = 0; t < NS_PER_SEC / 10; t += 5000) {
        uint8_t status = fake_inb(fb, 0x3da);
        in_retrace += (status & 8) != 0;
        blank += (status & 1) != 0;
        samples++;
        fake_step(fb, 5000);
    }
    /* 2 of 449 lines are retrace; about a third of the time is blanked. */
    cr_assert(in_retrace > samples / 449 && in_retrace < 4 * samples / 449, "%u of %u", in_retrace, samples);
    cr_assert(blank > samples / 5 && blank < samples / 2, "%u of %u", blank, samples);
    fake_board_destroy(fb);
}

Test(vga, status_1_survives_every_timing)
{
    struct fake_board *fb = machine_create();
    uint64_t state = 7;
    for (unsigned i = 0; i < 2000; i++) {
        fake_outb(fb, 0x3c2, (uint8_t)(fuzz_random(&state) | 1));
        seq(fb, 1, (uint8_t)fuzz_random(&state));
        crtc(fb, 0x11, 0);
        crtc(fb, (uint8_t)(fuzz_random(&state) % 25), (uint8_t)fuzz_random(&state));
        fake_step(fb, fuzz_random(&state) % 1000000);
        cr_assert_eq(fake_inb(fb, 0x3da) & 0xf6, 0);
    }
    fake_board_destroy(fb);
}

/* --- Memory ---------------------------------------------------------------------------------------------- */

Test(vga, the_map_select_places_the_aperture)
{
    struct fake_board *fb = machine_create();
    static const struct {
        gpa_t first, last;
    } maps[4] = {{0xa0000, 0xbffff}, {0xa0000, 0xaffff}, {0xb0000, 0xb7fff}, {0xb8000, 0xbffff}};
    const gpa_t probes[] = {0xa0000, 0xaffff, 0xb0000, 0xb7fff, 0xb8000, 0xbffff};
    set_planar_mode(fb);
    for (unsigned map = 0; map < 4; map++) {
        gfx(fb, 6, (uint8_t)(1 | map << 2));
        for (unsigned i = 0; i < ARRAY_LEN(probes); i++) {
            bool inside = probes[i] >= maps[map].first && probes[i] <= maps[map].last;
            mem_out(fb, probes[i], 0x3c);
            cr_assert_eq(mem_in(fb, probes[i]), inside ? 0x3c : 0xff, "map %u at %x", map,
                         (unsigned)probes[i]);
        }
    }
    gfx(fb, 6, 0x05);
    fake_outb(fb, 0x3c2, 0x65);
    cr_assert_eq(mem_in(fb, 0xa0000), 0xff, "RAM enable is clear");
    fake_board_destroy(fb);
}

Test(vga, odd_even_addressing_splits_characters_and_attributes)
{
    struct fake_board *fb = machine_create();
    set_text_mode(fb);
    addr_space_write(&fb->mem, 0xb8000, 0x1f421e41, 4);
    vga_window_pull(find_vga(fb));
    expect_planes(fb, 0, 0x41, 0x1e, 0, 0);
    expect_planes(fb, 2, 0x42, 0x1f, 0, 0);
    cr_assert_eq(fake_read32(fb, 0xb8000), 0x1f421e41);
    fake_board_destroy(fb);
}

/* What the observer of all writes heard last. */
struct ram_range {
    roff_t roff;
    uint64_t length;
};

static void hear_write(void *opaque, roff_t roff, uint64_t length)
{
    struct ram_range *seen = opaque;

    *seen = (struct ram_range){roff, length};
}

/* Whoever compares all memory must hear of every copy, or takes it for a mistake of an engine. */
Test(vga, looking_at_the_text_screen_tells_the_observer_of_the_planes)
{
    struct fake_board *fb = machine_create();
    const struct vga *vga = find_vga(fb);
    struct ram_range seen = {0};
    set_text_mode(fb);
    addr_space_write(&fb->mem, 0xb8000, 0x1f421e41, 4);
    fb->mem.ram->observer = (struct ram_watcher){.written = hear_write, .opaque = &seen};
    struct display display = vga_display(find_vga(fb));
    struct display_text *text = malloc(sizeof(*text));
    cr_assert(display.ops->read_text(display.opaque, text));
    fb->mem.ram->observer = (struct ram_watcher){0};
    free(text);
    cr_assert_eq(seen.roff, vga->vram);
    cr_assert_eq(seen.length, 4 * VGA_PLANE_SIZE);
    fake_board_destroy(fb);
}

Test(vga, chain_4_addressing_spreads_bytes_over_the_planes)
{
    struct fake_board *fb = machine_create();
    set_planar_mode(fb);
    seq(fb, 4, 0x0e);
    gfx(fb, 5, 0x40);
    fake_write32(fb, 0xa0004, 0x44332211);
    expect_planes(fb, 4, 0x11, 0x22, 0x33, 0x44);
    cr_assert_eq(fake_read32(fb, 0xa0004), 0x44332211);
    seq(fb, 2, 0x0d);
    fake_write32(fb, 0xa0004, 0xffffffff);
    expect_planes(fb, 4, 0xff, 0x22, 0xff, 0xff);
    fake_board_destroy(fb);
}

Test(vga, write_mode_0_rotates_sets_and_masks)
{
    struct fake_board *fb = machine_create();
    set_planar_mode(fb);
    seq(fb, 2, 0x0b);
    gfx(fb, 3, 0x04); /* rotate by 4 */
    gfx(fb, 1, 0x03); /* planes 0 and 1 from set/reset */
    gfx(fb, 0, 0x02);
    mem_out(fb, 0xa0010, 0x12);
    expect_planes(fb, 0x10, 0x00, 0xff, 0x00, 0x21);
    fill_planes(fb, 0x11, 0xf0, 0xf0, 0xf0, 0xf0);
    gfx(fb, 8, 0x0f);
    mem_in(fb, 0xa0011);
    mem_out(fb, 0xa0011, 0x12);
    expect_planes(fb, 0x11, 0xf0, 0xff, 0xf0, 0xf1);
    fake_board_destroy(fb);
}

Test(vga, the_function_select_combines_with_the_latches)
{
    static const uint8_t results[4] = {0x3c, 0x3c & 0x5a, 0x3c | 0x5a, 0x3c ^ 0x5a};
    struct fake_board *fb = machine_create();
    set_planar_mode(fb);
    for (uint8_t function = 0; function < 4; function++) {
        fill_planes(fb, 0x20, 0x5a, 0x5a, 0x5a, 0x5a);
        gfx(fb, 3, (uint8_t)(function << 3));
        mem_in(fb, 0xa0020);
        mem_out(fb, 0xa0020, 0x3c);
        expect_planes(fb, 0x20, results[function], results[function], results[function], results[function]);
    }
    fake_board_destroy(fb);
}

Test(vga, write_mode_1_copies_the_latches)
{
    struct fake_board *fb = machine_create();
    set_planar_mode(fb);
    fill_planes(fb, 0x30, 1, 2, 3, 4);
    gfx(fb, 5, 0x01);
    mem_in(fb, 0xa0030);
    mem_out(fb, 0xa0031, 0xff);
    expect_planes(fb, 0x31, 1, 2, 3, 4);
    fake_board_destroy(fb);
}

Test(vga, write_mode_2_writes_a_colour)
{
    struct fake_board *fb = machine_create();
    set_planar_mode(fb);
    gfx(fb, 5, 0x02);
    gfx(fb, 8, 0x81);
    mem_in(fb, 0xa0040);
    mem_out(fb, 0xa0040, 0x05);
    expect_planes(fb, 0x40, 0x81, 0, 0x81, 0);
    fake_board_destroy(fb);
}

Test(vga, write_mode_3_uses_the_data_as_a_bit_mask)
{
    struct fake_board *fb = machine_create();
    set_planar_mode(fb);
    gfx(fb, 5, 0x03);
    gfx(fb, 0, 0x09);
    gfx(fb, 8, 0xf0);
    gfx(fb, 3, 0x01);
    fill_planes(fb, 0x50, 0, 0xff, 0, 0xff);
    mem_in(fb, 0xa0050);
    mem_out(fb, 0xa0050, 0x66); /* rotated 33, masked 30 */
    expect_planes(fb, 0x50, 0x30, 0xcf, 0x00, 0xff);
    fake_board_destroy(fb);
}

Test(vga, read_modes_give_a_plane_or_a_comparison)
{
    struct fake_board *fb = machine_create();
    set_planar_mode(fb);
    fill_planes(fb, 0x60, 0x0f, 0x33, 0x55, 0xff);
    for (uint8_t plane = 0; plane < 4; plane++) {
        gfx(fb, 4, plane);
        cr_assert_eq(mem_in(fb, 0xa0060), planes(fb, 0x60)[plane]);
    }
    gfx(fb, 5, 0x08);
    gfx(fb, 2, 0x0b); /* planes 3, 1, 0 set, 2 clear */
    gfx(fb, 7, 0x0f);
    cr_assert_eq(mem_in(fb, 0xa0060), 0x0f & 0x33 & (uint8_t)~0x55);
    gfx(fb, 7, 0x00);
    cr_assert_eq(mem_in(fb, 0xa0060), 0xff, "no plane counts");
    fake_board_destroy(fb);
}

/* --- Text picture ---------------------------------------------------------------------------------------- */

static void write_string(struct fake_board *fb, unsigned row, unsigned column, const char *string,
                         uint8_t attribute)
{
    for (gpa_t addr = 0xb8000 + 2 * (row * 80 + column); *string; string++, addr += 2) {
        addr_space_write(&fb->mem, addr, (uint8_t)*string | (uint64_t)attribute << 8, 2);
    }
}

static bool row_begins_with(const struct display_text *text, unsigned row, const char *string)
{
    for (unsigned i = 0; string[i]; i++) {
        if (text->cell[row * text->columns + i].character != (uint8_t)string[i]) {
            return false;
        }
    }
    return true;
}

Test(vga, the_text_screen_can_be_read)
{
    struct fake_board *fb = machine_create();
    struct display display = vga_display(find_vga(fb));
    static struct display_text text;
    cr_assert_eq(display.ops->kind(display.opaque), DISPLAY_BLANK);
    cr_assert_not(display.ops->read_text(display.opaque, &text));
    set_text_mode(fb);
    write_string(fb, 0, 0, "Hello", 0x07);
    write_string(fb, 24, 0, "bottom", 0x1e);
    crtc(fb, 0x0e, 0x07);
    crtc(fb, 0x0f, 0x83); /* 24 * 80 + 3 */
    cr_assert_eq(display.ops->kind(display.opaque), DISPLAY_TEXT);
    cr_assert(display.ops->read_text(display.opaque, &text));
    cr_assert_eq(text.columns, 80);
    cr_assert_eq(text.rows, 25);
    cr_assert_eq(text.cell_width, 9);
    cr_assert_eq(text.cell_height, 16);
    cr_assert(text.blink);
    cr_assert(row_begins_with(&text, 0, "Hello"));
    cr_assert(row_begins_with(&text, 24, "bottom"));
    cr_assert_eq(text.cell[24 * 80].attribute, 0x1e);
    cr_assert(text.cursor_visible);
    cr_assert_eq(text.cursor_row, 24);
    cr_assert_eq(text.cursor_column, 3);
    cr_assert_eq(text.cursor_start, 0x0d);
    cr_assert_eq(text.cursor_end, 0x0e);
    crtc(fb, 0x0a, 0x2d);
    cr_assert(display.ops->read_text(display.opaque, &text));
    cr_assert_not(text.cursor_visible);
    fake_board_destroy(fb);
}

Test(vga, the_start_address_scrolls_and_the_line_compare_splits)
{
    struct fake_board *fb = machine_create();
    struct display display = vga_display(find_vga(fb));
    static struct display_text text;
    set_text_mode(fb);
    write_string(fb, 0, 0, "first", 7);
    write_string(fb, 3, 0, "fourth", 7);
    crtc(fb, 0x0d, 240);
    crtc(fb, 0x18, 5 * 16 - 1);
    crtc(fb, 0x07, 0x0f);
    crtc(fb, 0x09, 0x0f);
    cr_assert(display.ops->read_text(display.opaque, &text));
    cr_assert(row_begins_with(&text, 0, "fourth"));
    cr_assert(row_begins_with(&text, 5, "first"));
    fake_board_destroy(fb);
}

Test(vga, colours_pass_through_palette_and_dac)
{
    struct fake_board *fb = machine_create();
    struct display display = vga_display(find_vga(fb));
    static struct display_text text;
    set_text_mode(fb);
    fake_outb(fb, 0x3c8, 0x14);
    fake_outb(fb, 0x3c9, 0x2a);
    fake_outb(fb, 0x3c9, 0x15);
    fake_outb(fb, 0x3c9, 0x00);
    cr_assert(display.ops->read_text(display.opaque, &text));
    cr_assert_eq(text.color[6], 0xaa5500);
    cr_assert_eq(text.color[0], 0);
    fake_board_destroy(fb);
}

Test(vga, fonts_are_read_from_plane_2)
{
    struct fake_board *fb = machine_create();
    struct display display = vga_display(find_vga(fb));
    uint8_t rows[DISPLAY_GLYPH_ROWS];
    set_text_mode(fb);
    seq(fb, 2, 0x04);
    seq(fb, 4, 0x06);
    gfx(fb, 5, 0x00);
    gfx(fb, 6, 0x04);
    mem_out(fb, 0xa0000 + 'A' * 32 + 3, 0x18);
    mem_out(fb, 0xa0000 + 0x6000 + 'A' * 32 + 3, 0x24);
    display.ops->read_glyph(display.opaque, 0, 'A', rows);
    cr_assert_eq(rows[3], 0x18);
    cr_assert_eq(rows[2], 0);
    seq(fb, 3, 0x24); /* font 1: 16 KiB + 8 KiB */
    display.ops->read_glyph(display.opaque, 1, 'A', rows);
    cr_assert_eq(rows[3], 0x24);
    fake_board_destroy(fb);
}

Test(vga, the_generation_moves_when_the_picture_does)
{
    struct fake_board *fb = machine_create();
    struct display display = vga_display(find_vga(fb));
    static struct display_text text;
    set_text_mode(fb);
    config_out(fb, 0x10, 0xe0000000);
    config_out(fb, PCI_COMMAND, PCI_COMMAND_MEMORY);
    uint64_t before = display.ops->generation(display.opaque);
    mem_in(fb, 0xb8000);
    fake_inb(fb, 0x3da);
    cr_assert_eq(display.ops->generation(display.opaque), before, "reading changes nothing");
    cr_assert(display.ops->read_text(display.opaque, &text));
    write_string(fb, 0, 0, "y", 7);
    cr_assert_neq(display.ops->generation(display.opaque), before);
    cr_assert(display.ops->read_text(display.opaque, &text));
    cr_assert(row_begins_with(&text, 0, "y"));
    fake_board_destroy(fb);
}

Test(vga, every_geometry_gives_a_picture_within_bounds)
{
    struct fake_board *fb = machine_create();
    struct display display = vga_display(find_vga(fb));
    static struct display_text text;
    uint64_t state = 11;
    set_text_mode(fb);
    for (unsigned i = 0; i < 1000; i++) {
        crtc(fb, 0x11, 0);
        for (unsigned j = 0; j < 4; j++) {
            crtc(fb, (uint8_t)(fuzz_random(&state) % 25), (uint8_t)fuzz_random(&state));
        }
        cr_assert(display.ops->read_text(display.opaque, &text));
        cr_assert(text.columns >= 1 && text.columns <= DISPLAY_TEXT_MAX_COLUMNS);
        cr_assert(text.rows >= 1 && text.rows <= DISPLAY_TEXT_MAX_ROWS);
        cr_assert(!text.cursor_visible || (text.cursor_column < text.columns && text.cursor_row < text.rows));
    }
    fake_board_destroy(fb);
}

/* --- DISPI ----------------------------------------------------------------------------------------------- */

Test(vga, dispi_identifies_itself_and_its_memory)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(dispi_in(fb, DISPI_ID), 0xb0c5);
    dispi(fb, DISPI_ID, 0xb0c0);
    cr_assert_eq(dispi_in(fb, DISPI_ID), 0xb0c0);
    dispi(fb, DISPI_ID, 0x1234);
    cr_assert_eq(dispi_in(fb, DISPI_ID), 0xb0c0);
    cr_assert_eq(dispi_in(fb, DISPI_VIDEO_MEMORY_64K), 256);
    dispi(fb, DISPI_ENABLE, DISPI_GETCAPS);
    cr_assert_eq(dispi_in(fb, DISPI_XRES), 2560);
    cr_assert_eq(dispi_in(fb, 0x55), 0);
    fake_board_destroy(fb);
}

Test(vga, enabling_a_dispi_mode_fits_the_geometry_and_clears_the_screen)
{
    struct fake_board *fb = machine_create();
    uint8_t *vram = ram_ptr(&fb->ram, find_vga(fb)->vram);
    vram[0] = 0x55;
    dispi(fb, DISPI_XRES, 1024);
    dispi(fb, DISPI_YRES, 768);
    dispi(fb, DISPI_BPP, 32);
    dispi(fb, DISPI_ENABLE, DISPI_ENABLED | DISPI_LFB_ENABLED);
    cr_assert_eq(vram[0], 0);
    cr_assert_eq(dispi_in(fb, DISPI_VIRT_WIDTH), 1024);
    cr_assert_eq(dispi_in(fb, DISPI_VIRT_HEIGHT), 4096);
    dispi(fb, DISPI_VIRT_WIDTH, 2048);
    cr_assert_eq(dispi_in(fb, DISPI_VIRT_HEIGHT), 2048);
    dispi(fb, DISPI_X_OFFSET, 0xffff);
    dispi(fb, DISPI_Y_OFFSET, 0xffff);
    cr_assert_eq(dispi_in(fb, DISPI_X_OFFSET), 1024);
    cr_assert_eq(dispi_in(fb, DISPI_Y_OFFSET), 2048 - 768);
    cr_assert_eq(vga_display(find_vga(fb)).ops->kind(find_vga(fb)), DISPLAY_BLANK);
    fake_outb(fb, 0x3c0, 0x20);
    cr_assert_eq(vga_display(find_vga(fb)).ops->kind(find_vga(fb)), DISPLAY_GRAPHICS);
    fake_board_destroy(fb);
}

Test(vga, the_bank_moves_the_aperture_over_linear_memory)
{
    struct fake_board *fb = machine_create();
    uint8_t *vram = ram_ptr(&fb->ram, find_vga(fb)->vram);
    fake_outb(fb, 0x3c2, 0x67);
    dispi(fb, DISPI_XRES, 640);
    dispi(fb, DISPI_YRES, 480);
    dispi(fb, DISPI_BPP, 8);
    dispi(fb, DISPI_ENABLE, DISPI_ENABLED);
    dispi(fb, DISPI_BANK, 3);
    mem_out(fb, 0xa1234, 0x99);
    cr_assert_eq(vram[3 * 0x10000 + 0x1234], 0x99);
    cr_assert_eq(mem_in(fb, 0xa1234), 0x99);
    dispi(fb, DISPI_BANK, 0xffff);
    mem_out(fb, 0xaffff, 0x77);
    cr_assert_eq(vram[VGA_VRAM_SIZE - 1], 0x77);
    dispi(fb, DISPI_ENABLE, 0);
    cr_assert_eq(dispi_in(fb, DISPI_BANK), 0);
    fake_board_destroy(fb);
}

/* --- PCI ------------------------------------------------------------------------------------------------- */

Test(vga, the_pci_function_has_frame_buffer_registers_and_rom)
{
    struct fake_board *fb = machine_create();
    struct vga *vga = find_vga(fb);
    cr_assert_eq(config_in(fb, 0), 0x11111234);
    cr_assert_eq(config_in(fb, 8), 0x03000002);
    config_out(fb, 0x10, 0xffffffff);
    config_out(fb, 0x18, 0xffffffff);
    config_out(fb, 0x30, 0xfffffffe);
    cr_assert_eq(config_in(fb, 0x10), 0xff000008);
    cr_assert_eq(config_in(fb, 0x18), 0xfffff000);
    cr_assert_eq(config_in(fb, 0x30), 0xffffe000);
    config_out(fb, 0x10, 0xe0000000);
    config_out(fb, 0x18, 0xf0000000);
    config_out(fb, 0x30, 0xf1000001);
    config_out(fb, PCI_COMMAND, PCI_COMMAND_MEMORY);
    fake_write32(fb, 0xe0000010, 0xcafebabe);
    cr_assert_eq(load_le32(ram_ptr(&fb->ram, vga->vram + 0x10)), 0xcafebabe);
    cr_assert_eq(fake_read32(fb, 0xf1000000), 0x000aaa55);
    cr_assert_eq(fake_read32(fb, 0xf1001ffc), 0xffffffff, "the rest of the ROM is empty");
    fake_board_destroy(fb);
}

Test(vga, bar_2_reaches_ports_and_dispi)
{
    struct fake_board *fb = machine_create();
    config_out(fb, 0x18, 0xf0000000);
    config_out(fb, PCI_COMMAND, PCI_COMMAND_MEMORY);
    mem_out(fb, 0xf0000402, 0x67);
    cr_assert_eq(fake_inb(fb, 0x3cc), 0x67);
    addr_space_write(&fb->mem, 0xf0000504, 480, 2);
    cr_assert_eq(dispi_in(fb, DISPI_YRES), 480);
    cr_assert_eq((uint16_t)addr_space_read(&fb->mem, 0xf0000500, 2), 0xb0c5);
    cr_assert_eq(fake_read32(fb, 0xf0000600), 8);
    cr_assert_eq(fake_read32(fb, 0xf0000604), 0x1e1e1e1e);
    fake_board_destroy(fb);
}

Test(vga, creation_fails_cleanly_without_memory)
{
    struct fake_board *fb = fake_board_create();
    ram_alloc(&fb->ram, FAKE_BOARD_SPARE_SIZE - VGA_MEMORY_SIZE);
    struct pci_bus *bus = pci_bus_create(&fb->board);
    cr_assert_null(vga_create(&fb->board, bus, rom_image, sizeof(rom_image)), "no room for the ROM");
    cr_assert_null(board_find_device(&fb->board, "vga"));
    cr_assert_eq(pci_bus_free_slot(bus), 0);
    fake_board_destroy(fb);
}

Test(vga, rom_sizes_are_rounded_to_powers_of_two)
{
    cr_assert_eq(vga_rom_memory(0), 0);
    cr_assert_eq(vga_rom_memory(1), 4096);
    cr_assert_eq(vga_rom_memory(4097), 8192);
    cr_assert_eq(vga_rom_memory(39 * 1024), 65536);
}

/* --- Promises -------------------------------------------------------------------------------------------- */

static void poke(struct fake_board *fb, uint64_t random)
{
    static const unsigned registers[] = {0x10, 0x18, 0x30, PCI_COMMAND};
    static const uint16_t enables[] = {0, DISPI_ENABLED | DISPI_NOCLEARMEM, DISPI_ENABLED | DISPI_NOCLEARMEM,
                                       0xff};
    switch (random % 8) {
    case 0:
        config_out(fb, registers[(random >> 8) % 4], (uint32_t)(random >> 16));
        break;
    case 1:
        set_planar_mode(fb);
        break;
    case 2:
        dispi(fb, DISPI_ENABLE, enables[(random >> 8) % 4]);
        break;
    case 3:
        dispi(fb, DISPI_BPP, random >> 8 & 1 ? 4 : 8);
        break;
    case 6: /* the registers as memory, and the frame buffer: see the windows */
        config_out(fb, 0x10, 0xe0000000);
        config_out(fb, 0x18, 0xf0000000);
        config_out(fb, PCI_COMMAND, PCI_COMMAND_MEMORY);
        break;
    case 5:
        if (random >> 8 & 1) {
            set_text_mode(fb);
        }
        vga_display_ops.update(find_vga(fb));
        break;
    case 4:
        dispi(fb, (random >> 8) % 16, (uint16_t)(random >> 16 & (random >> 32 & 1 ? 0x7ff : 0xffff)));
        break;
    default:
        fake_outb(fb, 0x3c2, 0x67);
        break;
    }
}

static const struct fuzz_target target = {
    .create = target_create,
    .poke = poke,
    .windows = {{.base = 0x3b0, .size = 48},
                {.base = 0x3c0, .size = 16},
                {.base = 0x1ce, .size = 4},
                {.memory = true, .base = 0xa0000, .size = 0x20000},
                {.memory = true, .base = 0xa0000, .size = 0x20000},
                {.memory = true, .base = 0xf0000000, .size = 0x700},
                {.memory = true, .base = 0xe0000000, .size = VGA_VRAM_SIZE}},
    .window_count = 7,
};

/* Every addressing mode at every bank and window, first and last bytes: CVE-2016-3710. */
Test(vga, no_bank_reaches_memory_outside_vram)
{
    static const uint16_t depths[] = {4, 8, 32}, banks[] = {0, 63, 64, 255, 0xffff};
    static const gpa_t probes[] = {0xa0000, 0xaffff, 0xb7fff, 0xbffff};
    struct fake_board *fb = machine_create();
    const struct vga *vga = find_vga(fb);
    const uint8_t *vram = ram_ptr(&fb->ram, vga->vram);
    fake_outb(fb, 0x3c2, 0x67);
    seq(fb, 2, 0x0f);
    gfx(fb, 8, 0xff);
    for (unsigned i = 0; i < ARRAY_LEN(depths) * ARRAY_LEN(banks) * 8 * 4; i++) {
        dispi(fb, DISPI_ENABLE, 0);
        dispi(fb, DISPI_BPP, depths[i % 3]);
        dispi(fb, DISPI_ENABLE, DISPI_ENABLED | DISPI_NOCLEARMEM);
        dispi(fb, DISPI_BANK, banks[i / 3 % 5]);
        seq(fb, 4, (uint8_t)(i / 15 % 8 << 1));
        gfx(fb, 6, (uint8_t)(i / 120 << 2));
        for (unsigned j = 0; j < ARRAY_LEN(probes); j++) {
            mem_out(fb, probes[j], 0xff);
            mem_in(fb, probes[j]);
        }
        const uint8_t *last = vga_planes(vga, UINT32_MAX);
        cr_assert(last >= vram && last + 4 <= vram + VGA_VRAM_SIZE);
    }
    const uint8_t *after = vram + VGA_MEMORY_SIZE + vga->rom.size;
    for (size_t i = 0; i < FAKE_BOARD_SPARE_SIZE - VGA_MEMORY_SIZE - vga->rom.size; i++) {
        cr_assert_eq(after[i], 0, "VRAM end + %zu", i);
    }
    fake_board_destroy(fb);
}

Test(vga, a_load_keeps_the_latches)
{
    struct fake_board *fb = machine_create(), *other = machine_create();
    set_planar_mode(fb);
    fill_planes(fb, 0x30, 1, 2, 3, 4);
    gfx(fb, 5, 0x01);
    mem_in(fb, 0xa0030);
    fake_expect_same_after_load(&find_vga(fb)->device, &find_vga(other)->device);
    mem_out(other, 0xa0031, 0xff);
    expect_planes(other, 0x31, 1, 2, 3, 4);
    fake_board_destroy(fb);
    fake_board_destroy(other);
}

Test(vga, no_register_state_reaches_memory_outside_vram)
{
    struct fake_board *fb = machine_create();
    uint64_t first = find_vga(fb)->vram, last = first + VGA_MEMORY_SIZE;
    uint8_t *outside[2] = {ram_ptr(&fb->ram, first) - PAGE_SIZE, ram_ptr(&fb->ram, last)};
    memcpy(ram_ptr(&fb->ram, 0), "guard", 5);
    for (unsigned round = 0; round < 50; round++) {
        port_fuzz(fb, &target, 1000 + round, 1000);
    }
    for (unsigned i = 0; i < PAGE_SIZE; i++) {
        cr_assert_eq(outside[0][i], 0);
    }
    /* The ROM follows. */
    cr_assert_arr_eq(outside[1], rom_image, sizeof(rom_image));
    cr_assert_arr_eq(ram_ptr(&fb->ram, 0), "guard", 5);
    fake_board_destroy(fb);
}

Test(vga, keeps_the_device_contract)
{
    device_contract_check(&target, 4000);
}
