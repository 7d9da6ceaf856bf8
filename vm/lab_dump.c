/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `hypatia --dump-config OPTIONS...`: from a command line to a lab's file that means the same. See vm/lab.h.
 *
 * Options become keys in the order in which they were given, because some outdo others (-nographic and -display). Where a
 * repeated option counts only the last time, only that time is written. What a lab decides differently when
 * nothing is said (the display, the monitor) is said.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "vm/lab_internal.h"

struct dump {
    struct config_setting *settings;
    unsigned count;
};

/* Every blank is kept by quotes, and everything that is not plain text by escapes. */
static void print_quoted(FILE *out, const char *value)
{
    fputc('"', out);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') {
            fprintf(out, "\\%c", *value);
        } else if (*value == '\n') {
            fputs("\\n", out);
        } else if (iscntrl((unsigned char)*value) && *value != '\t') {
            fprintf(out, "\\x%02x", (unsigned char)*value);
        } else {
            fputc(*value, out);
        }
    }
    fputc('"', out);
}

static bool needs_quotes(const char *value)
{
    size_t length = strlen(value);

    for (size_t i = 0; i < length; i++) {
        if (iscntrl((unsigned char)value[i]) || (value[i] == ';' && (i == 0 || value[i - 1] == ' '))) {
            return true;
        }
    }
    return length == 0 || value[0] == '"' || value[0] == ' ' || value[length - 1] == ' ';
}

static void print_setting(FILE *out, const char *key, const char *value)
{
    fprintf(out, "%s = ", key);
    if (needs_quotes(value)) {
        print_quoted(out, value);
    } else {
        fputs(value, out);
    }
    fputc('\n', out);
}

static const struct config_setting *find_setting(const struct dump *dump, const char *option)
{
    for (unsigned i = dump->count; i-- > 0;) {
        if (!strcmp(dump->settings[i].option, option)) {
            return &dump->settings[i];
        }
    }
    return NULL;
}

static void print_lab(const struct dump *dump, const struct vm_config *config, FILE *out)
{
    const struct config_setting *monitor = find_setting(dump, "monitor");
    const struct config_setting *sandbox = find_setting(dump, "sandbox");
    const struct config_setting *script = find_setting(dump, "monitor-script");
    bool shared = config->nographic && config->serial_count == 0;

    for (unsigned i = 0; i < config->serial_count; i++) {
        shared = shared || !strcmp(config->serial[i], "mon:stdio");
    }
    if (!monitor && shared && !sandbox && !script) {
        return;
    }
    fputs("[lab]\n", out);
    if (monitor || !shared) {
        print_setting(out, "monitor", monitor ? monitor->value : "none");
    }
    if (sandbox) {
        print_setting(out, "sandbox", sandbox->value);
    }
    if (script) {
        print_setting(out, "monitor-script", script->value);
    }
    fputc('\n', out);
}

static void print_vm(const struct dump *dump, const struct vm_config *config, FILE *out)
{
    struct config_option option;

    fprintf(out, "[vm \"%s\"]\n", config->name);
    if (!find_setting(dump, "display") && !find_setting(dump, "nographic")) {
        print_setting(out, "display", config_display_name(config->display));
    }
    for (unsigned i = 0; i < dump->count; i++) {
        const struct config_setting *setting = &dump->settings[i];

        if (!lab_refusal(setting->option) && config_find_option(setting->option, &option) &&
            (option.repeats || find_setting(dump, setting->option) == setting)) {
            print_setting(out, setting->option, setting->value ? setting->value : "on");
        }
    }
}

/* What the command line says and a file cannot. */
static int check_settings(const struct dump *dump, const struct vm_config *config, struct error *error)
{
    for (unsigned i = 0; i < dump->count; i++) {
        const char *option = dump->settings[i].option;

        if (lab_refusal(option) && strcmp(option, "name") != 0 && strcmp(option, "monitor") != 0 &&
            strcmp(option, "sandbox") != 0 && strcmp(option, "monitor-script") != 0) {
            return error_set(error, -EINVAL, "-%s: cannot be said in a lab's file: %s", option,
                             lab_refusal(option));
        }
    }
    if (!lab_name_valid(config->name)) {
        return error_set(
            error, -EINVAL,
            "-name: '%.100s': in a lab's file a VM's name has 1 to %d letters, digits, '.', '_' and '-'",
            config->name, LAB_NAME_MAX);
    }
    return 0;
}

int lab_dump(int argc, char **argv, FILE *out, struct error *error)
{
    struct dump dump = {.settings = calloc((size_t)argc + 1, sizeof(*dump.settings))};
    struct vm_config *config = malloc(sizeof(*config));
    enum config_action action = CONFIG_RUN;
    int result;

    if (!config || !dump.settings) {
        result = error_set(error, -ENOMEM, "out of memory");
        goto out;
    }
    config_init(config);
    result = config_parse(config, argc, argv, &action, error);
    if (result < 0 || action == CONFIG_DONE) {
        goto out;
    }
    for (int i = 1; i < argc && result == 0;) {
        result = config_next(argc, argv, &i, &dump.settings[dump.count++], error);
    }
    if (result == 0) {
        result = check_settings(&dump, config, error);
    }
    if (result == 0) {
        print_lab(&dump, config, out);
        print_vm(&dump, config, out);
        result = ferror(out) ? error_set(error, -EIO, "cannot write the file") : 0;
    }
out:
    free(dump.settings);
    free(config);
    return result;
}
