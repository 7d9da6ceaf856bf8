/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a VM is made of, as the command line or a section of a lab's file (vm/lab.h) says it.
 *
 * A plain value: strings are borrowed from argv or the file's text and outlive the VM. Parsing checks everything
 * that can be checked without opening anything, so that a bad value costs one line and no side effect.
 */
#ifndef VM_CONFIG_H
#define VM_CONFIG_H

#include "base/clock.h"
#include "base/error.h"
#include "base/types.h"
#include "binxlate/binxlate.h"
#include "cpu/cpuid.h"
#include "vm/net_config.h"
#include "vm/sandbox.h"

enum { CONFIG_MAX_SERIAL = 2, CONFIG_MAX_DIRS = 8, CONFIG_MAX_FW_CFG = 16, CONFIG_MAX_SYMBOLS = 8 };
enum { CONFIG_IDE_DRIVES = 4, CONFIG_FLOPPY_DRIVES = 2 };

enum config_display {
    CONFIG_DISPLAY_NONE,
    CONFIG_DISPLAY_TEXT,
    CONFIG_DISPLAY_SDL,
    CONFIG_DISPLAY_DEFAULT /* until config_check() */
};
enum config_accel {
    CONFIG_ACCEL_DEFAULT,
    CONFIG_ACCEL_INTERP,
    CONFIG_ACCEL_DBT
}; /* default: dbt where the host can */
enum config_rtc {
    RTC_DEFAULT,
    RTC_UTC,
    RTC_LOCALTIME,
    RTC_DATE
}; /* default: utc; under -icount a fixed date */

struct config_fw_cfg {
    char name[56];
    const char *file;   /* or NULL */
    const char *string; /* or NULL */
};

enum config_cache { CONFIG_CACHE_WRITEBACK, CONFIG_CACHE_WRITETHROUGH, CONFIG_CACHE_UNSAFE };

/* One drive: -drive, -hda and its like. All zero: there is none. */
struct config_drive {
    bool present;
    bool cdrom;
    bool read_only, snapshot, any_backing, ignore_discard;
    enum config_cache cache;
    char file[1024]; /* "": no medium */
    char format[16]; /* "": by the file's name, see vm/block_image.h */
    char id[32];     /* "": as QEMU names it, "ide0-hd0" */
    char serial[21];
};

/* -display sdl: how its window behaves. */
struct config_window {
    unsigned host_key; /* enum key: with it, keys are for us and not for the guest */
    unsigned scale;    /* percent; 0: as the screen is */
    bool integer;      /* whole multiples of the guest's pixels only */
    bool full_screen, no_close;
    bool implied; /* nobody asked for a window, but there is a display server */
};

/* What a guest that has failed is done to. */
enum config_verdict {
    CONFIG_VERDICT_DEFAULT, /* whoever makes the VM chooses: verdict_choose() */
    CONFIG_VERDICT_IGNORE,
    CONFIG_VERDICT_PAUSE,
    CONFIG_VERDICT_EXIT,
};

struct vm_config {
    const char *name;
    const char *uuid;
    uint64_t ram_size; /* bytes */
    const struct cpu_model *cpu_model;
    uint64_t cpu_features;
    enum config_accel accel;
    bool accel_check;              /* the translator is judged by the interpreter: binxlate/check.h */
    enum binxlate_windows windows; /* host windows of the translator */

    const char *kernel, *initrd, *append;
    unsigned multiboot; /* 0: whichever the kernel has, else 1 or 2 */
    const char *bios;   /* NULL: SeaBIOS; "builtin": our boot ROM */
    const char *dirs[CONFIG_MAX_DIRS];
    unsigned dir_count;
    char boot_order[8], boot_once[8];
    struct config_fw_cfg fw_cfg[CONFIG_MAX_FW_CFG];
    unsigned fw_cfg_count;

    struct config_drive ide[CONFIG_IDE_DRIVES];
    struct config_drive floppy[CONFIG_FLOPPY_DRIVES];
    bool snapshot;         /* all drives write to temporary overlays */
    bool no_defaults;      /* no empty CD and floppy drive */
    const char *snapshots; /* folder of snapshots; NULL: beside the first disk */
    const char *loadvm;    /* snapshot to begin with; NULL: reset */

    bool nographic;
    enum config_display display;
    struct config_window window;
    bool vga;
    const char *serial[CONFIG_MAX_SERIAL]; /* NULL: the default */
    unsigned serial_count;
    const char *monitor;        /* NULL: the default */
    const char *monitor_script; /* commands to run; NULL: none */
    const char *debugcon;       /* NULL: none */
    const char *firmware_log;   /* port 0x402; NULL: none */
    const char *gdb;            /* where a debugger connects; NULL: nowhere */

    const char *symbols[CONFIG_MAX_SYMBOLS]; /* files with names of addresses */
    unsigned symbols_count;

    struct net_config net;
    struct net_fabric *fabric; /* not by an option: whose segments -netdev switch joins; NULL: the VM's own */
    bool kernel_follows;       /* not by an option: another VM's will be shared (vm/clone.h) */

    bool pvpanic_device;
    uint16_t pvpanic_iobase;
    bool exit_device;
    uint16_t exit_iobase;
    uint8_t exit_iosize;

    bool icount;
    unsigned icount_shift; /* 2^shift ns an instruction */
    bool icount_sleep;     /* idle time passes in real time */
    uint64_t seed;
    enum config_rtc rtc;
    int64_t rtc_date; /* seconds since 1970, for RTC_DATE */

    bool start_paused, no_reboot, no_shutdown, daemonize;
    enum config_verdict on_panic, on_hang; /* vm/verdict.h */
    uint64_t hang_ns; /* guest time in a loop with interrupts masked that counts as a hang; 0: none does */
    uint64_t limit_insns;  /* 0: none */
    uint64_t limit_ns;     /* host time, 0: none */
    uint64_t output_limit; /* bytes in each file that takes what the guest says; 0: none */
    uint32_t log_mask;
    const char *log_file, *result_file, *pid_file;
    enum sandbox sandbox; /* of the process */
};

/* Defaults of `hypatia` without any option. */
void config_init(struct vm_config *config);

enum config_action {
    CONFIG_RUN,  /* go on */
    CONFIG_DONE, /* -help, -version, a list: printed, exit 0 */
};

/* Parse argv[1..]. Negative errno with one line of text for a bad option. */
int config_parse(struct vm_config *config, int argc, char **argv, enum config_action *action,
                 struct error *error);

/*
 * The steps of config_parse(), for a front end that has options from elsewhere (vm/lab.c): config_next() or
 * config_find_option() say what is there, config_set() takes one option at a time, config_check() comes last and once.
 */

/* One option with its value, NULL where it takes none. The name is the table's, without the dash. */
struct config_setting {
    const char *option, *value;
};

/* What the table says of an option. */
struct config_option {
    const char *name;
    const char *argument; /* how -help shows the value; NULL: it takes none */
    bool repeats;         /* said again, it adds to what was said; without: the last one counts */
    bool lists;           /* "help", as the value or at its end, prints a list */
};

/* False: there is no option by that name (without the dash). */
bool config_find_option(const char *name, struct config_option *option);
/* The setting at argv[*index]; *index moves behind it. */
int config_next(int argc, char **argv, int *index, struct config_setting *setting, struct error *error);
/* setting->option must be one that config_find_option() knows, with a value exactly where it takes one. */
int config_set(struct vm_config *config, const struct config_setting *setting, enum config_action *action,
               struct error *error);
/* What only makes sense together. Fills in what was left open. */
int config_check(struct vm_config *config, struct error *error);

/* "512", "512M", "1G", "64K": MiB by default. */
bool config_parse_size(const char *text, uint64_t *bytes);

/* -display's value; what a VM without the option gets; "sdl" and the like. */
int config_parse_display(struct vm_config *config, const char *value, struct error *error);
int config_choose_display(struct vm_config *config, struct error *error);
const char *config_display_name(enum config_display display);

/* The pieces of config_parse() that deal with drives: -drive's value; a file for drive `index` of the shorthands. */
int config_parse_drive(struct vm_config *config, const char *value, struct error *error);
int config_add_ide(struct vm_config *config, unsigned index, const char *path, bool cdrom,
                   struct error *error);
int config_add_floppy(struct vm_config *config, unsigned index, const char *path, struct error *error);

#endif
