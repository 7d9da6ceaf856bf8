/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What tests of commands that look at a guest share: a VM that is a processor and 16 MiB of memory, with a ROM at F00000h, a
 * device at F80000h, and command lines run on it.
 */
#ifndef TESTS_MONITOR_INSPECT_FIXTURE_H
#define TESTS_MONITOR_INSPECT_FIXTURE_H

#include <criterion/criterion.h>

#include "monitor/groups.h"
#include "tests/isa/bare_machine.h"

enum {
    DIRECTORY = 0x1000,
    TABLE = 0x2000,
    ROM = 0x1000000, /* behind the RAM */
    DEVICE = 0x1100000,
    BEYOND = 0x8000000, /* nothing there */
    CODE = 0x10000,
    STACK = 0x800000,
};

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };

struct inspected {
    struct bare_machine bare;
    struct region rom, device;
    struct vm vm;
    struct monitor_session session;
    char *text; /* of the last command */
    json_t *data;
    bool done;
};

static const struct region_ops inspected_device_ops = {0};

/* RAM of bare_machine.h, and beside it a ROM and a device. */
static inline void inspected_init(struct inspected *it)
{
    struct bare_machine *bare = &it->bare;

    memset(it, 0, sizeof(*it));
    bare_init(bare);
    region_init_io(&it->device, "gadget", DEVICE, 0x1000, &inspected_device_ops, NULL);
    addr_space_add(&bare->mem, &it->device);
    /* the last 64 KiB of the memory, once more and without writes */
    region_init_memory(&it->rom, "bios", ROM, 0x10000, BARE_RAM_SIZE - 0x10000, REGION_READ);
    addr_space_add(&bare->mem, &it->rom);
    bare_enter_protected(bare, 32);
    log_init(&it->vm.log);
    it->vm.cpu = bare->cpu;
    it->vm.state = VM_PAUSED;
    bare->cpu->wiring.log = &it->vm.log;
    it->session.vm = &it->vm;
    bare->cpu->rip = CODE;
    bare->cpu->gpr[RSP] = STACK;
}

static inline void inspected_fini(struct inspected *it)
{
    free(it->text);
    json_decref(it->data);
    log_fini(&it->vm.log);
    bare_fini(&it->bare);
}

/* Run a command line. Its text is it->text until the next one. */
static inline const char *inspected_run(struct inspected *it, const char *line)
{
    size_t size;
    FILE *out;

    free(it->text);
    json_decref(it->data);
    it->text = NULL;
    it->data = NULL;
    out = open_memstream(&it->text, &size);
    it->done = command_execute(&it->session, line, out, &it->data);
    fclose(out);
    return it->text;
}

static inline unsigned inspected_lines(const struct inspected *it)
{
    unsigned lines = 0;

    for (const char *c = it->text; *c; c++) {
        lines += *c == '\n';
    }
    return lines;
}

#define assert_says(it, part)                                                                                \
    cr_assert((it)->text &&strstr((it)->text, (part)), "not said: \"%s\" in:\n%s", (part), (it)->text)
#define assert_silent(it, part)                                                                              \
    cr_assert_not(strstr((it)->text, (part)), "said: \"%s\" in:\n%s", (part), (it)->text)

static inline void inspected_store32(struct inspected *it, uint32_t address, uint32_t value)
{
    bare_write32(&it->bare, address, value);
}

static inline void inspected_store64(struct inspected *it, uint32_t address, uint64_t value)
{
    bare_write32(&it->bare, address, (uint32_t)value);
    bare_write32(&it->bare, address + 4, (uint32_t)(value >> 32));
}

/* 32-bit paging, directory at DIRECTORY; its first entry a table at TABLE that maps 1:1, all present and writable. */
static inline void inspected_page(struct inspected *it)
{
    for (uint32_t i = 0; i < 1024; i++) {
        inspected_store32(it, TABLE + 4 * i, i << 12 | P | W | A | D);
    }
    inspected_store32(it, DIRECTORY, TABLE | P | W | U | A);
    it->bare.cpu->cr3 = DIRECTORY;
    it->bare.cpu->cr4 |= CR4_PSE | CR4_PGE;
    it->bare.cpu->cr0 |= CR0_PG | CR0_WP;
    vcpu_sync(it->bare.cpu);
}

#endif
