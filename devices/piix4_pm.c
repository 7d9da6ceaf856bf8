/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82371AB (PIIX4) power management.
 *
 * Source: Intel 82371AB data sheet, "Power management I/O space registers" and "SMBus"; ACPI Specification 1.0b,
 * section 4.7 "ACPI register model".
 *
 *   PMSTS    15 RSM  11 PWRBTNOR  10 RTC  8 PWRBTN  5 GBL  4 BM  0 TMROF      write 1 to clear
 *   PMEN                          10 RTC  8 PWRBTN  5 GBL        0 TMROF
 *   PMCNTRL  13 SUS_EN (reads 0)  12:10 SUS_TYP  2 GBL_RLS (reads 0)  1 BRLD_EN_BM  0 SCI_EN
 *
 * The PM timer is a function of the virtual clock. TMROF_STS is set when its bit 23 toggles; that is found out when
 * somebody looks, and by a timer while an interrupt could come of it.
 *
 * Not modelled: see piix4_pm.h.
 */
#include "devices/piix4_pm.h"

#include <stdlib.h>

#include "devices/piix3.h"

enum {
    REG_PMBASE = 0x40,
    REG_CNTA = 0x44,
    REG_DEVACTB = 0x58,
    REG_DEVRES_LAST = 0x7c,
    REG_PMREGMISC = 0x80,
    REG_SMBBASE = 0x90,
    REG_SMBHSTCFG = 0xd2,
    REG_SMBSLVC = 0xd3
};

enum { PM_STATUS = 0, PM_ENABLE = 2, PM_CONTROL = 4, PM_TIMER = 8 };

#define PMSTS_TMROF    0x0001u
#define PMSTS_PWRBTN   0x0100u
#define PMSTS_RSM      0x8000u
#define PMSTS_ALL      0x8d31u
#define PMEN_ALL       0x0521u
#define PMEN_TMROF     0x0001u
#define PMCNTRL_SCI_EN 0x0001u
#define PMCNTRL_STORED 0x1c03u
#define PMCNTRL_SUS_EN 0x2000u

enum { SUS_TYP_SOFT_OFF = 0, SUS_TYP_TO_RAM = 1, SUS_TYP_TO_DISK = 2 };

#define PM_BLOCK_SIZE     64u
#define PM_TIMER_HZ       3579545u
#define PM_TIMER_MASK     0xffffffu
#define PM_TIMER_TOP_BIT  23u
#define DEVACTB_APMC_EN   0x02000000u
#define PMREGMISC_PMIOSE  0x01u
#define GPE_PORT          0xafe0
#define APM_PORT          0xb2
#define APM_ACPI_ENABLE   0xf1u
#define APM_ACPI_DISABLE  0xf0u
#define SMBHSTCFG_HST_EN  0x01u
#define SMBHSTCFG_INTR    0x0eu
#define SMBHSTCFG_IRQ9    0x08u
#define SMBUS_REGION_SIZE 16u

enum {
    SMB_HSTSTS = 0,
    SMB_SLVSTS = 1,
    SMB_HSTCNT = 2,
    SMB_HSTCMD = 3,
    SMB_HSTADD = 4,
    SMB_HSTDAT0 = 5,
    SMB_HSTDAT1 = 6,
    SMB_BLKDAT = 7,
    SMB_SLVCNT = 8,
    SMB_SLV_LAST = 0xd
};

#define HSTSTS_DEV_ERR 0x04u
#define HSTSTS_FAILED  0x10u
#define HSTSTS_ALL     0x1eu
#define HSTCNT_INTEREN 0x01u
#define HSTCNT_KILL    0x02u
#define HSTCNT_START   0x40u

static int piix4_pm_post_load(void *object, struct error *error);

static const struct snap_field piix4_pm_fields[] = {
    SNAP_STRUCTS(struct piix4_pm, pci, 1, pci_function_fields),
    SNAP_UINT(struct piix4_pm, pm_status),
    SNAP_UINT(struct piix4_pm, pm_enable),
    SNAP_UINT(struct piix4_pm, pm_control),
    SNAP_UINT(struct piix4_pm, timer_epoch),
    SNAP_TIMER(struct piix4_pm, overflow),
    SNAP_UINT(struct piix4_pm, gpe_status),
    SNAP_UINT(struct piix4_pm, gpe_enable),
    SNAP_UINT(struct piix4_pm, apm_control),
    SNAP_UINT(struct piix4_pm, apm_status),
    SNAP_UINT(struct piix4_pm, smbus_status),
    SNAP_UINT(struct piix4_pm, smbus_slave_status),
    SNAP_UINT(struct piix4_pm, smbus_control),
    SNAP_UINT(struct piix4_pm, smbus_command),
    SNAP_UINT(struct piix4_pm, smbus_address),
    SNAP_BYTES(struct piix4_pm, smbus_data),
    SNAP_BYTES(struct piix4_pm, smbus_slave),
    SNAP_BYTES(struct piix4_pm, smbus_block),
    SNAP_RANGE(struct piix4_pm, smbus_block_index, 0, PIIX4_PM_BLOCK_SIZE - 1),
};

static const struct snap_desc piix4_pm_snap = {
    .name = "piix4_pm", .version = 1, SNAP_FIELDS(piix4_pm_fields), .post_load = piix4_pm_post_load};

/* --- The system control interrupt -------------------------------------------------------------------- */

static bool smbus_interrupts(const struct piix4_pm *pm)
{
    return (pm->smbus_control & HSTCNT_INTEREN) && (pm->smbus_status & HSTSTS_ALL) &&
           (pm->pci.config[REG_SMBHSTCFG] & SMBHSTCFG_INTR) == SMBHSTCFG_IRQ9;
}

/* With SCI_EN clear the events would raise an SMI, which nobody handles. */
static void update_sci(struct piix4_pm *pm)
{
    bool event = (pm->pm_status & pm->pm_enable & PMEN_ALL) || (pm->gpe_status & pm->gpe_enable);
    bool sci = event && (pm->pm_control & PMCNTRL_SCI_EN);
    line_set(&pm->wiring.sci, sci || smbus_interrupts(pm));
}

/* --- The PM timer ------------------------------------------------------------------------------------ */

static uint64_t timer_ticks(const struct piix4_pm *pm)
{
    return muldiv64(clock_now(pm->device.board->clock), PM_TIMER_HZ, NS_PER_SEC);
}

/* Note whether bit 23 toggled since the last look. */
static void sync_timer(struct piix4_pm *pm)
{
    uint64_t epoch = timer_ticks(pm) >> PM_TIMER_TOP_BIT;
    if (epoch != pm->timer_epoch) {
        pm->timer_epoch = epoch;
        pm->pm_status |= PMSTS_TMROF;
    }
}

/* A timer is needed while TMROF could still raise an interrupt. */
static void arm_overflow(struct piix4_pm *pm)
{
    if (!(pm->pm_enable & PMEN_TMROF) || (pm->pm_status & PMSTS_TMROF)) {
        timer_disarm(&pm->overflow);
        return;
    }
    uint64_t ticks = ((timer_ticks(pm) >> PM_TIMER_TOP_BIT) + 1) << PM_TIMER_TOP_BIT;
    timer_arm(&pm->overflow, muldiv64(ticks, NS_PER_SEC, PM_TIMER_HZ) + 1);
}

static void overflow_fire(void *opaque)
{
    struct piix4_pm *pm = opaque;
    sync_timer(pm);
    arm_overflow(pm);
    update_sci(pm);
}

/* --- PM1 block --------------------------------------------------------------------------------------- */

/*
 * DEVIATION: suspend to RAM is not entered: the wake status is set at once, as if a wake event had been pending, and
 * the guest's attempt fails in an orderly way. Suspend to disk ends in the power going off, as on a real board.
 */
static void enter_sleep(struct piix4_pm *pm)
{
    unsigned type = (pm->pm_control >> 10) & 7;
    if (type == SUS_TYP_SOFT_OFF || type == SUS_TYP_TO_DISK) {
        line_pulse(&pm->wiring.power_off);
    } else {
        log_printf(pm->device.board->log, LOG_UNIMP, "piix4_pm: sleep type %u\n", type);
        pm->pm_status |= PMSTS_RSM;
    }
}

static uint16_t pm_word(const struct piix4_pm *pm, unsigned offset, uint32_t timer)
{
    switch (offset) {
    case PM_STATUS:
        return pm->pm_status;
    case PM_ENABLE:
        return pm->pm_enable;
    case PM_CONTROL:
        return pm->pm_control;
    case PM_TIMER:
        return (uint16_t)timer;
    case PM_TIMER + 2:
        return (uint16_t)(timer >> 16);
    default:
        return 0;
    }
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = opaque;
    uint32_t timer = (uint32_t)timer_ticks(pm) & PM_TIMER_MASK; /* one moment for all bytes of the access */
    uint64_t value = 0;
    sync_timer(pm);
    for (unsigned i = 0; i < size; i++) {
        unsigned byte = (unsigned)offset + i;
        value |= (uint64_t)((pm_word(pm, byte & ~1u, timer) >> (8 * (byte & 1))) & 0xff) << (8 * i);
    }
    return value;
}

static void pm_write_byte(struct piix4_pm *pm, unsigned offset, uint8_t value)
{
    unsigned shift = 8 * (offset & 1);
    uint16_t bits = (uint16_t)(value << shift), lane = (uint16_t)(0xff << shift);

    switch (offset & ~1u) {
    case PM_STATUS:
        pm->pm_status &= (uint16_t) ~(bits & PMSTS_ALL);
        break;
    case PM_ENABLE:
        pm->pm_enable = (uint16_t)((pm->pm_enable & ~lane) | (bits & PMEN_ALL));
        break;
    case PM_CONTROL:
        pm->pm_control = (uint16_t)((pm->pm_control & ~lane) | (bits & PMCNTRL_STORED));
        if (bits & PMCNTRL_SUS_EN) {
            enter_sleep(pm);
        }
        break;
    default:
        break;
    }
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    sync_timer(pm);
    for (unsigned i = 0; i < size; i++) {
        pm_write_byte(pm, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
    }
    arm_overflow(pm);
    update_sci(pm);
}

static const struct region_ops pm_ops = {.read = pm_read, .write = pm_write};

void piix4_pm_power_button(struct piix4_pm *pm)
{
    pm->pm_status |= PMSTS_PWRBTN;
    update_sci(pm);
}

/* --- General purpose events -------------------------------------------------------------------------- */

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    uint32_t block = pm->gpe_status | (uint32_t)pm->gpe_enable << 16;
    (void)size;
    return block >> (8 * offset);
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    unsigned shift = 8 * (offset & 1);
    (void)size;
    if (offset < 2) {
        pm->gpe_status &= (uint16_t) ~(value << shift);
    } else {
        pm->gpe_enable = (uint16_t)((pm->gpe_enable & ~(0xffu << shift)) | value << shift);
    }
    update_sci(pm);
}

static const struct region_ops gpe_ops = {.read = gpe_read, .write = gpe_write, .max_size = 1};

void piix4_pm_gpe(struct piix4_pm *pm, unsigned event)
{
    pm->gpe_status |= (uint16_t)BIT(event % 16);
    update_sci(pm);
}

/* --- APM control port -------------------------------------------------------------------------------- */

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    (void)size;
    return offset ? pm->apm_status : pm->apm_control;
}

/*
 * DEVIATION: a write to APMC raises an SMI on the chip. There is no SMM here; the two commands the ACPI tables of PC
 * firmware name for SMI_CMD are carried out directly.
 */
static void apm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    (void)size;
    if (offset) {
        pm->apm_status = (uint8_t)value;
        return;
    }
    pm->apm_control = (uint8_t)value;
    if (value == APM_ACPI_ENABLE) {
        pm->pm_control |= PMCNTRL_SCI_EN;
    } else if (value == APM_ACPI_DISABLE) {
        pm->pm_control &= (uint16_t)~PMCNTRL_SCI_EN;
    }
    update_sci(pm);
}

static const struct region_ops apm_ops = {.read = apm_read, .write = apm_write, .max_size = 1};

/* --- SMBus host: a bus with nobody on it ------------------------------------------------------------- */

static uint8_t smbus_read_block(struct piix4_pm *pm)
{
    uint8_t value = pm->smbus_block[pm->smbus_block_index];
    pm->smbus_block_index = (pm->smbus_block_index + 1) % PIIX4_PM_BLOCK_SIZE;
    return value;
}

static uint64_t smbus_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = opaque;
    (void)size;
    switch (offset) {
    case SMB_HSTSTS:
        return pm->smbus_status;
    case SMB_SLVSTS:
        return pm->smbus_slave_status;
    case SMB_HSTCNT:
        pm->smbus_block_index = 0;
        return pm->smbus_control;
    case SMB_HSTCMD:
        return pm->smbus_command;
    case SMB_HSTADD:
        return pm->smbus_address;
    case SMB_HSTDAT0:
    case SMB_HSTDAT1:
        return pm->smbus_data[offset - SMB_HSTDAT0];
    case SMB_BLKDAT:
        return smbus_read_block(pm);
    default:
        return offset <= SMB_SLV_LAST ? pm->smbus_slave[offset - SMB_SLVCNT] : 0;
    }
}

/* No slave acknowledges its address: the transaction ends at once with a device error. */
static void smbus_start(struct piix4_pm *pm, uint8_t value)
{
    pm->smbus_control = value & (uint8_t) ~(HSTCNT_START | HSTCNT_KILL);
    if (value & HSTCNT_KILL) {
        pm->smbus_status |= HSTSTS_FAILED;
    } else if (value & HSTCNT_START) {
        pm->smbus_status |= HSTSTS_DEV_ERR;
    }
}

static void smbus_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    (void)size;
    switch (offset) {
    case SMB_HSTSTS:
        pm->smbus_status &= (uint8_t) ~(value & HSTSTS_ALL);
        pm->smbus_block_index = 0;
        break;
    case SMB_SLVSTS:
        pm->smbus_slave_status &= (uint8_t)~value;
        break;
    case SMB_HSTCNT:
        smbus_start(pm, (uint8_t)value);
        break;
    case SMB_HSTCMD:
        pm->smbus_command = (uint8_t)value;
        break;
    case SMB_HSTADD:
        pm->smbus_address = (uint8_t)value;
        break;
    case SMB_HSTDAT0:
    case SMB_HSTDAT1:
        pm->smbus_data[offset - SMB_HSTDAT0] = (uint8_t)value;
        break;
    case SMB_BLKDAT:
        pm->smbus_block[pm->smbus_block_index] = (uint8_t)value;
        pm->smbus_block_index = (pm->smbus_block_index + 1) % PIIX4_PM_BLOCK_SIZE;
        break;
    default:
        if (offset <= SMB_SLV_LAST) {
            pm->smbus_slave[offset - SMB_SLVCNT] = (uint8_t)value;
        }
        break;
    }
    update_sci(pm);
}

static const struct region_ops smbus_ops = {.read = smbus_read, .write = smbus_write, .max_size = 1};

/* --- Where the blocks lie ---------------------------------------------------------------------------- */

static void place_block(struct region *region, uint64_t base, bool enabled)
{
    enabled = enabled && base != 0;
    if (enabled) {
        region_move(region, base);
    }
    region_set_enabled(region, enabled);
}

static void update_blocks(struct piix4_pm *pm)
{
    const uint8_t *config = pm->pci.config;
    struct addr_space *io = pm->device.board->io;

    addr_space_begin(io);
    place_block(&pm->pm_region, load_le16(config + REG_PMBASE) & 0xffc0,
                (config[REG_PMREGMISC] & PMREGMISC_PMIOSE) != 0);
    place_block(&pm->smbus_region, load_le16(config + REG_SMBBASE) & 0xfff0,
                (config[REG_SMBHSTCFG] & SMBHSTCFG_HST_EN) != 0);
    addr_space_end(io);
}

static void piix4_pm_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct piix4_pm *pm = CONTAINER_OF(function, struct piix4_pm, pci);
    (void)offset;
    (void)size;
    update_blocks(pm);
    update_sci(pm);
}

static int piix4_pm_post_load(void *object, struct error *error)
{
    struct piix4_pm *pm = object;
    int result = pci_function_post_load(&pm->pci, error);
    if (result < 0) {
        return result;
    }
    update_blocks(pm);
    return 0;
}

/* --- Life -------------------------------------------------------------------------------------------- */

/* APMC_EN set after reset tells the firmware that SMM is already looked after. */
static void define_registers(struct pci_function *pci)
{
    pci_config_define16(pci, PCI_COMMAND, 0, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    pci_config_define16(pci, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK, 0);
    pci_config_define32(pci, REG_PMBASE, 0x00000001, 0x0000ffc0);
    for (unsigned i = REG_CNTA; i <= REG_DEVRES_LAST; i += 4) {
        pci_config_define32(pci, i, i == REG_DEVACTB ? DEVACTB_APMC_EN : 0, 0xffffffff);
    }
    pci_config_define8(pci, REG_PMREGMISC, 0x00, 0x01);
    pci_config_define32(pci, REG_SMBBASE, 0x00000001, 0x0000fff0);
    pci_config_define8(pci, REG_SMBHSTCFG, 0x00, 0x0f);
    pci_config_define8(pci, REG_SMBSLVC, 0x00, 0xff);
    pci_config_define16(pci, REG_SMBSLVC + 1, 0x0000, 0xffff);
}

static void piix4_pm_reset(struct device *device)
{
    struct piix4_pm *pm = CONTAINER_OF(device, struct piix4_pm, device);

    pci_function_reset(&pm->pci);
    pm->pm_status = pm->pm_enable = pm->pm_control = 0;
    pm->timer_epoch = timer_ticks(pm) >> PM_TIMER_TOP_BIT;
    timer_disarm(&pm->overflow);
    pm->gpe_status = pm->gpe_enable = 0;
    pm->apm_control = pm->apm_status = 0;
    pm->smbus_status = pm->smbus_slave_status = pm->smbus_control = 0;
    pm->smbus_command = pm->smbus_address = pm->smbus_block_index = 0;
    memset(pm->smbus_data, 0, sizeof(pm->smbus_data));
    memset(pm->smbus_slave, 0, sizeof(pm->smbus_slave));
    memset(pm->smbus_block, 0, sizeof(pm->smbus_block));
    update_blocks(pm);
    update_sci(pm);
}

static void piix4_pm_fini(struct device *device)
{
    struct piix4_pm *pm = CONTAINER_OF(device, struct piix4_pm, device);
    struct addr_space *io = device->board->io;

    timer_disarm(&pm->overflow);
    addr_space_remove(io, &pm->pm_region);
    addr_space_remove(io, &pm->smbus_region);
    addr_space_remove(io, &pm->gpe_region);
    addr_space_remove(io, &pm->apm_region);
    pci_function_fini(&pm->pci);
    free(pm);
}

static const struct device_ops piix4_pm_device_ops = {
    .name = "piix4_pm",
    .reset = piix4_pm_reset,
    .fini = piix4_pm_fini,
    .snap = &piix4_pm_snap,
};

static void add_regions(struct piix4_pm *pm)
{
    struct addr_space *io = pm->device.board->io;

    region_init_io(&pm->pm_region, "acpi-pm", 0, PM_BLOCK_SIZE, &pm_ops, pm);
    region_init_io(&pm->smbus_region, "smbus", 0, SMBUS_REGION_SIZE, &smbus_ops, pm);
    region_init_io(&pm->gpe_region, "acpi-gpe0", GPE_PORT, 4, &gpe_ops, pm);
    region_init_io(&pm->apm_region, "apm", APM_PORT, 2, &apm_ops, pm);
    pm->pm_region.enabled = pm->smbus_region.enabled = false;
    pm->pm_region.priority = pm->smbus_region.priority = PCI_BAR_PRIORITY;
    addr_space_add(io, &pm->pm_region);
    addr_space_add(io, &pm->smbus_region);
    addr_space_add(io, &pm->gpe_region);
    addr_space_add(io, &pm->apm_region);
}

struct piix4_pm *piix4_pm_create(struct board *board, struct pci_bus *bus,
                                 const struct piix4_pm_wiring *wiring)
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x7113,
                                                 .class_code = 0x068000,
                                                 .revision = 3,
                                                 .interrupt_pin = 1,
                                                 .subsystem_vendor = PCI_BOARD_VENDOR,
                                                 .subsystem = PCI_BOARD_ID};
    struct piix4_pm *pm = calloc(1, sizeof(*pm));
    if (!pm) {
        return NULL;
    }
    pm->wiring = *wiring;
    device_init(&pm->device, &piix4_pm_device_ops, board, NULL);
    pci_function_init(&pm->pci, bus, PIIX3_SLOT, 3, &identity);
    pm->pci.config_written = piix4_pm_config_written;
    define_registers(&pm->pci);
    timer_init(&pm->overflow, board->clock, "pm-timer-overflow", overflow_fire, pm);
    add_regions(pm);
    piix4_pm_reset(&pm->device);
    return pm;
}
