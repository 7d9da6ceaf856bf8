/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The list of system calls. See vm/sandbox.h.
 *
 * seccomp(2) sees numbers, not what pointers point to: which file is opened, or where a socket connects to, is not for this
 * filter to say.
 *
 * Not done: Landlock, which could say which folders.
 */
#include "vm/sandbox.h"

#include <errno.h>
#include <execinfo.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* names of anonymous memory: the C library may give some */
#endif

#define CALL(name) SCMP_SYS(name)

/* What runs all the time, and what the C library does on its own behalf. */
static const int allowed[] = {
    /* threads, signals, timers */
    CALL(futex),
    CALL(gettid),
    CALL(getpid),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(membarrier),
    CALL(exit),
    CALL(exit_group),
    CALL(restart_syscall),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(rt_sigpending),
    CALL(rt_sigtimedwait),
    CALL(sigaltstack),
    CALL(timer_create),
    CALL(timer_settime),
    CALL(timer_gettime),
    CALL(timer_getoverrun),
    CALL(timer_delete),
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(timerfd_gettime),
    CALL(nanosleep),
    CALL(clock_nanosleep),
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(gettimeofday),
    CALL(time),
    CALL(times),
    CALL(getrusage),
    /* memory; mmap and mprotect have rules of their own */
    CALL(munmap),
    CALL(mremap),
    CALL(brk),
    CALL(madvise),
    CALL(mincore),
    CALL(msync),
    CALL(memfd_create),
    /* files that are open */
    CALL(read),
    CALL(write),
    CALL(readv),
    CALL(writev),
    CALL(pread64),
    CALL(pwrite64),
    CALL(preadv),
    CALL(pwritev),
    CALL(preadv2),
    CALL(pwritev2),
    CALL(lseek),
    CALL(close),
    CALL(close_range),
    CALL(dup),
    CALL(dup2),
    CALL(dup3),
    CALL(fcntl),
    CALL(flock),
    CALL(fsync),
    CALL(fdatasync),
    CALL(sync_file_range),
    CALL(syncfs),
    CALL(ftruncate),
    CALL(fallocate),
    CALL(fadvise64),
    CALL(copy_file_range),
    CALL(getdents64),
    CALL(fstatfs),
    CALL(eventfd2),
    CALL(pipe2),
    CALL(poll),
    CALL(ppoll),
    CALL(select),
    CALL(pselect6),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    /* looking at files, which opens none: the NAT wants to know whether the host's name servers have changed */
    CALL(fstat),
    CALL(stat),
    CALL(lstat),
    CALL(newfstatat),
    CALL(statx),
    CALL(statfs),
    CALL(access),
    CALL(faccessat),
    CALL(faccessat2),
    CALL(readlink),
    CALL(readlinkat),
    CALL(getcwd),
    CALL(umask),
    /* sockets that are open: character devices, networks */
    CALL(accept),
    CALL(accept4),
    CALL(recvfrom),
    CALL(recvmsg),
    CALL(sendto),
    CALL(sendmsg),
    CALL(shutdown),
    CALL(getsockname),
    CALL(getpeername),
    CALL(getsockopt),
    CALL(setsockopt),
    /* who and where we are */
    CALL(uname),
    CALL(sysinfo),
    CALL(getrandom),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
};

static const int for_files[] = {
    CALL(open),   CALL(openat),   CALL(creat),     CALL(mkdir),  CALL(mkdirat),   CALL(rmdir),
    CALL(rename), CALL(renameat), CALL(renameat2), CALL(unlink), CALL(unlinkat),  CALL(link),
    CALL(linkat), CALL(symlink),  CALL(symlinkat), CALL(fchmod), CALL(utimensat),
};

/* connect() and the rest work on sockets that socket() makes, which has a rule of its own. */
static const int for_internet[] = {CALL(connect), CALL(bind), CALL(listen)};

/* Nobody who means well comes to these. */
static const int killed[] = {
    CALL(execve),
    CALL(execveat),
    CALL(fork),
    CALL(vfork),
    CALL(ptrace),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(pidfd_open),
    CALL(pidfd_getfd),
    CALL(pidfd_send_signal),
    CALL(process_madvise),
    CALL(kill),
    CALL(tkill),
    CALL(rt_sigqueueinfo),
    CALL(rt_tgsigqueueinfo),
    CALL(kcmp),
    CALL(init_module),
    CALL(finit_module),
    CALL(delete_module),
    CALL(kexec_load),
    CALL(kexec_file_load),
    CALL(bpf),
    CALL(perf_event_open),
    CALL(userfaultfd),
    CALL(io_uring_setup),
    CALL(io_uring_enter),
    CALL(io_uring_register),
    CALL(mount),
    CALL(umount2),
    CALL(pivot_root),
    CALL(chroot),
    CALL(open_tree),
    CALL(move_mount),
    CALL(fsopen),
    CALL(fsmount),
    CALL(setns),
    CALL(unshare),
    CALL(name_to_handle_at),
    CALL(open_by_handle_at),
    CALL(keyctl),
    CALL(add_key),
    CALL(request_key),
    CALL(setuid),
    CALL(setgid),
    CALL(setreuid),
    CALL(setregid),
    CALL(setresuid),
    CALL(setresgid),
    CALL(setgroups),
    CALL(setfsuid),
    CALL(setfsgid),
    CALL(capset),
    CALL(iopl),
    CALL(ioperm),
    CALL(modify_ldt),
    CALL(personality),
    CALL(reboot),
    CALL(swapon),
    CALL(swapoff),
    CALL(quotactl),
    CALL(acct),
    CALL(syslog),
    CALL(sethostname),
    CALL(setdomainname),
    CALL(settimeofday),
    CALL(clock_settime),
    CALL(clock_adjtime),
    CALL(adjtimex),
    CALL(pkey_mprotect),
    CALL(remap_file_pages),
    CALL(mknod),
    CALL(mknodat),
    CALL(vhangup),
};

static const unsigned long ioctls[] = {TCGETS,   TCSETS,  TCSETSW,      TCSETSF,   TIOCGWINSZ,
                                       FIONREAD, FIONBIO, BLKGETSIZE64, BLKSSZGET, BLKDISCARD};

/* ---- rules -------------------------------------------------------------------------------------------------- */

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        result = seccomp_rule_add(filter, action, calls[i], 0);
    }
    return result;
}

/*
 * Threads, not processes. clone3(2) has its flags in memory, where no filter can look: without it the C library takes
 * clone(2).
 */
static int add_threads(scmp_filter_ctx filter)
{
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));

    if (result == 0) {
        result = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, CALL(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    }
    if (result == 0) {
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
    }
    if (result == 0) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(tgkill), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    }
    return result;
}

/* W^X, by the kernel. Without files there are no new VMs either, and nobody needs another page of code. */
static int add_protection(scmp_filter_ctx filter, int call, bool code)
{
    static const int both = PROT_WRITE | PROT_EXEC;
    int result = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, call, 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, (scmp_datum_t)both, (scmp_datum_t)both));

    if (result == 0) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    if (result == 0 && code) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, (scmp_datum_t)both, PROT_EXEC));
    }
    return result;
}

static int add_ioctls(scmp_filter_ctx filter)
{
    int result = 0;

    for (size_t i = 0; i < ARRAY_LEN(ioctls) && result == 0; i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(ioctl), 1,
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, ioctls[i]));
    }
    return result;
}

static int add_prctls(scmp_filter_ctx filter)
{
    static const int options[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_SET_TIMERSLACK};
    int result = 0;

    for (size_t i = 0; i < ARRAY_LEN(options) && result == 0; i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)options[i], 0));
    }
    return result;
}

static int add_internet(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6};
    int result = add_all(filter, SCMP_ACT_ALLOW, for_internet, ARRAY_LEN(for_internet));

    for (size_t i = 0; i < ARRAY_LEN(families) && result == 0; i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(socket), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
    }
    return result;
}

static int add_rules(scmp_filter_ctx filter, bool files, bool internet)
{
    int result = add_all(filter, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));

    if (result == 0) {
        result = add_all(filter, SCMP_ACT_KILL_PROCESS, killed, ARRAY_LEN(killed));
    }
    if (result == 0) {
        result = add_threads(filter);
    }
    if (result == 0) {
        result = add_protection(filter, CALL(mmap), files);
    }
    if (result == 0) {
        result = add_protection(filter, CALL(mprotect), files);
    }
    if (result == 0) {
        result = add_ioctls(filter);
    }
    if (result == 0) {
        result = add_prctls(filter);
    }
    if (result == 0 && files) {
        result = add_all(filter, SCMP_ACT_ALLOW, for_files, ARRAY_LEN(for_files));
    }
    if (result == 0 && internet) {
        result = add_internet(filter);
    }
    return result;
}

int sandbox_enter(enum sandbox sandbox, bool internet, struct error *error)
{
    scmp_filter_ctx filter;
    void *frame[1];
    int result;

    if (sandbox == SANDBOX_OFF) {
        return 0;
    }
    backtrace(frame, 1); /* loads what a report of a bug needs (vm/containment.c) while that can be loaded */
    filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter) {
        return error_set(error, -ENOMEM, "sandbox: libseccomp cannot make a filter");
    }
    result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (result == 0) {
        result = add_rules(filter, sandbox != SANDBOX_NO_FILES, internet);
    }
    if (result == 0) {
        result = seccomp_load(filter);
    }
    seccomp_release(filter);
    return result < 0 ? error_set(error, result, "sandbox: the kernel does not take the filter: %s",
                                  strerror(-result))
                      : 0;
}

/* ---- the option ------------------------------------------------------------------------------------------------ */

int sandbox_parse(const char *value, enum sandbox *sandbox, struct error *error)
{
    static const struct {
        const char *text;
        enum sandbox meaning;
    } values[] = {{"off", SANDBOX_OFF},
                  {"on", SANDBOX_ON},
                  {"on,files=on", SANDBOX_ON},
                  {"on,files=off", SANDBOX_NO_FILES}};

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        if (!strcmp(value, values[i].text)) {
            *sandbox = values[i].meaning;
            return 0;
        }
    }
    return error_set(error, -EINVAL, "sandbox: '%s' is not 'on', 'off' or 'on,files=off'", value);
}
