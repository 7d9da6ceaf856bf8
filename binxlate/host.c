/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the translator needs of the host, and how it is found out.
 *
 *   BMI2        SHRX and RORX, which leave the flags alone; without it there is no translator
 *   alignment   misaligned accesses of ring 3 fault while RFLAGS.AC is 1, because the kernel runs with CR0.AM set (Linux
 *               does); without it accesses that cross a page would be missed, so there is no translator either
 *   FSGSBASE    the kernel lets ring 3 write the GS base (CR4.FSGSBASE); without it there are no host windows, and
 *               memory is reached through the flat shadow tables alone
 *
 * The alignment check cannot be asked for, so it is tried: a load that must end in a SIGBUS.
 *
 * SDM: Volume 3A, "Control Registers" (CR0.AM), "Interrupt 17 - Alignment Check Exception"; Volume 2, "WRGSBASE".
 */
#include "binxlate/engine.h"

#include <errno.h>
#include <sys/auxv.h> /* names of its own in the way of mmu/pagewalk.h's: behind them */
#include <ucontext.h>

#define HWCAP2_FSGSBASE ((unsigned long)1 << 1) /* Linux: Documentation/x86/x86_64/fsgs.rst */
#define RFLAGS_AC_BIT   ((greg_t)1 << 18)

/* Loads misaligned from `aligned` with AC set: 0, or 1 when host_handle_bus() has led it around the load. */
int host_load_misaligned(const uint32_t *aligned);
extern const uint8_t host_load[], host_load_faulted[];
__asm__(".pushsection .text\n"
        ".globl host_load_misaligned, host_load, host_load_faulted\n"
        ".hidden host_load_misaligned, host_load, host_load_faulted\n"
        ".type host_load_misaligned, @function\n"
        "host_load_misaligned:\n\t"
        "pushfq\n\t"
        "orl $0x40000, (%rsp)\n\t"
        "popfq\n"
        "host_load:\n\t"
        "movl 1(%rdi), %ecx\n\t"
        "xorl %eax, %eax\n\t"
        "jmp 1f\n"
        "host_load_faulted:\n\t"
        "movl $1, %eax\n"
        "1:\n\t"
        "pushfq\n\t"
        "andl $~0x40000, (%rsp)\n\t"
        "popfq\n\t"
        "ret\n"
        ".size host_load_misaligned, . - host_load_misaligned\n"
        ".popsection");

/* The kernel leaves AC set for a handler, and this one is in C: it must not access anything misaligned, and does not. */
static void host_handle_bus(int signal_number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)info;
    if (regs[REG_RIP] == (greg_t)(uintptr_t)host_load) {
        regs[REG_RIP] = (greg_t)(uintptr_t)host_load_faulted;
        regs[REG_EFL] &= ~RFLAGS_AC_BIT;
    } else {
        signal(signal_number, SIG_DFL); /* none of ours: the instruction faults again */
    }
}

static bool alignment_is_checked(void)
{
    struct sigaction action = {.sa_sigaction = host_handle_bus, .sa_flags = SA_SIGINFO}, before;
    const uint32_t words[2] = {0, 0};
    bool checked;

    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, NULL, &before) < 0) {
        return false;
    }
    if (before.sa_sigaction == fault_entry) {
        return true; /* another engine has been here, and may be running on another thread */
    }
    if (sigaction(SIGBUS, &action, NULL) < 0) {
        return false;
    }
    checked = host_load_misaligned(words) == 1;
    sigaction(SIGBUS, &before, NULL);
    return checked;
}

bool binxlate_windows_supported(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

void binxlate_probe_host(struct binxlate_host *host)
{
    __builtin_cpu_init();
    *host = (struct binxlate_host){
        .bmi2 = __builtin_cpu_supports("bmi2") != 0,
        .alignment_check = alignment_is_checked(),
        .fsgsbase = binxlate_windows_supported(),
    };
}

int binxlate_check_host(const struct binxlate_host *host, struct error *error)
{
    if (!host->bmi2) {
        return error_set(error, -ENOTSUP,
                         "the translator needs a host processor with BMI2; use -accel interp");
    }
    if (!host->alignment_check) {
        return error_set(
            error, -ENOTSUP,
            "the translator needs a host kernel with alignment checking for programs (CR0.AM); use "
            "-accel interp");
    }
    return 0;
}

int binxlate_supported(struct error *error)
{
    struct binxlate_host host;

    binxlate_probe_host(&host);
    return binxlate_check_host(&host, error);
}
