/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The machine that cases run on: a processor, memory, and a few ports with which a program reports what
 * happens to it and pulls at its own processor's pins. README.md lists the ports.
 *
 * A write to a reporting port stops the engine behind the OUT instruction, so that the test can look at a
 * precise state; that works the same in every engine and does not depend on breakpoints.
 */
#ifndef TESTS_ISA_BOARD_H
#define TESTS_ISA_BOARD_H

#include "tests/isa/bare_machine.h"

enum isa_port {
    ISA_PORT_CHECKPOINT = 0xe0,
    ISA_PORT_FRAME32 = 0xe1, /* a handler was entered; SS:ESP points at vector, error, EIP, CS, EFLAGS ... */
    ISA_PORT_FRAME16 = 0xe2, /* the same in words */
    ISA_PORT_INTR = 0xe3,    /* raise INTR with this vector */
    ISA_PORT_NMI = 0xe4,
    ISA_PORT_A20 = 0xe5,     /* bit 0: the level of A20M# */
    ISA_PORT_FERR = 0xe6,    /* what port F0h does on a PC: release FERR# */
    ISA_PORT_SCRATCH = 0x300 /* 32 ports that read back what was written */
};

/* Memory-mapped: a read raises INTR (vector 20h) or NMI in the middle of an instruction, and gives what the
 * first scratch ports hold. */
#define ISA_MMIO      0xe0000000u
#define ISA_MMIO_INTR 0u
#define ISA_MMIO_NMI  4u

enum isa_report { ISA_REPORT_NONE, ISA_REPORT_CHECKPOINT, ISA_REPORT_FRAME32, ISA_REPORT_FRAME16 };

/* Who executes; `windows`: the translator, every view with a host window at once. All engines share one contract (cpu/interp.h). */
enum isa_engine { ISA_ENGINE_INTERP, ISA_ENGINE_DBT, ISA_ENGINE_WINDOWS };

/* The interrupt frame that a handler found. */
struct isa_frame {
    uint32_t vector, error, eip, cs, eflags;
    uint32_t esp, ss;        /* of the interrupted program */
    uint32_t es, ds, fs, gs; /* from V86 mode, else 0 */
};

struct isa_board {
    struct bare_machine bare;
    struct region control, scratch, mmio;
    uint8_t scratch_bytes[32];
    enum isa_engine engine;
    struct binxlate *binxlate; /* ISA_ENGINE_DBT */
    enum isa_report report;    /* why the engine was stopped */
    uint8_t intr_vector;
};

/* `model` as -cpu takes it; NULL for the default. Ends the program when there is none such. */
void isa_board_init(struct isa_board *board, enum isa_engine engine, const char *model);
void isa_board_fini(struct isa_board *board);

/* Execute up to `budget` instructions, or until something is reported (board->report). */
enum vcpu_exit isa_board_run(struct isa_board *board, uint64_t budget);

/* Read the frame that a report speaks of. False: the stack cannot be read. */
bool isa_board_frame(struct isa_board *board, struct isa_frame *frame);

/* Memory as the guest's paging has it, for onlookers. */
bool isa_board_read_linear(struct isa_board *board, uint32_t linear, void *bytes, unsigned count);

/*
 * A register, flag or doubleword by the name it has in headers. `frame` NULL: as the processor has it;
 * otherwise eip, cs, ss, esp, flags are those of the interrupted program, and "now.NAME" is what the
 * processor has. False: there is no such name, or the memory is not there.
 */
struct isa_case;
bool isa_board_value(struct isa_board *board, const struct isa_case *isa, const struct isa_frame *frame,
                     const char *name, uint32_t *value);
/* Set a register or flag before the start. False: there is no such name. */
bool isa_board_set(struct isa_board *board, const char *name, uint32_t value);

/* General registers in ModRM order. */
extern const char *const isa_register_names[8];

#endif
