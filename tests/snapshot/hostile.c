/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Snapshots that are cut off, flipped, or made up with care: a load refuses them with one line and leaves the VM as it was,
 * or accepts a state the machine can be in and runs on.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "machine.h"

enum { AT = 100000, LATER = 130000, FLIPS = 60, FILES_MAX = 8 };

static const char folder[] = STORE "/snapshots/a";

struct file {
    char path[300];
    uint8_t *bytes;
    size_t length;
};

struct files {
    struct file file[FILES_MAX];
    unsigned count;
};

static struct file read_file(const char *path)
{
    struct file file = {.bytes = NULL};
    struct stat status;
    FILE *in = fopen(path, "r");

    cr_assert_not_null(in, "%s", path);
    fstat(fileno(in), &status);
    snprintf(file.path, sizeof(file.path), "%s", path);
    file.length = (size_t)status.st_size;
    file.bytes = malloc(file.length + 1);
    cr_assert_eq(fread(file.bytes, 1, file.length, in), file.length);
    fclose(in);
    return file;
}

static void write_file(const char *path, const void *bytes, size_t length)
{
    FILE *out = fopen(path, "w");

    cr_assert_not_null(out);
    cr_assert_eq(fwrite(bytes, 1, length, out), length);
    cr_assert_eq(fclose(out), 0);
}

static void add_file(struct files *files, const char *format, const char *name)
{
    char path[300];

    snprintf(path, sizeof(path), format, folder, name);
    files->file[files->count++] = read_file(path);
}

/* The manifest as JSON, and back with a head that vouches for it. */
static json_t *manifest_read(void)
{
    struct file file = read_file(STORE "/snapshots/a/manifest");
    const char *text = memchr(file.bytes, '\n', file.length);
    json_t *json = json_loadb(text, file.length - (size_t)(text - (char *)file.bytes), 0, NULL);

    cr_assert_not_null(json);
    free(file.bytes);
    return json;
}

static void manifest_write(const json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_PRESERVE_ORDER), *sealed;
    int length = asprintf(&sealed, "hypatia-snapshot 1 %zu %016llx\n%s", strlen(text),
                          (unsigned long long)XXH3_64bits(text, strlen(text)), text);

    write_file(STORE "/snapshots/a/manifest", sealed, (size_t)length);
    free(sealed);
    free(text);
}

static const char *ram_name(json_t *manifest)
{
    return json_string_value(json_object_get(json_array_get(json_object_get(manifest, "files"), 0), "name"));
}

/* A VM with a snapshot `a`, that has gone on. In a folder with images for other drives. */
static struct vm *prepare_with(const char *options, struct files *files, struct machine_look *look)
{
    struct vm *vm;
    json_t *manifest;

    machine_enter();
    machine_shell("head -c 1474560 /dev/zero >floppy; head -c 65536 /dev/zero >cd.iso");
    vm = machine_create(options);
    machine_run_to(vm, AT);
    machine_save(vm, "a");
    machine_run_to(vm, LATER);
    *look = machine_look(vm);
    manifest = manifest_read();
    add_file(files, "%s/%s", "manifest");
    add_file(files, "%s/%s", "state");
    add_file(files, "%s/%s", "pages");
    add_file(files, "%s/%s", ram_name(manifest));
    json_decref(manifest);
    return vm;
}

static struct vm *prepare(struct files *files, struct machine_look *look)
{
    return prepare_with("-accel dbt", files, look);
}

static void finish(struct vm *vm, struct files *files)
{
    vm_destroy(vm);
    for (unsigned i = 0; i < files->count; i++) {
        free(files->file[i].bytes);
    }
    machine_leave();
}

static void expect_refusal(struct vm *vm, const struct machine_look *look, const char *what)
{
    struct error error = {{0}};

    cr_assert_lt(snapshot_load(vm, "a", &error), 0, "%s", what);
    cr_assert_gt(strlen(error.text), 10, "%s", what);
    cr_assert_null(strchr(error.text, '\n'));
    machine_expect(vm, look, what);
}

Test(snapshot_hostile, files_cut_off_or_flipped_are_refused)
{
    struct files files = {.count = 0};
    struct machine_look look;
    struct vm *vm = prepare(&files, &look);
    uint64_t random = 3;

    for (unsigned i = 0; i < files.count; i++) {
        struct file *file = &files.file[i];

        for (unsigned k = 0; k < FLIPS; k++) {
            size_t at = machine_random(&random, (uint32_t)file->length);
            uint8_t bit = (uint8_t)BIT(machine_random(&random, 8));

            at = k < 12 ? MIN(k, file->length - 1) : at;
            file->bytes[at] ^= bit;
            write_file(file->path, file->bytes, file->length);
            expect_refusal(vm, &look, file->path);
            file->bytes[at] ^= bit;
            write_file(file->path, file->bytes, k % 3 ? at : file->length - 1);
            expect_refusal(vm, &look, file->path);
        }
        write_file(file->path, "", 0);
        expect_refusal(vm, &look, file->path);
        unlink(file->path);
        expect_refusal(vm, &look, file->path);
        cr_assert_eq(symlink("/etc/passwd", file->path), 0);
        expect_refusal(vm, &look, "a symbolic link");
        unlink(file->path);
        write_file(file->path, file->bytes, file->length);
    }
    machine_load(vm, "a");
    finish(vm, &files);
}

/* ---- with checksums that fit ---- */

static void set_hex(json_t *object, const char *key, uint64_t value)
{
    char text[20];

    snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
    json_object_set_new(object, key, json_string(text));
}

/* Put other bytes into a section, and vouch for them. */
static void forge_section(const char *section, const void *bytes, size_t length)
{
    json_t *manifest = manifest_read();
    json_t *entry = json_object_get(manifest, section);
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", folder, section);
    write_file(path, bytes, length);
    json_object_set_new(entry, "length", json_integer((json_int_t)length));
    set_hex(entry, "xxh3", XXH3_64bits(bytes, length));
    manifest_write(manifest);
    json_decref(manifest);
}

/* The state, as the devices wrote it; the caller frees it. */
static uint8_t *unpack_state(const struct files *files, size_t *length)
{
    json_t *manifest = manifest_read();
    uint8_t *bytes;

    *length = (size_t)json_integer_value(json_object_get(manifest, "state_size"));
    bytes = malloc(*length + 1);
    cr_assert_eq(ZSTD_decompress(bytes, *length, files->file[1].bytes, files->file[1].length), *length);
    json_decref(manifest);
    return bytes;
}

static void forge_state(const uint8_t *bytes, size_t length)
{
    size_t bound = ZSTD_compressBound(length);
    uint8_t *packed = malloc(bound);
    json_t *manifest;

    forge_section("state", packed, ZSTD_compress(packed, bound, bytes, length, 1));
    manifest = manifest_read();
    json_object_set_new(manifest, "state_size", json_integer((json_int_t)length));
    manifest_write(manifest);
    json_decref(manifest);
    free(packed);
}

static void put_back(const struct files *files)
{
    for (unsigned i = 0; i < files->count; i++) {
        write_file(files->file[i].path, files->file[i].bytes, files->file[i].length);
    }
}

/* Loaded or refused; if loaded, it runs. */
static bool try_load(struct vm *vm, const struct machine_look *look)
{
    struct error error = {{0}};

    if (snapshot_load(vm, "a", &error) < 0) {
        cr_assert_gt(strlen(error.text), 10);
        cr_assert_null(strchr(error.text, '\n'));
        machine_expect(vm, look, error.text);
        return false;
    }
    cr_assert(machine_run_insns(vm, 3000, false), "%s", vm->cpu->internal_error);
    return true;
}

/* A VM that a forged state was loaded into is done with. */
static struct vm *another_vm(struct vm *vm, const char *options, const struct files *files,
                             struct machine_look *look)
{
    char all[200];

    vm_destroy(vm);
    put_back(files);
    snprintf(all, sizeof(all), "%s -loadvm a", options);
    vm = machine_create(all);
    machine_run_to(vm, LATER);
    *look = machine_look(vm);
    return vm;
}

static void forge_states(const char *options, unsigned rounds, uint64_t random)
{
    struct files files = {.count = 0};
    struct machine_look look;
    struct vm *vm = prepare_with(options, &files, &look);
    size_t length;
    uint8_t *state = unpack_state(&files, &length), *bytes = malloc(length);
    unsigned loaded = 0, refused = 0;

    for (unsigned round = 0; round < rounds; round++) {
        unsigned changes = 1 + machine_random(&random, 3);

        memcpy(bytes, state, length);
        for (unsigned i = 0; i < changes; i++) {
            /* Mostly where the chips are, not their buffers. */
            size_t at = machine_random(&random, round % 4 ? 40000 : (uint32_t)length);
            static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};

            bytes[at] =
                round % 2 ? values[machine_random(&random, 5)] : (uint8_t)machine_random(&random, 256);
        }
        forge_state(bytes, length);
        if (try_load(vm, &look)) {
            loaded++;
            vm = another_vm(vm, options, &files, &look);
        } else {
            refused++;
        }
        put_back(&files);
    }
    cr_log_info("%u loaded, %u refused", loaded, refused);
    cr_assert_gt(loaded, 10);
    cr_assert_gt(refused, 10);
    free(bytes);
    free(state);
    finish(vm, &files);
}

Test(snapshot_hostile, forged_states_are_refused_or_possible)
{
    forge_states("-accel dbt", 400, 17);
}

Test(snapshot_hostile, forged_states_of_many_devices_are_refused_or_possible)
{
    forge_states("-accel dbt -vga std -fda floppy -cdrom cd.iso -nic user,model=e1000", 300, 19);
    forge_states("-accel interp -vga std -nic user,model=ne2k_pci", 100, 23);
}

/* The last device cannot be loaded: all before it have been, and go back. */
Test(snapshot_hostile, a_refusal_at_the_end_changes_nothing)
{
    struct files files = {.count = 0};
    struct machine_look look;
    struct vm *vm = prepare(&files, &look);
    size_t length;
    uint8_t *state = unpack_state(&files, &length);

    state[length] = 0;
    forge_state(state, length + 1);
    expect_refusal(vm, &look, "a byte more");
    forge_state(state, length - 1);
    expect_refusal(vm, &look, "a byte less");
    put_back(&files);
    machine_run_to(vm, LATER + 50000);
    look = machine_look(vm);
    machine_load(vm, "a");
    machine_run_to(vm, LATER + 50000);
    machine_expect(vm, &look, "the same end");
    free(state);
    finish(vm, &files);
}

Test(snapshot_hostile, forged_places_of_pages_are_refused_or_give_some_page)
{
    struct files files = {.count = 0};
    struct machine_look look;
    struct vm *vm = prepare(&files, &look);
    const struct file *pages = &files.file[2];
    size_t size = vm->ram.size / PAGE_SIZE * 8, bound = ZSTD_compressBound(size);
    uint8_t *raw = malloc(size), *packed = malloc(bound);
    uint64_t random = 23;

    for (unsigned round = 0; round < 60; round++) {
        uint64_t *place = (uint64_t *)(void *)raw;

        cr_assert_eq(ZSTD_decompress(raw, size, pages->bytes, pages->length), size);
        for (unsigned i = 0; i < 4; i++) {
            static const uint64_t bad[] = {1,
                                           0xffff,
                                           (uint64_t)2 << 48,
                                           UINT64_MAX,
                                           (uint64_t)1 << 48 | 0x40,
                                           (uint64_t)1 << 48 | 0xffff0000};

            place[machine_random(&random, 64)] =
                i % 2 ? bad[machine_random(&random, ARRAY_LEN(bad))] : place[machine_random(&random, 64)];
        }
        forge_section("pages", packed, ZSTD_compress(packed, bound, raw, round % 5 ? size : size - 8, 1));
        if (try_load(vm, &look)) {
            vm = another_vm(vm, "-accel dbt", &files, &look);
        }
        put_back(&files);
    }
    /* A bomb: little that unpacks to much. */
    free(raw);
    raw = calloc(1, 64 * MIB);
    free(packed);
    packed = malloc(ZSTD_compressBound(64 * MIB));
    forge_section("pages", packed, ZSTD_compress(packed, ZSTD_compressBound(64 * MIB), raw, 64 * MIB, 1));
    expect_refusal(vm, &look, "a bomb");
    free(raw);
    free(packed);
    finish(vm, &files);
}

/* Each value of the manifest by others that JSON allows. */
static json_t *strange_value(unsigned number)
{
    switch (number) {
    case 0:
        return json_integer(-1);
    case 1:
        return json_integer(INT64_MAX);
    case 2:
        return json_integer(0);
    case 3:
        return json_string("../../../etc/passwd");
    case 4:
        return json_string("");
    case 5:
        return json_string("ffffffffffffffff");
    case 6:
        return json_null();
    case 7:
        return json_array();
    default:
        return json_object();
    }
}

enum { STRANGE_VALUES = 9 };

struct forgery {
    struct vm *vm;
    const struct machine_look *look;
    json_t *manifest;
};

static void forge_value(struct forgery *forgery, json_t *parent, const char *key, size_t index)
{
    json_t *before = json_incref(key ? json_object_get(parent, key) : json_array_get(parent, index));

    for (unsigned i = 0; i < STRANGE_VALUES; i++) {
        json_t *value = strange_value(i);
        struct error error = {{0}};
        bool harmless = key && (!strcmp(key, "note") || !strcmp(key, "time_ns") || !strcmp(key, "guest_ns") ||
                                !strncmp(key, "saved_", 6) || !strcmp(key, "base_time") ||
                                !strcmp(key, "base_size") || !strcmp(key, "ancestors") || !strcmp(key, "id"));

        if (!json_equal(value, before) && !harmless) {
            if (key) {
                json_object_set(parent, key, value);
            } else {
                json_array_set(parent, index, value);
            }
            manifest_write(forgery->manifest);
            cr_assert_lt(snapshot_load(forgery->vm, "a", &error), 0, "%s = strange value %u",
                         key ? key : "element", i);
            cr_assert_gt(strlen(error.text), 10);
            machine_expect(forgery->vm, forgery->look, error.text);
        }
        json_decref(value);
    }
    if (key) {
        json_object_set(parent, key, before);
    } else {
        json_array_set(parent, index, before);
    }
    json_decref(before);
}

static void forge_all(struct forgery *forgery, json_t *json)
{
    const char *key;
    void *next;
    json_t *value;
    size_t index;

    json_object_foreach_safe(json, next, key, value)
    {
        forge_all(forgery, value);
        forge_value(forgery, json, key, 0);
    }
    json_array_foreach(json, index, value)
    {
        forge_all(forgery, value);
        forge_value(forgery, json, NULL, index);
    }
}

Test(snapshot_hostile, forged_manifests_are_refused)
{
    struct files files = {.count = 0};
    struct machine_look look;
    struct vm *vm = prepare(&files, &look);
    struct forgery forgery = {.vm = vm, .look = &look, .manifest = manifest_read()};

    forge_all(&forgery, forgery.manifest);
    put_back(&files);
    machine_load(vm, "a");
    json_decref(forgery.manifest);
    finish(vm, &files);
}

Test(snapshot_hostile, layers_lead_nowhere_else)
{
    struct files files = {.count = 0};
    struct machine_look look;
    struct vm *vm = prepare(&files, &look);
    struct error error = {{0}};
    json_t *manifest = manifest_read();
    json_t *disk = json_array_get(json_object_get(manifest, "disks"), 0);
    uint8_t *bytes = malloc(DISK_BYTES);

    /* A layer with a backing file of its own choice: what it names is not opened. */
    machine_shell("head -c 1048576 /dev/zero | tr '\\0' x >secret");
    cr_assert_eq(image_create(STORE "/layers/forged.qcow2", "qcow2",
                              &(struct image_create_options){.size = DISK_BYTES,
                                                             .backing = "../../secret",
                                                             .backing_format = "raw",
                                                             .flags = IMAGE_NO_BACKING | IMAGE_ANY_BACKING},
                              &error),
                 0, "%s", error.text);
    json_array_append_new(json_object_get(disk, "layers"), json_string("forged.qcow2"));
    manifest_write(manifest);
    if (snapshot_load(vm, "a", &error) == 0) {
        cr_assert_eq(image_read(vm->drives.ide[0]->image, 0, bytes, DISK_BYTES), 0);
        cr_assert_null(memchr(bytes + DISK_BYTES / 2, 'x', DISK_BYTES / 2));
    }
    free(bytes);
    json_decref(manifest);
    finish(vm, &files);
}

Test(snapshot_hostile, a_damaged_current_is_refused_at_the_start)
{
    struct files files = {.count = 0};
    struct machine_look look;
    struct vm *vm = prepare(&files, &look);
    struct file current = read_file(STORE "/current");
    uint64_t random = 5;

    vm_destroy(vm);
    for (unsigned i = 0; i < 40; i++) {
        struct error error = {{0}};
        size_t at = machine_random(&random, (uint32_t)current.length);

        current.bytes[at] ^= 0x10;
        write_file(current.path, current.bytes, i % 2 ? current.length : at);
        cr_assert_null(machine_try("", &error), "%zu", at);
        cr_assert_not_null(strstr(error.text, "'current'"), "%s", error.text);
        current.bytes[at] ^= 0x10;
    }
    write_file(current.path, current.bytes, current.length);
    free(current.bytes);
    finish(machine_create(""), &files);
}

/* ---- other machines ---- */

static void expect_difference(const char *options, const char *named, const char *also)
{
    struct error error = {{0}};

    cr_assert_null(machine_try(options, &error));
    cr_assert_not_null(strstr(error.text, named), "%s", error.text);
    cr_assert_not_null(strstr(error.text, also), "%s", error.text);
}

Test(snapshot_hostile, another_machine_is_refused_with_each_difference)
{
    struct files files = {.count = 0};
    struct machine_look look;
    struct vm *vm = prepare(&files, &look);

    vm_destroy(vm);
    expect_difference("-m 4 -loadvm a", "memory: here 4096 KiB, in the snapshot 2048 KiB", "another machine");
    expect_difference("-vga std -cpu pentium2 -loadvm a", "device vga: here vga", "processor: here pentium2");
    expect_difference("-icount 4,sleep=off -loadvm a", "time: here -icount 4, in the snapshot -icount 3", "");
    expect_difference("-fda " DISK_FILE "2 -loadvm a", "disk floppy0", "cannot open");
    machine_shell("head -c 1474560 /dev/zero >floppy; truncate -s +512 " DISK_FILE);
    expect_difference("-loadvm a", "drive ide0-hd0", "was changed after the snapshots");
    machine_shell("truncate -s -512 " DISK_FILE "; touch -d '2001-01-01' " DISK_FILE);
    expect_difference("-loadvm a", "drive ide0-hd0", "was changed after the snapshots");
    for (unsigned i = 0; i < files.count; i++) {
        free(files.file[i].bytes);
    }
    machine_leave();
}
