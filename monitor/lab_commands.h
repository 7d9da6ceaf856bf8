/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The monitor's commands for the VMs of the process and for who gets the pCPUs.
 */
#ifndef MONITOR_LAB_COMMANDS_H
#define MONITOR_LAB_COMMANDS_H

#include "monitor/monitor.h"

/* vm [list] | NAME [COMMAND...] | pause|resume|reset|kill [NAME] | new FILE: word[0..count) */
void command_vm(struct monitor_session *session, char *const *word, unsigned count, FILE *out);
/* sched [show] | weight NAME N | cap NAME PERCENT | slice MICROSECONDS | trace on|off|save FILE [MS] */
void command_sched(struct monitor_session *session, char *const *word, unsigned count, FILE *out);
/* quit: the VM, or from the lab's monitor all of them */
void command_quit(struct monitor_session *session, FILE *out);

#endif
