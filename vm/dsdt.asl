/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The DSDT of Hypatia's PC: what an operating system cannot find out by probing.
 *
 * Follows ACPI 1.0b (so that the oldest ACPI systems read it) and the 82371SB (PIIX3) and 82371AB (PIIX4) data sheets.
 * Compiled by iasl while building and carried in the program (acpi_tables.c). Two things depend on the machine's
 * configuration and come from the SSDT that acpi_tables.c writes: \PWMN, where the PCI memory window begins, and the
 * Processor objects.
 *
 * Not described: hot plug, sleep states other than S5, HPET, floppy and parallel ports (the board has none).
 */
DefinitionBlock ("dsdt.aml", "DSDT", 1, "HYPTIA", "HYPTIAPC", 0x00000001)
{
    External (\PWMN, IntObj)                    /* first address of the 32-bit PCI memory window */

    Name (\_S5, Package (4) { 0, 0, 0, 0 })     /* PIIX4 PMCNTRL: SUS_TYP 0 is soft off */

    /* The system says which interrupt model it uses: 0 PIC, 1 APIC. The links below serve both. */
    Name (\PICM, 0)
    Method (\_PIC, 1)
    {
        Store (Arg0, \PICM)
    }

    /* devices/vmgenid.h: the VM was cloned, or went back to a snapshot */
    Scope (\_GPE)
    {
        Method (_E05, 0) { Notify (\_SB.VGEN, 0x80) }
    }

    Scope (\_SB)
    {
        Device (VGEN)
        {
            Name (_HID, "HYPT0001")
            Name (_CID, Package (2) { "VM_Gen_Counter", "VMGENCTR" })   /* as systems look for it, old Linux by the second */
            Name (_DDN, "VM_Gen_Counter")
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadOnly, 0xfef00000, 0x1000)
            })
            Name (ADDR, Package (2) { 0xfef00000, 0 })                  /* low and high half */
        }

        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)

            Name (CRES, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xff, 0, 0x100)
                IO (Decode16, 0xcf8, 0xcf8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0000, 0x0cf7, 0, 0x0cf8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0d00, 0xffff, 0, 0xf300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                             0, 0x000a0000, 0x000bffff, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                             0, 0xc0000000, 0xfebfffff, 0, 0x3ec00000, , , PMEM)
            })
            CreateDWordField (CRES, PMEM._MIN, PMIN)
            CreateDWordField (CRES, PMEM._MAX, PMAX)
            CreateDWordField (CRES, PMEM._LEN, PLEN)

            Method (_CRS, 0, Serialized)
            {
                Store (\PWMN, PMIN)
                Add (Subtract (PMAX, PMIN), 1, PLEN)
                Return (CRES)
            }

            /*
             * INTA#..INTD# of device n go to PIRQ (n - 1 + pin) mod 4. Device 1 is the PIIX itself: its INTA# is the
             * power management's SCI, hard-wired to IRQ 9.
             */
            Name (ROUT, Package (128) {})
            Method (_PRT, 0, Serialized)
            {
                Store (0, Local0)               /* device * 4 + pin */
                While (LLess (Local0, 128))
                {
                    Store (ShiftRight (Local0, 2), Local1)
                    And (Local0, 3, Local2)
                    And (Add (Subtract (Add (Local1, 4), 1), Local2), 3, Local3)
                    Store (Package (4) { 0, 0, 0, 0 }, Local4)
                    If (LEqual (Local3, 0)) { Store (Package (4) { 0, 0, LNKA, 0 }, Local4) }
                    If (LEqual (Local3, 1)) { Store (Package (4) { 0, 0, LNKB, 0 }, Local4) }
                    If (LEqual (Local3, 2)) { Store (Package (4) { 0, 0, LNKC, 0 }, Local4) }
                    If (LEqual (Local3, 3)) { Store (Package (4) { 0, 0, LNKD, 0 }, Local4) }
                    If (LEqual (Local0, 4)) { Store (Package (4) { 0, 0, LNKS, 0 }, Local4) }
                    Store (Or (ShiftLeft (Local1, 16), 0xffff), Index (Local4, 0))
                    Store (Local2, Index (Local4, 1))
                    Store (Local4, Index (ROUT, Local0))
                    Increment (Local0)
                }
                Return (ROUT)
            }

            /* --- Function 1.0: PIIX3, PCI to ISA bridge ----------------------------------------------------------- */
            Device (ISA)
            {
                Name (_ADR, 0x00010000)

                /* PIRQRC[A:D]: bit 7 = not routed, bits 3:0 = IRQ. */
                OperationRegion (PIRQ, PCI_Config, 0x60, 4)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8,
                    PRQB, 8,
                    PRQC, 8,
                    PRQD, 8
                }

                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0020, 0x0020, 0, 2)
                        IO (Decode16, 0x00a0, 0x00a0, 0, 2)
                        IO (Decode16, 0x04d0, 0x04d0, 0, 2)
                        IRQNoFlags () { 2 }
                    })
                }

                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 0, 4)
                        IRQNoFlags () { 0 }
                    })
                }

                Device (DMAC)
                {
                    Name (_HID, EisaId ("PNP0200"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0000, 0x0000, 0, 0x10)
                        IO (Decode16, 0x0081, 0x0081, 0, 0x0f)
                        IO (Decode16, 0x00c0, 0x00c0, 0, 0x20)
                        DMA (Compatibility, NotBusMaster, Transfer8) { 4 }
                    })
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 0, 2)
                        IRQNoFlags () { 8 }
                    })
                }

                Device (SPKR)
                {
                    Name (_HID, EisaId ("PNP0800"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0061, 0x0061, 0, 1)
                    })
                }

                Device (FPU)
                {
                    Name (_HID, EisaId ("PNP0C04"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x00f0, 0x00f0, 0, 0x10)
                        IRQNoFlags () { 13 }
                    })
                }

                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 0, 1)
                        IO (Decode16, 0x0064, 0x0064, 0, 1)
                        IRQNoFlags () { 1 }
                    })
                }

                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IRQNoFlags () { 12 }
                    })
                }

                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03f8, 0x03f8, 0, 8)
                        IRQNoFlags () { 4 }
                    })
                }

                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x02f8, 0x02f8, 0, 8)
                        IRQNoFlags () { 3 }
                    })
                }

                Device (FWCF)                   /* the fw_cfg interface */
                {
                    Name (_HID, "QEMU0002")
                    Name (_STA, 0x0b)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0510, 0x0510, 1, 0x0c)
                    })
                }
            }
        }

        /* --- Interrupt links over the PIIX3's PIRQ registers ------------------------------------------------------ */
        Method (PSTA, 1)                        /* _STA: 0bh routed, 09h not */
        {
            If (And (Arg0, 0x80))
            {
                Return (0x09)
            }
            Return (0x0b)
        }

        Name (PNOW, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, , , NUMB) { 0 }
        })
        CreateDWordField (PNOW, NUMB._INT, PNUM)
        Method (PCRS, 1, Serialized)            /* _CRS: number 0 while not routed */
        {
            Store (0, PNUM)
            If (LNot (And (Arg0, 0x80)))
            {
                And (Arg0, 0x0f, PNUM)
            }
            Return (PNOW)
        }

        Method (PSRS, 1, Serialized)            /* the IRQ in what _SRS was given */
        {
            CreateDWordField (Arg0, 5, IRQN)    /* extended interrupt descriptor: the first number is at 5 */
            Return (And (IRQN, 0x0f))
        }

        Name (PPRS, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
        })

        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0)
            Method (_STA, 0) { Return (PSTA (^^PCI0.ISA.PRQA)) }
            Method (_PRS, 0) { Return (PPRS) }
            Method (_CRS, 0) { Return (PCRS (^^PCI0.ISA.PRQA)) }
            Method (_DIS, 0) { Or (^^PCI0.ISA.PRQA, 0x80, ^^PCI0.ISA.PRQA) }
            Method (_SRS, 1) { Store (PSRS (Arg0), ^^PCI0.ISA.PRQA) }
        }

        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Method (_STA, 0) { Return (PSTA (^^PCI0.ISA.PRQB)) }
            Method (_PRS, 0) { Return (PPRS) }
            Method (_CRS, 0) { Return (PCRS (^^PCI0.ISA.PRQB)) }
            Method (_DIS, 0) { Or (^^PCI0.ISA.PRQB, 0x80, ^^PCI0.ISA.PRQB) }
            Method (_SRS, 1) { Store (PSRS (Arg0), ^^PCI0.ISA.PRQB) }
        }

        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Method (_STA, 0) { Return (PSTA (^^PCI0.ISA.PRQC)) }
            Method (_PRS, 0) { Return (PPRS) }
            Method (_CRS, 0) { Return (PCRS (^^PCI0.ISA.PRQC)) }
            Method (_DIS, 0) { Or (^^PCI0.ISA.PRQC, 0x80, ^^PCI0.ISA.PRQC) }
            Method (_SRS, 1) { Store (PSRS (Arg0), ^^PCI0.ISA.PRQC) }
        }

        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Method (_STA, 0) { Return (PSTA (^^PCI0.ISA.PRQD)) }
            Method (_PRS, 0) { Return (PPRS) }
            Method (_CRS, 0) { Return (PCRS (^^PCI0.ISA.PRQD)) }
            Method (_DIS, 0) { Or (^^PCI0.ISA.PRQD, 0x80, ^^PCI0.ISA.PRQD) }
            Method (_SRS, 1) { Store (PSRS (Arg0), ^^PCI0.ISA.PRQD) }
        }

        Device (LNKS)                           /* the SCI: wired, nothing to choose */
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 4)
            Name (RES0, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 9 }
            })
            Method (_STA, 0) { Return (0x0b) }
            Method (_PRS, 0) { Return (RES0) }
            Method (_CRS, 0) { Return (RES0) }
            Method (_DIS, 0) { }
            Method (_SRS, 1) { }
        }
    }
}
