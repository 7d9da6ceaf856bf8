/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A guest that sleeps for ever: a limit on the host's time may end it, but is no time for the guest to jump over.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "vm/config.h"
#include "vm/vm.h"

/* A ROM full of HLT. */
static void write_rom(const char *path)
{
    uint8_t *rom = malloc(0x10000);
    FILE *file = fopen(path, "w");

    cr_assert(rom && file);
    memset(rom, 0xf4, 0x10000);
    cr_assert_eq(fwrite(rom, 1, 0x10000, file), 0x10000);
    fclose(file);
    free(rom);
}

static struct vm *make_sleeper(void)
{
    char path[] = "/tmp/hypatia-idle-XXXXXX";
    char *words[] = {"hypatia", "-m",    "16", "-vga",    "none",        "-display", "none",     "-serial",
                     "null",    "-bios", path, "-icount", "3,sleep=off", "-limit",   "time=1000"};
    struct vm_config *config = malloc(sizeof(*config));
    struct error error = {{0}};
    enum config_action action;

    close(mkstemp(path));
    write_rom(path);
    config_init(config);
    cr_assert_eq(config_parse(config, (int)ARRAY_LEN(words), words, &action, &error), 0, "%s", error.text);
    struct vm *vm = vm_create(config, &error);
    cr_assert_not_null(vm, "%s", error.text);
    unlink(path);
    return vm;
}

Test(idle, a_limit_is_no_time_to_jump_over)
{
    struct vm *vm = make_sleeper();
    uint64_t wait = 0;
    enum vm_next next = VM_NEXT_RUN;

    /* What the board has armed at power-on comes first; a few steps end that. */
    for (unsigned i = 0; i < 100 && next == VM_NEXT_RUN; i++) {
        next = vm_step(vm, UINT64_MAX, &wait);
    }
    cr_assert_eq(next, VM_NEXT_WAIT);
    cr_assert_gt(wait, 900 * NS_PER_SEC);
    cr_assert_leq(wait, 1000 * NS_PER_SEC);
    cr_assert_lt(clock_now(&vm->clock), 10 * NS_PER_SEC);
    vm_destroy(vm);
}
