/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One guest's life: building the machine, running it in slices, serving requests. See vm/vm.h.
 *
 * A slice runs until the soonest timer (under -icount exactly then, to the instruction; in real time as pacer.h
 * arranges), a kick, or a bound that keeps the event loop served. A timer armed in mid-slice for an earlier time
 * shortens the slice, so under -icount what the guest sees does not depend on where slices happen to end.
 */
#include "vm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "binxlate/binxlate.h"
#include "binxlate/check.h"
#include "cpu/interp.h"
#include "vm/debugger_internal.h"
#include "vm/machine.h"
#include "vm/snapshot.h"
#include "vm/verdict.h"
#include "vm/symbols.h"

enum { SLICE_INSNS_ICOUNT = 1000000 };
/* How often the descriptors are looked at while the guest is busy: where something came, more is soon to be expected. */
#define POLL_INTERVAL_NS 2000000u
#define POLL_SOON_NS     100000u

/* ---- requests from devices ----
 *
 * While the board is being built there is no processor yet: its pins are driven again by the reset that follows.
 */

static void vm_stop(struct vm *vm, enum vm_outcome outcome, const char *reason)
{
    if (vm_may_change(vm->state, VM_STOPPED)) {
        vm->outcome = outcome;
        snprintf(vm->reason, sizeof(vm->reason), "%s", reason);
        vm_change_state(vm, VM_STOPPED, NULL);
    }
}

static void hook_set_intr(void *opaque, bool level)
{
    struct vm *vm = opaque;

    if (vm->cpu) {
        vcpu_set_intr(vm->cpu, level);
    }
}

static void hook_set_nmi(void *opaque)
{
    struct vm *vm = opaque;

    if (vm->cpu) {
        vcpu_set_nmi(vm->cpu);
    }
}

static void hook_set_a20(void *opaque, bool enabled)
{
    struct vm *vm = opaque;

    if (vm->cpu) {
        vcpu_set_a20(vm->cpu, enabled);
    }
}

static void hook_clear_ferr(void *opaque)
{
    vcpu_clear_ferr(((struct vm *)opaque)->cpu);
}

static void hook_request_reset(void *opaque)
{
    vm_request_reset(opaque);
}

static void hook_power_off(void *opaque)
{
    struct vm *vm = opaque;

    vm->power_off_requested = true;
    vcpu_kick(vm->cpu);
}

/* Registers of the backdoor, in its order. */
static const uint8_t backdoor_register[VMMOUSE_REGISTERS] = {RAX, RBX, RCX, RDX, RSI, RDI};

static void hook_get_registers(void *opaque, uint32_t reg[VMMOUSE_REGISTERS])
{
    const struct vm *vm = opaque;

    for (unsigned i = 0; i < VMMOUSE_REGISTERS; i++) {
        reg[i] = reg32(vm->cpu, backdoor_register[i]);
    }
}

static void hook_set_registers(void *opaque, const uint32_t reg[VMMOUSE_REGISTERS])
{
    const struct vm *vm = opaque;

    for (unsigned i = 0; i < VMMOUSE_REGISTERS; i++) {
        set_reg32(vm->cpu, backdoor_register[i], reg[i]);
    }
}

static void hook_debug_exit(void *opaque, uint32_t code)
{
    struct vm *vm = opaque;

    vm->debug_exit_code = (uint8_t)code;
    vm_stop(vm, VM_OUTCOME_DEBUG_EXIT, "the guest wrote to isa-debug-exit");
}

static void hook_panicked(void *opaque)
{
    verdict_panicked(opaque);
}

void vm_request_reset(struct vm *vm)
{
    vm->reset_requested = true;
    if (vm->cpu) {
        vcpu_kick(vm->cpu);
    }
}

void vm_request_quit(struct vm *vm)
{
    vm->quit_requested = true;
    vcpu_kick(vm->cpu);
    loop_wake(&vm->loop);
}

void vm_power_button(struct vm *vm)
{
    pc_power_button(vm->pc);
}

/* A disk's worker thread has finished something: end the slice, or the sleep. */
static void vm_disk_done(void *opaque)
{
    struct vm *vm = opaque;

    vcpu_kick(vm->cpu);
    loop_wake(&vm->loop);
}

static void vm_mux_quit(void *opaque)
{
    vm_request_quit(opaque);
}

/*
 * Under -icount: the fewest instructions, one at least, after which so much guest time has passed. No more, so that a timer
 * fires behind the same instruction whether or not a slice happens to end there.
 */
static uint64_t vm_insns_in(const struct vm *vm, uint64_t ns)
{
    uint64_t insn_ns = (uint64_t)1 << vm->clock.icount_shift;

    return MAX((ns >> vm->clock.icount_shift) + (ns % insn_ns != 0), (uint64_t)1);
}

/* A timer became the soonest: end the slice when it is due. */
static void vm_deadline_moved(void *opaque, uint64_t deadline)
{
    struct vm *vm = opaque;
    uint64_t now = clock_now(&vm->clock);
    uint64_t left = deadline > now ? deadline - now : 0;

    if (vm->clock.policy == CLOCK_REAL_TIME) {
        pacer_due(&vm->pacer, left);
    } else {
        vcpu_shorten(vm->cpu, vm_insns_in(vm, left));
    }
}

/* ---- building ---- */

/* The serial ports, monitor and debug consoles by the command line and its defaults. */
static int vm_open_chardevs(struct vm *vm, struct error *error)
{
    struct vm_config *config = &vm->config;
    const char *first = config->serial_count > 0 ? config->serial[0]
                        : config->nographic      ? "mon:stdio"
                                                 : "null";
    const char *monitor = config->monitor ? config->monitor : "none";
    int result;

    for (unsigned i = 0; i < CONFIG_MAX_SERIAL; i++) {
        const char *spec = i == 0 ? first : i < config->serial_count ? config->serial[i] : "none";
        char label[16];

        snprintf(label, sizeof(label), "serial%u", i);
        result = chardev_open(&vm->serial_owned[i], label, spec, &vm->loop, error);
        if (result < 0) {
            return result;
        }
        vm->serial[i] = vm->serial_owned[i];
        if (!strcmp(spec, "mon:stdio") && !vm->mux) {
            vm->mux = chardev_mux_create(vm->serial_owned[i], vm_mux_quit, vm);
            vm->serial_owned[i] = NULL; /* the mux has it */
            if (!vm->mux) {
                return error_set(error, -ENOMEM, "out of memory");
            }
            vm->serial[i] = chardev_mux_port(vm->mux, MUX_SERIAL);
            vm->monitor_chardev = chardev_mux_port(vm->mux, MUX_MONITOR);
        }
    }
    result = chardev_open(&vm->monitor_owned, "monitor", monitor, &vm->loop, error);
    if (result == 0 && config->debugcon) {
        result = chardev_open(&vm->debugcon, "debugcon", config->debugcon, &vm->loop, error);
    }
    if (result == 0 && config->firmware_log) {
        result = chardev_open(&vm->firmware_log, "firmware log", config->firmware_log, &vm->loop, error);
    }
    if (vm->monitor_owned) {
        vm->monitor_chardev = vm->monitor_owned;
    }
    return result;
}

/* What the guest says goes into files as far as the user lets it. */
static void vm_limit_outputs(struct vm *vm)
{
    uint64_t limit = vm->config.output_limit;

    for (unsigned i = 0; i < CONFIG_MAX_SERIAL; i++) {
        chardev_limit_file(vm->serial_owned[i], limit);
    }
    chardev_limit_file(vm->debugcon, limit);
    chardev_limit_file(vm->firmware_log, limit);
}

static int vm_create_log(struct vm *vm, struct error *error)
{
    log_init(&vm->log);
    vm->log.mask = vm->config.log_mask;
    return vm->config.log_file ? log_open(&vm->log, vm->config.log_file, error) : 0;
}

static int vm_create_cpu(struct vm *vm, struct error *error)
{
    struct vcpu_wiring wiring = {
        .mem = pc_memory(vm->pc),
        .io = pc_ports(vm->pc),
        .clock = &vm->clock,
        .log = &vm->log,
        .board = vm->pc,
        .interrupt_acknowledge = pc_interrupt_acknowledge,
        .apic_base_changed = pc_apic_base_changed,
        .ferr = pc_set_ferr,
    };

    vm->cpu = vcpu_create(vm->config.cpu_model, vm->config.cpu_features, &wiring, error);
    if (vm->cpu && (!debugger_create(vm) || !verdict_create(vm))) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    return vm->cpu ? 0 : -ENOMEM;
}

/* The translator, unless the user chose the interpreter or the host cannot run it. */
static int vm_create_engine(struct vm *vm, struct error *error)
{
    if (vm->config.accel == CONFIG_ACCEL_INTERP) {
        return 0;
    }
    if (vm->config.accel == CONFIG_ACCEL_DEFAULT && binxlate_supported(error) < 0) {
        fprintf(stderr, "hypatia: note: %s\n", error->text);
        return 0;
    }
    vm->binxlate = binxlate_create(vm->cpu, error);
    if (!vm->binxlate) {
        return -ENOTSUP;
    }
    binxlate_set_windows(vm->binxlate, vm->config.windows);
    return 0;
}

/* -accel dbt,check=on */
static int vm_create_check(struct vm *vm, struct error *error)
{
    if (!vm->config.accel_check) {
        return 0;
    }
    vm->check = check_create(vm->binxlate, stderr, error);
    return vm->check ? 0 : -ENOMEM;
}

/* An engine's run, of at most so many instructions. */
static enum vcpu_exit vm_run_engine(struct vm *vm, uint64_t insns)
{
    if (vm->check) {
        return check_run(vm->check, insns);
    }
    return vm->binxlate ? binxlate_run(vm->binxlate, insns) : interp_run(vm->cpu, insns);
}

/* The networks, and the adapters for the board to make. */
static int vm_net_open(struct vm *vm, struct pc_config *pc_config, struct error *error)
{
    int result = vm_net_create(&vm->net, &vm->config.net, vm->config.fabric, &vm->loop, &vm->clock, error);

    return result < 0 ? result : vm_net_adapters(pc_config, &vm->config.net, error);
}

/* -symbols */
static int vm_load_symbols(struct vm *vm, struct error *error)
{
    for (unsigned i = 0; i < vm->config.symbols_count; i++) {
        long added = symbols_load(&vm->symbols, vm->config.symbols[i], 0, error);

        if (added < 0) {
            return error_prefix(error, (int)added, "-symbols");
        }
    }
    return 0;
}

static int vm_build(struct vm *vm, struct error *error)
{
    struct pc_config pc_config = {
        .ram_size = vm->config.ram_size,
        .vga = vm->config.vga,
        .rtc_start = machine_rtc_start(&vm->config),
        .exit_iobase = vm->config.exit_iobase,
        .exit_iosize = vm->config.exit_device ? vm->config.exit_iosize : 0,
        .opaque = vm,
        .set_intr = hook_set_intr,
        .set_nmi = hook_set_nmi,
        .set_a20 = hook_set_a20,
        .clear_ferr = hook_clear_ferr,
        .request_reset = hook_request_reset,
        .power_off = hook_power_off,
        .debug_exit = hook_debug_exit,
        .pvpanic_iobase = vm->config.pvpanic_device ? vm->config.pvpanic_iobase : 0,
        .panicked = hook_panicked,
        .get_registers = hook_get_registers,
        .set_registers = hook_set_registers,
    };
    struct machine_images images = {0};
    int result = vm_create_log(vm, error);

    if (result == 0) {
        result = loop_init(&vm->loop, error);
    }
    if (result == 0) {
        result = machine_load_images(&images, &vm->config, error);
    }
    if (result == 0) {
        result = vm_load_symbols(vm, error);
    }
    if (result == 0) {
        result = vm_open_chardevs(vm, error);
    }
    if (result < 0) {
        goto out;
    }
    vm_limit_outputs(vm);
    clock_init(&vm->clock, vm->config.icount ? CLOCK_ICOUNT : CLOCK_REAL_TIME);
    result = drives_open(&vm->drives, &vm->config, &vm->clock, vm_disk_done, vm, error);
    if (result < 0) {
        goto out;
    }
    result = ram_init(&vm->ram, pc_memory_size(vm->config.ram_size, images.bios.size), error);
    if (result < 0) {
        goto out;
    }
    pc_config.bios = images.bios.bytes;
    pc_config.bios_size = images.bios.size;
    pc_config.vga_rom = images.vga_bios.bytes;
    pc_config.vga_rom_size = images.vga_bios.size;
    memcpy(pc_config.serial, vm->serial, sizeof(vm->serial));
    machine_connect_drives(&pc_config, &vm->drives);
    pc_config.debugcon = vm->debugcon;
    pc_config.firmware_log = vm->firmware_log;
    result = vm_net_open(vm, &pc_config, error);
    if (result < 0) {
        goto out;
    }
    vm->pc = pc_create(&pc_config, &vm->ram, &vm->clock, &vm->log, error);
    vm_net_free_adapters(&pc_config);
    vm->firmware_hash = machine_images_hash(&images);
    result = vm->pc ? vm_create_cpu(vm, error) : -ENOMEM;
    if (result == 0) {
        result = vm_create_engine(vm, error);
    }
    if (result == 0) {
        result = vm_create_check(vm, error);
    }
    if (result == 0) {
        result = machine_configure(vm->pc, &vm->config, &images, error);
    }
out:
    machine_free_images(&images);
    return result;
}

struct vm *vm_create(const struct vm_config *config, struct error *error)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    if (!vm) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    vm->config = *config;
    vm->state = VM_PAUSED;
    if (vm_build(vm, error) < 0) {
        vm_destroy(vm);
        return NULL;
    }
    if (config->icount) {
        clock_set_icount(&vm->clock, &vm->cpu->insn_count, config->icount_shift);
    }
    pacer_init(&vm->pacer, vm->cpu, vm->binxlate);
    vm_net_connect(vm->net, &vm->config.net, vm->pc);
    vm->clock.deadline_moved = vm_deadline_moved;
    vm->clock.opaque = vm;
    vm->host_start_ns = pacer_host_now();
    vm->poll_interval_ns = POLL_INTERVAL_NS;
    pc_reset(vm->pc);
    vcpu_reset(vm->cpu);
    if (snapshots_start(vm, error) < 0) {
        vm_destroy(vm);
        return NULL;
    }
    if (!config->start_paused) {
        vm_resume(vm);
    }
    return vm;
}

void vm_destroy(struct vm *vm)
{
    if (!vm || vm->broken) {
        return;
    }
    if (vm->closing) {
        vm->closing(vm->closing_opaque);
    }
    vm->clock.deadline_moved = NULL;
    drives_silence(&vm->drives);
    snapshots_end(vm);
    debugger_destroy(vm);
    verdict_destroy(vm);
    check_destroy(vm->check);
    binxlate_destroy(vm->binxlate);
    if (vm->cpu) {
        if (vm->clock.policy == CLOCK_ICOUNT) {
            clock_set_icount(&vm->clock, NULL, 0); /* devices ask for the time to the last */
        }
        vcpu_destroy(vm->cpu);
    }
    pc_destroy(vm->pc);
    vm_net_destroy(vm->net);
    drives_close(&vm->drives);
    for (unsigned i = 0; i < CONFIG_MAX_SERIAL; i++) {
        chardev_destroy(vm->serial_owned[i]);
    }
    chardev_destroy(vm->monitor_owned);
    chardev_destroy(vm->debugcon);
    chardev_destroy(vm->firmware_log);
    chardev_mux_destroy(vm->mux);
    symbols_free(vm->symbols);
    if (vm->ram.host) {
        ram_fini(&vm->ram);
    }
    loop_fini(&vm->loop);
    log_fini(&vm->log);
    free(vm->held_keys);
    free(vm);
}

/* ---- running ---- */

/* The guest has failed: what its user wants then. */
static void vm_pass_verdict(struct vm *vm)
{
    if (verdict_ends(vm)) {
        vm_stop(vm, verdict_is_panic(vm) ? VM_OUTCOME_PANIC : VM_OUTCOME_HUNG, verdict_reason(vm));
    } else {
        debugger_pause(vm, verdict_reason(vm));
    }
}

static void vm_reset(struct vm *vm)
{
    if (verdict_look_at_reset(vm)) {
        vm_pass_verdict(vm); /* paused, it reboots when it goes on */
        return;
    }
    vm->reset_requested = false;
    if (vm->config.no_reboot) {
        vm_stop(vm, VM_OUTCOME_REBOOT, "the guest rebooted");
        return;
    }
    pc_reset(vm->pc);
    vcpu_reset(vm->cpu);
}

static void vm_serve_requests(struct vm *vm)
{
    if (vm->quit_requested) {
        vm_stop(vm, VM_OUTCOME_QUIT, "ended by the user");
    }
    if (vm->power_off_requested) {
        vm->power_off_requested = false;
        if (vm->config.no_shutdown) {
            vm_pause(vm);
        } else {
            vm_stop(vm, VM_OUTCOME_SHUTDOWN, "the guest powered off");
        }
    }
    if (vm->reset_requested && vm->state != VM_STOPPED) {
        vm_reset(vm);
    }
}

/* Nanoseconds of guest time until the soonest timer is due; UINT64_MAX: none is armed. */
static uint64_t vm_time_left(const struct vm *vm)
{
    uint64_t deadline = clock_next_deadline(&vm->clock);
    uint64_t now = clock_now(&vm->clock);

    return deadline == CLOCK_NEVER ? UINT64_MAX : deadline > now ? deadline - now : 0;
}

/* A slice begins at host time `now` and ends at `until` at the latest: instructions until something else must happen. */
static uint64_t vm_slice(struct vm *vm, uint64_t now, uint64_t until)
{
    uint64_t left = vm_time_left(vm), slice;

    if (vm->clock.policy == CLOCK_ICOUNT) {
        slice = left == UINT64_MAX ? SLICE_INSNS_ICOUNT : MIN(vm_insns_in(vm, left), SLICE_INSNS_ICOUNT);
    } else {
        uint64_t end = MIN(vm->host_polled_ns + vm->poll_interval_ns, until);
        slice = pacer_begin(&vm->pacer, now, MIN(left, end > now ? end - now : 0));
    }
    if (vm->config.limit_insns) {
        slice = MIN(slice, vm->config.limit_insns - vm->cpu->insn_count);
    }
    return debugger_limit_slice(vm, slice);
}

static void vm_check_limits(struct vm *vm, uint64_t now)
{
    if (vm->config.limit_insns && vm->cpu->insn_count >= vm->config.limit_insns) {
        vm_stop(vm, VM_OUTCOME_LIMIT, "the instruction limit was reached");
    } else if (vm->config.limit_ns && now - vm->host_start_ns >= vm->config.limit_ns) {
        vm_stop(vm, VM_OUTCOME_LIMIT, "the time limit was reached");
    }
}

/* The guest sleeps. How long may the thread, at `now`? 0: not at all. */
static uint64_t vm_idle(struct vm *vm, uint64_t now)
{
    uint64_t wait = verdict_limit_wait(vm, vm_time_left(vm));

    if (vm->clock.policy == CLOCK_ICOUNT && !vm->config.icount_sleep && wait != UINT64_MAX) {
        clock_skip(&vm->clock, wait);
        vm->host_polled_ns = 0;
        return 0;
    }
    if (vm->config.limit_ns) {
        uint64_t spent = now - vm->host_start_ns;

        wait = MIN(wait, vm->config.limit_ns > spent ? vm->config.limit_ns - spent : 0);
    }
    if (wait > 0) {
        pacer_idle(&vm->pacer, wait);
        vm->idle_since_ns = now;
        vm->idle_ns = wait;
    }
    return wait;
}

/* The sleep, if there was one, is over: under -icount the time has passed for the guest, too. */
static void vm_end_idle(struct vm *vm, uint64_t now)
{
    if (vm->idle_ns > 0 && vm->idle_ns != UINT64_MAX && vm->clock.policy == CLOCK_ICOUNT &&
        now > vm->idle_since_ns) {
        clock_skip(&vm->clock, MIN(vm->idle_ns, now - vm->idle_since_ns));
    }
    if (vm->idle_ns > 0) {
        vm_look_outside(vm); /* what ended it may wait there */
    }
    vm->idle_ns = 0;
}

/* Returns how long the guest has nothing to do. */
static uint64_t vm_handle_exit(struct vm *vm, enum vcpu_exit exit, uint64_t now)
{
    switch (exit) {
    case VCPU_EXIT_HALT:
        vm_serve_requests(vm);
        if (vm->state == VM_RUNNING && !vcpu_has_work(vm->cpu)) {
            return vm_idle(vm, now);
        }
        break;
    case VCPU_EXIT_SHUTDOWN:
        vm_stop(vm, VM_OUTCOME_TRIPLE_FAULT, "triple fault");
        break;
    case VCPU_EXIT_INTERNAL:
        vm_stop(vm, VM_OUTCOME_INTERNAL, vm->cpu->internal_error);
        break;
    case VCPU_EXIT_DEBUG:
        vm_pause(vm);
        break;
    case VCPU_EXIT_BUDGET:
        break;
    }
    return 0;
}

static uint64_t vm_run_slice(struct vm *vm, uint64_t now, uint64_t until)
{
    uint64_t before = vm->cpu->insn_count;
    uint64_t slice = vm_slice(vm, now, until);
    vm->clock.executing = true;
    enum vcpu_exit exit = vm_run_engine(vm, slice);
    vm->clock.executing = false;
    uint64_t end = pacer_host_now();

    vm->busy_ns += end - now;
    if (vm->clock.policy == CLOCK_REAL_TIME) {
        pacer_end(&vm->pacer, end);
    }
    if (vm->state == VM_RUNNING && debugger_slice_ended(vm, exit, before)) {
        vm_pause(vm);
        return 0;
    }
    if (vm->state == VM_RUNNING && verdict_look(vm, exit)) {
        vm_pass_verdict(vm);
        return 0;
    }
    return vm_handle_exit(vm, exit, end);
}

enum vcpu_exit vm_execute_one(struct vm *vm, bool time)
{
    enum vcpu_exit exit;

    if (time) {
        clock_start(&vm->clock);
    }
    if (time || vm->clock.policy == CLOCK_ICOUNT) {
        clock_run_timers(&vm->clock);
    }
    drives_serve(&vm->drives);
    vm->clock.executing = true;
    exit = vm->check ? check_run(vm->check, 1) : interp_run(vm->cpu, 1);
    vm->clock.executing = false;
    if (time) {
        clock_stop(&vm->clock);
    }
    if (exit == VCPU_EXIT_SHUTDOWN && !debugger_shut_down(vm)) {
        vm_stop(vm, VM_OUTCOME_TRIPLE_FAULT, "triple fault");
    }
    vm_serve_requests(vm);
    return exit;
}

enum vm_next vm_step(struct vm *vm, uint64_t until_ns, uint64_t *wait_ns)
{
    uint64_t now = pacer_host_now();

    vm_end_idle(vm, now);
    if (now - vm->host_polled_ns >= vm->poll_interval_ns || vm->state != VM_RUNNING) {
        vm->host_polled_ns = now;
        vm->poll_interval_ns =
            loop_poll(&vm->loop, 0) > 0 ? POLL_SOON_NS : MIN(vm->poll_interval_ns * 2, POLL_INTERVAL_NS);
    }
    vm_check_limits(vm, now);
    vm_serve_requests(vm);
    *wait_ns = UINT64_MAX;
    if (vm->state == VM_RUNNING) {
        clock_run_timers(&vm->clock);
        drives_serve(&vm->drives);
        *wait_ns = vm_run_slice(vm, now, until_ns);
    }
    if (vm->state == VM_STOPPED) {
        loop_poll(&vm->loop, 0);
        return VM_NEXT_STOPPED;
    }
    return *wait_ns > 0 ? VM_NEXT_WAIT : VM_NEXT_RUN;
}

void vm_look_outside(struct vm *vm)
{
    vm->host_polled_ns = 0;
}

void vm_print_engine(const struct vm *vm, FILE *out)
{
    uint64_t insns = vm->cpu->insn_count;
    uint64_t mips = vm->busy_ns ? muldiv64(insns, 1000, vm->busy_ns) : 0;

    fprintf(out, "engine         %s; %llu MIPS over %.3f s in which the processor ran\n",
            vm->binxlate ? "translator" : "interpreter", (unsigned long long)mips,
            (double)vm->busy_ns / (double)NS_PER_SEC);
    if (vm->binxlate) {
        binxlate_print(vm->binxlate, out);
    } else {
        fprintf(out, "instructions   %llu\n", (unsigned long long)insns);
    }
}
