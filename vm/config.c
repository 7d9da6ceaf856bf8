/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command line, by QEMU's names: one table of options with a parser each. See vm/config.h.
 *
 * Options that makefiles carry but that change nothing here (-enable-kvm, -accel tcg) are accepted with a note;
 * what would silently give a different machine than asked for is refused with the reason.
 */
#include "vm/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "devices/pc.h"
#include "vm/chardev.h"

#define RAM_MIN (1 * MIB)
#define RAM_MAX (8 * GIB)

struct option {
    const char *name;     /* without the dash */
    const char *argument; /* how -help shows it; NULL: takes none */
    const char *help;     /* NULL: accepted but not listed */
    int (*parse)(struct vm_config *config, const char *value, struct error *error);
};

/* Returned by a parser that has printed what was asked for. */
enum { PARSE_DONE = 1 };

/* ---- pieces of values ---- */

static bool parse_u64(const char *text, uint64_t *value)
{
    char *end;

    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    errno = 0;
    *value = strtoull(text, &end, 0);
    return errno == 0 && *end == '\0';
}

bool config_parse_size(const char *text, uint64_t *bytes)
{
    char *end;
    uint64_t unit = MIB;
    unsigned long long number;

    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    errno = 0;
    number = strtoull(text, &end, 10);
    switch (*end) {
    case 'k':
    case 'K':
        unit = KIB;
        end++;
        break;
    case 'm':
    case 'M':
        end++;
        break;
    case 'g':
    case 'G':
        unit = GIB;
        end++;
        break;
    default:
        break;
    }
    return errno == 0 && *end == '\0' && !__builtin_mul_overflow(number, unit, bytes);
}

/* The value of key in "a=b,key=value", copied into out; false when it is absent. */
static bool suboption(const char *list, const char *key, char *out, size_t size)
{
    size_t key_length = strlen(key);

    for (const char *item = list; item && *item; item = strchr(item, ',') ? strchr(item, ',') + 1 : NULL) {
        if (!strncmp(item, key, key_length) && item[key_length] == '=') {
            const char *value = item + key_length + 1;

            snprintf(out, size, "%.*s", (int)strcspn(value, ","), value);
            return true;
        }
    }
    return false;
}

/* Refuse a list that has a key outside `known` (space separated); the first item may be a bare word. */
static int suboptions_check(const char *option, const char *list, const char *known, struct error *error)
{
    for (const char *item = list; item && *item; item = strchr(item, ',') ? strchr(item, ',') + 1 : NULL) {
        size_t length = strcspn(item, "=,");
        char key[64];

        snprintf(key, sizeof(key), " %.*s ", (int)MIN(length, (size_t)60), item);
        if (item[length] == '=' ? !strstr(known, key) : item != list) {
            return error_set(error, -EINVAL, "-%s: unknown item '%.*s' (known:%s)", option, (int)length, item,
                             known);
        }
    }
    return 0;
}

static int parse_on_off(const char *option, const char *text, bool *value, struct error *error)
{
    if (!strcmp(text, "on") || !strcmp(text, "off")) {
        *value = text[1] == 'n';
        return 0;
    }
    return error_set(error, -EINVAL, "-%s: '%s' must be on or off", option, text);
}

/* ---- machine ---- */

static int parse_m(struct vm_config *config, const char *value, struct error *error)
{
    char size[32];

    if (!suboption(value, "size", size, sizeof(size))) {
        snprintf(size, sizeof(size), "%s", value);
    }
    if (!config_parse_size(size, &config->ram_size)) {
        return error_set(error, -EINVAL, "-m: '%s' is not a size (examples: 512, 512M, 1G)", value);
    }
    if (config->ram_size < RAM_MIN || config->ram_size > RAM_MAX || config->ram_size % MIB) {
        return error_set(error, -EINVAL, "-m: '%s' is out of range (1M to 8G, in whole MiB)", value);
    }
    return 0;
}

static int parse_smp(struct vm_config *config, const char *value, struct error *error)
{
    uint64_t count;
    char text[32];

    (void)config;
    if (!suboption(value, "cpus", text, sizeof(text))) {
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(value, ","), value);
    }
    if (!parse_u64(text, &count) || count == 0) {
        return error_set(error, -EINVAL, "-smp: '%s' is not a number of processors", value);
    }
    if (count > 1) {
        return error_set(error, -EINVAL, "-smp: a VM has one processor for now; use -smp 1, or several VMs");
    }
    return 0;
}

static int parse_cpu(struct vm_config *config, const char *value, struct error *error)
{
    if (!strcmp(value, "help")) {
        for (const struct cpu_model *model = cpu_models; model->name; model++) {
            printf("x86 %-12s %s\n", model->name, model->help);
        }
        return PARSE_DONE;
    }
    return cpu_model_parse(value, &config->cpu_model, &config->cpu_features, error);
}

static int parse_machine(struct vm_config *config, const char *value, struct error *error)
{
    char text[32];
    size_t length = strcspn(value, ",");

    if (!strcmp(value, "help") || !strcmp(value, "?")) {
        printf("pc           i440FX + PIIX PC (default)\n");
        return PARSE_DONE;
    }
    if (!suboption(value, "type", text, sizeof(text)) && !memchr(value, '=', length)) {
        snprintf(text, sizeof(text), "%.*s", (int)length, value);
    } else if (!suboption(value, "type", text, sizeof(text))) {
        strcpy(text, "pc");
    }
    if (strcmp(text, "pc") != 0) {
        return error_set(error, -EINVAL, "-machine: unknown machine '%s' (known: pc)", text);
    }
    if (suboption(value, "multiboot", text, sizeof(text))) {
        if (strcmp(text, "1") != 0 && strcmp(text, "2") != 0) {
            return error_set(error, -EINVAL, "-machine: multiboot=%s must be 1 or 2", text);
        }
        config->multiboot = (unsigned)(text[0] - '0');
    }
    if (suboption(value, "accel", text, sizeof(text)) && !strcmp(text, "kvm")) {
        return error_set(error, -EINVAL,
                         "-machine: accel=kvm needs hardware virtualization; use -accel interp");
    }
    return suboptions_check("machine", value, " type multiboot accel ", error);
}

/* windows=now is for tests: every view gets its window at once. */
static int parse_accel_dbt(struct vm_config *config, const char *value, struct error *error)
{
    static const char *const names[] = {
        [BINXLATE_WINDOWS_ON] = "on", [BINXLATE_WINDOWS_OFF] = "off", [BINXLATE_WINDOWS_NOW] = "now"};
    char text[16];

    if (suboption(value, "windows", text, sizeof(text))) {
        unsigned i = 0;
        while (i < ARRAY_LEN(names) && strcmp(text, names[i]) != 0) {
            i++;
        }
        if (i == ARRAY_LEN(names)) {
            return error_set(error, -EINVAL, "-accel: windows=%s: on, off or now is wanted", text);
        }
        config->windows = (enum binxlate_windows)i;
    }
    return suboptions_check("accel", value, " windows check ", error);
}

/* -accel dbt,check=on|off */
static int parse_accel_check(struct vm_config *config, const char *value, struct error *error)
{
    char text[16];

    if (!suboption(value, "check", text, sizeof(text)) || !strcmp(text, "off")) {
        config->accel_check = false;
    } else if (!strcmp(text, "on")) {
        config->accel_check = true;
    } else {
        return error_set(error, -EINVAL, "-accel: check=%s must be on or off", text);
    }
    return 0;
}

static int parse_accel(struct vm_config *config, const char *value, struct error *error)
{
    char name[32];

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(value, ","), value);
    if (!strcmp(name, "help")) {
        printf("dbt          dynamic binary translator (default)\ninterp       reference interpreter\n");
        return PARSE_DONE;
    }
    if (!strcmp(name, "tcg")) {
        fprintf(stderr, "hypatia: note: -accel tcg is QEMU's; using our own engine\n");
        return 0;
    }
    if (!strcmp(name, "kvm")) {
        return error_set(error, -EINVAL, "-accel: kvm needs hardware virtualization; use -accel interp");
    }
    if (!strcmp(name, "dbt")) {
        config->accel = CONFIG_ACCEL_DBT;
        int result = parse_accel_check(config, value, error);
        return result < 0 ? result : parse_accel_dbt(config, value, error);
    }
    if (strcmp(name, "interp") != 0) {
        return error_set(error, -EINVAL, "-accel: unknown engine '%s' (known: interp, dbt)", name);
    }
    config->accel = CONFIG_ACCEL_INTERP;
    return suboptions_check("accel", value, " ", error);
}

static int parse_enable_kvm(struct vm_config *config, const char *value, struct error *error)
{
    (void)config;
    (void)value;
    (void)error;
    fprintf(stderr, "hypatia: note: -enable-kvm has no effect; no hardware virtualization is used\n");
    return 0;
}

static int parse_kernel(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->kernel = value;
    return 0;
}

static int parse_initrd(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->initrd = value;
    return 0;
}

static int parse_append(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->append = value;
    return 0;
}

static int parse_bios(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->bios = value;
    return 0;
}

static int parse_L(struct vm_config *config, const char *value, struct error *error)
{
    if (config->dir_count == CONFIG_MAX_DIRS) {
        return error_set(error, -EINVAL, "-L: more than %d directories", CONFIG_MAX_DIRS);
    }
    config->dirs[config->dir_count++] = value;
    return 0;
}

static int set_boot_order(char *order, size_t size, const char *value, struct error *error)
{
    if (strspn(value, "abcdn") != strlen(value) || strlen(value) >= size) {
        return error_set(error, -EINVAL, "-boot: order '%s' has a drive other than a, b, c, d, n", value);
    }
    strcpy(order, value);
    return 0;
}

static int parse_boot(struct vm_config *config, const char *value, struct error *error)
{
    char text[32];
    int result = 0;

    if (!strchr(value, '=')) {
        return set_boot_order(config->boot_order, sizeof(config->boot_order), value, error);
    }
    if (suboption(value, "order", text, sizeof(text))) {
        result = set_boot_order(config->boot_order, sizeof(config->boot_order), text, error);
    }
    if (result == 0 && suboption(value, "once", text, sizeof(text))) {
        result = set_boot_order(config->boot_once, sizeof(config->boot_once), text, error);
    }
    return result < 0 ? result : suboptions_check("boot", value, " order once menu strict ", error);
}

static int parse_fw_cfg(struct vm_config *config, const char *value, struct error *error)
{
    struct config_fw_cfg *item = &config->fw_cfg[config->fw_cfg_count];
    const char *name = !strncmp(value, "name=", 5) ? value + 5 : value;
    size_t length = strcspn(name, ",");
    const char *rest = name[length] ? name + length + 1 : "";

    if (config->fw_cfg_count == CONFIG_MAX_FW_CFG) {
        return error_set(error, -EINVAL, "-fw_cfg: more than %d items", CONFIG_MAX_FW_CFG);
    }
    if (length == 0 || length > 55 || memchr(name, '=', length)) {
        return error_set(error, -EINVAL, "-fw_cfg: '%s' needs name=NAME of 1 to 55 characters first", value);
    }
    snprintf(item->name, sizeof(item->name), "%.*s", (int)length, name);
    if (!strncmp(rest, "file=", 5)) {
        item->file = rest + 5;
    } else if (!strncmp(rest, "string=", 7)) {
        item->string = rest + 7;
    } else {
        return error_set(error, -EINVAL, "-fw_cfg: '%s' needs file=PATH or string=TEXT", value);
    }
    config->fw_cfg_count++;
    return 0;
}

/* ---- character devices and display ---- */

static int parse_serial(struct vm_config *config, const char *value, struct error *error)
{
    if (config->serial_count == CONFIG_MAX_SERIAL) {
        return error_set(error, -EINVAL, "-serial: the machine has %d serial ports", CONFIG_MAX_SERIAL);
    }
    config->serial[config->serial_count++] = value;
    return error_prefix(error, chardev_check(value, error), "-serial");
}

static int parse_monitor(struct vm_config *config, const char *value, struct error *error)
{
    config->monitor = value;
    return error_prefix(error, chardev_check(value, error), "-monitor");
}

static int parse_monitor_script(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->monitor_script = value;
    return 0;
}

static int parse_help_monitor(struct vm_config *config, const char *value, struct error *error)
{
    (void)config;
    return error_set(error, -EINVAL, "-help-monitor %s: it is the first option, or none", value);
}

static int parse_debugcon(struct vm_config *config, const char *value, struct error *error)
{
    config->debugcon = value;
    return error_prefix(error, chardev_check(value, error), "-debugcon");
}

static int parse_symbols(struct vm_config *config, const char *value, struct error *error)
{
    if (config->symbols_count == CONFIG_MAX_SYMBOLS) {
        return error_set(error, -EINVAL, "-symbols: there can be %d files", CONFIG_MAX_SYMBOLS);
    }
    config->symbols[config->symbols_count++] = value;
    return 0;
}

static int parse_firmware_log(struct vm_config *config, const char *value, struct error *error)
{
    config->firmware_log = value;
    return error_prefix(error, chardev_check(value, error), "-firmware-log");
}

static int parse_nographic(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    config->nographic = true;
    config->display = CONFIG_DISPLAY_NONE;
    return 0;
}

static int parse_display(struct vm_config *config, const char *value, struct error *error)
{
    if (!strcmp(value, "help")) {
        printf("none\ntext\nsdl\n");
        return PARSE_DONE;
    }
    return config_parse_display(config, value, error);
}

static int parse_full_screen(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    config->window.full_screen = true;
    return 0;
}

static int parse_vga(struct vm_config *config, const char *value, struct error *error)
{
    if (strcmp(value, "std") != 0 && strcmp(value, "none") != 0) {
        return error_set(error, -EINVAL, "-vga: unknown adapter '%s' (known: std, none)", value);
    }
    config->vga = value[0] == 's';
    return 0;
}

/* ---- devices ---- */

static int parse_exit_device(struct vm_config *config, const char *value, struct error *error)
{
    char text[32];
    uint64_t iobase = 0x501, iosize = 2; /* QEMU's defaults */

    if ((suboption(value, "iobase", text, sizeof(text)) && (!parse_u64(text, &iobase) || iobase > 0xffff)) ||
        (suboption(value, "iosize", text, sizeof(text)) &&
         (!parse_u64(text, &iosize) || (iosize != 1 && iosize != 2 && iosize != 4)))) {
        return error_set(error, -EINVAL, "-device isa-debug-exit: '%s' is not a port or size (1, 2 or 4)",
                         text);
    }
    if (iobase + iosize > 0x10000) {
        return error_set(error, -EINVAL, "-device isa-debug-exit: the ports end above 0xffff");
    }
    config->exit_device = true;
    config->exit_iobase = (uint16_t)iobase;
    config->exit_iosize = (uint8_t)iosize;
    return suboptions_check("device", value, " iobase iosize ", error);
}

/* QEMU's names and default. */
static int parse_pvpanic(struct vm_config *config, const char *value, struct error *error)
{
    char text[32];
    uint64_t port = 0x505;

    if (suboption(value, "ioport", text, sizeof(text)) && (!parse_u64(text, &port) || port > 0xffff)) {
        return error_set(error, -EINVAL, "-device pvpanic: ioport=%s is not a port", text);
    }
    config->pvpanic_device = true;
    config->pvpanic_iobase = (uint16_t)port;
    return suboptions_check("device", value, " ioport ", error);
}

static int parse_device(struct vm_config *config, const char *value, struct error *error)
{
    size_t length = strcspn(value, ",");

    if (!strcmp(value, "?") || !strcmp(value, "help")) {
        printf("name \"isa-debug-exit\", bus ISA, desc \"ends the VM with exit code (value << 1) | 1\"\n");
        printf("name \"pvpanic\", bus ISA, desc \"a guest's kernel reports its panic\"\n");
        net_list_devices(stdout);
        return PARSE_DONE;
    }
    if (length == strlen("pvpanic") && !strncmp(value, "pvpanic", length)) {
        if (!strcmp(value + length, ",help")) {
            printf("pvpanic options:\n  ioport=<uint16> (default: 0x505)\n");
            return PARSE_DONE;
        }
        return parse_pvpanic(config, value, error);
    }
    if (net_is_device(value)) {
        return net_parse_device(&config->net, value, error);
    }
    if (length == strlen("isa-debug-exit") && !strncmp(value, "isa-debug-exit", length)) {
        if (!strcmp(value + length, ",help")) {
            printf("isa-debug-exit options:\n  iobase=<uint32> (default: 0x501)\n  iosize=<uint32> (default: "
                   "2)\n");
            return PARSE_DONE;
        }
        return parse_exit_device(config, value, error);
    }
    return error_set(error, -EINVAL, "-device: unknown device '%.*s' (-device '?' lists them)", (int)length,
                     value);
}

static int parse_netdev(struct vm_config *config, const char *value, struct error *error)
{
    return net_parse_netdev(&config->net, value, error);
}

static int parse_nic(struct vm_config *config, const char *value, struct error *error)
{
    return net_parse_nic(&config->net, value, error);
}

static int parse_net(struct vm_config *config, const char *value, struct error *error)
{
    return net_parse_net(&config->net, value, error);
}

static int parse_object(struct vm_config *config, const char *value, struct error *error)
{
    return net_parse_object(&config->net, value, error);
}

static int parse_hda(struct vm_config *config, const char *value, struct error *error)
{
    return config_add_ide(config, 0, value, false, error);
}

static int parse_hdb(struct vm_config *config, const char *value, struct error *error)
{
    return config_add_ide(config, 1, value, false, error);
}

static int parse_hdc(struct vm_config *config, const char *value, struct error *error)
{
    return config_add_ide(config, 2, value, false, error);
}

static int parse_hdd(struct vm_config *config, const char *value, struct error *error)
{
    return config_add_ide(config, 3, value, false, error);
}

static int parse_cdrom(struct vm_config *config, const char *value, struct error *error)
{
    return config_add_ide(config, 2, value, true, error);
}

static int parse_fda(struct vm_config *config, const char *value, struct error *error)
{
    return config_add_floppy(config, 0, value, error);
}

static int parse_fdb(struct vm_config *config, const char *value, struct error *error)
{
    return config_add_floppy(config, 1, value, error);
}

static int parse_nodefaults(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    config->no_defaults = true;
    return 0;
}

/* Known options whose machinery is not there: better told than taken for a typing error. */
static int parse_not_yet(struct vm_config *config, const char *value, struct error *error)
{
    (void)config;
    return error_set(error, -EINVAL, "'%s': this version has no migration", value);
}

static int parse_gdb(struct vm_config *config, const char *value, struct error *error)
{
    bool socket = !strncmp(value, "tcp:", 4) || !strncmp(value, "unix:", 5);

    if (!strcmp(value, "none")) {
        config->gdb = NULL;
        return 0;
    }
    if (strcmp(value, "stdio") != 0 && (!socket || chardev_check(value, NULL) < 0)) {
        return error_set(
            error, -EINVAL,
            "-gdb: '%s' must be tcp::PORT (this host's 127.0.0.1 only), unix:PATH, stdio or none", value);
    }
    config->gdb = value;
    return 0;
}

static int parse_s(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    return parse_gdb(config, "tcp::1234", error);
}

static int parse_loadvm(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->loadvm = value;
    return 0;
}

static int parse_snapshots(struct vm_config *config, const char *value, struct error *error)
{
    config->snapshots = value;
    return *value ? 0 : error_set(error, -EINVAL, "-snapshots needs the name of a folder");
}

static int parse_snapshot(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    config->snapshot = true;
    return 0;
}

/* ---- time and life cycle ---- */

static int parse_icount(struct vm_config *config, const char *value, struct error *error)
{
    char text[32];
    uint64_t shift;
    int result = 0;

    config->icount = true;
    if (!suboption(value, "shift", text, sizeof(text))) {
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(value, ","), value);
    }
    if (!strcmp(text, "auto") || strchr(text, '=')) {
        shift = config->icount_shift;
    } else if (!parse_u64(text, &shift) || shift > 10) {
        return error_set(error, -EINVAL,
                         "-icount: shift '%s' must be 0 to 10 (each instruction takes 2^shift ns)", text);
    }
    config->icount_shift = (unsigned)shift;
    if (suboption(value, "sleep", text, sizeof(text))) {
        result = parse_on_off("icount", text, &config->icount_sleep, error);
    }
    return result < 0 ? result : suboptions_check("icount", value, " shift sleep ", error);
}

static int parse_seed(struct vm_config *config, const char *value, struct error *error)
{
    if (!parse_u64(value, &config->seed)) {
        return error_set(error, -EINVAL, "-seed: '%s' is not a number", value);
    }
    return 0;
}

static int parse_rtc(struct vm_config *config, const char *value, struct error *error)
{
    char text[32];
    struct tm tm = {0};
    const char *end;

    if (!suboption(value, "base", text, sizeof(text)) || !strcmp(text, "utc")) {
        config->rtc = RTC_UTC;
    } else if (!strcmp(text, "localtime")) {
        config->rtc = RTC_LOCALTIME;
    } else {
        end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
        if (!end) {
            memset(&tm, 0, sizeof(tm));
            end = strptime(text, "%Y-%m-%d", &tm);
        }
        if (!end || *end) {
            return error_set(error, -EINVAL,
                             "-rtc: base '%s' must be utc, localtime, 2026-01-31 or 2026-01-31T12:00:00",
                             text);
        }
        config->rtc = RTC_DATE;
        config->rtc_date = timegm(&tm);
    }
    return suboptions_check("rtc", value, " base clock driftfix ", error);
}

static int parse_verdict(const char *option, const char *value, enum config_verdict *verdict,
                         struct error *error)
{
    static const char *const names[] = {
        [CONFIG_VERDICT_IGNORE] = "ignore", [CONFIG_VERDICT_PAUSE] = "pause", [CONFIG_VERDICT_EXIT] = "exit"};

    for (unsigned i = CONFIG_VERDICT_IGNORE; i < ARRAY_LEN(names); i++) {
        if (!strcmp(value, names[i])) {
            *verdict = (enum config_verdict)i;
            return 0;
        }
    }
    return error_set(error, -EINVAL, "-%s: '%s' is not exit, pause or ignore", option, value);
}

static int parse_on_panic(struct vm_config *config, const char *value, struct error *error)
{
    return parse_verdict("on-panic", value, &config->on_panic, error);
}

static int parse_on_hang(struct vm_config *config, const char *value, struct error *error)
{
    return parse_verdict("on-hang", value, &config->on_hang, error);
}

static int parse_hang_timeout(struct vm_config *config, const char *value, struct error *error)
{
    uint64_t seconds;

    if (!parse_u64(value, &seconds) || seconds == 0 || seconds > UINT64_MAX / NS_PER_SEC) {
        return error_set(error, -EINVAL, "-hang-timeout: '%s' is not a number of seconds", value);
    }
    config->hang_ns = seconds * NS_PER_SEC;
    return 0;
}

static int parse_limit(struct vm_config *config, const char *value, struct error *error)
{
    char text[32];
    uint64_t seconds;

    if (suboption(value, "insns", text, sizeof(text)) &&
        (!parse_u64(text, &config->limit_insns) || !config->limit_insns)) {
        return error_set(error, -EINVAL, "-limit: insns=%s is not a number of instructions", text);
    }
    if (suboption(value, "time", text, sizeof(text))) {
        if (!parse_u64(text, &seconds) || seconds == 0 || seconds > 1000000000) {
            return error_set(error, -EINVAL, "-limit: time=%s is not a number of seconds", text);
        }
        config->limit_ns = seconds * NS_PER_SEC;
    }
    if (!config->limit_insns && !config->limit_ns) {
        return error_set(error, -EINVAL, "-limit: '%s' needs insns=N or time=SECONDS", value);
    }
    return suboptions_check("limit", value, " insns time ", error);
}

static int parse_output_limit(struct vm_config *config, const char *value, struct error *error)
{
    if (!strcmp(value, "none")) {
        config->output_limit = config->net.capture_limit = 0;
        return 0;
    }
    if (!config_parse_size(value, &config->output_limit) || !config->output_limit) {
        return error_set(error, -EINVAL, "-output-limit: '%s' is not a size (examples: 64M, 1G, none)",
                         value);
    }
    config->net.capture_limit = config->output_limit;
    return 0;
}

static int parse_S(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    config->start_paused = true;
    return 0;
}

static int parse_no_reboot(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    config->no_reboot = true;
    return 0;
}

static int parse_no_shutdown(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    config->no_shutdown = true;
    return 0;
}

static int parse_daemonize(struct vm_config *config, const char *value, struct error *error)
{
    (void)value;
    (void)error;
    config->daemonize = true;
    return 0;
}

static int parse_name(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->name = value;
    return 0;
}

static int parse_sandbox(struct vm_config *config, const char *value, struct error *error)
{
    struct error said;

    return sandbox_parse(value, &config->sandbox, &said) < 0 ? error_set(error, -EINVAL, "-%s", said.text)
                                                             : 0;
}

static int parse_uuid(struct vm_config *config, const char *value, struct error *error)
{
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? value[i] != '-' : !isxdigit((unsigned char)value[i])) {
            return error_set(error, -EINVAL, "-uuid: '%s' is not a UUID", value);
        }
    }
    config->uuid = value;
    return value[36] ? error_set(error, -EINVAL, "-uuid: '%s' is not a UUID", value) : 0;
}

static int parse_pidfile(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->pid_file = value;
    return 0;
}

static int parse_result(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->result_file = value;
    return 0;
}

static int parse_d(struct vm_config *config, const char *value, struct error *error)
{
    if (!strcmp(value, "help") || !strcmp(value, "?")) {
        for (const struct log_item *item = log_items; item->name; item++) {
            printf("%-14s %s\n", item->name, item->help);
        }
        return PARSE_DONE;
    }
    return error_prefix(error, log_parse_mask(value, &config->log_mask, error), "-d");
}

static int parse_D(struct vm_config *config, const char *value, struct error *error)
{
    (void)error;
    config->log_file = value;
    return 0;
}

/* ---- the table ---- */

static int parse_help(struct vm_config *config, const char *value, struct error *error);

static int parse_version(struct vm_config *config, const char *value, struct error *error)
{
    (void)config;
    (void)value;
    (void)error;
    printf("Hypatia emulator version %s\n", HYPATIA_VERSION);
    return PARSE_DONE;
}

static const struct option options[] = {
    {"h", NULL, "show this help", parse_help},
    {"help", NULL, NULL, parse_help},
    {"version", NULL, "show the version", parse_version},
    {"help-monitor", "text|man|markdown", "show the monitor's commands", parse_help_monitor},
    {"m", "SIZE", "guest memory, MiB by default; K, M, G suffixes (default 128)", parse_m},
    {"smp", "N", "number of processors (1)", parse_smp},
    {"cpu", "MODEL[,+f,-f]", "processor model; 'help' lists them", parse_cpu},
    {"machine", "pc[,multiboot=1|2]", "machine type", parse_machine},
    {"M", "pc", NULL, parse_machine},
    {"accel", "dbt|interp[,windows=off][,check=on]",
     "engine: the translator (default) or the reference interpreter", parse_accel},
    {"enable-kvm", NULL, NULL, parse_enable_kvm},
    {"kernel", "FILE", "boot a bzImage, ELF multiboot 1 or multiboot 2 kernel; 'builtin' is our own",
     parse_kernel},
    {"initrd", "FILE", "initial ram disk, or multiboot modules: \"FILE ARGS,FILE ARGS\"", parse_initrd},
    {"append", "TEXT", "kernel command line", parse_append},
    {"bios", "FILE", "firmware image instead of SeaBIOS; 'builtin' is our own boot ROM", parse_bios},
    {"L", "DIR", "look for firmware here first", parse_L},
    {"boot", "[order=]acdn[,once=..]", "boot order", parse_boot},
    {"fw_cfg", "name=N,file=F|string=S", "add a firmware configuration item", parse_fw_cfg},
    {"hda", "FILE", "hard disk image; -hdb, -hdc, -hdd likewise; raw unless the name ends in .qcow2",
     parse_hda},
    {"hdb", "FILE", NULL, parse_hdb},
    {"hdc", "FILE", NULL, parse_hdc},
    {"hdd", "FILE", NULL, parse_hdd},
    {"cdrom", "FILE", "CD image", parse_cdrom},
    {"fda", "FILE", "floppy image; -fdb likewise", parse_fda},
    {"fdb", "FILE", NULL, parse_fdb},
    {"drive", "file=F,format=raw|qcow2",
     "a drive; also if=, index=, media=, readonly=, snapshot=, id=, serial=", config_parse_drive},
    {"snapshot", NULL, "what guests write to their disks goes to temporary files", parse_snapshot},
    {"loadvm", "NAME", "begin with a snapshot (savevm of the monitor)", parse_loadvm},
    {"snapshots", "DIR", "where snapshots are kept (default: beside the first disk, IMAGE.snapshots)",
     parse_snapshots},
    {"nodefaults", NULL, "no empty CD and floppy drives", parse_nodefaults},
    {"gdb", "tcp::PORT|unix:PATH|stdio", "let a debugger connect", parse_gdb},
    {"s", NULL, "the same as -gdb tcp::1234", parse_s},
    {"incoming", "URI", NULL, parse_not_yet},
    {"readconfig", "FILE", NULL, parse_not_yet},
    {"qmp", "DEV", NULL, parse_not_yet},
    {"nographic", NULL, "no window; serial port and monitor on this terminal, Ctrl-a h for help",
     parse_nographic},
    {"display", "none|text|sdl[,host-key=..]", "where the screen goes (default: a window, if DISPLAY is set)",
     parse_display},
    {"full-screen", NULL, "begin with the window as large as the screen", parse_full_screen},
    {"vga", "std|none", "display adapter", parse_vga},
    {"serial", "DEV", "serial port, up to two: stdio, mon:stdio, file:F, pty, tcp:.., unix:.., null, none",
     parse_serial},
    {"monitor", "DEV", "monitor", parse_monitor},
    {"monitor-script", "FILE", "run commands of the monitor's; exit code 10 if one fails",
     parse_monitor_script},
    {"symbols", "FILE", "names of the guest's addresses: ELF, System.map, or what nm prints", parse_symbols},
    {"debugcon", "DEV", "debug console on port 0xe9", parse_debugcon},
    {"firmware-log", "DEV", "SeaBIOS messages from port 0x402", parse_firmware_log},
    {"device", "NAME[,k=v]", "add a device; '?' lists them", parse_device},
    {"netdev", "user|socket|switch,id=",
     "a network for -device e1000,netdev=ID; user takes hostfwd=, restrict=", parse_netdev},
    {"nic", "user|none[,model=,mac=..]", "network adapter and network in one (default: none)", parse_nic},
    {"net", "nic|user|none", NULL, parse_net},
    {"object", "filter-dump,netdev=,file=", "capture a network's frames", parse_object},
    {"icount", "[shift=]N[,sleep=on|off]", "deterministic time: an instruction takes 2^N ns", parse_icount},
    {"seed", "N", "seed of everything random", parse_seed},
    {"rtc", "base=utc|localtime|DATE", "start of the real-time clock", parse_rtc},
    {"limit", "insns=N,time=S", "end with code 8 after so many instructions or seconds", parse_limit},
    {"output-limit", "SIZE|none",
     "most bytes that the guest may write to each file: of its ports, of a capture (1G)", parse_output_limit},
    {"on-panic", "exit|pause|ignore",
     "when the guest's kernel panics (default: exit with code 6 if -display none)", parse_on_panic},
    {"on-hang", "exit|pause|ignore", "when the guest hangs (default: exit with code 12 if -display none)",
     parse_on_hang},
    {"hang-timeout", "SECONDS", "a loop with interrupts masked for so long is a hang, too",
     parse_hang_timeout},
    {"S", NULL, "start paused", parse_S},
    {"no-reboot", NULL, "end instead of rebooting", parse_no_reboot},
    {"no-shutdown", NULL, "stay, paused, after the guest's power-off", parse_no_shutdown},
    {"daemonize", NULL, "go to the background once the VM is set up", parse_daemonize},
    {"name", "TEXT", "name of the VM", parse_name},
    {"uuid", "UUID", "system UUID", parse_uuid},
    {"pidfile", "FILE", "write the process id", parse_pidfile},
    {"sandbox", "on|off[,files=off]", "give up the system calls that a running VM does not need",
     parse_sandbox},
    {"result", "FILE", "write one JSON line about how the run ended", parse_result},
    {"d", "ITEMS", "log: int,cpu_reset,guest_errors,..; 'help' lists them", parse_d},
    {"D", "FILE", "log to a file instead of stderr", parse_D},
};

/* Said again, these add to what was said; of all others the last one counts. */
static const char *const repeating_options[] = {"accel", "boot",   "device", "drive",   "fw_cfg", "icount",
                                                "L",     "limit",  "M",      "machine", "net",    "netdev",
                                                "nic",   "object", "serial", NULL};

/* "help", as the value or at its end, prints a list. */
static const char *const listing_options[] = {"accel",   "cpu", "d",      "device", "display", "M",
                                              "machine", "net", "netdev", "nic",    NULL};

static int parse_help(struct vm_config *config, const char *value, struct error *error)
{
    (void)config;
    (void)value;
    (void)error;
    printf("usage: hypatia [options] [HARD DISK IMAGE]\n       hypatia img COMMAND (img help says more)\n\n");
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        char left[64];

        if (options[i].help) {
            snprintf(left, sizeof(left), "-%s %s", options[i].name,
                     options[i].argument ? options[i].argument : "");
            printf("%-32s %s\n", left, options[i].help);
        }
    }
    printf("\n-kernel builtin boots the embedded teaching kernel.\n"
           "Exit codes: 0 guest shut down, 1 bad usage, 2 internal error, 4 triple fault, 6 guest panic,\n"
           "8 limit reached, 10 failed check of a script, 12 guest hung, odd codes from isa-debug-exit.\n");
    return PARSE_DONE;
}

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (!strcmp(options[i].name, name)) {
            return &options[i];
        }
    }
    return NULL;
}

void config_init(struct vm_config *config)
{
    memset(config, 0, sizeof(*config));
    config->name = "hypatia";
    config->ram_size = 128 * MIB;
    config->cpu_model = cpu_model_find(NULL);
    config->cpu_features = config->cpu_model->features;
    config->vga = true;
    config->display = CONFIG_DISPLAY_DEFAULT;
    config->window.host_key = KEY_RIGHT_CTRL;
    config->icount_shift = 3;
    config->icount_sleep = true;
    config->output_limit = config->net.capture_limit = GIB;
}

/* Does anything but the debugger's port read or write the terminal? */
static bool config_uses_stdio(const struct vm_config *config)
{
    const char *specs[CONFIG_MAX_SERIAL + 3] = {config->monitor, config->debugcon, config->firmware_log};

    for (unsigned i = 0; i < config->serial_count; i++) {
        specs[3 + i] = config->serial[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        if (specs[i] && (!strcmp(specs[i], "stdio") || !strcmp(specs[i], "mon:stdio"))) {
            return true;
        }
    }
    return (config->nographic && config->serial_count == 0) || config->display == CONFIG_DISPLAY_TEXT;
}

int config_check(struct vm_config *config, struct error *error)
{
    if (config_choose_display(config, error) < 0) {
        return -EINVAL;
    }
    if (net_config_check(&config->net, error) < 0) {
        return -EINVAL;
    }
    if (!config->kernel && (config->initrd || config->append)) {
        return error_set(error, -EINVAL, "%s needs -kernel", config->initrd ? "-initrd" : "-append");
    }
    if (config->ram_size > PC_LOW_RAM_MAX && config->cpu_model->phys_bits < 36) {
        return error_set(
            error, -EINVAL,
            "-m: more than 3G needs a processor with 36 address bits; '%s' has %u (try -cpu pentium3)",
            config->cpu_model->name, config->cpu_model->phys_bits);
    }
    if (config->daemonize && (config->nographic || config->display != CONFIG_DISPLAY_NONE)) {
        return error_set(error, -EINVAL, "-daemonize needs -display none");
    }
    if (config->gdb && !strcmp(config->gdb, "stdio") && config_uses_stdio(config)) {
        return error_set(error, -EINVAL,
                         "-gdb: stdio must be the debugger's alone (add -display none and no -nographic)");
    }
    if (config->result_file && config->sandbox == SANDBOX_NO_FILES) {
        return error_set(error, -EINVAL, "-result is opened at the end, which -sandbox on,files=off forbids");
    }
    return 0;
}

static bool is_one_of(const char *name, const char *const *list)
{
    while (*list && strcmp(*list, name) != 0) {
        list++;
    }
    return *list;
}

bool config_find_option(const char *name, struct config_option *info)
{
    const struct option *option = option_find(name);

    if (option) {
        *info = (struct config_option){.name = option->name,
                                       .argument = option->argument,
                                       .repeats = is_one_of(name, repeating_options),
                                       .lists = is_one_of(name, listing_options)};
    }
    return option;
}

int config_next(int argc, char **argv, int *index, struct config_setting *setting, struct error *error)
{
    const char *text = argv[(*index)++];
    const struct option *option;

    if (text[0] != '-') {
        *setting = (struct config_setting){.option = "hda", .value = text};
        return 0;
    }
    option = option_find(text[1] == '-' ? text + 2 : text + 1);
    if (!option) {
        return error_set(error, -EINVAL, "unknown option '%s' (-help lists them)", text);
    }
    if (option->argument && *index == argc) {
        return error_set(error, -EINVAL, "-%s needs a value: %s", option->name, option->argument);
    }
    *setting =
        (struct config_setting){.option = option->name, .value = option->argument ? argv[(*index)++] : NULL};
    return 0;
}

int config_set(struct vm_config *config, const struct config_setting *setting, enum config_action *action,
               struct error *error)
{
    int result = option_find(setting->option)->parse(config, setting->value, error);

    *action = result == PARSE_DONE ? CONFIG_DONE : CONFIG_RUN;
    return MIN(result, 0);
}

int config_parse(struct vm_config *config, int argc, char **argv, enum config_action *action,
                 struct error *error)
{
    *action = CONFIG_RUN;
    for (int i = 1; i < argc;) {
        struct config_setting setting;
        int result = config_next(argc, argv, &i, &setting, error);

        if (result == 0) {
            result = config_set(config, &setting, action, error);
        }
        if (result < 0 || *action == CONFIG_DONE) {
            return result;
        }
    }
    return config_check(config, error);
}
