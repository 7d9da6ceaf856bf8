/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Host memory: what a VM uses of it, that a refusal is one line, what a VM that does not get it does to others, and that its
 * memory lies between pages that nobody can touch.
 */
#include <criterion/criterion.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guests.h"
#include "vm/containment.h"

#define NEIGHBOUR "-icount 3,sleep=off -limit insns=30000000"

static uint64_t backed(const struct vm *vm)
{
    struct stat status;

    cr_assert_eq(fstat(vm->ram.fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

Test(memory, guest_memory_appears_when_touched)
{
    struct vm *vm = guest_create("lazy", "dbt", "-m 1024 " NEIGHBOUR);
    uint64_t before = backed(vm), wait;

    cr_assert_geq(vm->ram.size, 1024 * MIB);
    cr_assert_leq(before, 1 * MIB, "%lu bytes before the guest began", before); /* its ROM */
    while (vm_step(vm, UINT64_MAX, &wait) != VM_NEXT_STOPPED) {
    }
    cr_assert_gt(backed(vm), before);
    cr_assert_leq(backed(vm), 2 * MIB, "%lu bytes for a guest that uses 256 KiB", backed(vm));
    vm_destroy(vm);
}

/* Leave the process `room` bytes of address space beyond what it has. */
static void leave_room(uint64_t room)
{
    unsigned long pages;
    FILE *file = fopen("/proc/self/statm", "r");

    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    uint64_t bytes = (uint64_t)pages * PAGE_SIZE + room;
    cr_assert_eq(setrlimit(RLIMIT_AS, &(struct rlimit){bytes, RLIM_INFINITY}), 0);
}

/* A sanitizer takes its address space as it likes. */
#ifdef __SANITIZE_ADDRESS__
#define UNLIMITED true
#else
#define UNLIMITED false
#endif

/* Whatever it is that there is no room for, it is said in one line, and what there was is given back. */
Test(memory, a_host_without_room_is_said_in_one_line, .disabled = UNLIMITED)
{
    static const char *const engines[] = {"interp", "dbt"};
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    unsigned refused = 0, made = 0;

    for (unsigned engine = 0; engine < ARRAY_LEN(engines); engine++) {
        for (uint64_t room = 0; room <= 512 * MIB; room += room < 4 * MIB ? 128 * KIB : 5 * MIB) {
            struct error error = {{0}};

            leave_room(room);
            struct vm *vm = guest_try("cramped", engines[engine], "-m 64", &error);
            cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
            if (vm) {
                made++;
                vm_destroy(vm);
            } else {
                refused++;
                cr_assert_gt(strlen(error.text), 10u, "room %lu: '%s'", room, error.text);
                cr_assert_null(strchr(error.text, '\n'));
            }
        }
    }
    cr_assert_gt(refused, 20u);
    cr_assert_gt(made, 20u);
}

struct told {
    const struct vm *broken;
};

static void tell(void *opaque, struct vm *vm)
{
    struct told *told = opaque;

    told->broken = vm->broken ? vm : told->broken;
}

/* The host has no page for what the guest touches: that shows as SIGBUS in whoever touches it, here because the file is too short. */
static void run_out_of_memory(const char *engine)
{
    uint64_t alone = guest_run_alone(guest_create("alone", engine, NEIGHBOUR));
    struct vm *victim = guest_create("victim", engine, "-icount 3,sleep=off");
    struct vm *neighbour = guest_create("neighbour", engine, NEIGHBOUR);
    struct error error = {{0}};
    struct told told = {0};
    struct hypervisor *hv = hypervisor_create(1, &error);

    hypervisor_on_stop(hv, tell, &told);
    cr_assert_eq(hypervisor_add(hv, victim, "victim", SCHED_WEIGHT_DEFAULT, 0, &error), 0);
    cr_assert_eq(hypervisor_add(hv, neighbour, "neighbour", SCHED_WEIGHT_DEFAULT, 0, &error), 0);
    cr_assert_eq(ftruncate(victim->ram.fd, 0x20000), 0);
    cr_assert_eq(hypervisor_run(hv, &error), 0, "%s", error.text);
    cr_assert_eq(told.broken, victim);
    cr_assert_eq(victim->broken->signal_number, SIGBUS);
    cr_assert_eq(neighbour->outcome, VM_OUTCOME_LIMIT, "%s", neighbour->reason);
    cr_assert_eq(vm_memory_hash(neighbour), alone);
    hypervisor_destroy(hv);
}

Test(memory, a_vm_that_gets_no_page_stops_alone_under_the_translator)
{
    run_out_of_memory("dbt");
}

Test(memory, a_vm_that_gets_no_page_stops_alone_with_windows)
{
    run_out_of_memory("dbt,windows=now");
}

Test(memory, a_vm_that_gets_no_page_stops_alone_under_the_interpreter)
{
    run_out_of_memory("interp");
}

/* ---- guards ---- */

/* Protection of the byte at `address`: "rw-p", or "----" where nothing is mapped. */
static void protection(const void *address, char found[5])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long first, end, at = (unsigned long)(uintptr_t)address;
    char line[512], rights[5];

    strcpy(found, "----");
    cr_assert_not_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %4s", &first, &end, rights) == 3 && at >= first && at < end) {
            strcpy(found, rights);
        }
    }
    fclose(maps);
}

static void expect(const void *address, const char *rights, const char *what)
{
    char found[5];

    protection(address, found);
    cr_assert_eq(strncmp(found, rights, 3), 0, "%s: %s, expected %s", what, found, rights);
}

Test(memory, guest_memory_lies_between_guards)
{
    struct vm *vm = guest_create("guarded", "dbt", "");

    expect(vm->ram.host - 1, "---", "before guest memory");
    expect(vm->ram.host - PAGE_SIZE, "---", "before guest memory");
    expect(vm->ram.host, "rw-", "guest memory");
    expect(vm->ram.host + vm->ram.size - 1, "rw-", "guest memory's end");
    expect(vm->ram.host + vm->ram.size, "---", "behind guest memory");
    expect(vm->ram.host + vm->ram.size + MIB - 1, "---", "behind guest memory");
    vm_destroy(vm);
}

/* Of everything in the process, before and after code was translated: no page can be written and executed. Files named
 * translated-code have inaccessible pages on either side. */
static void check_maps(unsigned code_views)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[5], before[5] = "", last[5] = "";
    unsigned long first, end, last_end = 0;
    bool was_code = false;
    unsigned views = 0;

    cr_assert_not_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        cr_assert_eq(sscanf(line, "%lx-%lx %4s", &first, &end, rights), 3, "%s", line);
        cr_assert_not(rights[1] == 'w' && rights[2] == 'x', "%s", line);
        if (was_code) {
            cr_assert(last_end == first && !strncmp(rights, "---", 3), "no guard before: %s", line);
        }
        was_code = strstr(line, "memfd:translated-code") != NULL;
        if (was_code) {
            views++;
            cr_assert(last_end == first && !strncmp(last, "---", 3), "no guard behind %s: %s", before, line);
        }
        strcpy(last, rights);
        last_end = end;
    }
    fclose(maps);
    cr_assert_eq(views, code_views);
}

Test(memory, code_is_a_vms_own_and_never_writable_where_it_is_executable)
{
    struct vm *one = guest_create("one", "dbt", NEIGHBOUR), *two = guest_create("two", "dbt", NEIGHBOUR);

    check_maps(4); /* each has one to write and one to execute */
    guest_run_alone(one);
    check_maps(2);
    guest_run_alone(two);
    check_maps(0);
}
