/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A lab: the virtual machines of one process, as files say it. docs/labs.md is the user's page.
 *
 *   [lab]                       of the process, at most: pcpus, memory-limit, monitor, sandbox, gdb,
 *                               monitor-script
 *   [vm "web"]                  one section a VM; its keys are the command line's options without the dash,
 *   m = 64                      a value each ("on" or "off" where the option takes none), and weight and cap
 *   drive = file=web.qcow2
 *
 * Files are split into sections, keys and values by inih (vm/lab_file.c); what a key means is decided by the command line's
 * own table (vm/config.h), so that an option is checked, and complained about, the same in both places.
 *
 * Two defaults are not the command line's, because several VMs have one terminal: `display` is none, and the monitor is
 * the lab's.
 */
#ifndef VM_LAB_H
#define VM_LAB_H

#include <stdio.h>

#include "base/error.h"
#include "base/types.h"
#include "vm/config.h"
#include "vm/sched.h"

enum {
    LAB_VMS_MAX = SCHED_ENTITIES_MAX,
    LAB_PCPUS_MAX = 64,
    LAB_NAME_MAX = 32, /* characters of a VM's name: letters, digits, '.', '_', '-' */
};

/* Where something was said. */
struct lab_place {
    const char *file; /* NULL: nowhere; "": on the command line */
    unsigned line;
};

struct lab_vm {
    struct vm_config config; /* its strings are the lab's; config.name is unique in the lab */
    uint32_t weight;         /* SCHED_WEIGHT_MIN..SCHED_WEIGHT_MAX */
    uint32_t cap;            /* percent of one pCPU, 0: none */
    struct lab_place place;  /* its section */
};

enum lab_key { LAB_PCPUS, LAB_MEMORY_LIMIT, LAB_MONITOR, LAB_SANDBOX, LAB_GDB, LAB_SCRIPT, LAB_KEYS };

struct lab_text;

struct lab {
    struct lab_vm *vm; /* in the order of the files; owned, and moves while files are added */
    unsigned count, capacity;
    unsigned pcpus;        /* host threads that run VMs */
    uint64_t memory_limit; /* bytes of guest memory of the whole process; 0: none */
    enum sandbox sandbox;
    const char *monitor; /* chardev specification; NULL: the default, see lab_check() */
    unsigned gdb;        /* TCP port for debuggers of the first VM, then counting up; 0: as each VM says */
    const char *script;  /* commands of the monitor to run; NULL: none */
    struct lab_place places[LAB_KEYS]; /* who said the six above */
    const struct lab_vm *terminal;     /* the VM that has the terminal, NULL: none; by lab_check() */
    struct lab_text *texts;            /* what all strings above are borrowed from */
};

void lab_init(struct lab *lab);
void lab_free(struct lab *lab);

/*
 * Add a VM of another lab that runs already, so that lab_check() compares new ones with it. Its strings stay the other lab's.
 */
int lab_adopt(struct lab *lab, const struct lab_vm *vm, struct error *error);

/*
 * Add a VM like the one called `parent`, which is in the lab: with outputs, an UUID and, after lab_check(), addresses of its own.
 * NULL with the text; the lab is fit for lab_free() only then.
 */
struct lab_vm *lab_add_clone(struct lab *lab, const char *parent, const char *name, struct error *error);

/* Add a file's sections. On failure the text is one line, FILE:LINE: what is wrong, and the lab is fit for lab_free() only. */
int lab_add_file(struct lab *lab, const char *path, struct error *error);

/*
 * After the last file, once: what the VMs may not do to each other. Gives every network adapter an address of its own
 * and finds out who has the terminal: at most one VM. When `monitor` is NULL it is meant to be on the terminal if no
 * VM has that, and otherwise where that VM's mon:stdio puts it, if it has one.
 */
int lab_check(struct lab *lab, struct error *error);

/*
 * What stands behind `hypatia run`: argv[0] is "run", then options of the lab, which outweigh the files', and files.
 * Ends with lab_check(). CONFIG_DONE: -help was printed.
 */
int lab_parse_args(struct lab *lab, int argc, char **argv, enum config_action *action, struct error *error);

/* Print the file that means the same as the command line argv[1..]. What no file can say is refused. */
int lab_dump(int argc, char **argv, FILE *out, struct error *error);

#endif
