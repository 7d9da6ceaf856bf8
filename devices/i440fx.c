/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82441FX host bridge: the memory map and the registers that change it.
 *
 * Source: Intel 82441FX PCI and Memory Controller data sheet, "PAM - Programmable attribute map registers" and
 * "SMRAM - System management RAM control register". Default values of the other registers are the data sheet's.
 *
 *   PAM0 (59h)   7:6 -   5 WE 4 RE   3:0 -            F0000-FFFFF
 *   PAM1 (5Ah)   7:6 -   5 WE 4 RE   3:2 -  1 WE 0 RE  high nibble C4000-C7FFF, low nibble C0000-C3FFF
 *   PAM2..PAM6   the same for C8000, D0000, D8000, E0000, E8000
 *
 *   SMRAM (72h)  6 DOPEN  5 DCLS  4 DLCK  3 SMRAME  2:0 C_BASE_SEG = 010b
 *
 * DEVIATION: the chip has no subsystem identification; here it names the board (pci.h).
 *
 * Not modelled: see i440fx.h.
 */
#include "devices/i440fx.h"

#include <errno.h>
#include <stdlib.h>

enum {
    REG_PMCCFG = 0x50,
    REG_DETURBO = 0x52,
    REG_DBC = 0x53,
    REG_AXC = 0x54,
    REG_DRAMR = 0x55,
    REG_DRAMC = 0x57,
    REG_DRAMT = 0x58,
    REG_PAM0 = 0x59,
    REG_DRB0 = 0x60,
    REG_FDHC = 0x68,
    REG_MTT = 0x70,
    REG_CLT = 0x71,
    REG_SMRAM = 0x72,
    REG_ERRCMD = 0x90,
    REG_ERRSTS = 0x91,
    REG_TRC = 0x93
};

#define PAM_COUNT          7u
#define PAM_RE             1u
#define PAM_WE             2u
#define SMRAM_DOPEN        0x40u
#define SMRAM_DCLS         0x20u
#define SMRAM_DLCK         0x10u
#define SMRAM_SMRAME       0x08u
#define SMRAM_C_BASE_SEG   0x02u
#define SMRAM_WRITABLE     (SMRAM_DOPEN | SMRAM_DCLS | SMRAM_DLCK | SMRAM_SMRAME)
#define BIOS_ALIAS_MAX     (128 * KIB)
#define PRIORITY_RAM_SHOWN 10 /* RAM that PAM or SMRAM puts in front of the PCI bus */

static const struct snap_field i440fx_fields[] = {
    SNAP_STRUCTS(struct i440fx, pci, 1, pci_function_fields),
};

static int i440fx_post_load(void *object, struct error *error);

static const struct snap_desc i440fx_snap = {
    .name = "i440fx", .version = 1, SNAP_FIELDS(i440fx_fields), .post_load = i440fx_post_load};

uint64_t i440fx_ram_below_4g(uint64_t ram_size)
{
    return MIN(ram_size, I440FX_LOW_RAM_MAX);
}

uint64_t i440fx_ram_above_4g(uint64_t ram_size)
{
    return ram_size - i440fx_ram_below_4g(ram_size);
}

/* --- What the registers show ------------------------------------------------------------------------- */

/* Segment 0..11 are C0000, C4000, .. EC000; segment 12 is F0000. */
static uint8_t pam_attributes(const struct i440fx *pmc, unsigned segment)
{
    const uint8_t *pam = &pmc->pci.config[REG_PAM0];
    if (segment == I440FX_PAM_SEGMENTS - 1) {
        return pam[0] >> 4;
    }
    return segment % 2 ? pam[1 + segment / 2] >> 4 : pam[1 + segment / 2];
}

static void update_pam(struct i440fx *pmc)
{
    for (unsigned i = 0; i < I440FX_PAM_SEGMENTS; i++) {
        uint8_t attributes = pam_attributes(pmc, i);
        uint8_t visible =
            (uint8_t)((attributes & PAM_RE ? REGION_READ : 0) | (attributes & PAM_WE ? REGION_WRITE : 0));
        region_set_visible(&pmc->pam[i], visible);
        region_set_enabled(&pmc->pam[i], visible != 0);
    }
}

/*
 * DEVIATION: system management mode is not modelled, so every access is one outside SMM: the RAM behind
 * A0000-BFFFF is seen when DOPEN opens it and never otherwise.
 */
static void update_smram(struct i440fx *pmc)
{
    uint8_t smram = pmc->pci.config[REG_SMRAM];
    bool open = (smram & SMRAM_SMRAME) && (smram & SMRAM_DOPEN) && !(smram & SMRAM_DCLS);
    region_set_enabled(&pmc->smram, open);
}

static void update_memory(struct i440fx *pmc)
{
    struct addr_space *mem = pmc->device.board->mem;
    addr_space_begin(mem);
    update_pam(pmc);
    update_smram(pmc);
    addr_space_end(mem);
}

/* DLCK closes DOPEN and freezes both, and itself, until reset. */
static void apply_lock(struct i440fx *pmc)
{
    struct pci_function *pci = &pmc->pci;
    if (pci->config[REG_SMRAM] & SMRAM_DLCK) {
        pci->config[REG_SMRAM] &= (uint8_t)~SMRAM_DOPEN;
        pci->writable[REG_SMRAM] = SMRAM_DCLS | SMRAM_SMRAME;
    } else {
        pci->writable[REG_SMRAM] = SMRAM_WRITABLE;
    }
}

static void i440fx_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct i440fx *pmc = CONTAINER_OF(function, struct i440fx, pci);
    if (offset + size > REG_PAM0 && offset <= REG_SMRAM) {
        apply_lock(pmc);
        update_memory(pmc);
    }
}

static int i440fx_post_load(void *object, struct error *error)
{
    struct i440fx *pmc = object;
    pmc->pci.writable[REG_SMRAM] = SMRAM_WRITABLE;
    int result = pci_function_post_load(&pmc->pci, error);
    if (result < 0) {
        return result;
    }
    apply_lock(pmc);
    update_memory(pmc);
    return 0;
}

/* --- Creation ---------------------------------------------------------------------------------------- */

static void define_registers(struct pci_function *pci)
{
    pci_config_define16(pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                        PCI_COMMAND_PARITY | PCI_COMMAND_SERR);
    pci_config_define16(pci, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK, 0);
    pci_config_define16(pci, REG_PMCCFG, 0x0000, 0xffff);
    pci_config_define8(pci, REG_DETURBO, 0x00, 0xff);
    pci_config_define8(pci, REG_DBC, 0x80, 0xff);
    pci_config_define8(pci, REG_AXC, 0x00, 0xff);
    pci_config_define16(pci, REG_DRAMR, 0x0000, 0xffff);
    pci_config_define8(pci, REG_DRAMC, 0x01, 0xff);
    pci_config_define8(pci, REG_DRAMT, 0x00, 0xff);
    pci_config_define8(pci, REG_PAM0, 0x00, 0x30);
    for (unsigned i = 1; i < PAM_COUNT; i++) {
        pci_config_define8(pci, REG_PAM0 + i, 0x00, 0x33);
    }
    for (unsigned i = 0; i < 8; i++) {
        pci_config_define8(pci, REG_DRB0 + i, 0x01, 0xff);
    }
    pci_config_define8(pci, REG_FDHC, 0x00, 0xff);
    pci_config_define8(pci, REG_MTT, 0x20, 0xf8);
    pci_config_define8(pci, REG_CLT, 0x10, 0xf8);
    pci_config_define8(pci, REG_SMRAM, SMRAM_C_BASE_SEG, SMRAM_WRITABLE);
    pci_config_define8(pci, REG_ERRCMD, 0x00, 0xff);
    pci_config_define8(pci, REG_TRC, 0x00, 0x07);
}

static void add_ram(struct i440fx *pmc, const struct i440fx_memory *memory)
{
    struct addr_space *mem = pmc->device.board->mem;
    uint64_t below = i440fx_ram_below_4g(memory->ram_size), above = i440fx_ram_above_4g(memory->ram_size);

    region_init_memory(&pmc->low, "ram-low", 0, 0xa0000, memory->ram, REGION_RW);
    region_init_memory(&pmc->smram, "smram", 0xa0000, 0x20000, memory->ram + 0xa0000, REGION_RW);
    region_init_memory(&pmc->extended, "ram", 0x100000, below - 0x100000, memory->ram + 0x100000, REGION_RW);
    region_init_memory(&pmc->high, "ram-above-4g", 4 * GIB, above, memory->ram + below, REGION_RW);
    pmc->smram.priority = PRIORITY_RAM_SHOWN;
    pmc->smram.enabled = false;
    addr_space_add(mem, &pmc->low);
    addr_space_add(mem, &pmc->smram);
    addr_space_add(mem, &pmc->extended);
    addr_space_add(mem, &pmc->high);
    for (unsigned i = 0; i < I440FX_PAM_SEGMENTS; i++) {
        uint64_t base = 0xc0000 + (uint64_t)i * 0x4000;
        uint64_t size = i == I440FX_PAM_SEGMENTS - 1 ? 0x10000 : 0x4000;
        region_init_memory(&pmc->pam[i], "pam", base, size, memory->ram + base, REGION_RW);
        pmc->pam[i].priority = PRIORITY_RAM_SHOWN;
        pmc->pam[i].enabled = false;
        pmc->pam[i].visible = 0;
        addr_space_add(mem, &pmc->pam[i]);
    }
}

static void add_bios(struct i440fx *pmc, const struct i440fx_memory *memory)
{
    struct addr_space *mem = pmc->device.board->mem;
    uint64_t alias = MIN(memory->bios_size, BIOS_ALIAS_MAX);

    region_init_memory(&pmc->bios_top, "bios", 4 * GIB - memory->bios_size, memory->bios_size, memory->bios,
                       REGION_READ);
    region_init_memory(&pmc->bios_alias, "bios-alias", 0x100000 - alias, alias,
                       memory->bios + memory->bios_size - alias, REGION_READ);
    addr_space_add(mem, &pmc->bios_top);
    addr_space_add(mem, &pmc->bios_alias);
}

static int check_memory(const struct board *board, const struct i440fx_memory *memory, struct error *error)
{
    uint64_t backing = board->mem->ram ? board->mem->ram->size : 0;

    if (memory->ram_size < MIB || memory->ram_size % PAGE_SIZE != 0 || memory->ram > backing ||
        memory->ram_size > backing - memory->ram) {
        return error_set(error, -EINVAL, "RAM of %llu bytes: at least 1 MiB, in whole pages, is needed",
                         (unsigned long long)memory->ram_size);
    }
    if (4 * GIB - 1 + i440fx_ram_above_4g(memory->ram_size) > board->mem->last) {
        return error_set(error, -EINVAL, "RAM of %llu bytes: exceeds the physical address space",
                         (unsigned long long)memory->ram_size);
    }
    if (memory->bios_size < 64 * KIB || memory->bios_size > 16 * MIB || memory->bios_size % (64 * KIB) != 0 ||
        memory->bios > backing || memory->bios_size > backing - memory->bios) {
        return error_set(error, -EINVAL, "BIOS of %llu bytes: must be 64 KiB to 16 MiB in steps of 64 KiB",
                         (unsigned long long)memory->bios_size);
    }
    return 0;
}

static void i440fx_reset(struct device *device)
{
    struct i440fx *pmc = CONTAINER_OF(device, struct i440fx, device);
    pci_function_reset(&pmc->pci);
    apply_lock(pmc);
    update_memory(pmc);
}

static void i440fx_fini(struct device *device)
{
    struct i440fx *pmc = CONTAINER_OF(device, struct i440fx, device);
    struct addr_space *mem = device->board->mem;
    struct region *const regions[] = {&pmc->low,  &pmc->smram,    &pmc->extended,
                                      &pmc->high, &pmc->bios_top, &pmc->bios_alias};

    addr_space_begin(mem);
    for (unsigned i = 0; i < ARRAY_LEN(regions); i++) {
        addr_space_remove(mem, regions[i]);
    }
    for (unsigned i = 0; i < I440FX_PAM_SEGMENTS; i++) {
        addr_space_remove(mem, &pmc->pam[i]);
    }
    addr_space_end(mem);
    pci_function_fini(&pmc->pci);
    free(pmc);
}

static const struct device_ops i440fx_ops = {
    .name = "i440fx",
    .reset = i440fx_reset,
    .fini = i440fx_fini,
    .snap = &i440fx_snap,
};

struct i440fx *i440fx_create(struct board *board, struct pci_bus *bus, const struct i440fx_memory *memory,
                             struct error *error)
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x1237,
                                                 .class_code = 0x060000,
                                                 .revision = 0x02,
                                                 .subsystem_vendor = PCI_BOARD_VENDOR,
                                                 .subsystem = PCI_BOARD_ID};

    if (check_memory(board, memory, error) < 0) {
        return NULL;
    }
    struct i440fx *pmc = calloc(1, sizeof(*pmc));
    if (!pmc) {
        error_set(error, -ENOMEM, "i440fx: out of memory");
        return NULL;
    }
    device_init(&pmc->device, &i440fx_ops, board, NULL);
    pci_function_init(&pmc->pci, bus, 0, 0, &identity);
    pmc->pci.config_written = i440fx_config_written;
    define_registers(&pmc->pci);
    addr_space_begin(board->mem);
    add_ram(pmc, memory);
    add_bios(pmc, memory);
    addr_space_end(board->mem);
    i440fx_reset(&pmc->device);
    return pmc;
}
