/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Intel 82540EM Gigabit Ethernet controller (PCI 8086:100E).
 *
 * Source: "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (Intel 317453), chapters 3
 * (descriptors), 5 (EEPROM), 10 (PHY), 13 (registers); register names are the manual's.
 *
 *   driver                                    controller
 *   ring in RAM:  .. . . D D D D . . ..       TDH -> next to send, TDT -> first the driver still owns
 *   each D: address, length, command           RDH -> next to fill, RDT -> first the driver still owns
 *
 *   e1000.c          registers, interrupts, reset      e1000_tx.c   descriptors to frames: checksums, segmentation
 *   e1000_eeprom.c   EEPROM, PHY, link                 e1000_rx.c   filters, frames to descriptors
 *
 * Not modelled: MSI, PCI power management and wake-up, flow control frames, flash memory, TBI/SerDes, the packet
 * buffer's diagnostic window, management (SMBus, ASF).
 */
#ifndef DEVICES_E1000_H
#define DEVICES_E1000_H

#include "base/net.h"
#include "devices/ethernet.h"
#include "devices/pci.h"
#include "devices/pci_rom.h"

enum {
    E1000_EEPROM_WORDS = 64,
    E1000_PHY_REGISTERS = 32,
    E1000_STATISTICS = 74,
    E1000_HASH_WORDS = 128,   /* MTA and VFTA */
    E1000_ADDRESS_WORDS = 32, /* RAL/RAH pairs */
    E1000_MAP_WORDS = 0x1800, /* register offsets below 6000h */
    E1000_HEADER_MAX = 256,
    E1000_DESCRIPTOR_SIZE = 16,
};

/* Registers that hold a value. Their addresses, reset values and writable bits are a table in e1000.c. */
enum e1000_register {
    E1000_NO_REGISTER,
    E1000_CTRL,
    E1000_CTRL_EXT,
    E1000_FCAL,
    E1000_FCAH,
    E1000_FCT,
    E1000_VET,
    E1000_ITR,
    E1000_IMS,
    E1000_RCTL,
    E1000_FCTTV,
    E1000_TXCW,
    E1000_TCTL,
    E1000_TIPG,
    E1000_AIT,
    E1000_LEDCTL,
    E1000_PBA,
    E1000_FCRTL,
    E1000_FCRTH,
    E1000_RDBAL,
    E1000_RDBAH,
    E1000_RDLEN,
    E1000_RDH,
    E1000_RDT,
    E1000_RDTR,
    E1000_RXDCTL,
    E1000_RADV,
    E1000_RSRPD,
    E1000_TDBAL,
    E1000_TDBAH,
    E1000_TDLEN,
    E1000_TDH,
    E1000_TDT,
    E1000_TIDV,
    E1000_TXDCTL,
    E1000_TADV,
    E1000_TSPMT,
    E1000_RXCSUM,
    E1000_WUC,
    E1000_WUFC,
    E1000_IPAV,
    E1000_MANC,
    E1000_REGISTERS
};

enum e1000_ctrl_bits {
    E1000_CTRL_RST = 1u << 26,
    E1000_CTRL_VME = 1u << 30,
    E1000_CTRL_PHY_RST = 1u << 31,
};

/* Interrupt causes: ICR, ICS, IMS, IMC. */
enum e1000_cause {
    E1000_ICR_TXDW = 1u << 0,
    E1000_ICR_TXQE = 1u << 1,
    E1000_ICR_LSC = 1u << 2,
    E1000_ICR_RXDMT0 = 1u << 4,
    E1000_ICR_RXO = 1u << 6,
    E1000_ICR_RXT0 = 1u << 7,
    E1000_ICR_MDAC = 1u << 9,
    E1000_ICR_TXD_LOW = 1u << 15,
    E1000_ICR_SRPD = 1u << 16,
    E1000_ICR_ALL = 0x1ffff & ~0x120u,
};

enum e1000_rctl_bits {
    E1000_RCTL_EN = 1u << 1,
    E1000_RCTL_UPE = 1u << 3,
    E1000_RCTL_MPE = 1u << 4,
    E1000_RCTL_LPE = 1u << 5,
    E1000_RCTL_LBM = 3u << 6,
    E1000_RCTL_BAM = 1u << 15,
    E1000_RCTL_VFE = 1u << 18,
    E1000_RCTL_CFIEN = 1u << 19,
    E1000_RCTL_CFI = 1u << 20,
    E1000_RCTL_BSEX = 1u << 25,
    E1000_RCTL_SECRC = 1u << 26,
};

enum e1000_tctl_bits { E1000_TCTL_EN = 1u << 1, E1000_TCTL_PSP = 1u << 3 };

/* Statistics, by (address - 4000h) / 4. */
enum e1000_statistic {
    E1000_STAT_MPC = 0x10 / 4,
    E1000_STAT_PRC64 = 0x5c / 4, /* six sizes: 64, -127, -255, -511, -1023, longer */
    E1000_STAT_GPRC = 0x74 / 4,
    E1000_STAT_BPRC = 0x78 / 4,
    E1000_STAT_MPRC = 0x7c / 4,
    E1000_STAT_GPTC = 0x80 / 4,
    E1000_STAT_GORCL = 0x88 / 4,
    E1000_STAT_GOTCL = 0x90 / 4,
    E1000_STAT_RNBC = 0xa0 / 4,
    E1000_STAT_ROC = 0xac / 4,
    E1000_STAT_TORL = 0xc0 / 4,
    E1000_STAT_TOTL = 0xc8 / 4,
    E1000_STAT_TPR = 0xd0 / 4,
    E1000_STAT_TPT = 0xd4 / 4,
    E1000_STAT_PTC64 = 0xd8 / 4, /* six sizes */
    E1000_STAT_MPTC = 0xf0 / 4,
    E1000_STAT_BPTC = 0xf4 / 4,
    E1000_STAT_TSCTC = 0xf8 / 4,
    E1000_STAT_TSCTFC = 0xfc / 4,
};

/* The serial EEPROM (93C46, 64 words) behind EECD's pins. */
struct e1000_eeprom {
    uint16_t word[E1000_EEPROM_WORDS];
    uint32_t eecd, eerd;
    uint8_t state;   /* enum microwire_state in e1000_eeprom.c */
    uint8_t pending; /* enum microwire_operation: carried out when CS falls */
    uint8_t address, count;
    uint16_t shift;
    bool write_enabled;
};

struct e1000_phy {
    uint16_t reg[E1000_PHY_REGISTERS];
    uint32_t mdic;
    bool negotiated;
    struct timer negotiation;
};

/* What a context descriptor says: where the headers are, and how long segments may be. */
struct e1000_context {
    uint8_t ipcss, ipcso;
    uint8_t tucss, tucso;
    uint16_t ipcse, tucse;
    uint32_t paylen;
    uint8_t hdrlen;
    uint16_t mss;
    bool tcp, ipv4;
};

/* The transmitter, which may have to stop anywhere: between two descriptors, or between two segments of one. */
struct e1000_tx {
    struct e1000_context checksum, segmentation; /* as last programmed */
    struct e1000_context active;                 /* of the packet being put together */
    bool busy;                                   /* a packet is being put together */
    bool segmenting, bad, vlan, insert_checksum;
    uint8_t popts, cso, css;
    uint16_t vlan_tag;
    uint32_t segments, payload; /* of the packet: segments and payload bytes sent */
    uint8_t header[E1000_HEADER_MAX];
    uint32_t size; /* bytes in frame */
    uint8_t frame[NET_FRAME_MAX];
    bool ready, last;     /* `frame` is complete and waits for the wire; it is the packet's last */
    bool fetched, closed; /* `descriptor` is being worked on; its packet is complete */
    uint8_t descriptor[E1000_DESCRIPTOR_SIZE];
    uint32_t offset;      /* bytes of its data that were taken */
    uint64_t absolute_ns; /* TADV's deadline of the delayed interrupt; CLOCK_NEVER: none */
    struct timer delay, resume;
};

struct e1000_rx {
    bool starved;         /* RXO was raised for the frame that waits */
    uint64_t absolute_ns; /* RADV's deadline */
    struct timer delay;
    uint8_t frame[NET_FRAME_MAX + 64]; /* scratch: the frame as it goes to memory */
};

struct e1000 {
    struct device device;
    struct pci_function pci;
    struct region registers, ports;
    struct pci_rom rom; /* option ROM */
    struct net_port port;
    struct ethernet_crc crc;
    uint8_t map[E1000_MAP_WORDS]; /* register of an offset / 4; 0: none */
    uint8_t factory_mac[NET_MAC_SIZE];

    uint32_t reg[E1000_REGISTERS];
    uint32_t icr;
    uint32_t io_address;
    uint32_t statistics[E1000_STATISTICS];
    uint32_t mta[E1000_HASH_WORDS], vfta[E1000_HASH_WORDS], ra[E1000_ADDRESS_WORDS];
    uint64_t throttled_until; /* ITR: no interrupt before this moment */
    struct timer throttle;
    struct e1000_eeprom eeprom;
    struct e1000_phy phy;
    struct e1000_tx tx;
    struct e1000_rx rx;
};

struct e1000_config {
    const char *id; /* "net0"; outlives the device */
    uint8_t mac[NET_MAC_SIZE];
    uint8_t slot;
    const uint8_t *rom; /* option ROM, copied; NULL: none */
    size_t rom_size;
};

/* NULL when memory ran out. Connect its port with net_port_connect(). */
struct e1000 *e1000_create(struct board *board, struct pci_bus *bus, const struct e1000_config *config);

/* --- Between the controller's files ------------------------------------------------------------------ */

void e1000_raise(struct e1000 *nic, uint32_t causes);
void e1000_count(struct e1000 *nic, unsigned statistic, uint32_t amount);
/* Add to a 64-bit statistic whose low half is `statistic`. */
void e1000_count_wide(struct e1000 *nic, unsigned statistic, uint64_t amount);
/* The statistic of a size class (six of them from `first`). */
void e1000_count_size(struct e1000 *nic, unsigned first, size_t length);

void e1000_eeprom_init(struct e1000 *nic);
/* The factory's address in place of the one there is; the rest stays. */
void e1000_eeprom_renew(struct e1000 *nic);
void e1000_eecd_write(struct e1000 *nic, uint32_t value);
uint32_t e1000_eecd_read(const struct e1000 *nic);
void e1000_eerd_write(struct e1000 *nic, uint32_t value);
void e1000_mdic_write(struct e1000 *nic, uint32_t value);
void e1000_phy_init(struct e1000 *nic);
void e1000_phy_reset(struct e1000 *nic);
bool e1000_link_up(const struct e1000 *nic);
bool e1000_loops_back(const struct e1000 *nic);
void e1000_link_changed(void *owner, bool up);

void e1000_tx_init(struct e1000 *nic);
void e1000_tx_reset(struct e1000 *nic);
void e1000_tx_run(struct e1000 *nic);
void e1000_tx_writable(void *owner);

void e1000_rx_init(struct e1000 *nic);
void e1000_rx_reset(struct e1000 *nic);
bool e1000_receive(void *owner, const uint8_t *frame, size_t length);
/* RDTR was written: bit 31 ends a delay at once. */
void e1000_rx_flush(struct e1000 *nic);

#endif
