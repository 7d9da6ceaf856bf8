/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the sandbox leaves and what it takes, each call in a process of its own, and that bugs of ours are contained in it as
 * they are outside.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guests.h"
#include "vm/sandbox.h"

static void enter(enum sandbox sandbox, bool internet)
{
    struct error error = {{0}};

    cr_assert_eq(sandbox_enter(sandbox, internet, &error), 0, "%s", error.text);
}

enum { WENT_ON = 77 };

/* How a process ends that enters the sandbox and does this: -signal, or its exit status. */
static int outcome(enum sandbox sandbox, bool internet, int (*act)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct error error;

        _exit(sandbox_enter(sandbox, internet, &error) == 0 ? act() : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int start_program(void)
{
    char *const words[] = {(char[]){"true"}, NULL};

    execv("/bin/true", words);
    return WENT_ON;
}

static int start_process(void)
{
    return fork() == 0 ? 0 : WENT_ON;
}

static int trace_parent(void)
{
    ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
    return WENT_ON;
}

static int signal_parent(void)
{
    kill(getppid(), 0);
    return WENT_ON;
}

static int map_writable_code(void)
{
    mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return WENT_ON;
}

static int make_code_writable(void)
{
    void *page = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
    return WENT_ON;
}

Test(sandbox, what_only_an_intruder_does_kills)
{
    static int (*const acts[])(void) = {start_program, start_process,     trace_parent,
                                        signal_parent, map_writable_code, make_code_writable};

    for (unsigned i = 0; i < ARRAY_LEN(acts); i++) {
        cr_assert_eq(outcome(SANDBOX_ON, true, acts[i]), -SIGSYS, "act %u", i);
        cr_assert_eq(outcome(SANDBOX_NO_FILES, true, acts[i]), -SIGSYS, "act %u", i);
    }
}

/* 0: it worked; else errno. */
static int open_file(void)
{
    return open("/dev/null", O_RDWR) >= 0 ? 0 : errno;
}

static int open_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : errno;
}

static int open_raw_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) >= 0 ? 0 : errno;
}

static int map_code(void)
{
    return mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED
               ? 0
               : errno;
}

static int change_limits(void)
{
    return syscall(SYS_prlimit64, 0, 0, NULL, NULL) == 0 ? 0 : errno;
}

static void *do_nothing(void *opaque)
{
    return opaque;
}

static int start_thread(void)
{
    pthread_t thread;
    int result = pthread_create(&thread, NULL, do_nothing, NULL);

    return result ? result : pthread_join(thread, NULL);
}

static int ask_about_file(void)
{
    return access("/etc/resolv.conf", F_OK) == 0 || errno == ENOENT ? 0 : errno;
}

Test(sandbox, what_is_left_depends_on_what_is_needed)
{
    static const struct {
        const char *what;
        int (*act)(void);
        int on, on_internet, no_files;
    } cases[] = {
        {"open", open_file, 0, 0, EPERM},
        {"socket", open_socket, EPERM, 0, EPERM},
        {"raw socket", open_raw_socket, EPERM, EPERM, EPERM},
        {"code", map_code, 0, 0, EPERM},
        {"limits", change_limits, EPERM, EPERM, EPERM},
        {"thread", start_thread, 0, 0, 0},
        {"stat", ask_about_file, 0, 0, 0},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        cr_assert_eq(outcome(SANDBOX_OFF, false, cases[i].act) == 0 || cases[i].act == open_raw_socket, true,
                     "%s outside", cases[i].what);
        cr_assert_eq(outcome(SANDBOX_ON, false, cases[i].act), cases[i].on, "%s", cases[i].what);
        cr_assert_eq(outcome(SANDBOX_ON, true, cases[i].act), cases[i].on_internet, "%s with internet",
                     cases[i].what);
        cr_assert_eq(outcome(SANDBOX_NO_FILES, false, cases[i].act), cases[i].no_files, "%s without files",
                     cases[i].what);
    }
}

/* ---- threads that were there before ---- */

static int pipe_ends[2];

static void *exec_when_told(void *opaque)
{
    char byte;

    if (read(pipe_ends[0], &byte, 1) == 1) {
        start_program();
    }
    return opaque;
}

Test(sandbox, holds_for_threads_that_were_there_before, .signal = SIGSYS)
{
    pthread_t thread;

    cr_assert_eq(pipe(pipe_ends), 0);
    cr_assert_eq(pthread_create(&thread, NULL, exec_when_told, NULL), 0);
    enter(SANDBOX_ON, false);
    cr_assert_eq(write(pipe_ends[1], "", 1), 1);
    pthread_join(thread, NULL);
}

/* ---- VMs ---- */

static void bad_address(void *opaque)
{
    (void)opaque;
    __asm__ volatile("movl $1, 0x123" ::: "memory");
}

/* The child's exit status says how it went: the test's own machinery needs what the sandbox takes. */
static int contain_a_bug(void)
{
    struct error error = {{0}};
    struct hypervisor *hv = hypervisor_create(2, &error);
    struct vm *victim = guest_create("victim", "dbt", "");
    struct vm *neighbour = guest_create("neighbour", "dbt", "-limit insns=20000000");
    struct guest_device device;

    guest_add_device(&device, victim, 1000, bad_address, NULL);
    if (hypervisor_add(hv, victim, "victim", SCHED_WEIGHT_DEFAULT, 0, &error) < 0 ||
        hypervisor_add(hv, neighbour, "neighbour", SCHED_WEIGHT_DEFAULT, 0, &error) < 0 ||
        sandbox_enter(SANDBOX_NO_FILES, false, &error) < 0 || hypervisor_run(hv, &error) < 0) {
        return 1;
    }
    if (!victim->broken || victim->outcome != VM_OUTCOME_INTERNAL) {
        return 2;
    }
    if (neighbour->outcome != VM_OUTCOME_LIMIT) {
        return 3;
    }
    hypervisor_destroy(hv);
    return 0;
}

Test(sandbox, a_bug_of_ours_is_contained_in_it)
{
    cr_assert_eq(outcome(SANDBOX_OFF, false, contain_a_bug), 0);
}

/* ---- the option ---- */

Test(sandbox, the_option_is_checked)
{
    struct error error = {{0}};
    enum sandbox sandbox = SANDBOX_OFF;

    cr_assert_eq(sandbox_parse("on", &sandbox, &error), 0);
    cr_assert_eq(sandbox, SANDBOX_ON);
    cr_assert_eq(sandbox_parse("on,files=off", &sandbox, &error), 0);
    cr_assert_eq(sandbox, SANDBOX_NO_FILES);
    cr_assert_eq(sandbox_parse("off", &sandbox, &error), 0);
    cr_assert_eq(sandbox, SANDBOX_OFF);
    cr_assert_eq(sandbox_parse("yes", &sandbox, &error), -EINVAL);
    cr_assert_str_eq(error.text, "sandbox: 'yes' is not 'on', 'off' or 'on,files=off'");
}
