/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The networks of a VM: back ends by configuration, plugged into the board's adapters. base/net.h is the cable.
 *
 *   user     net_user.c     NAT without privileges, by libslirp: DHCP, DNS, TFTP, forwarded ports
 *   socket   net_socket.c   a stream socket to another process, frames behind their length; QEMU's form
 *   switch   net_fabric.c   adapters on one segment hear each other, whichever VM of the process they are in
 *
 * Everything runs on the VM's thread: descriptors through its loop, time through its clock.
 */
#ifndef VM_NET_H
#define VM_NET_H

#include "base/error.h"
#include "base/net.h"
#include "vm/loop.h"
#include "vm/net_config.h"

struct net_fabric;
struct vm_net;
struct pc;
struct pc_config;

/* Create the back ends. *net is NULL when there are none. The segments are those of `fabric`, which is not owned; NULL: the
 * VM's own. On failure the text names the back end. */
int vm_net_create(struct vm_net **net, const struct net_config *config, struct net_fabric *fabric,
                  struct loop *loop, struct clock *clock, struct error *error);
/* Plug the board's adapters in. */
void vm_net_connect(struct vm_net *net, const struct net_config *config, struct pc *pc);
void vm_net_destroy(struct vm_net *net);
/* The port called id (a -netdev's), or NULL. */
struct net_port *vm_net_find(struct vm_net *net, const char *id);
/* Kind and state of each, a line apiece: `info network`. */
void vm_net_print(struct vm_net *net, struct pc *pc, FILE *out);
/* The adapters for the board, with the option ROMs of those that have one. A ROM asked for by name must be there; of
 * iPXE's customary ones a missing one is left out, with a note on stderr. Free them when the board is made, or was not. */
int vm_net_adapters(struct pc_config *pc, const struct net_config *config, struct error *error);
void vm_net_free_adapters(struct pc_config *pc);

/* One back end; destroyed by net_port_destroy(). */
int net_user_create(struct net_port **port, const char *id, const struct net_user_config *config,
                    struct loop *loop, struct clock *clock, struct error *error);
int net_socket_create(struct net_port **port, const char *id, const struct net_socket_config *config,
                      struct loop *loop, struct error *error);

/* Capture what passes a port in the format of libpcap. Times are the clock's, counted from when the capture began under
 * real time, from 1970 where time is a function of instructions. It ends, with a line on stderr, when another frame would make
 * it longer than `limit` bytes; 0: no limit. */
int net_pcap_open(struct net_port *port, const char *path, uint64_t limit, const struct clock *clock,
                  struct error *error);

#endif
