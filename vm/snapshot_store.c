/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The folder of a VM's snapshots: opening, listing, deleting. See vm/snapshot.h for what is in it.
 *
 * A snapshot comes and goes by the rename of one folder, between `new` and its name, between its name and `old`. Whatever
 * those two hold when the folder is opened is what a killed process left behind. Layers of disks are not in a snapshot's
 * folder, as several snapshots and the running VM lead to them; those that nothing leads to are removed.
 */
#include "vm/snapshot_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "vm/snapshot_merge.h"
#include "vm/snapshot_state.h"
#include "vm/vm.h"

enum { SNAPSHOTS_MAX = 4096 };

void snapshot_make_id(char id[SNAPSHOT_ID_LENGTH + 1])
{
    uint64_t value = 0;

    if (getrandom(&value, sizeof(value), 0) != sizeof(value)) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        value = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
    }
    snprintf(id, SNAPSHOT_ID_LENGTH + 1, "%016llx", (unsigned long long)value);
}

/* ---- where ---- */

/* Beside the first hard disk that can be written. */
static const char *default_disk(const struct vm_config *config)
{
    for (unsigned i = 0; i < CONFIG_IDE_DRIVES; i++) {
        const struct config_drive *drive = &config->ide[i];

        if (drive->present && !drive->cdrom && !drive->read_only && drive->file[0]) {
            return drive->file;
        }
    }
    return NULL;
}

static int store_path(struct snapshots *s, struct error *error)
{
    const struct vm_config *config = &s->vm->config;
    const char *disk = default_disk(config);
    int length;

    if (config->snapshots) {
        length = snprintf(s->path, sizeof(s->path), "%s", config->snapshots);
    } else if (disk && strncmp(disk, "/dev/", 5) != 0) {
        length = snprintf(s->path, sizeof(s->path), "%s.snapshots", disk);
    } else {
        s->path[0] = '\0';
        return error_set(
            error, -ENOENT,
            "there is no disk image to keep snapshots beside; name a folder with -snapshots DIR");
    }
    if (length < 0 || (size_t)length >= sizeof(s->path) ||
        snprintf(s->layers_path, sizeof(s->layers_path), "%s/layers", s->path) >=
            (int)sizeof(s->layers_path)) {
        return error_set(error, -ENAMETOOLONG, "the path of the snapshots' folder is too long");
    }
    return 0;
}

static struct snapshots *store_create(struct vm *vm)
{
    struct snapshots *s = calloc(1, sizeof(*s));

    if (s) {
        s->vm = vm;
        s->lock = s->root.fd = s->list.fd = s->layers.fd = -1;
        s->chains.layers = &s->layers;
        s->chains.path = s->layers_path;
        snapshot_tracker_init(&s->tracker, &vm->ram);
    }
    return s;
}

int snapshot_store_get(struct vm *vm, struct snapshots **snapshots, struct error *error)
{
    if (!vm->snapshots) {
        vm->snapshots = store_create(vm);
    }
    *snapshots = vm->snapshots;
    if (!vm->snapshots) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    return vm->snapshots->path[0] ? 0 : store_path(vm->snapshots, error);
}

/* ---- opening and closing ---- */

static int take_lock(struct snapshots *s, bool create, struct error *error)
{
    s->shared = s->vm->config.snapshot && !create;
    s->lock =
        openat(s->root.fd, "lock", s->shared ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->lock < 0) {
        return error_set(error, -errno, "cannot use the folder '%s': %s", s->path, strerror(errno));
    }
    return flock(s->lock, (s->shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0
               ? error_set(error, -EBUSY, "the snapshots in '%s' are in use by another VM", s->path)
               : 0;
}

/* The folder's own name has to last, too. */
static int sync_parent(const struct snapshots *s)
{
    struct host_dir parent;
    int result = host_dir_open(&parent, &s->root, "..", s->hook);

    if (result == 0) {
        result = host_sync_dir(&parent);
        host_dir_close(&parent);
    }
    return result;
}

static int make_folders(struct snapshots *s, bool create)
{
    int result = create ? host_mkdir(&s->root, "snapshots") : 0;

    if (create && result == 0) {
        result = host_mkdir(&s->root, "layers");
    }
    if (create && result == 0) {
        result = host_sync_dir(&s->root);
    }
    if (create && result == 0) {
        result = sync_parent(s);
    }
    if (result == 0) {
        result = host_dir_open(&s->list, &s->root, "snapshots", s->hook);
    }
    return result < 0 ? result : host_dir_open(&s->layers, &s->root, "layers", s->hook);
}

static int open_root(struct snapshots *s, bool create, struct error *error)
{
    struct host_dir here = {.fd = AT_FDCWD, .hook = s->hook};
    int result = create ? host_mkdir(&here, s->path) : 0;

    if (result == 0) {
        result = host_dir_open(&s->root, NULL, s->path, s->hook);
    }
    if (result == 0) {
        result = take_lock(s, create, error);
        return result < 0 ? result : 0;
    }
    return result == -ENOENT
               ? error_set(error, result,
                           "there are no snapshots: no folder '%s' (-snapshots DIR names another)", s->path)
               : error_set(error, result, "cannot open the folder '%s': %s", s->path, strerror(-result));
}

int snapshot_store_open(struct snapshots *s, bool create, struct error *error)
{
    int result;

    if (s->open) {
        return 0;
    }
    result = open_root(s, create, error);
    if (result == 0) {
        result = make_folders(s, create);
        if (result < 0) {
            error_set(error, result, "'%s' is no folder of snapshots: %s", s->path, strerror(-result));
        }
    }
    if (result == 0 && !s->shared) {
        host_remove_dir(&s->root, "new");
        host_remove_dir(&s->root, "old");
    }
    if (result == 0) {
        result = snapshot_current_read(&s->current, &s->root, error);
        result = result == -ENOENT ? 0 : result;
    }
    if (result < 0) {
        snapshot_store_close(s);
        return result;
    }
    s->open = true;
    return 0;
}

int snapshot_store_own(struct snapshots *s, struct error *error)
{
    if (!s->shared) {
        return 0;
    }
    if (flock(s->lock, LOCK_EX | LOCK_NB) < 0) {
        flock(s->lock, LOCK_SH | LOCK_NB);
        return error_set(error, -EBUSY, "the snapshots in '%s' are in use by another VM", s->path);
    }
    s->shared = false;
    host_remove_dir(&s->root, "new");
    host_remove_dir(&s->root, "old");
    return 0;
}

void snapshot_store_close(struct snapshots *s)
{
    host_dir_close(&s->list);
    host_dir_close(&s->layers);
    host_dir_close(&s->root);
    if (s->lock >= 0) {
        close(s->lock);
    }
    s->lock = -1;
    s->open = false;
}

/* ---- pieces of a snapshot ---- */

int snapshot_store_enter(struct snapshots *s, const char *name, struct host_dir *dir, struct error *error)
{
    int result = snapshot_check_name(name, error);

    if (result == 0) {
        result = snapshot_store_open(s, false, error);
    }
    if (result < 0) {
        return result;
    }
    result = host_dir_open(dir, &s->list, name, s->hook);
    if (result == -ENOENT) {
        return error_set(error, result, "there is no snapshot '%s' in '%s' (info snapshots lists them)", name,
                         s->path);
    }
    return result < 0 ? error_set(error, result, "cannot open the snapshot '%s': %s", name, strerror(-result))
                      : 0;
}

int snapshot_store_read(const struct host_dir *dir, const char *file, const struct snapshot_section *section,
                        size_t max, uint8_t **bytes, struct error *error)
{
    size_t length = 0;
    int result =
        section->length > max ? -EFBIG : host_read(dir, file, (size_t)section->length, bytes, &length);

    if (result == -EFBIG) {
        return error_set(error, -EINVAL, "'%s' is damaged: it is too long", file);
    }
    if (result < 0) {
        return error_set(error, result, "cannot read '%s': %s", file, strerror(-result));
    }
    if (length != section->length || XXH3_64bits(*bytes, length) != section->checksum) {
        free(*bytes);
        *bytes = NULL;
        return error_set(error, -EINVAL, "'%s' is damaged: its length or checksum differs", file);
    }
    return 0;
}

int snapshot_store_state(const struct snapshot_manifest *manifest, const struct host_dir *dir,
                         uint8_t **bytes, struct error *error)
{
    size_t size = (size_t)manifest->state_size;
    uint8_t *packed = NULL;
    int result = manifest->state_size > SNAPSHOT_STATE_MAX
                     ? error_set(error, -EINVAL, "its state is too long")
                     : snapshot_store_read(dir, "state", &manifest->state,
                                           ZSTD_compressBound(SNAPSHOT_STATE_MAX), &packed, error);

    if (result < 0) {
        return result;
    }
    *bytes = malloc(size + 1);
    if (!*bytes) {
        result = error_set(error, -ENOMEM, "out of memory");
    } else if (ZSTD_decompress(*bytes, size, packed, manifest->state.length) != size) {
        result = error_set(error, -EINVAL, "'state' does not unpack to %zu bytes", size);
    }
    if (result < 0) {
        free(*bytes);
        *bytes = NULL;
    }
    free(packed);
    return result;
}

int snapshot_store_pages(const struct snapshot_manifest *manifest, const struct host_dir *dir,
                         struct snapshot_ram *pages, struct error *error)
{
    uint64_t frames = manifest->memory >> PAGE_SHIFT;
    uint8_t *bytes = NULL;
    int result =
        snapshot_store_read(dir, "pages", &manifest->pages, snapshot_ram_pack_max(frames), &bytes, error);

    *pages = (struct snapshot_ram){.frames = frames, .files = manifest->files};
    memcpy(pages->file, manifest->file, sizeof(pages->file));
    if (result == 0) {
        result = snapshot_ram_unpack(pages, bytes, manifest->pages.length, error);
    }
    free(bytes);
    if (result < 0) {
        snapshot_ram_fini(pages);
    }
    return result;
}

void snapshot_store_describe(const struct snapshots *s, bool planned, struct snapshot_disks *disks)
{
    struct snapshot_disks all;

    snapshot_chains_describe(&s->chains, planned, &all);
    disks->count = 0;
    for (unsigned i = 0; i < all.count; i++) {
        const struct snapshot_disk *before = snapshot_disks_find(&s->current.disks, all.disk[i].id);

        if (!s->chains.chain[i].disk->snapshot) {
            disks->disk[disks->count++] = all.disk[i];
        } else if (before) {
            disks->disk[disks->count++] = *before;
        }
    }
}

/* On failure the new file may already be there, and not last: the old one is put back. */
int snapshot_store_set_current(struct snapshots *s, const struct snapshot_current *current,
                               struct error *error)
{
    int result = s->shared ? 0 : snapshot_current_write(current, &s->root, error);

    if (result == 0) {
        s->current = *current;
    } else {
        snapshot_current_write(&s->current, &s->root, NULL);
    }
    return result;
}

/* ---- all snapshots ---- */

struct entry {
    char name[SNAPSHOT_NAME_MAX + 1];
    struct snapshot_manifest *manifest; /* NULL: it cannot be read; why is in `error` */
    struct error error;
    int parent; /* its nearest ancestor that is there; -1: none */
};

struct tree {
    struct entry *entry;
    size_t count;
};

static void tree_fini(struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->entry[i].manifest) {
            snapshot_manifest_fini(tree->entry[i].manifest);
            free(tree->entry[i].manifest);
        }
    }
    free(tree->entry);
}

static void tree_read_entry(struct snapshots *s, struct entry *entry)
{
    struct snapshot_manifest *manifest = malloc(sizeof(*manifest));
    struct host_dir dir;
    int result = manifest ? snapshot_store_enter(s, entry->name, &dir, &entry->error) : -ENOMEM;

    if (result == 0) {
        result = snapshot_manifest_read(manifest, &dir, entry->name, &entry->error);
        host_dir_close(&dir);
    }
    if (result < 0) {
        free(manifest);
        manifest = NULL;
    }
    entry->manifest = manifest;
    entry->parent = -1;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *one = a, *other = b;
    uint64_t one_time = one->manifest ? one->manifest->time_ns : 0;
    uint64_t other_time = other->manifest ? other->manifest->time_ns : 0;

    return one_time != other_time ? (one_time < other_time ? -1 : 1) : strcmp(one->name, other->name);
}

static void tree_find_parent(struct tree *tree, struct entry *entry)
{
    const struct snapshot_line *line = entry->manifest ? &entry->manifest->line : NULL;

    for (unsigned i = 0; line && i < line->count && entry->parent < 0; i++) {
        for (size_t k = 0; k < tree->count; k++) {
            const struct snapshot_manifest *other = tree->entry[k].manifest;

            if (&tree->entry[k] != entry && other && !strcmp(other->self.id, line->ancestor[i].id)) {
                entry->parent = (int)k;
                break;
            }
        }
    }
}

static int tree_read(struct snapshots *s, struct tree *tree, struct error *error)
{
    int fd = openat(s->list.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    *tree = (struct tree){0};
    if (!list) {
        return error_set(error, -errno, "cannot list the folder '%s': %s", s->path, strerror(errno));
    }
    while ((entry = readdir(list)) && tree->count < SNAPSHOTS_MAX) {
        struct entry *grown;

        if (snapshot_check_name(entry->d_name, NULL) < 0) {
            continue;
        }
        grown = realloc(tree->entry, (tree->count + 1) * sizeof(*grown));
        if (!grown) {
            break;
        }
        tree->entry = grown;
        grown = &tree->entry[tree->count++];
        memset(grown, 0, sizeof(*grown));
        strcpy(grown->name, entry->d_name);
        tree_read_entry(s, grown);
    }
    closedir(list);
    if (tree->count) {
        qsort(tree->entry, tree->count, sizeof(*tree->entry), compare_entries);
    }
    for (size_t i = 0; i < tree->count; i++) {
        tree_find_parent(tree, &tree->entry[i]);
    }
    return 0;
}

/* ---- layers that nothing leads to ---- */

static bool disks_use(const struct snapshot_disks *disks, const char *layer)
{
    for (unsigned i = 0; i < disks->count; i++) {
        for (unsigned k = 0; k < disks->disk[i].layers; k++) {
            if (!strcmp(disks->disk[i].layer[k], layer)) {
                return true;
            }
        }
    }
    return false;
}

static bool layer_is_used(const struct snapshots *s, const struct tree *tree, const char *layer)
{
    bool used = disks_use(&s->current.disks, layer);

    for (unsigned i = 0; i < s->chains.count; i++) {
        const struct snapshot_disk *now = &s->chains.chain[i].now;

        for (unsigned k = 0; k < now->layers; k++) {
            used |= !strcmp(now->layer[k], layer);
        }
    }
    for (size_t i = 0; i < tree->count && !used; i++) {
        /* One that cannot be read may need it. */
        used = !tree->entry[i].manifest || disks_use(&tree->entry[i].manifest->disks, layer);
    }
    return used;
}

void snapshot_store_sweep_layers(struct snapshots *s)
{
    int fd = openat(s->layers.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct tree tree;

    if (!list) {
        return;
    }
    if (!s->shared && tree_read(s, &tree, NULL) == 0) {
        while ((entry = readdir(list))) {
            if (entry->d_name[0] != '.' && !layer_is_used(s, &tree, entry->d_name)) {
                host_remove(&s->layers, entry->d_name);
            }
        }
        tree_fini(&tree);
    }
    closedir(list);
}

/* ---- layers that could be one ---- */

static int find_layer(const struct snapshot_disk *disk, const char *layer)
{
    for (unsigned i = 0; i < disk->layers; i++) {
        if (!strcmp(disk->layer[i], layer)) {
            return (int)i;
        }
    }
    return -1;
}

static void note_boundaries(const struct snapshot_disk *disk, const struct snapshot_disk *other, bool *needed)
{
    for (unsigned i = 0; i < disk->layers; i++) {
        int at = find_layer(other, disk->layer[i]);
        bool goes_on = at >= 0 && i + 1 < disk->layers && (unsigned)at + 1 < other->layers &&
                       !strcmp(disk->layer[i + 1], other->layer[at + 1]);

        needed[i] = needed[i] || (at >= 0 && !goes_on);
    }
}

bool snapshot_store_boundaries(struct snapshots *s, const struct snapshot_disk *disk,
                               bool needed[SNAPSHOT_LAYERS_MAX])
{
    struct tree tree;
    bool known = tree_read(s, &tree, NULL) == 0;

    memset(needed, 0, SNAPSHOT_LAYERS_MAX * sizeof(*needed));
    for (size_t i = 0; i < tree.count && known; i++) {
        const struct snapshot_manifest *manifest = tree.entry[i].manifest;
        const struct snapshot_disk *other = manifest ? snapshot_disks_find(&manifest->disks, disk->id) : NULL;

        known = manifest != NULL;
        if (other) {
            note_boundaries(disk, other, needed);
        }
    }
    tree_fini(&tree);
    return known;
}

/* False: it does not have all of them. */
static bool replace_in_disk(struct snapshot_disk *disk, const struct snapshot_run *run, const char *name)
{
    int at = find_layer(disk, run->layer[0]);
    unsigned first = (unsigned)at, end = first + run->count;

    if (at < 0 || !snapshot_run_is_in(run, disk, first)) {
        return false;
    }
    memset(disk->layer[first], 0, sizeof(disk->layer[first]));
    memcpy(disk->layer[first], name, strlen(name));
    memmove(disk->layer[first + 1], disk->layer[end], (disk->layers - end) * sizeof(disk->layer[0]));
    disk->layers -= run->count - 1;
    return true;
}

static int replace_in_manifest(struct snapshots *s, struct snapshot_manifest *manifest, struct error *error)
{
    struct host_dir dir;
    size_t length = 0;
    char *text = snapshot_manifest_print(manifest, &length);
    int result = text ? snapshot_store_enter(s, manifest->self.name, &dir, error) : -ENOMEM;

    if (result == 0) {
        result = host_replace(&dir, "manifest", text, length);
        host_dir_close(&dir);
    }
    free(text);
    return result < 0 ? error_set(error, result, "snapshot '%s': %s", manifest->self.name, strerror(-result))
                      : 0;
}

int snapshot_store_replace_layers(struct snapshots *s, const struct snapshot_run *run, const char *name,
                                  struct error *error)
{
    struct tree tree;
    int result = tree_read(s, &tree, error);

    for (size_t i = 0; i < tree.count && result == 0; i++) {
        struct snapshot_manifest *manifest = tree.entry[i].manifest;

        for (unsigned k = 0; manifest && k < manifest->disks.count && result == 0; k++) {
            struct snapshot_disk *disk = &manifest->disks.disk[k];

            if (!strcmp(disk->id, run->drive) && replace_in_disk(disk, run, name)) {
                result = replace_in_manifest(s, manifest, error);
            }
        }
    }
    tree_fini(&tree);
    return result;
}

/* ---- listing ---- */

static bool has_later_sibling(const struct tree *tree, size_t number)
{
    for (size_t i = number + 1; i < tree->count; i++) {
        if (tree->entry[i].parent == tree->entry[number].parent) {
            return true;
        }
    }
    return false;
}

/* "|  |  `- " before an entry, by the later siblings of its ancestors. */
static void format_branch(const struct tree *tree, size_t number, char *text, size_t size)
{
    char line[3 * SNAPSHOT_ANCESTORS_MAX + 1] = "";
    size_t used = sizeof(line) - 1;
    int at = (int)number;

    line[used] = '\0';
    for (bool first = true; tree->entry[at].parent >= 0 && used >= 3; first = false) {
        bool later = has_later_sibling(tree, (size_t)at);

        used -= 3;
        memcpy(line + used, first ? (later ? "|- " : "`- ") : (later ? "|  " : "   "), 3);
        at = tree->entry[at].parent;
    }
    snprintf(text, size, "%s", line + used);
}

static bool is_current(const struct snapshots *s, const struct snapshot_manifest *manifest)
{
    return s->current.line.count && !strcmp(s->current.line.ancestor[0].id, manifest->self.id);
}

static void print_entry(struct snapshots *s, const struct tree *tree, size_t number, FILE *out)
{
    const struct entry *entry = &tree->entry[number];
    const struct snapshot_manifest *manifest = entry->manifest;
    char branch[256], left[330], date[40] = "";
    struct tm broken;
    time_t when;

    format_branch(tree, number, branch, sizeof(branch));
    if (!manifest) {
        fprintf(out, "  %s%s: %s\n", branch, entry->name, entry->error.text);
        return;
    }
    when = (time_t)(manifest->time_ns / NS_PER_SEC);
    if (localtime_r(&when, &broken)) {
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &broken);
    }
    snprintf(left, sizeof(left), "%s%s", branch, manifest->self.name);
    fprintf(out, "%c %-24s %s  guest %llu.%03llu s  %llu KiB%s%s\n", is_current(s, manifest) ? '*' : ' ',
            left, date, (unsigned long long)(manifest->guest_ns / NS_PER_SEC),
            (unsigned long long)(manifest->guest_ns / 1000000 % 1000),
            (unsigned long long)((manifest->saved_bytes + manifest->state.length) / KIB),
            *manifest->note ? "  " : "", manifest->note);
}

/* Depth first; an ancestor is never its own descendant, as ids of ancestors are older. A made-up ring is not reached. */
static void print_below(struct snapshots *s, const struct tree *tree, int parent, unsigned depth, FILE *out)
{
    for (size_t i = 0; i < tree->count && depth < SNAPSHOT_ANCESTORS_MAX; i++) {
        if (tree->entry[i].parent == parent) {
            print_entry(s, tree, i, out);
            print_below(s, tree, (int)i, depth + 1, out);
        }
    }
}

/* The VM's snapshots, for tree_fini(). */
static int read_all(struct vm *vm, struct snapshots **s, struct tree *tree, struct error *error)
{
    int result = snapshot_store_get(vm, s, error);

    if (result == 0) {
        result = snapshot_store_open(*s, false, error);
    }
    return result == 0 ? tree_read(*s, tree, error) : result;
}

int snapshot_each(struct vm *vm, void (*each)(void *opaque, const struct snapshot_entry *entry), void *opaque,
                  struct error *error)
{
    struct snapshots *s;
    struct tree tree;
    int result = read_all(vm, &s, &tree, error);

    if (result < 0) {
        return result;
    }
    for (size_t i = 0; i < tree.count; i++) {
        const struct snapshot_manifest *manifest = tree.entry[i].manifest;
        struct snapshot_entry entry = {.name = tree.entry[i].name};

        if (!manifest) {
            entry.broken = tree.entry[i].error.text;
        } else {
            entry.note = manifest->note;
            entry.parent = tree.entry[i].parent >= 0 ? tree.entry[tree.entry[i].parent].name : NULL;
            entry.current = is_current(s, manifest);
            entry.time_ns = manifest->time_ns;
            entry.guest_ns = manifest->guest_ns;
            entry.bytes = manifest->saved_bytes + manifest->state.length;
        }
        each(opaque, &entry);
    }
    tree_fini(&tree);
    return 0;
}

int snapshot_list(struct vm *vm, FILE *out, struct error *error)
{
    struct snapshots *s;
    struct tree tree;
    int result = read_all(vm, &s, &tree, error);

    if (result < 0) {
        return result;
    }
    if (tree.count == 0) {
        fprintf(out, "there are no snapshots in '%s'\n", s->path);
    }
    print_below(s, &tree, -1, 0, out);
    tree_fini(&tree);
    return 0;
}

/* ---- deleting ---- */

static int take_out(struct snapshots *s, const char *name)
{
    int result = host_remove_dir(&s->root, "old");

    if (result == 0) {
        result = host_rename(&s->list, name, &s->root, "old");
    }
    if (result == 0) {
        result = host_sync_dir(&s->list);
        if (result < 0) { /* whether it is gone after a crash is not known: put it back */
            host_rename(&s->root, "old", &s->list, name);
        }
    }
    return result;
}

int snapshot_delete(struct vm *vm, const char *name, struct error *error)
{
    struct snapshots *s;
    struct host_dir dir;
    int result = snapshot_store_get(vm, &s, error);

    if (result < 0) {
        return result;
    }
    snapshot_collect(s, NULL);
    result = snapshot_store_enter(s, name, &dir, error);
    if (result < 0) {
        return result;
    }
    host_dir_close(&dir);
    result = snapshot_store_own(s, error);
    if (result < 0) {
        return result;
    }
    result = take_out(s, name);
    if (result < 0) {
        return error_set(error, result, "cannot remove the snapshot '%s': %s", name, strerror(-result));
    }
    host_remove_dir(&s->root, "old"); /* if that fails, the next opening tries again */
    if (s->current.line.count && !strcmp(s->current.line.ancestor[0].name, name)) {
        snapshot_tracker_forget(&s->tracker); /* its pages are gone as something to build on */
    }
    snapshot_store_sweep_layers(s);
    snapshot_merge_begin(s);
    return 0;
}
