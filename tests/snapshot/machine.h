/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the snapshot tests share: a folder of its own for each test, a VM that runs rom.asm on a disk, and ways to look at
 * all of it.
 */
#ifndef TESTS_SNAPSHOT_MACHINE_H
#define TESTS_SNAPSHOT_MACHINE_H

#include <criterion/criterion.h>

#include "vm/snapshot.h"
#include "vm/vm.h"

#define DISK_FILE  "disk.img"
#define STORE      DISK_FILE ".snapshots"
#define DISK_BYTES ((uint64_t)1 * MIB)

/* A new folder, the working directory of the test's process from now on, with a disk of random bytes that are the same
 * each time; removed with machine_leave(). */
void machine_enter(void);
void machine_leave(void);
/* Run a shell command; the test fails if that fails. */
void machine_shell(const char *format, ...) PRINTF_LIKE(1, 2);

/* A VM with `options` added to the usual ones, at its first instruction, or where -loadvm put it. NULL with the text. */
struct vm *machine_try(const char *options, struct error *error);
struct vm *machine_create(const char *options);
/* Run so many instructions. False: the guest cannot go on, which only an unlawful one may; or a bug of ours. */
bool machine_run_insns(struct vm *vm, uint64_t insns, bool lawful);
/* Run until so many instructions have been executed since the reset. */
void machine_run_to(struct vm *vm, uint64_t insns);

/* Everything a snapshot keeps of it: clock, processor, devices, memory, and what its disk shows. */
struct machine_look {
    uint64_t state, memory, disk;
};
struct machine_look machine_look(struct vm *vm);
void machine_expect(struct vm *vm, const struct machine_look *expected, const char *what);

/* Guest memory at an address of the ROM's. */
uint32_t machine_peek(struct vm *vm, uint32_t address);

void machine_save(struct vm *vm, const char *name);
void machine_load(struct vm *vm, const char *name);

/* xorshift64; the state is never 0. */
uint32_t machine_random(uint64_t *state, uint32_t below);

#endif
