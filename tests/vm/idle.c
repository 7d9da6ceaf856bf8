/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A guest that sleeps for ever: a limit on the host's time may end it, but is no time for the guest to jump over. And one that
 * never sleeps: what comes from outside need not wait for it.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "vm/config.h"
#include "vm/vm.h"

enum { HLT_HLT = 0xf4f4, JMP_SELF = 0xfeeb };

/* A ROM full of `code`, two bytes. */
static void write_rom(const char *path, uint16_t code)
{
    uint8_t *rom = malloc(0x10000);
    FILE *file = fopen(path, "w");

    cr_assert(rom && file);
    for (unsigned i = 0; i < 0x10000; i += 2) {
        store_le16(rom + i, code);
    }
    cr_assert_eq(fwrite(rom, 1, 0x10000, file), 0x10000);
    fclose(file);
    free(rom);
}

static struct vm *make_vm(uint16_t code, char *option, char *value)
{
    static char path[32]; /* the VM keeps it */
    char *words[] = {"hypatia", "-m",    "16", "-vga", "none", "-display", "none",      "-serial",
                     "null",    "-bios", path, option, value,  "-limit",   "time=1000", NULL};
    struct vm_config *config = malloc(sizeof(*config));
    struct error error = {{0}};
    enum config_action action;

    strcpy(path, "/tmp/hypatia-idle-XXXXXX");
    close(mkstemp(path));
    write_rom(path, code);
    config_init(config);
    cr_assert_eq(config_parse(config, (int)ARRAY_LEN(words) - 1, words, &action, &error), 0, "%s",
                 error.text);
    struct vm *vm = vm_create(config, &error);
    cr_assert_not_null(vm, "%s", error.text);
    unlink(path);
    free(config);
    return vm;
}

Test(idle, a_limit_is_no_time_to_jump_over)
{
    struct vm *vm = make_vm(HLT_HLT, "-icount", "3,sleep=off");
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

static void count_look(void *opaque, short revents)
{
    (void)revents;
    ++*(unsigned *)opaque;
}

static uint64_t thread_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

Test(idle, a_busy_guest_is_interrupted_more_often_while_something_comes)
{
    struct vm *vm = make_vm(JMP_SELF, "-m", "16");
    unsigned looks = 0;
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    struct loop_source source = {.fd = ends[0], .events = POLLIN, .ready = count_look, .opaque = &looks};
    loop_add(&vm->loop, &source);
    uint64_t wait, begin = thread_time();
    while (thread_time() - begin < NS_PER_SEC / 20) {
        cr_assert_eq(vm_step(vm, UINT64_MAX, &wait), VM_NEXT_RUN);
    }
    cr_assert_gt(looks, 100, "%u looks in 50 ms", looks);
    loop_remove(&vm->loop, &source);
    vm_destroy(vm);
}
