/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The command line's drives: where they go, what is refused.
 */
#include <stdlib.h>

#include "scratch.h"
#include "vm/config.h"

static struct vm_config *parse(int argc, const char *const *argv, struct error *error)
{
    struct vm_config *config = malloc(sizeof(*config));
    enum config_action action;
    char *copy[16];

    cr_assert_leq(argc, 16);
    for (int i = 0; i < argc; i++) {
        copy[i] = (char *)(uintptr_t)argv[i];
    }
    config_init(config);
    if (config_parse(config, argc, copy, &action, error) < 0) {
        free(config);
        return NULL;
    }
    return config;
}

#define PARSE(error, ...)                                                                                    \
    parse((int)ARRAY_LEN(((const char *[]){"hypatia", __VA_ARGS__})),                                        \
          (const char *[]){"hypatia", __VA_ARGS__}, error)

Test(block_config, shorthands_have_their_places)
{
    struct error error = {{0}};
    struct vm_config *config =
        PARSE(&error, "-hdb", "b.qcow2", "-cdrom", "c.iso", "-fda", "f.img", "-snapshot", "disk.img");

    cr_assert_not_null(config, "%s", error.text);
    cr_assert_str_eq(config->ide[0].file, "disk.img");
    cr_assert_str_eq(config->ide[1].file, "b.qcow2");
    cr_assert(config->ide[2].cdrom);
    cr_assert_not(config->ide[3].present);
    cr_assert(config->floppy[0].present);
    cr_assert(config->snapshot);
    free(config);
}

Test(block_config, drive_takes_qemus_options)
{
    struct error error = {{0}};
    struct vm_config *config = PARSE(
        &error, "-drive", "file=a,,b.img,format=raw,cache=writethrough,discard=ignore,id=root,serial=S1",
        "-drive", "media=cdrom", "-drive", "if=floppy,index=1,file=f,readonly=on", "-drive",
        "file=q,format=qcow2,bus=1,unit=1,snapshot=on,aio=native,cache=none");

    cr_assert_not_null(config, "%s", error.text);
    cr_assert_str_eq(config->ide[0].file, "a,b.img");
    cr_assert_str_eq(config->ide[0].format, "raw");
    cr_assert_str_eq(config->ide[0].id, "root");
    cr_assert_str_eq(config->ide[0].serial, "S1");
    cr_assert_eq(config->ide[0].cache, CONFIG_CACHE_WRITETHROUGH);
    cr_assert(config->ide[0].ignore_discard);
    cr_assert(config->ide[1].present && config->ide[1].cdrom && !config->ide[1].file[0]);
    cr_assert(config->floppy[1].read_only);
    cr_assert(config->ide[3].snapshot);
    cr_assert_eq(config->ide[3].cache, CONFIG_CACHE_WRITEBACK);
    free(config);
}

Test(block_config, what_does_not_fit_is_refused_by_name)
{
    static const struct {
        const char *value, *word;
    } bad[] = {
        {"index=0", "needs file"},
        {"file=x,index=4", "index 4"},
        {"file=x,bus=2", "index 4"},
        {"file=x,unit=2", "index 2"},
        {"file=x,if=virtio", "'virtio'"},
        {"file=x,if=floppy,media=cdrom", "no CDs"},
        {"file=x,format=vmdk", "'vmdk'"},
        {"file=x,readonly=maybe", "readonly=maybe"},
        {"file=x,werror=stop", "'stop'"},
        {"file=x,nonsense=1", "'nonsense'"},
        {"file=x,serial=123456789012345678901", "serial"},
        {"x", "'x'"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct error error = {{0}};

        cr_assert_null(PARSE(&error, "-drive", bad[i].value), "%s", bad[i].value);
        cr_assert_not_null(strstr(error.text, bad[i].word), "%s: %s", bad[i].value, error.text);
    }
    struct error error = {{0}};
    cr_assert_null(PARSE(&error, "-hda", "a", "-drive", "file=b,index=0"));
    cr_assert_not_null(strstr(error.text, "already"));
}
