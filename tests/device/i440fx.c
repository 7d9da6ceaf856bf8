/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The 82441FX: what is seen where, for every attribute of every segment.
 */
#include <criterion/criterion.h>

#include "devices/i440fx.h"
#include "tests/device/port_fuzz.h"

#define BIOS_SIZE (256 * KIB)

static struct pci_bus *find_bus(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "pci"), struct pci_bus, device);
}

static struct i440fx *find_pmc(struct fake_board *fb)
{
    return CONTAINER_OF(board_find_device(&fb->board, "i440fx"), struct i440fx, device);
}

/* The fake board's RAM becomes the machine's; the BIOS is filled with a pattern of its offsets. */
static void target_create(struct fake_board *fb)
{
    struct error error = {.text = ""};
    struct i440fx_memory memory = {.ram = fb->ram_region.roff,
                                   .ram_size = FAKE_BOARD_RAM_SIZE,
                                   .bios = ram_alloc(&fb->ram, BIOS_SIZE),
                                   .bios_size = BIOS_SIZE};

    addr_space_remove(&fb->mem, &fb->ram_region);
    for (uint32_t i = 0; i < BIOS_SIZE; i += 4) {
        store_le32(ram_ptr(&fb->ram, memory.bios + i), 0xb1000000u + i);
    }
    struct pci_bus *bus = pci_bus_create(&fb->board);
    cr_assert_not_null(i440fx_create(&fb->board, bus, &memory, &error), "%s", error.text);
}

static struct fake_board *machine_create(void)
{
    struct fake_board *fb = fake_board_create();
    target_create(fb);
    return fb;
}

static void config_outb(struct fake_board *fb, unsigned offset, uint8_t value)
{
    pci_config_write(find_bus(fb), 0, 0, 0, offset, value, 1);
}

static uint8_t config_inb(struct fake_board *fb, unsigned offset)
{
    return (uint8_t)pci_config_read(find_bus(fb), 0, 0, 0, offset, 1);
}

Test(i440fx, identifies_itself)
{
    struct fake_board *fb = machine_create();
    fake_outl(fb, 0xcf8, 0x80000000);
    cr_assert_eq(fake_inl(fb, 0xcfc), 0x12378086);
    fake_outl(fb, 0xcf8, 0x80000008);
    cr_assert_eq(fake_inl(fb, 0xcfc), 0x06000002);
    fake_outl(fb, 0xcf8, 0x8000002c);
    cr_assert_eq(fake_inl(fb, 0xcfc), 0x11001af4, "firmware looks for the board here");
    fake_board_destroy(fb);
}

Test(i440fx, the_bios_is_seen_at_both_tops_after_reset)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(fake_read32(fb, 0xfffffff0), 0xb103fff0);
    cr_assert_eq(fake_read32(fb, 0x000ffff0), 0xb103fff0);
    cr_assert_eq(fake_read32(fb, 0x000e0000), 0xb1020000);
    cr_assert_eq(fake_read32(fb, 0xfffc0000), 0xb1000000);
    cr_assert_eq(fake_read32(fb, 0x000dfffc), 0xffffffff);
    fake_write32(fb, 0xfffffff0, 0);
    fake_write32(fb, 0x000ffff0, 0);
    cr_assert_eq(fake_read32(fb, 0x000ffff0), 0xb103fff0, "ROM cannot be written");
    fake_board_destroy(fb);
}

/* Every segment, every attribute: reads and writes go to RAM or not, each on its own. */
static void check_segment(struct fake_board *fb, unsigned reg, unsigned shift, gpa_t base, gpa_t last)
{
    uint8_t *ram = ram_ptr(&fb->ram, fb->ram_region.roff);

    for (unsigned attributes = 0; attributes < 4; attributes++) {
        for (gpa_t addr = base; addr <= last; addr += last - 3 - base) {
            config_outb(fb, reg, 0);
            uint32_t pci = fake_read32(fb, addr);
            store_le32(ram + addr, 0x12345678);
            config_outb(fb, reg, (uint8_t)(attributes << shift));
            cr_assert_eq(fake_read32(fb, addr), attributes & 1 ? 0x12345678 : pci, "%x", (unsigned)addr);
            fake_write32(fb, addr, 0x9abcdef0);
            cr_assert_eq(load_le32(ram + addr), attributes & 2 ? 0x9abcdef0 : 0x12345678, "%x",
                         (unsigned)addr);
        }
        config_outb(fb, reg, 0);
    }
}

Test(i440fx, pam_registers_switch_reads_and_writes_apart)
{
    struct fake_board *fb = machine_create();
    for (unsigned segment = 0; segment < 12; segment++) {
        gpa_t base = 0xc0000 + segment * 0x4000;
        check_segment(fb, 0x5a + segment / 2, segment % 2 * 4, base, base + 0x3fff);
    }
    check_segment(fb, 0x59, 4, 0xf0000, 0xfffff);
    fake_board_destroy(fb);
}

Test(i440fx, reserved_pam_bits_stay_zero)
{
    struct fake_board *fb = machine_create();
    config_outb(fb, 0x59, 0xff);
    config_outb(fb, 0x5a, 0xff);
    cr_assert_eq(config_inb(fb, 0x59), 0x30);
    cr_assert_eq(config_inb(fb, 0x5a), 0x33);
    fake_board_destroy(fb);
}

Test(i440fx, smram_shows_ram_behind_the_video_memory_only_while_open)
{
    struct fake_board *fb = machine_create();
    cr_assert_eq(config_inb(fb, 0x72), 0x02);
    cr_assert_eq(fake_read32(fb, 0xa0000), 0xffffffff);
    config_outb(fb, 0x72, 0x4a);
    fake_write32(fb, 0xa0000, 0x55aa55aa);
    cr_assert_eq(fake_read32(fb, 0xa0000), 0x55aa55aa);
    config_outb(fb, 0x72, 0x6a);
    cr_assert_eq(fake_read32(fb, 0xa0000), 0xffffffff, "DCLS closes it");
    config_outb(fb, 0x72, 0x0a);
    cr_assert_eq(fake_read32(fb, 0xa0000), 0xffffffff);
    fake_board_destroy(fb);
}

Test(i440fx, a_locked_smram_cannot_be_opened_before_the_next_reset)
{
    struct fake_board *fb = machine_create();
    config_outb(fb, 0x72, 0x5a);
    cr_assert_eq(config_inb(fb, 0x72), 0x1a, "DLCK clears DOPEN");
    config_outb(fb, 0x72, 0x4a);
    cr_assert_eq(config_inb(fb, 0x72), 0x1a);
    cr_assert_eq(fake_read32(fb, 0xa0000), 0xffffffff);
    board_reset_devices(&fb->board);
    config_outb(fb, 0x72, 0x4a);
    cr_assert_eq(config_inb(fb, 0x72), 0x4a);
    fake_board_destroy(fb);
}

Test(i440fx, a_lock_survives_a_load)
{
    struct fake_board *fb = machine_create(), *other = machine_create();
    config_outb(fb, 0x72, 0x1a);
    config_outb(fb, 0x59, 0x30);
    fake_expect_same_after_load(&find_pmc(fb)->device, &find_pmc(other)->device);
    config_outb(other, 0x72, 0x4a);
    cr_assert_eq(config_inb(other, 0x72), 0x1a);
    fake_write32(other, 0xf0000, 0x77);
    cr_assert_eq(fake_read32(other, 0xf0000), 0x77, "PAM0 took effect");
    fake_board_destroy(fb);
    fake_board_destroy(other);
}

Test(i440fx, ram_above_three_gigabytes_moves_above_four)
{
    struct ram ram;
    struct addr_space mem, io;
    struct clock clock;
    struct error error = {.text = ""};
    struct board board = {.mem = &mem, .io = &io, .clock = &clock};
    struct i440fx_memory memory = {.ram_size = 4 * GIB, .bios_size = 64 * KIB};

    cr_assert_eq(ram_init(&ram, 4 * GIB + 64 * KIB, &error), 0, "%s", error.text);
    cr_assert_eq(addr_space_init(&mem, "memory", BITS(35, 0), &ram), 0);
    cr_assert_eq(addr_space_init(&io, "io", UINT16_MAX, NULL), 0);
    clock_init(&clock, CLOCK_STEPPED);
    memory.ram = ram_alloc(&ram, memory.ram_size);
    memory.bios = ram_alloc(&ram, memory.bios_size);
    cr_assert_not_null(i440fx_create(&board, pci_bus_create(&board), &memory, &error), "%s", error.text);
    cr_assert_eq(addr_space_read_roff(&mem, 0xbffff000), 0xbffff000);
    cr_assert_eq(addr_space_read_roff(&mem, 0xc0000000), UINT64_MAX);
    cr_assert_eq(addr_space_write_roff(&mem, 4 * GIB), 3 * GIB);
    cr_assert_eq(addr_space_write_roff(&mem, 5 * GIB - PAGE_SIZE), 4 * GIB - PAGE_SIZE);
    cr_assert_eq(addr_space_write_roff(&mem, 5 * GIB), UINT64_MAX);
    board_destroy_devices(&board);
    cr_assert_null(mem.regions);
    addr_space_fini(&mem);
    addr_space_fini(&io);
    ram_fini(&ram);
}

Test(i440fx, impossible_memory_is_refused_with_a_reason)
{
    struct fake_board *fb = fake_board_create();
    struct pci_bus *bus = pci_bus_create(&fb->board);
    const struct i440fx_memory cases[] = {
        {.ram_size = 512 * KIB, .bios_size = 64 * KIB},      {.ram_size = 2 * MIB + 1, .bios_size = 64 * KIB},
        {.ram_size = 1024 * GIB, .bios_size = 64 * KIB},     {.ram_size = 2 * MIB, .bios_size = 0},
        {.ram_size = 2 * MIB, .bios_size = 64 * KIB + 4096}, {.ram_size = 2 * MIB, .bios_size = 32 * MIB},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct error error = {.text = ""};
        cr_assert_null(i440fx_create(&fb->board, bus, &cases[i], &error), "case %u", i);
        cr_assert_neq(error.text[0], '\0');
    }
    fake_board_destroy(fb);
}

/* Aimed configuration writes: random ones through CF8 rarely hit the bridge. */
static void poke_config(struct fake_board *fb, uint64_t random)
{
    config_outb(fb, random & 0x100 ? 0x59 + (random >> 32) % 26 : (random >> 32) % 256, (uint8_t)random);
}

Test(i440fx, keeps_the_device_contract)
{
    const struct fuzz_target target = {
        .create = target_create,
        .poke = poke_config,
        .windows = {{.base = 0xcf8, .size = 8},
                    {.base = 0xcfc, .size = 4},
                    {.memory = true, .base = 0xa0000, .size = 0x60000}},
        .window_count = 3,
    };
    device_contract_check(&target, 4000);
}
