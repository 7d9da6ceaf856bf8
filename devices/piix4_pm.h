/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82371AB (PIIX4) power management function, 01.3 of bus 0: ACPI registers, PM timer, SMBus host.
 *
 * Source: Intel 82371AB PCI-TO-ISA/IDE Xcelerator data sheet, chapter "Power management"; ACPI Specification 1.0b,
 * "Fixed hardware registers". PC emulators pair it with a PIIX3 bridge; its event block GPE0 sits at ports
 * AFE0h-AFE3h there, which the firmware's ACPI tables expect.
 *
 *   PMBASE + 0   PMSTS     2 PMEN     4 PMCNTRL     8 PMTMR (3.579545 MHz, 24 bits)
 *   SMBBASE + 0  SMBHSTSTS 2 SMBHSTCNT 3 CMD 4 ADD 5 DAT0 6 DAT1 7 BLKDAT
 *   AFE0         GPE0_STS (16 bits), GPE0_EN (16 bits)
 *   B2, B3       APMC, APMS: the SMI command port
 *
 * Not modelled: SMM (APMC switches between legacy and ACPI mode itself), device monitors, general purpose I/O,
 * throttling and C-states, sleeping states other than soft off.
 */
#ifndef DEVICES_PIIX4_PM_H
#define DEVICES_PIIX4_PM_H

#include "devices/pci.h"

#define PIIX4_PM_BLOCK_SIZE 32u /* SMBus block transfer buffer */

struct piix4_pm_wiring {
    struct line sci;       /* level: the system control interrupt, ISA IRQ 9 */
    struct line power_off; /* pulsed: the guest asked for soft off (S5) */
};

struct piix4_pm {
    struct device device;
    struct pci_function pci;
    struct piix4_pm_wiring wiring;
    struct region pm_region, smbus_region, gpe_region, apm_region;

    uint16_t pm_status, pm_enable, pm_control; /* PMSTS, PMEN, PMCNTRL */
    uint64_t timer_epoch;  /* how often bit 23 of the PM timer had toggled when last looked at */
    struct timer overflow; /* the next toggle, armed while it can interrupt */
    uint16_t gpe_status, gpe_enable;
    uint8_t apm_control, apm_status; /* APMC, APMS */

    uint8_t smbus_status, smbus_slave_status, smbus_control, smbus_command, smbus_address;
    uint8_t smbus_data[2];
    uint8_t smbus_slave[6]; /* offsets 08h..0Dh */
    uint8_t smbus_block[PIIX4_PM_BLOCK_SIZE];
    uint8_t smbus_block_index;
};

/* `power_off` is pulsed from inside a port write: the board notes the wish. NULL: out of memory. */
struct piix4_pm *piix4_pm_create(struct board *board, struct pci_bus *bus,
                                 const struct piix4_pm_wiring *wiring);

/* The user pressed the power button: sets PWRBTN_STS, and an ACPI guest that enabled it gets an SCI. */
void piix4_pm_power_button(struct piix4_pm *pm);
/* Raise general purpose event 0..15. */
void piix4_pm_gpe(struct piix4_pm *pm, unsigned event);

#endif
