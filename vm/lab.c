/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a lab's keys mean, the command line of `hypatia run`, and what the VMs of one process may not do to each other.
 * See vm/lab.h.
 *
 * A VM's key is handed to the command line's parser (vm/config.h); here is only what differs: keys that are the lab's or the
 * process's, "on" and "off" for options without a value, weight and cap. Options of `hypatia run` and keys of [lab]
 * are one table.
 *
 * Strings are copied into the lab before anything borrows them.
 */
#include "vm/lab.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "vm/chardev.h"
#include "vm/lab_internal.h"

/* ---- what a lab owns ---- */

void lab_init(struct lab *lab)
{
    *lab = (struct lab){.pcpus = 1};
}

void lab_free(struct lab *lab)
{
    while (lab->texts) {
        struct lab_text *next = lab->texts->next;

        free(lab->texts);
        lab->texts = next;
    }
    free(lab->vm);
    lab_init(lab);
}

const char *lab_keep(struct lab *lab, const char *text)
{
    size_t size = strlen(text) + 1;
    struct lab_text *kept = malloc(sizeof(*kept) + size);

    if (!kept) {
        return NULL;
    }
    memcpy(kept->text, text, size);
    kept->next = lab->texts;
    lab->texts = kept;
    return kept->text;
}

bool lab_name_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    return length >= 1 && length <= LAB_NAME_MAX && name[length] == '\0';
}

/* Room for one more VM. */
static int lab_grow(struct lab *lab, struct error *error)
{
    unsigned capacity = MAX(4u, 2 * lab->capacity);
    struct lab_vm *vm;

    if (lab->count < lab->capacity) {
        return 0;
    }
    vm = realloc(lab->vm, capacity * sizeof(*vm));
    if (!vm) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    lab->vm = vm;
    lab->capacity = capacity;
    return 0;
}

struct lab_vm *lab_add_vm(struct lab *lab, const char *name, struct lab_place place, struct error *error)
{
    const char *kept = lab_keep(lab, name);
    struct lab_vm *vm;

    for (unsigned i = 0; i < lab->count; i++) {
        if (!strcmp(lab->vm[i].config.name, name)) {
            error_set(error, -EEXIST, "there is already a VM of this name at %.200s:%u",
                      lab->vm[i].place.file, lab->vm[i].place.line);
            return NULL;
        }
    }
    if (lab->count == LAB_VMS_MAX) {
        error_set(error, -E2BIG, "a lab has no more than %d VMs", LAB_VMS_MAX);
        return NULL;
    }
    if (!kept || lab_grow(lab, error) < 0) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    vm = &lab->vm[lab->count++];
    config_init(&vm->config);
    vm->config.name = kept;
    vm->config.display = CONFIG_DISPLAY_NONE;
    vm->weight = SCHED_WEIGHT_DEFAULT;
    vm->cap = 0;
    vm->place = place;
    return vm;
}

int lab_adopt(struct lab *lab, const struct lab_vm *vm, struct error *error)
{
    struct lab_vm *adopted = lab_add_vm(lab, vm->config.name, vm->place, error);

    if (!adopted) {
        return -EEXIST;
    }
    *adopted = *vm;
    for (unsigned i = 0; i < adopted->config.net.nic_count; i++) {
        adopted->config.net.nic[i].has_mac = true; /* it has the address that it was given */
    }
    return 0;
}

/* A decimal number from least to most. */
static bool parse_number(const char *text, uint32_t least, uint32_t most, uint32_t *number)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || value < least || value > most) {
        return false;
    }
    *number = (uint32_t)value;
    return true;
}

/* ---- the lab's own keys ---- */

static int set_pcpus(struct lab *lab, const char *value, struct error *error)
{
    uint32_t number;

    if (!parse_number(value, 1, LAB_PCPUS_MAX, &number)) {
        return error_set(error, -EINVAL, "pcpus: '%s' is not a number from 1 to %d", value, LAB_PCPUS_MAX);
    }
    lab->pcpus = number;
    return 0;
}

static int set_memory_limit(struct lab *lab, const char *value, struct error *error)
{
    if (!config_parse_size(value, &lab->memory_limit) || lab->memory_limit == 0) {
        return error_set(error, -EINVAL, "memory-limit: '%s' is not a size (examples: 512, 512M, 2G)", value);
    }
    return 0;
}

static int set_monitor(struct lab *lab, const char *value, struct error *error)
{
    lab->monitor = value;
    return error_prefix(error, chardev_check(value, error), "monitor");
}

static int set_sandbox(struct lab *lab, const char *value, struct error *error)
{
    return sandbox_parse(value, &lab->sandbox, error);
}

static int set_gdb(struct lab *lab, const char *value, struct error *error)
{
    uint32_t number;

    if (!parse_number(value, 1, 65535, &number)) {
        return error_set(error, -EINVAL, "gdb: '%s' is not a port from 1 to 65535", value);
    }
    lab->gdb = number;
    return 0;
}

static int set_script(struct lab *lab, const char *value, struct error *error)
{
    (void)error;
    lab->script = value;
    return 0;
}

static const struct lab_option {
    const char *name, *argument, *help;
    int (*set)(struct lab *lab, const char *value, struct error *error);
} lab_options[LAB_KEYS] = {
    [LAB_PCPUS] = {"pcpus", "N", "host threads that run VMs (1: they take turns on one)", set_pcpus},
    [LAB_MEMORY_LIMIT] = {"memory-limit", "SIZE", "guest memory of all VMs together; MiB, or K, M, G",
                          set_memory_limit},
    [LAB_MONITOR] = {"monitor", "DEV", "the lab's monitor: stdio, none, unix:.., tcp:.., as in -monitor",
                     set_monitor},
    [LAB_SANDBOX] = {"sandbox", "on|off[,files=off]", "give up the system calls that running VMs do not need",
                     set_sandbox},
    [LAB_GDB] = {"gdb", "PORT", "debuggers' TCP port of the first VM; the others' count up from there",
                 set_gdb},
    [LAB_SCRIPT] = {"monitor-script", "FILE", "commands of the monitor to run; exit code 10 if one fails",
                    set_script},
};

int lab_set(struct lab *lab, const char *key, const char *value, struct lab_place place, struct error *error)
{
    unsigned i = 0;
    const char *kept;

    while (i < LAB_KEYS && strcmp(lab_options[i].name, key) != 0) {
        i++;
    }
    if (i == LAB_KEYS) {
        return error_set(error, -EINVAL,
                         "%.60s: there is no such key in [lab] (known: pcpus, memory-limit, monitor, "
                         "sandbox, gdb, monitor-script)",
                         key);
    }
    if (lab->places[i].file && !lab->places[i].file[0] && place.file[0]) {
        struct lab ignored = {
            0}; /* the command line has spoken; what the file says must be right all the same */
        return lab_options[i].set(&ignored, value, error);
    }
    if (lab->places[i].file && lab->places[i].file[0]) {
        return error_set(error, -EEXIST, "%s: already said at %.200s:%u", key, lab->places[i].file,
                         lab->places[i].line);
    }
    kept = lab_keep(lab, value);
    if (!kept) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    lab->places[i] = place;
    return lab_options[i].set(lab, kept, error);
}

/* ---- a VM's keys ---- */

const char *lab_refusal(const char *option)
{
    static const struct {
        const char *option, *why;
    } refused[] = {
        {"daemonize", "it is of the whole process, not of a VM"},
        {"pidfile", "it is of the whole process, not of a VM"},
        {"monitor", "one monitor sees all VMs; it is a key of [lab]"},
        {"sandbox", "it is of the whole process; it is a key of [lab]"},
        {"monitor-script", "it is of the whole process; it is a key of [lab]"},
        {"name", "a VM's name is the one in its section's head, [vm \"NAME\"]"},
        {"h", "it is for the command line only"},
        {"help", "it is for the command line only"},
        {"version", "it is for the command line only"},
        {"help-monitor", "it is for the command line only"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
        if (!strcmp(refused[i].option, option)) {
            return refused[i].why;
        }
    }
    return NULL;
}

/* Is this "help", which prints a list, instead of a value? */
static bool asks_for_list(const char *value)
{
    size_t length = strlen(value);

    return !strcmp(value, "help") || !strcmp(value, "?") ||
           (length > 5 && strchr(",=", value[length - 5]) && !strcmp(value + length - 4, "help"));
}

static int set_weight_or_cap(struct lab_vm *vm, bool weight, const char *value, struct error *error)
{
    if (weight && !parse_number(value, SCHED_WEIGHT_MIN, SCHED_WEIGHT_MAX, &vm->weight)) {
        return error_set(error, -EINVAL, "weight: '%s' is not a number from %d to %d (default %d)", value,
                         SCHED_WEIGHT_MIN, SCHED_WEIGHT_MAX, SCHED_WEIGHT_DEFAULT);
    }
    if (!weight && !parse_number(value, 0, SCHED_CAP_MAX, &vm->cap)) {
        return error_set(error, -EINVAL, "cap: '%s' is not a percentage of one pCPU, 1 to %d (0: no cap)",
                         value, SCHED_CAP_MAX);
    }
    return 0;
}

/* Hand an option to the command line's parser, and make its "-KEY: text" into "KEY: text". */
static int set_option(struct lab *lab, struct lab_vm *vm, const struct config_option *option,
                      const char *value, struct error *error)
{
    const char *kept = lab_keep(lab, value);
    struct config_setting setting = {.option = option->name, .value = option->argument ? kept : NULL};
    enum config_action action;
    struct error said = {{0}};
    size_t length = strlen(option->name);
    int result;

    if (!kept) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    result = config_set(&vm->config, &setting, &action, &said);
    if (result == 0 && action == CONFIG_DONE) {
        return error_set(error, -EINVAL, "%s: '%s' is for the command line only", option->name, value);
    }
    if (said.text[0] == '-' && !strncmp(said.text + 1, option->name, length) &&
        said.text[length + 1] == ':') {
        return error_set(error, result, "%s", said.text + 1);
    }
    return result < 0 ? error_set(error, result, "%s: %s", option->name, said.text) : 0;
}

int lab_vm_set(struct lab *lab, struct lab_vm *vm, const char *key, const char *value, struct error *error)
{
    bool weight = !strcmp(key, "weight");
    struct config_option option;

    if (weight || !strcmp(key, "cap")) {
        return set_weight_or_cap(vm, weight, value, error);
    }
    if (!config_find_option(key, &option)) {
        return error_set(error, -EINVAL, "%.60s: there is no such key%s", key,
                         key[0] == '-' ? " (keys are written without the dash)"
                                       : " (hypatia -help lists the options, which are the keys)");
    }
    if (lab_refusal(key)) {
        return error_set(error, -EINVAL, "%s: not a key of a VM: %s", key, lab_refusal(key));
    }
    if (option.lists && asks_for_list(value)) {
        return error_set(error, -EINVAL, "%s: a file has no use for a list; try: hypatia -%s %.100s", key,
                         key, value);
    }
    if (!option.argument && strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
        return error_set(error, -EINVAL, "%s: '%.100s' must be on or off", key, value);
    }
    return !option.argument && value[1] == 'f' ? 0 : set_option(lab, vm, &option, value, error);
}

/* ---- what VMs may not do to each other ---- */

static bool is_stdio(const char *spec)
{
    return spec && (!strcmp(spec, "stdio") || !strcmp(spec, "mon:stdio"));
}

/* The key by which a VM uses the terminal, NULL: it does not. */
static const char *terminal_key(const struct vm_config *config)
{
    for (unsigned i = 0; i < config->serial_count; i++) {
        if (is_stdio(config->serial[i])) {
            return "serial";
        }
    }
    return config->nographic && config->serial_count == 0 ? "nographic"
           : config->display == CONFIG_DISPLAY_TEXT       ? "display"
           : is_stdio(config->debugcon)                   ? "debugcon"
           : is_stdio(config->firmware_log)               ? "firmware-log"
           : is_stdio(config->gdb)                        ? "gdb"
                                                          : NULL;
}

static int vm_error(const struct lab_vm *vm, const char *text, struct error *error)
{
    return error_set(error, -EINVAL, "%.200s:%u: [vm \"%s\"] %s", vm->place.file, vm->place.line,
                     vm->config.name, text);
}

/* Several VMs cannot read one keyboard. A lab of one VM may do what its command line may. */
static int check_terminal(struct lab *lab, struct error *error)
{
    struct error said;

    lab->terminal = NULL;
    for (unsigned i = 0; i < lab->count; i++) {
        const struct lab_vm *vm = &lab->vm[i];
        const char *key = terminal_key(&vm->config);

        if (key && lab->terminal) {
            error_set(&said, 0, "%s: the terminal is already VM \"%s\"'s (use unix:PATH,server or pty)", key,
                      lab->terminal->config.name);
            return vm_error(vm, said.text, error);
        }
        if (key && lab->count > 1 && is_stdio(lab->monitor)) {
            error_set(&said, 0, "%s: the terminal is the lab's monitor's (use unix:PATH,server or pty)", key);
            return vm_error(vm, said.text, error);
        }
        lab->terminal = key ? vm : lab->terminal;
    }
    return 0;
}

enum { OUTPUTS = CONFIG_MAX_SERIAL + 5 };

/* A key of a VM, and the file or socket it makes; NULL: none. */
struct output {
    const char *key, *path;
};

/* What `spec` makes that nobody else may: a file, a socket. Devices of the host take any number of writers. */
static const char *exclusive(const char *spec)
{
    if (spec && !strncmp(spec, "file:", 5)) {
        spec += 5;
    } else if (!spec || (strncmp(spec, "unix:", 5) != 0 && strncmp(spec, "tcp:", 4) != 0)) {
        return NULL;
    }
    return strncmp(spec, "/dev/", 5) != 0 ? spec : NULL;
}

static void list_outputs(const struct vm_config *config, struct output outputs[OUTPUTS])
{
    bool log = config->log_file && strncmp(config->log_file, "/dev/", 5) != 0;
    bool result = config->result_file && strncmp(config->result_file, "/dev/", 5) != 0;
    unsigned n = 0;

    for (unsigned i = 0; i < CONFIG_MAX_SERIAL; i++) {
        outputs[n++] = (struct output){"serial", exclusive(config->serial[i])};
    }
    outputs[n++] = (struct output){"debugcon", exclusive(config->debugcon)};
    outputs[n++] = (struct output){"firmware-log", exclusive(config->firmware_log)};
    outputs[n++] = (struct output){"gdb", exclusive(config->gdb)};
    outputs[n++] = (struct output){"D", log ? config->log_file : NULL};
    outputs[n++] = (struct output){"result", result ? config->result_file : NULL};
}

/* The first output of one VM that is also the other's, NULL: there is none. */
static const struct output *find_shared(const struct output *mine, const struct output *theirs)
{
    for (unsigned i = 0; i < OUTPUTS; i++) {
        for (unsigned j = 0; mine[i].path && j < OUTPUTS; j++) {
            if (theirs[j].path && !strcmp(mine[i].path, theirs[j].path)) {
                return &mine[i];
            }
        }
    }
    return NULL;
}

/* Two VMs that write one file destroy each other's output. (Disk images have locks.) */
static int check_outputs(const struct lab *lab, struct error *error)
{
    const struct output monitor[OUTPUTS] = {{"monitor", exclusive(lab->monitor)}};

    for (unsigned i = 0; i < lab->count; i++) {
        struct output mine[OUTPUTS], theirs[OUTPUTS];
        const struct output *shared;
        const char *owner = "the lab's monitor";

        list_outputs(&lab->vm[i].config, mine);
        shared = find_shared(mine, monitor);
        for (unsigned j = 0; !shared && j < i; j++) {
            list_outputs(&lab->vm[j].config, theirs);
            shared = find_shared(mine, theirs);
            owner = lab->vm[j].config.name;
        }
        if (shared) {
            struct error said;

            error_set(&said, 0, "%s: '%.200s' is already used by %s", shared->key, shared->path, owner);
            return vm_error(&lab->vm[i], said.text, error);
        }
    }
    return 0;
}

static bool mac_is_taken(const struct lab *lab, const uint8_t *mac)
{
    for (unsigned i = 0; i < lab->count; i++) {
        const struct net_config *net = &lab->vm[i].config.net;

        for (unsigned j = 0; j < net->nic_count; j++) {
            if (net->nic[j].has_mac && !memcmp(net->nic[j].mac, mac, NET_MAC_SIZE)) {
                return true;
            }
        }
    }
    return false;
}

/* The customary addresses, 52:54:00:12:34:56 and up, counted through the whole lab: its VMs may share a network. */
static void give_addresses(struct lab *lab)
{
    uint32_t next = 0x123456;

    for (unsigned i = 0; i < lab->count; i++) {
        struct net_config *net = &lab->vm[i].config.net;

        for (unsigned j = 0; j < net->nic_count; j++) {
            uint8_t mac[NET_MAC_SIZE];

            if (net->nic[j].has_mac) {
                continue;
            }
            do {
                memcpy(
                    mac,
                    (uint8_t[]){0x52, 0x54, 0x00, (uint8_t)(next >> 16), (uint8_t)(next >> 8), (uint8_t)next},
                    NET_MAC_SIZE);
                next++;
            } while (mac_is_taken(lab, mac));
            memcpy(net->nic[j].mac, mac, NET_MAC_SIZE);
        }
    }
}

/* What the guests could come to use, not what they use: a lab that starts has the memory it was promised. */
static int check_memory(const struct lab *lab, struct error *error)
{
    const struct lab_place *place = &lab->places[LAB_MEMORY_LIMIT];
    uint64_t sum = 0;

    for (unsigned i = 0; i < lab->count; i++) {
        sum += lab->vm[i].config.ram_size;
    }
    if (lab->memory_limit == 0 || sum <= lab->memory_limit) {
        return 0;
    }
    error_set(error, -ENOMEM,
              "memory-limit: the VMs have %llu KiB together, %llu KiB are allowed (m sets a VM's)",
              (unsigned long long)(sum / KIB), (unsigned long long)(lab->memory_limit / KIB));
    return place->file && place->file[0] ? error_prefix(error, -ENOMEM, "%.200s:%u", place->file, place->line)
                                         : -ENOMEM;
}

static int check_sandbox(const struct lab *lab, struct error *error)
{
    for (unsigned i = 0; i < lab->count; i++) {
        if (lab->sandbox == SANDBOX_NO_FILES && lab->vm[i].config.result_file) {
            return error_set(
                error, -EINVAL,
                "[vm \"%s\"] result: it is opened at the end, which sandbox = on,files=off forbids",
                lab->vm[i].config.name);
        }
    }
    return 0;
}

int lab_check(struct lab *lab, struct error *error)
{
    int result;

    if (lab->count == 0) {
        return error_set(error, -EINVAL, "there is no VM in the lab; a section [vm \"NAME\"] makes one");
    }
    result = check_terminal(lab, error);
    if (result == 0) {
        result = check_outputs(lab, error);
    }
    if (result == 0) {
        result = check_memory(lab, error);
    }
    if (result == 0) {
        result = check_sandbox(lab, error);
    }
    give_addresses(lab);
    return result;
}

/* ---- hypatia run ---- */

static void lab_help(void)
{
    printf("usage: hypatia run [options] FILE...\n\n"
           "Runs the VMs that the files describe, one section a VM:\n\n"
           "  [vm \"web\"]\n  m = 64\n  drive = file=web.qcow2\n  serial = unix:web.sock,server,nowait\n  "
           "weight = 512\n\n"
           "The keys are the options of the command line (hypatia -help) without the dash, and\n"
           "weight (%d to %d, default %d) and cap (percent of one pCPU, 0: none).\n"
           "hypatia --dump-config OPTIONS... prints the file for a command line.\n\n"
           "Options, which are also the keys of a section [lab] and outweigh it:\n",
           SCHED_WEIGHT_MIN, SCHED_WEIGHT_MAX, SCHED_WEIGHT_DEFAULT);
    for (unsigned i = 0; i < LAB_KEYS; i++) {
        printf("  -%s %-*s %s\n", lab_options[i].name, (int)(18 - strlen(lab_options[i].name)),
               lab_options[i].argument, lab_options[i].help);
    }
}

/* One option of the lab at argv[*index], which moves behind it. */
static int parse_option(struct lab *lab, int argc, char **argv, int *index, enum config_action *action,
                        struct error *error)
{
    const char *name = argv[*index][1] == '-' ? argv[*index] + 2 : argv[*index] + 1;
    int result;

    if (!strcmp(name, "h") || !strcmp(name, "help")) {
        lab_help();
        *action = CONFIG_DONE;
        return 0;
    }
    for (unsigned i = 0; i < LAB_KEYS; i++) {
        if (strcmp(lab_options[i].name, name) != 0) {
            continue;
        }
        if (*index + 1 >= argc) {
            return error_set(error, -EINVAL, "-%s needs a value: %s", name, lab_options[i].argument);
        }
        *index += 2;
        lab->places[i] = (struct lab_place){0}; /* the last one counts */
        result = lab_set(lab, name, argv[*index - 1], (struct lab_place){.file = ""}, error);
        return result < 0 && error ? error_set(error, result, "-%s", error->text) : result;
    }
    return error_set(
        error, -EINVAL,
        "run: unknown option '%s' (hypatia run -help lists them; a VM's options are keys in its file)",
        argv[*index]);
}

static bool is_option(const char *text)
{
    return text[0] == '-' && text[1];
}

int lab_parse_args(struct lab *lab, int argc, char **argv, enum config_action *action, struct error *error)
{
    bool file = false;
    int result = 0;

    *action = CONFIG_RUN;
    for (int i = 1; i < argc && result == 0 && *action == CONFIG_RUN;) {
        if (is_option(argv[i])) {
            result = parse_option(lab, argc, argv, &i, action, error);
        } else {
            file = true;
            i++;
        }
    }
    if (result < 0 || *action == CONFIG_DONE) {
        return result;
    }
    if (!file) {
        return error_set(error, -EINVAL, "run needs a file that describes the VMs (hypatia run -help)");
    }
    /* options outweigh files, wherever they stand */
    for (int i = 1; i < argc && result == 0; i++) {
        if (is_option(argv[i])) {
            i++; /* and its value */
        } else {
            result = lab_add_file(lab, argv[i], error);
        }
    }
    return result == 0 ? lab_check(lab, error) : result;
}
