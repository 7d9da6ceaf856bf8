/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Scripts of the monitor: -monitor-script FILE. A line is a command of the monitor's, and some wait:
 *
 *   wait MS                             expect serial PATTERN [S]       expect stop [S]
 *   send TEXT                           expect screen PATTERN [S]       expect output COMMAND PATTERN [S]
 *
 * # begins a comment. The first line that fails ends the script, and with it the VMs; one line on stderr says what was expected
 * and what was there, and the process ends with SCRIPT_EXIT_CODE.
 *
 * It runs on the event loop of the hypervisor's thread, so VMs run while it waits, and it is for the lab's VM as if its lines were
 * typed at the lab's monitor. Its answers go to stdout.
 */
#ifndef MONITOR_SCRIPT_H
#define MONITOR_SCRIPT_H

#include "monitor/monitor.h"

enum { SCRIPT_EXIT_CODE = 10 };

struct script;

/* Read it. NULL with the text: it cannot be read. It begins when the hypervisor runs. `host` may be NULL. */
struct script *script_open(struct hypervisor *hv, const struct monitor_host *host, const char *path,
                           struct error *error);
/* A VM is there: its serial output is for the script, too. Before it runs; the first one is whom commands are for. */
void script_watch(struct script *script, struct vm *vm);
/* All VMs have ended: go on without them. False: it has failed, now or before. */
bool script_finish(struct script *script);
/* After all VMs that it watches, and so after the hypervisor. */
void script_close(struct script *script);

#endif
