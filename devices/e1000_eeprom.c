/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * 82540EM: the serial EEPROM and the PHY, both reached one register at a time. See devices/e1000.h.
 *
 * Source: the Software Developer's Manual, 5.5 "EEPROM Interface", 5.6 "EEPROM Address Map", 10 "PHY Functionality",
 * 13.4.3 "EECD", 13.4.4 "EERD", 13.4.6 "MDIC"; 93C46 data sheet for the bits on the wire:
 *
 *   CS  ____/-----------------------------------------------\___
 *   DI      1 | opcode 2 | address 6 |                              10 read, 01 write, 11 erase, 00 others
 *   DO                               0 | D15 D14 ... D0 |           a zero, then the word, then the next word
 *
 * Words survive resets, not the end of the VM.
 *
 * Not modelled: the time programming takes, the SPI EEPROMs of later controllers, the PHY's diagnostics and counters.
 */
#include "devices/e1000.h"

enum eecd_bits {
    EECD_SK = 1u << 0,
    EECD_CS = 1u << 1,
    EECD_DI = 1u << 2,
    EECD_DO = 1u << 3,
    EECD_FWE = 3u << 4,
    EECD_REQ = 1u << 6,
    EECD_GNT = 1u << 7,
    EECD_PRES = 1u << 8,
};

enum eerd_bits { EERD_START = 1u << 0, EERD_DONE = 1u << 4 };

enum microwire_state { STATE_IDLE, STATE_COMMAND, STATE_READ, STATE_DATA };
enum microwire_operation {
    OPERATION_NONE,
    OPERATION_WRITE,
    OPERATION_ERASE,
    OPERATION_WRITE_ALL,
    OPERATION_ERASE_ALL
};

enum {
    WORD_CHECKSUM = 0x3f,
    CHECKSUM_TOTAL = 0xbaba, /* what all 64 words add up to */
    COMMAND_BITS = 8,
};

enum mdic_bits {
    MDIC_OP_WRITE = 1u << 26,
    MDIC_OP_READ = 2u << 26,
    MDIC_OP = 3u << 26,
    MDIC_R = 1u << 28,
    MDIC_I = 1u << 29,
    MDIC_E = 1u << 30,
    MDIC_PHY = 1, /* the address of the only PHY */
};

enum phy_register {
    PHY_CONTROL = 0,
    PHY_STATUS = 1,
    PHY_EXPANSION = 6,
    PHY_1000T_STATUS = 10,
    PHY_SPECIFIC_STATUS = 17
};
enum phy_control_bits {
    PHY_CONTROL_RESTART = 1u << 9,
    PHY_CONTROL_POWER_DOWN = 1u << 11,
    PHY_CONTROL_NEGOTIATE = 1u << 12,
    PHY_CONTROL_LOOPBACK = 1u << 14,
    PHY_CONTROL_RESET = 1u << 15,
};
enum phy_status_bits { PHY_STATUS_LINK = 1u << 2, PHY_STATUS_NEGOTIATED = 1u << 5 };
enum phy_specific_bits { PHY_SPECIFIC_LINK = 1u << 10, PHY_SPECIFIC_RESOLVED = 1u << 11 };

/* How long finding out the speed takes. NOTE: seconds on a real wire; drivers only wait for the end. */
#define NEGOTIATION_NS 20000000u

/* --- EEPROM ------------------------------------------------------------------------------------------- */

void e1000_eeprom_init(struct e1000 *nic)
{
    uint16_t *word = nic->eeprom.word;
    uint16_t sum = 0;

    for (unsigned i = 0; i < E1000_EEPROM_WORDS; i++) {
        word[i] = 0;
    }
    for (unsigned i = 0; i < 3; i++) {
        word[i] = load_le16(nic->factory_mac + 2 * i);
    }
    word[0x03] = 0x0b00; /* compatibility: a LAN-on-motherboard-free adapter */
    word[0x0a] = 0x460b; /* initialization control 1: load the IDs below */
    word[0x0b] = PCI_BOARD_ID;
    word[0x0c] = PCI_BOARD_VENDOR;
    word[0x0d] = 0x100e;
    word[0x0e] = 0x8086;
    word[0x0f] = 0xb040; /* initialization control 2: no flash memory */
    for (unsigned i = 0; i < WORD_CHECKSUM; i++) {
        sum = (uint16_t)(sum + word[i]);
    }
    word[WORD_CHECKSUM] = (uint16_t)(CHECKSUM_TOTAL - sum);
}

void e1000_eeprom_renew(struct e1000 *nic)
{
    uint16_t *word = nic->eeprom.word;

    for (unsigned i = 0; i < 3; i++) {
        uint16_t renewed = load_le16(nic->factory_mac + 2 * i);

        word[WORD_CHECKSUM] = (uint16_t)(word[WORD_CHECKSUM] + word[i] - renewed);
        word[i] = renewed;
    }
}

static void set_do(struct e1000_eeprom *eeprom, bool level)
{
    eeprom->eecd = level ? eeprom->eecd | EECD_DO : eeprom->eecd & ~(uint32_t)EECD_DO;
}

/* The eight bits behind the start bit are in: two of opcode, six of address. */
static void start_command(struct e1000_eeprom *eeprom)
{
    static const uint8_t extended[4] = {OPERATION_NONE, OPERATION_WRITE_ALL, OPERATION_ERASE_ALL,
                                        OPERATION_NONE};
    unsigned opcode = eeprom->shift >> 6 & 3;

    eeprom->address = eeprom->shift & (E1000_EEPROM_WORDS - 1);
    eeprom->count = 0;
    switch (opcode) {
    case 2:
        eeprom->state = STATE_READ;
        set_do(eeprom, false);
        return;
    case 1:
        eeprom->pending = OPERATION_WRITE;
        break;
    case 3:
        eeprom->pending = OPERATION_ERASE;
        break;
    default:
        eeprom->pending = extended[eeprom->address >> 4];
        if (eeprom->pending == OPERATION_NONE) {
            eeprom->write_enabled = eeprom->address >> 4 == 3;
        }
        break;
    }
    eeprom->shift = UINT16_MAX;
    eeprom->state = eeprom->pending == OPERATION_WRITE || eeprom->pending == OPERATION_WRITE_ALL ? STATE_DATA
                                                                                                 : STATE_IDLE;
}

/* SK rose while CS is high. */
static void clock_bit(struct e1000_eeprom *eeprom, bool di)
{
    switch (eeprom->state) {
    case STATE_IDLE:
        if (di && eeprom->pending == OPERATION_NONE) {
            eeprom->state = STATE_COMMAND;
            eeprom->shift = eeprom->count = 0;
        }
        break;
    case STATE_COMMAND:
        eeprom->shift = (uint16_t)(eeprom->shift << 1 | di);
        if (++eeprom->count == COMMAND_BITS) {
            start_command(eeprom);
        }
        break;
    case STATE_READ:
        set_do(eeprom, eeprom->word[eeprom->address] >> (15 - eeprom->count) & 1);
        if (++eeprom->count == 16) {
            eeprom->count = 0;
            eeprom->address = (eeprom->address + 1) % E1000_EEPROM_WORDS;
        }
        break;
    default:
        eeprom->shift = (uint16_t)(eeprom->shift << 1 | di);
        if (++eeprom->count == 16) {
            eeprom->state = STATE_IDLE;
        }
        break;
    }
}

/* CS fell: what was asked for is programmed, if all of it had arrived. */
static void deselect(struct e1000_eeprom *eeprom)
{
    bool complete = eeprom->state == STATE_IDLE && eeprom->write_enabled;
    bool all = eeprom->pending == OPERATION_WRITE_ALL || eeprom->pending == OPERATION_ERASE_ALL;

    for (unsigned i = 0; i < E1000_EEPROM_WORDS && complete && eeprom->pending != OPERATION_NONE; i++) {
        if (all || i == eeprom->address) {
            eeprom->word[i] = eeprom->shift;
        }
    }
    eeprom->state = STATE_IDLE;
    eeprom->pending = OPERATION_NONE;
    set_do(eeprom, true);
}

void e1000_eecd_write(struct e1000 *nic, uint32_t value)
{
    struct e1000_eeprom *eeprom = &nic->eeprom;
    uint32_t old = eeprom->eecd;

    eeprom->eecd = (old & EECD_DO) | (value & (EECD_SK | EECD_CS | EECD_DI | EECD_FWE | EECD_REQ));
    if ((old & EECD_CS) && !(value & EECD_CS)) {
        deselect(eeprom);
    } else if ((value & EECD_CS) && (value & EECD_SK) && !(old & EECD_SK)) {
        clock_bit(eeprom, (value & EECD_DI) != 0);
    }
}

uint32_t e1000_eecd_read(const struct e1000 *nic)
{
    uint32_t eecd = nic->eeprom.eecd;

    return eecd | EECD_PRES | (eecd & EECD_REQ ? (uint32_t)EECD_GNT : 0);
}

void e1000_eerd_write(struct e1000 *nic, uint32_t value)
{
    uint32_t address = value >> 8 & 0xff;
    uint16_t word = address < E1000_EEPROM_WORDS ? nic->eeprom.word[address] : 0;

    nic->eeprom.eerd = (value & 0xff00) | (value & EERD_START ? (uint32_t)word << 16 | EERD_DONE : 0);
}

/* --- PHY ---------------------------------------------------------------------------------------------- */

/* An M88 gigabit PHY, all speeds and full duplex on both ends. */
static const uint16_t phy_initial[E1000_PHY_REGISTERS] = {
    [PHY_CONTROL] = 0x1140,
    [PHY_STATUS] = 0x7949,
    [2] = 0x0141,
    [3] = 0x0c20,
    [4] = 0x0de1,
    [5] = 0x45e1,
    [PHY_EXPANSION] = 0x0000,
    [7] = 0x2001,
    [9] = 0x0e00,
    [PHY_1000T_STATUS] = 0x3c00,
    [15] = 0x3000,
    [16] = 0x0360,
    [PHY_SPECIFIC_STATUS] = 0xa000,
    [20] = 0x0d60,
};

static const uint16_t phy_writable[E1000_PHY_REGISTERS] = {
    [PHY_CONTROL] = 0x7dc0, [4] = 0xffff,  [7] = 0xffff,  [9] = 0xff00,  [16] = 0xffff,
    [18] = 0xffff,          [20] = 0xffff, [24] = 0xffff, [29] = 0xffff, [30] = 0xffff,
};

bool e1000_link_up(const struct e1000 *nic)
{
    uint16_t control = nic->phy.reg[PHY_CONTROL];

    return net_port_is_up(&nic->port) && !(control & PHY_CONTROL_POWER_DOWN) &&
           (nic->phy.negotiated || !(control & PHY_CONTROL_NEGOTIATE));
}

bool e1000_loops_back(const struct e1000 *nic)
{
    return (nic->reg[E1000_RCTL] & E1000_RCTL_LBM) || (nic->phy.reg[PHY_CONTROL] & PHY_CONTROL_LOOPBACK);
}

/* Bring the status registers in line with the link, and report a change. */
static void update_link(struct e1000 *nic)
{
    uint16_t *reg = nic->phy.reg;
    bool was_up = (reg[PHY_SPECIFIC_STATUS] & PHY_SPECIFIC_LINK) != 0;
    bool up = e1000_link_up(nic);

    reg[PHY_STATUS] &= (uint16_t) ~(PHY_STATUS_LINK | PHY_STATUS_NEGOTIATED);
    reg[PHY_SPECIFIC_STATUS] &= (uint16_t) ~(PHY_SPECIFIC_LINK | PHY_SPECIFIC_RESOLVED);
    reg[PHY_EXPANSION] = nic->phy.negotiated;
    if (up) {
        reg[PHY_STATUS] |= PHY_STATUS_LINK | (nic->phy.negotiated ? PHY_STATUS_NEGOTIATED : 0);
        reg[PHY_SPECIFIC_STATUS] |= PHY_SPECIFIC_LINK | PHY_SPECIFIC_RESOLVED;
    }
    if (up != was_up) {
        e1000_raise(nic, E1000_ICR_LSC);
    }
}

static void negotiate(struct e1000 *nic)
{
    nic->phy.negotiated = false;
    timer_disarm(&nic->phy.negotiation);
    if (net_port_is_up(&nic->port) && (nic->phy.reg[PHY_CONTROL] & PHY_CONTROL_NEGOTIATE)) {
        timer_arm(&nic->phy.negotiation, clock_now(nic->device.board->clock) + NEGOTIATION_NS);
    }
    update_link(nic);
}

static void negotiation_fire(void *opaque)
{
    struct e1000 *nic = opaque;

    nic->phy.negotiated = true;
    update_link(nic);
}

void e1000_link_changed(void *owner, bool up)
{
    (void)up;
    negotiate(owner);
}

static void phy_write(struct e1000 *nic, unsigned number, uint16_t value)
{
    uint16_t *reg = &nic->phy.reg[number];
    bool negotiated_before = (*reg & PHY_CONTROL_NEGOTIATE) != 0;

    *reg = (uint16_t)((*reg & ~phy_writable[number]) | (value & phy_writable[number]));
    if (number != PHY_CONTROL) {
        return;
    }
    if (value & PHY_CONTROL_RESET) {
        e1000_phy_reset(nic);
        return;
    }
    *reg &= (uint16_t)~PHY_CONTROL_RESTART;
    if ((*reg & PHY_CONTROL_NEGOTIATE) && ((value & PHY_CONTROL_RESTART) || !negotiated_before)) {
        negotiate(nic);
    } else {
        update_link(nic);
    }
}

/*
 * MDIC  31|30|29|28|27 26|25     21|20     16|15          0
 *        0| E| I| R|  op | PHY addr| register|    data
 */
void e1000_mdic_write(struct e1000 *nic, uint32_t value)
{
    unsigned number = value >> 16 & 31;
    uint32_t op = value & MDIC_OP;

    nic->phy.mdic = (value & ~(uint32_t)(MDIC_E | 1u << 31)) | MDIC_R;
    if ((value >> 21 & 31) != MDIC_PHY || (op != MDIC_OP_READ && op != MDIC_OP_WRITE)) {
        nic->phy.mdic |= MDIC_E;
    } else if (op == MDIC_OP_READ) {
        nic->phy.mdic = (nic->phy.mdic & 0xffff0000) | nic->phy.reg[number];
    } else {
        phy_write(nic, number, (uint16_t)value);
    }
    if (value & MDIC_I) {
        e1000_raise(nic, E1000_ICR_MDAC);
    }
}

void e1000_phy_init(struct e1000 *nic)
{
    timer_init(&nic->phy.negotiation, nic->device.board->clock, "e1000-negotiation", negotiation_fire, nic);
}

void e1000_phy_reset(struct e1000 *nic)
{
    bool was_up = (nic->phy.reg[PHY_SPECIFIC_STATUS] & PHY_SPECIFIC_LINK) != 0;

    memcpy(nic->phy.reg, phy_initial, sizeof(phy_initial));
    negotiate(nic);
    if (was_up) {
        e1000_raise(nic, E1000_ICR_LSC);
    }
}
