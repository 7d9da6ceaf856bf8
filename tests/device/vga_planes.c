/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VGA: the aperture against a model that works bit by bit.
 *
 * The model keeps four arrays, one a plane, and follows the sentences of IBM's Technical Reference: what a write does to bit n
 * of plane p, what a read gives. It shares nothing with the device, whose planes are dwords, rotated and masked as a whole.
 */
#include <criterion/criterion.h>

#include "devices/vga.h"
#include "tests/device/port_fuzz.h"

enum { PLANES = 4, PLANE_BYTES = 0x10000 };

struct model {
    uint8_t plane[PLANES][PLANE_BYTES];
    uint8_t latch[PLANES];
    uint8_t seq[5], gfx[9];
    bool loads_latches; /* the last access was one that the device saw as an access to the planes */
};

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    cr_assert_not_null(vga_create(&fb->board, pci_bus_create(&fb->board), NULL, 0));
    addr_space_remove(&fb->mem, &fb->ram_region);
    fake_outb(fb, 0x3c2, 0x67);
    return fb;
}

static const struct vga *find_vga(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "vga"), struct vga, device);
}

static bool bit(uint8_t value, unsigned n)
{
    return value >> n & 1;
}

/* Where the aperture's map puts an address; false: nowhere. */
static bool model_offset(const struct model *m, uint32_t address, uint32_t *offset)
{
    static const uint32_t first[] = {0xa0000, 0xa0000, 0xb0000, 0xb8000};
    static const uint32_t size[] = {0x20000, 0x10000, 0x8000, 0x8000};
    unsigned map = m->gfx[6] >> 2 & 3;
    *offset = address - first[map];
    return address >= first[map] && *offset < size[map];
}

/* What a write would leave in bit n of plane p. */
static bool model_bit(const struct model *m, uint8_t value, unsigned p, unsigned n)
{
    unsigned rotate = m->gfx[3] & 7;
    bool rotated = bit(value, (n + rotate) % 8), latch = bit(m->latch[p], n), data;
    bool masked = bit(m->gfx[8], n);

    switch (m->gfx[5] & 3) {
    case 0:
        data = bit(m->gfx[1], p) ? bit(m->gfx[0], p) : rotated;
        break;
    case 1:
        return latch;
    case 2:
        data = bit(value, p);
        break;
    default:
        data = bit(m->gfx[0], p);
        masked = masked && rotated;
        break;
    }
    switch (m->gfx[3] >> 3 & 3) {
    case 1:
        data = data && latch;
        break;
    case 2:
        data = data || latch;
        break;
    case 3:
        data = data != latch;
        break;
    default:
        break;
    }
    return masked ? data : latch;
}

static void model_write(struct model *m, uint32_t address, uint8_t value)
{
    bool chain4 = m->seq[4] & 8, odd_even = !(m->seq[4] & 4);
    uint32_t offset;

    if (!model_offset(m, address, &offset)) {
        return;
    }
    for (unsigned p = 0; p < PLANES; p++) {
        uint32_t at = offset;
        if (!bit(m->seq[2], p)) {
            continue;
        }
        if (chain4) {
            at = offset / 4 * 4;
        } else if (odd_even) {
            at = offset / 2 * 2;
        }
        if ((chain4 && offset % 4 != p) || (!chain4 && odd_even && offset % 2 != p % 2)) {
            continue;
        }
        uint8_t result = 0;
        for (unsigned n = 0; n < 8; n++) {
            result |= (uint8_t)(model_bit(m, value, p, n) << n);
        }
        m->plane[p][at % PLANE_BYTES] = result;
    }
}

static uint8_t model_read(struct model *m, uint32_t address)
{
    bool chain4 = m->seq[4] & 8, odd_even = m->gfx[5] & 0x10;
    unsigned chosen = m->gfx[4] & 3;
    uint32_t offset;
    uint8_t result = 0;

    if (!model_offset(m, address, &offset)) {
        return 0xff;
    }
    if (chain4) {
        chosen = offset % 4;
        offset = offset / 4 * 4;
    } else if (odd_even) {
        chosen = (chosen & 2) | offset % 2;
        offset = offset / 2 * 2;
    }
    for (unsigned p = 0; p < PLANES; p++) {
        m->latch[p] = m->plane[p][offset % PLANE_BYTES];
    }
    if (!(m->gfx[5] & 8)) {
        return m->latch[chosen];
    }
    for (unsigned n = 0; n < 8; n++) {
        bool same = true;
        for (unsigned p = 0; p < PLANES; p++) {
            same = same && (!bit(m->gfx[7], p) || bit(m->latch[p], n) == bit(m->gfx[2], p));
        }
        result |= (uint8_t)(same << n);
    }
    return result;
}

/* Give device and model a random register; bits that do not belong to the aperture's logic stay 0. */
static void change_register(struct fake_board *fb, struct model *m, uint64_t *state)
{
    static const uint8_t gfx_mask[9] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x1b, 0x0c, 0x0f, 0xff};
    uint8_t value = (uint8_t)fuzz_random(state);
    unsigned index = (unsigned)(fuzz_random(state) % 11);

    if (index < 9) {
        m->gfx[index] = value & gfx_mask[index];
        fake_outw(fb, 0x3ce, (uint16_t)(index | m->gfx[index] << 8));
    } else {
        unsigned which = index == 9 ? 2 : 4;
        m->seq[which] = value & (which == 2 ? 0x0f : 0x0c);
        fake_outw(fb, 0x3c4, (uint16_t)(which | m->seq[which] << 8));
    }
}

static void compare_planes(struct fake_board *fb, const struct model *m, unsigned round)
{
    const struct vga *vga = find_vga(fb);
    vga_window_pull(vga);
    for (uint32_t offset = 0; offset < PLANE_BYTES; offset++) {
        const uint8_t *planes = vga_planes(vga, offset);
        for (unsigned p = 0; p < PLANES; p++) {
            cr_assert_eq(planes[p], m->plane[p][offset], "round %u: plane %u at %04x is %02x, not %02x",
                         round, p, offset, planes[p], m->plane[p][offset]);
        }
    }
}

/* Where the aperture is memory, reads do not load the latches: the next access to the planes shall. */
static void reload_latches(struct fake_board *fb, struct model *m)
{
    const struct vga *vga = find_vga(fb);
    if (vga->window_kind != VGA_WINDOW_NONE) {
        m->loads_latches = false;
    } else if (!m->loads_latches) {
        m->loads_latches = true;
        uint32_t address = m->gfx[6] >> 2 & 2 ? 0xb8000 : 0xa0000;
        address = (m->gfx[6] >> 2 & 3) == 2 ? 0xb0000 : address;
        cr_assert_eq(addr_space_read(&fb->mem, address, 1), model_read(m, address));
    }
}

Test(vga_planes, random_accesses_in_random_states_match_the_model)
{
    struct model *m = calloc(1, sizeof(*m));
    struct fake_board *fb = machine_create();
    uint64_t state = 42;

    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 2000; i++) {
            /* Few places, so that accesses meet. */
            uint32_t address =
                0xa0000 + (uint32_t)(fuzz_random(&state) % 4 * 0x8000 + fuzz_random(&state) % 32);
            uint64_t choice = fuzz_random(&state);
            if (choice % 8 == 0) {
                change_register(fb, m, &state);
            }
            reload_latches(fb, m);
            if (choice & 0x100) {
                uint8_t value = (uint8_t)(choice >> 16);
                addr_space_write(&fb->mem, address, value, 1);
                model_write(m, address, value);
            } else {
                uint8_t expected = model_read(m, address);
                uint8_t actual = (uint8_t)addr_space_read(&fb->mem, address, 1);
                cr_assert_eq(actual, expected, "round %u: %x reads %02x, not %02x", round, address, actual,
                             expected);
            }
        }
        compare_planes(fb, m, round);
    }
    free(m);
    fake_board_destroy(fb);
}

/* Each write mode with each function, in each way of addressing, on every value that can be written. */
Test(vga_planes, every_write_mode_and_function_matches_the_model)
{
    static const uint8_t addressing[3] = {0x04, 0x00, 0x08}; /* planar, odd/even, chain 4 */
    struct model *m = calloc(1, sizeof(*m));
    struct fake_board *fb = machine_create();
    uint64_t state = 7;

    for (unsigned i = 0; i < 3u << 12; i++) {
        m->gfx[5] = (uint8_t)(i & 3);
        m->gfx[3] = (uint8_t)((i >> 2 & 3) << 3 | fuzz_random(&state) % 8);
        m->seq[4] = addressing[(i >> 12) % 3];
        m->seq[2] = 0x0f;
        m->gfx[0] = fuzz_random(&state) & 0x0f;
        m->gfx[1] = fuzz_random(&state) & 0x0f;
        m->gfx[8] = (uint8_t)fuzz_random(&state);
        m->gfx[6] = 0x04;
        for (unsigned r = 0; r < 9; r++) {
            fake_outw(fb, 0x3ce, (uint16_t)(r | m->gfx[r] << 8));
        }
        fake_outw(fb, 0x3c4, (uint16_t)(2 | m->seq[2] << 8));
        fake_outw(fb, 0x3c4, (uint16_t)(4 | m->seq[4] << 8));
        m->loads_latches = false;
        reload_latches(fb, m);
        uint32_t address = 0xa0000 + (uint32_t)(fuzz_random(&state) % 64);
        addr_space_write(&fb->mem, address, i >> 4 & 0xff, 1);
        model_write(m, address, (uint8_t)(i >> 4));
    }
    compare_planes(fb, m, 0);
    free(m);
    fake_board_destroy(fb);
}

Test(vga_planes, wide_accesses_are_bytes_from_low_to_high)
{
    struct model *m = calloc(1, sizeof(*m));
    struct fake_board *fb = machine_create();
    uint64_t state = 9;

    m->gfx[6] = 0x04;
    fake_outw(fb, 0x3ce, 0x0406);
    m->gfx[8] = 0xff;
    for (unsigned i = 0; i < 4000; i++) {
        uint32_t address = 0xa0000 + (uint32_t)(fuzz_random(&state) % 64);
        uint64_t value = fuzz_random(&state);
        unsigned size = 1u << fuzz_random(&state) % 3;
        if (i % 16 == 0) {
            change_register(fb, m, &state);
        }
        reload_latches(fb, m);
        addr_space_write(&fb->mem, address, value, size);
        for (unsigned n = 0; n < size; n++) {
            model_write(m, address + n, (uint8_t)(value >> (8 * n)));
        }
    }
    compare_planes(fb, m, 0);
    free(m);
    fake_board_destroy(fb);
}
