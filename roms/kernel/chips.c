/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The board's chips other than screen, keyboard and serial port: the two 8259A interrupt controllers, channel
 * 0 of the 8254 timer, and the ports that switch the machine off or reset it.
 *
 * Follows the 8259A and 8254 data sheets; the soft-off ports are those of PIIX4 as PC firmware sets it up
 * (604h) and of Bochs (B004h). Not modelled: APIC, HPET, ACPI tables (a real kernel would look the ports up
 * there).
 */
#include "roms/kernel/kernel.h"

enum { PIC1 = 0x20, PIC2 = 0xa0, PIC_READ_ISR = 0x0b, PIC_EOI = 0x20, PIC_CASCADE = 2 };
enum { PIT_CHANNEL0 = 0x40, PIT_CONTROL = 0x43, PIT_RATE = 0x34 }; /* channel 0, both bytes, mode 2 */
#define PIT_HZ            1193182u
#define POWEROFF_PATIENCE 10000000u

static uint32_t ticks;

void chips_setup(void)
{
    uint16_t divisor = PIT_HZ / TICKS_PER_SECOND;

    out8(PIC1, 0x11); /* ICW1: edge-triggered, cascaded, ICW4 follows */
    out8(PIC2, 0x11);
    out8(PIC1 + 1, VECTOR_IRQ); /* ICW2: first vector */
    out8(PIC2 + 1, VECTOR_IRQ + 8);
    out8(PIC1 + 1, 1 << PIC_CASCADE); /* ICW3 */
    out8(PIC2 + 1, PIC_CASCADE);
    out8(PIC1 + 1, 0x01); /* ICW4: 8086 mode */
    out8(PIC2 + 1, 0x01);
    out8(PIC1 + 1, 0xff & ~(1 << PIC_CASCADE));
    out8(PIC2 + 1, 0xff);
    out8(PIT_CONTROL, PIT_RATE);
    out8(PIT_CHANNEL0, (uint8_t)divisor);
    out8(PIT_CHANNEL0, (uint8_t)(divisor >> 8));
    chips_enable_irq(IRQ_TIMER);
}

void chips_enable_irq(unsigned irq)
{
    uint16_t mask = irq < 8 ? PIC1 + 1 : PIC2 + 1;

    out8(mask, in8(mask) & (uint8_t) ~(1u << irq % 8));
}

uint32_t chips_ticks(void)
{
    return ticks;
}

/* IRQ 7 and 15 also come when a request vanished before the processor asked for it: then no bit is in service. */
static bool spurious(unsigned irq)
{
    uint16_t pic = irq < 8 ? PIC1 : PIC2;

    if (irq % 8 != 7) {
        return false;
    }
    out8(pic, PIC_READ_ISR);
    return (in8(pic) & 0x80) == 0;
}

void chips_irq(unsigned irq)
{
    bool ghost = spurious(irq);

    if (irq >= 8 && !ghost) {
        out8(PIC2, PIC_EOI);
    }
    if (irq >= 8 || !ghost) {
        out8(PIC1, PIC_EOI);
    }
    if (irq == IRQ_TIMER) {
        ticks++;
        task_tick();
    } else if (irq == IRQ_KEYBOARD) {
        input_keyboard_irq();
    } else if (irq == IRQ_COM1) {
        input_serial_irq();
    }
    task_reschedule_if_idle();
}

static void halt_for_ever(void)
{
    for (;;) {
        __asm__ volatile("cli\n\thlt");
    }
}

void chips_reboot(void)
{
    out8(0xcf9, 0x02); /* PIIX reset control: a hard reset, then do it */
    out8(0xcf9, 0x06);
    out8(0x64, 0xfe); /* 8042: pulse the reset line */
    halt_for_ever();
    __builtin_unreachable();
}

void chips_poweroff(void)
{
    out16(0x604, 0x2000); /* PM1a control: SLP_EN, sleep type 0 = S5 */
    out16(0xb004, 0x2000);
    for (volatile unsigned i = 0; i < POWEROFF_PATIENCE; i++) {
        continue; /* the power may take a moment to go */
    }
    console_printf("It is now safe to switch the machine off.\n");
    halt_for_ever();
    __builtin_unreachable();
}
