/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * -sandbox on: the system calls that a running process has no use for are taken away from it, for good (seccomp(2), by
 * libseccomp).
 *
 * It is a second line. A guest that finds a bug in our C code and makes the process run what it likes has the rights of the
 * user who started it; with the filter it cannot start programs, look into other processes, load code, or change what the
 * kernel lets it do. docs/security.md says what is left.
 *
 *   killed    calls that only an intruder makes: execve, fork, ptrace, mount, bpf, ...; memory that can be written and executed
 *   EPERM     whatever else is not on the list, so that a C library which tries something new goes on
 *   allowed   threads, memory, time, files and sockets that are open; opening files, unless SANDBOX_NO_FILES; internet
 *             sockets, if a VM has user networking
 */
#ifndef VM_SANDBOX_H
#define VM_SANDBOX_H

#include "base/error.h"
#include "base/types.h"

enum sandbox {
    SANDBOX_OFF,
    SANDBOX_ON,
    SANDBOX_NO_FILES, /* monitor commands that open files (savevm, screendump, ...) fail with EPERM */
};

/* "on", "off", "on,files=off". -EINVAL with the text, which begins with what was said. */
int sandbox_parse(const char *value, enum sandbox *sandbox, struct error *error);

/*
 * For all threads of the process, those that there are and those to come, once everything that is to be opened is open.
 * `internet`: sockets for user networking. Nothing happens for SANDBOX_OFF. -errno with the text when the kernel has no
 * seccomp.
 */
int sandbox_enter(enum sandbox sandbox, bool internet, struct error *error);

#endif
