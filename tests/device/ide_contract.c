/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The IDE function against a hostile guest and hostile snapshots: every command in every phase, the device contract, and
 * snapshots in the middle of PIO, DMA and packet transfers.
 */
#include <stdlib.h>

#include "tests/device/ide_bench.h"

/* ---- a board whose media are part of its state ---- */

#define MEDIUM_SIZE (64 * KIB)

/* Holds the media of a fuzzed board: they go where the devices go, in snapshots and at the end. */
struct media {
    struct device device;
    struct fake_block *disk, *cd;
    uint8_t disk_bytes[MEDIUM_SIZE];
};

/* As created, so that the check of resets can compare it; a real disk would not forget. */
static void media_reset(struct device *device)
{
    struct media *media = CONTAINER_OF(device, struct media, device);

    for (unsigned sector = 0; sector < MEDIUM_SIZE / 512; sector++) {
        memset(media->disk_bytes + sector * 512, (int)sector, 512);
        store_le32(media->disk_bytes + sector * 512, sector);
    }
}

static void media_fini(struct device *device)
{
    struct media *media = CONTAINER_OF(device, struct media, device);

    media->disk->bytes = NULL; /* it was ours */
    fake_block_destroy(media->disk);
    fake_block_destroy(media->cd);
    free(media);
}

static const struct snap_field media_fields[] = {SNAP_BYTES(struct media, disk_bytes)};
static const struct snap_desc media_snap = {.name = "media", .version = 1, SNAP_FIELDS(media_fields)};
static const struct device_ops media_ops = {
    .name = "media", .reset = media_reset, .fini = media_fini, .snap = &media_snap};

static struct media *media_create(struct fake_board *fb)
{
    struct media *media = calloc(1, sizeof(*media));

    cr_assert_not_null(media);
    device_init(&media->device, &media_ops, &fb->board, NULL);
    media->disk = fake_block_create(&fb->clock, MEDIUM_SIZE);
    memcpy(media->disk_bytes, media->disk->bytes, MEDIUM_SIZE);
    free(media->disk->bytes);
    media->disk->bytes = media->disk_bytes;
    media->cd = fake_block_create(&fb->clock, MEDIUM_SIZE);
    media->cd->block.removable = true;
    return media;
}

/* The host bridge's place in front: what firmware does, so that the fuzzer's accesses reach the function. */
static void open_ports(struct fake_board *fb)
{
    struct piix3_ide *ide = CONTAINER_OF(board_find_device(&fb->board, "ide"), struct piix3_ide, device);

    pci_config_write(ide->pci.bus, 0, 1, 1, 0x20, BM, 4);
    pci_config_write(ide->pci.bus, 0, 1, 1, 4, 5, 2);
}

static void create_board(struct fake_board *fb)
{
    struct media *media = media_create(fb);
    struct line irq[2] = {fake_line(fb, 14), fake_line(fb, 15)};
    struct ide_slot slot[4] = {
        {.block = &media->disk->block}, {0}, {.block = &media->cd->block, .cdrom = true}};

    cr_assert_not_null(piix3_ide_create(&fb->board, pci_bus_create(&fb->board), irq, slot));
}

static const uint8_t likely_commands[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39,
                                          0x40, 0x90, 0xa0, 0xa0, 0xa1, 0xb0, 0xc4, 0xc5,
                                          0xc6, 0xc8, 0xca, 0xe7, 0xec, 0xef, 0x08, 0xce};
static const uint8_t likely_packets[] = {0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x28, 0x42, 0x43, 0x46,
                                         0x4a, 0x51, 0x52, 0x5a, 0xa8, 0xad, 0xb9, 0xbd, 0xbe, 0xbe};

static void poke_command(struct fake_board *fb, uint64_t random)
{
    uint16_t base = random & 1 ? 0x170 : 0x1f0;

    fake_outb(fb, base + 6, 0xe0);
    fake_outb(fb, base + 1, random >> 8 & 1);
    fake_outb(fb, base + 2, random >> 16 & 31);
    fake_outb(fb, base + 3, random >> 24 & 127);
    fake_outb(fb, base + 4, base == 0x170 ? random >> 32 : 0);
    fake_outb(fb, base + 5, base == 0x170 ? random >> 40 & 15 : 0);
    fake_outb(fb, base + 7, likely_commands[(random >> 48) % ARRAY_LEN(likely_commands)]);
}

static void poke_packet(struct fake_board *fb, uint64_t random)
{
    uint8_t packet[12] = {likely_packets[random % ARRAY_LEN(likely_packets)]};

    for (unsigned i = 1; i < 12; i++) {
        packet[i] = i >= 2 && i <= 4 ? 0 : random >> (i * 4) & (i == 9 ? 0xff : 0x0f);
    }
    for (unsigned i = 0; i < 6; i++) {
        fake_outw(fb, 0x170, load_le16(packet + i * 2));
    }
}

/* Move the data of whatever is under way. */
static void poke_data(struct fake_board *fb, uint64_t random)
{
    uint16_t port = random & 1 ? 0x170 : 0x1f0;

    for (unsigned i = 0; i < (random >> 8 & 0x1ff); i++) {
        if (random & 2) {
            fake_outl(fb, port, (uint32_t)(random * i));
        } else {
            fake_inl(fb, port);
        }
    }
}

static void poke_dma(struct fake_board *fb, uint64_t random)
{
    uint16_t port = (uint16_t)(BM + (random & 8));

    fake_write32(fb, PRD_TABLE, MEMORY + (random >> 8 & 0xfffe));
    fake_write32(fb, PRD_TABLE + 4, (uint32_t)(random >> 32) & 0x800fffff);
    fake_write32(fb, PRD_TABLE + 8, MEMORY);
    fake_write32(fb, PRD_TABLE + 12, 0x80000000);
    fake_outl(fb, port + 4, PRD_TABLE);
    fake_outb(fb, port, random & 1 ? 0 : 1);
    fake_outb(fb, port, 9);
}

static void poke_media(struct fake_board *fb, uint64_t random)
{
    struct media *media = CONTAINER_OF(board_find_device(&fb->board, "media"), struct media, device);

    if (random % 8 == 0) {
        fake_block_fail(media->disk, random & 0x100 ? BLOCK_READ : BLOCK_WRITE,
                        random & 0x200 ? -EIO : -ENOSPC, 1);
    } else if (random % 8 == 1) {
        fake_block_fail(media->cd, BLOCK_READ, -EIO, 1);
    }
}

static void poke(struct fake_board *fb, uint64_t random)
{
    static void (*const pokes[])(struct fake_board *, uint64_t) = {poke_command, poke_command, poke_packet,
                                                                   poke_data,    poke_data,    poke_dma};

    open_ports(fb);
    pokes[random % ARRAY_LEN(pokes)](fb, random >> 8);
}

static void poke_with_faults(struct fake_board *fb, uint64_t random)
{
    poke(fb, random);
    poke_media(fb, random >> 4);
}

static const struct fuzz_target target = {
    .create = create_board,
    .poke = poke,
    .windows = {{.base = 0x1f0, .size = 8},
                {.base = 0x170, .size = 8},
                {.base = 0x3f6, .size = 1},
                {.base = 0x376, .size = 1},
                {.base = BM, .size = 16},
                {.base = 0xcf8, .size = 8}},
    .window_count = 6,
    .max_step_ns = 1000000,
};

Test(ide_contract, keeps_the_device_contract, .timeout = 300)
{
    device_contract_check(&target, 20000);
}

Test(ide_contract, survives_media_faults_too)
{
    struct fuzz_target faulty = target;

    faulty.poke = poke_with_faults;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct fake_board *fb = fake_board_create();

        create_board(fb);
        port_fuzz(fb, &faulty, seed, 20000);
        fake_board_destroy(fb);
    }
}

/* ---- every command in every phase ---- */

static void expect_pointers_inside(const struct bench *b)
{
    for (unsigned i = 0; i < 4; i++) {
        const struct ide_drive *drive = &b->ide->channel[i / 2].drive[i % 2];

        cr_assert_leq(drive->position, drive->drq_end);
        cr_assert_leq(drive->drq_end, ALIGN_UP(drive->end, 2));
        cr_assert_leq(drive->end, IDE_BUFFER_SIZE);
    }
}

/* Bring the channel at `base` into the middle of something. */
static void enter_phase(struct bench *b, uint16_t base, unsigned phase)
{
    static const uint8_t disk[] = {0, 0x24, 0x34, 0x25, 0x35, 0xec, 0xe7};

    fake_outb(b->fb, base + 0x206, 0x04);
    fake_outb(b->fb, base + 0x206, 0x00);
    fake_outb(b->fb, base + 2, 0);
    fake_outb(b->fb, base + 2, 8);
    fake_outb(b->fb, base + 3, 0);
    fake_outb(b->fb, base + 3, 1);
    if (base == 0x1f0) {
        fake_outb(b->fb, base + 7, disk[phase]);
    } else if (phase) {
        fake_outb(b->fb, base + 1, phase & 1);
        fake_outb(b->fb, base + 4, 0x10);
        fake_outb(b->fb, base + 7, phase == 6 ? 0xa1 : 0xa0);
        if (phase >= 3 && phase <= 5) {
            static const uint8_t read[12] = {0x28, [8] = 8}, inquiry[12] = {0x12, [4] = 36};

            write_words(b, base, phase == 5 ? inquiry : read, 6);
        }
    }
    if (phase & 1) {
        settle(b);
    }
    fake_inw(b->fb, base);
    fake_outw(b->fb, base, 0x1234);
}

Test(ide_contract, no_command_in_any_phase_moves_a_pointer_out_of_the_buffer)
{
    struct bench b = bench_create();
    static const uint16_t bases[] = {0x1f0, 0x170};

    for (unsigned i = 0; i < 2 * 7 * 256; i++) {
        uint16_t base = bases[i / (7 * 256)];

        enter_phase(&b, base, i / 256 % 7);
        fake_outb(b.fb, base + 7, (uint8_t)i);
        expect_pointers_inside(&b);
        for (unsigned word = 0; word < 300; word++) {
            fake_outw(b.fb, base, 0xffff);
            fake_inl(b.fb, base);
        }
        settle(&b);
        for (unsigned word = 0; word < 300; word++) {
            fake_inw(b.fb, base);
        }
        expect_pointers_inside(&b);
    }
    bench_destroy(&b);
}

/* ---- snapshots in mid-transfer ---- */

/* Everything but the media, which tests that write compare themselves. */
static void transplant(struct bench *from, struct bench *to)
{
    struct device *other = to->fb->board.devices;

    memcpy(ram_ptr(&to->fb->ram, 0), ram_ptr(&from->fb->ram, 0), FAKE_BOARD_RAM_SIZE);
    for (struct device *device = from->fb->board.devices; device;
         device = device->next, other = other->next) {
        fake_expect_same_after_load(device, other);
    }
    memcpy(to->fb->lines, from->fb->lines, sizeof(from->fb->lines));
}

Test(ide_contract, continues_a_pio_read_from_a_snapshot)
{
    struct bench a = bench_create(), b = bench_create();
    uint8_t data[4 * 512];

    set_lba28(&a, 300, 4);
    run(&a, 0x20);
    read_words(&a, 0x1f0, data, 300);
    transplant(&a, &b);
    read_words(&b, 0x1f0, data + 600, 4 * 256 - 300);
    expect_sectors(data, 300, 4);
    cr_assert_eq(fake_inb(b.fb, 0x1f7), READY);
    bench_destroy(&a);
    bench_destroy(&b);
}

Test(ide_contract, continues_a_pio_write_from_a_snapshot)
{
    struct bench a = bench_create(), b = bench_create();
    uint8_t data[2 * 512];

    memset(data, 0xa5, sizeof(data));
    set_lba28(&a, 300, 2);
    command(&a, 0x30);
    write_words(&a, 0x1f0, data, 400);
    transplant(&a, &b);
    write_words(&b, 0x1f0, data + 800, 112);
    transplant(&b, &a); /* and again, while the medium works */
    settle(&a);
    cr_assert_eq(fake_inb(a.fb, 0x1f7), READY);
    cr_assert_arr_eq(a.disk->bytes + 300 * 512, data, sizeof(data));
    bench_destroy(&a);
    bench_destroy(&b);
}

Test(ide_contract, continues_dma_from_a_snapshot)
{
    struct bench a = bench_create(), b = bench_create();

    put_prd(&a, 0, MEMORY, 1024, true);
    set_lba48(&a, 600, 4);
    command(&a, 0x25);
    start_dma(&a, 0, true);
    transplant(&a, &b); /* the medium works */
    settle(&b);
    cr_assert_eq(fake_read32(b.fb, MEMORY), 600);
    cr_assert_eq(fake_inb(b.fb, BM + 2) & 7, 0);
    transplant(&b, &a); /* the table is through, two sectors wait */
    start_dma(&a, 0, true);
    cr_assert_eq(fake_read32(a.fb, MEMORY), 602);
    cr_assert_eq(fake_inb(a.fb, BM + 2) & 7, 4);
    cr_assert_eq(fake_inb(a.fb, 0x1f7), READY);
    bench_destroy(&a);
    bench_destroy(&b);
}

Test(ide_contract, requests_complete_after_a_load_when_they_would_have)
{
    struct bench a = bench_create(), b = bench_create();
    uint64_t deadline;

    set_lba28(&a, 1, 1);
    command(&a, 0x20);
    fake_step(a.fb, 5000);
    deadline = clock_next_deadline(&a.fb->clock);
    transplant(&a, &b);
    cr_assert_eq(clock_next_deadline(&b.fb->clock), deadline);
    clock_step_to(&b.fb->clock, deadline);
    cr_assert(b.fb->lines[14].level);
    bench_destroy(&a);
    bench_destroy(&b);
}

Test(ide_contract, a_snapshot_of_other_drives_is_refused)
{
    struct bench a = bench_create();
    struct fake_board *fb = fake_board_create();
    static const struct ide_slot none[4];
    struct line irq[2] = {{0}};
    struct piix3_ide *empty = piix3_ide_create(&fb->board, pci_bus_create(&fb->board), irq, none);
    struct snap_writer saved = fake_save(&a.ide->device);
    struct snap_reader reader = {.data = saved.data, .length = saved.length};
    struct error error;

    cr_assert_eq(snap_load(&reader, empty->device.ops->snap, &empty->device, &error), -EINVAL);
    snap_writer_fini(&saved);
    fake_board_destroy(fb);
    bench_destroy(&a);
}

/* Change one field of a saved drive in every way that matters. */
Test(ide_contract, impossible_states_are_refused)
{
    static const struct {
        size_t offset;
        uint32_t value;
        uint8_t size;
    } changes[] = {
        {offsetof(struct ide_drive, position), 513, 4},
        {offsetof(struct ide_drive, position), IDE_BUFFER_SIZE, 4},
        {offsetof(struct ide_drive, drq_end), 4096, 4},
        {offsetof(struct ide_drive, end), 2, 4},
        {offsetof(struct ide_drive, block_size), 0, 4},
        {offsetof(struct ide_drive, phase), IDE_PHASE_PACKET, 1},
        {offsetof(struct ide_drive, phase), 0, 1},
        {offsetof(struct ide_drive, phase), IDE_PHASE_MEDIUM, 1},
        {offsetof(struct ide_drive, io), IDE_IO_READ, 1},
        {offsetof(struct ide_drive, heads), 0, 1},
        {offsetof(struct ide_drive, sectors), 0, 1},
        {offsetof(struct ide_drive, multiple), 7, 1},
        {offsetof(struct ide_drive, left), 70000, 4},
        {offsetof(struct ide_drive, kind), IDE_CDROM, 1},
    };

    for (unsigned i = 0; i < ARRAY_LEN(changes); i++) {
        struct bench a = bench_create(), b = bench_create();
        struct snap_writer saved;
        struct snap_reader reader;
        struct error error;

        set_lba28(&a, 1, 4);
        run(&a, 0x20);
        memcpy((uint8_t *)&a.ide->channel[0].drive[0] + changes[i].offset, &changes[i].value,
               changes[i].size);
        saved = fake_save(&a.ide->device);
        reader = (struct snap_reader){.data = saved.data, .length = saved.length};
        cr_assert_eq(snap_load(&reader, b.ide->device.ops->snap, &b.ide->device, &error), -EINVAL,
                     "change %u", i);
        snap_writer_fini(&saved);
        a.ide->channel[0].drive[0].io = 0;
        bench_destroy(&a);
        bench_destroy(&b);
    }
}
