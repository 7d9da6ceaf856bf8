/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Manifests: writing, and reading with suspicion. See vm/snapshot_manifest.h. Fingerprints are in snapshot_machine.c.
 */
#include "vm/snapshot_manifest.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FORMAT = 1, HEAD_MAX = 80 };

void snapshot_manifest_fini(struct snapshot_manifest *manifest)
{
    json_decref(manifest->machine);
    manifest->machine = NULL;
}

/* ---- names ---- */

/* Letters, digits and . _ - + only, and not a dot or a dash first: a file's name that leads nowhere else. */
static bool is_plain_name(const char *name, size_t max)
{
    size_t length = strlen(name);

    if (length == 0 || length > max || *name == '.' || *name == '-') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("._-+", name[i])) {
            return false;
        }
    }
    return true;
}

static bool is_hex(const char *text, size_t length)
{
    return strlen(text) == length && strspn(text, "0123456789abcdef") == length;
}

int snapshot_check_name(const char *name, struct error *error)
{
    return is_plain_name(name, SNAPSHOT_NAME_MAX)
               ? 0
               : error_set(error, -EINVAL,
                           "'%.80s' cannot be a snapshot's name: up to %d letters, digits and . _ - +, "
                           "beginning with a letter or a digit",
                           name, SNAPSHOT_NAME_MAX);
}

void snapshot_line_extend(struct snapshot_line *line, const struct snapshot_line *before,
                          const struct snapshot_name *name)
{
    unsigned count = MIN(before->count, SNAPSHOT_ANCESTORS_MAX - 1);

    memmove(&line->ancestor[1], before->ancestor, count * sizeof(*line->ancestor));
    line->ancestor[0] = *name;
    line->count = count + 1;
}

const struct snapshot_disk *snapshot_disks_find(const struct snapshot_disks *disks, const char *id)
{
    for (unsigned i = 0; i < disks->count; i++) {
        if (!strcmp(disks->disk[i].id, id)) {
            return &disks->disk[i];
        }
    }
    return NULL;
}

/* ---- the envelope ---- */

/* `json` is released. */
static char *seal(json_t *json, size_t *length)
{
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL;
    char *sealed = NULL;
    size_t size;
    int head;

    json_decref(json);
    if (!text) {
        return NULL;
    }
    size = strlen(text);
    sealed = malloc(size + HEAD_MAX);
    if (sealed) {
        head = snprintf(sealed, HEAD_MAX, "hypatia-snapshot %d %zu %016llx\n", FORMAT, size,
                        (unsigned long long)XXH3_64bits(text, size));
        memcpy(sealed + head, text, size);
        *length = (size_t)head + size;
    }
    free(text);
    return sealed;
}

/* A new reference, or NULL with the text. */
static json_t *unseal(const struct host_dir *dir, const char *file, int *result, struct error *error)
{
    unsigned long long checksum;
    uint8_t *bytes = NULL;
    size_t length = 0, size;
    int format, head = 0;
    json_t *json = NULL;

    *result = host_read(dir, file, SNAPSHOT_MANIFEST_MAX, &bytes, &length);
    if (*result < 0) {
        error_set(error, *result, "cannot read '%s': %s", file, strerror(-*result));
        return NULL;
    }
    *result = -EINVAL;
    if (sscanf((char *)bytes, "hypatia-snapshot %d %zu %llx%n", &format, &size, &checksum, &head) != 3 ||
        (size_t)head >= length || bytes[head] != '\n') {
        error_set(error, -EINVAL, "'%s' is no file of a snapshot", file);
    } else if (format != FORMAT) {
        error_set(error, -EINVAL, "'%s' is of format %d; this program reads format %d", file, format, FORMAT);
    } else if (size != length - (size_t)head - 1 || XXH3_64bits(bytes + head + 1, size) != checksum) {
        error_set(error, -EINVAL, "'%s' is damaged: its length or checksum differs", file);
    } else {
        json = json_loadb((char *)bytes + head + 1, size, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(json)) {
            json_decref(json);
            json = NULL;
            error_set(error, -EINVAL, "'%s' is damaged: not a JSON object", file);
        }
    }
    free(bytes);
    *result = json ? 0 : *result;
    return json;
}

/* ---- printing ---- */

static json_t *hex_of(uint64_t value)
{
    char text[20];

    snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
    return json_string(text);
}

static json_t *section_json(const struct snapshot_section *section)
{
    return json_pack("{s:I, s:o}", "length", (json_int_t)section->length, "xxh3", hex_of(section->checksum));
}

static json_t *line_json(const struct snapshot_line *line)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < line->count; i++) {
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "id", line->ancestor[i].id, "name", line->ancestor[i].name));
    }
    return list;
}

static json_t *disks_json(const struct snapshot_disks *disks)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < disks->count; i++) {
        const struct snapshot_disk *disk = &disks->disk[i];
        json_t *layers = json_array();

        for (unsigned k = 0; k < disk->layers; k++) {
            json_array_append_new(layers, json_string(disk->layer[k]));
        }
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:o}", "drive", disk->id, "base_size",
                                              (json_int_t)disk->base_size, "base_time",
                                              (json_int_t)disk->base_time, "layers", layers));
    }
    return list;
}

static json_t *files_json(const struct snapshot_manifest *manifest)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < manifest->files; i++) {
        const struct snapshot_ram_file *file = &manifest->file[i];

        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:o}", "name", file->name, "length",
                                              (json_int_t)file->length, "chunks", (json_int_t)file->chunks,
                                              "xxh3", hex_of(file->checksum)));
    }
    return list;
}

char *snapshot_manifest_print(const struct snapshot_manifest *manifest, size_t *length)
{
    return seal(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:O, s:o, s:I, s:o, s:I, s:o, s:o}", "id",
                          manifest->self.id, "name", manifest->self.name, "note", manifest->note, "time_ns",
                          (json_int_t)manifest->time_ns, "guest_ns", (json_int_t)manifest->guest_ns,
                          "saved_pages", (json_int_t)manifest->saved_pages, "saved_bytes",
                          (json_int_t)manifest->saved_bytes, "ancestors", line_json(&manifest->line),
                          "machine", manifest->machine, "state", section_json(&manifest->state), "state_size",
                          (json_int_t)manifest->state_size, "pages", section_json(&manifest->pages), "memory",
                          (json_int_t)manifest->memory, "files", files_json(manifest), "disks",
                          disks_json(&manifest->disks)),
                length);
}

int snapshot_current_write(const struct snapshot_current *current, const struct host_dir *dir,
                           struct error *error)
{
    size_t length = 0;
    char *text = seal(
        json_pack("{s:o, s:o}", "ancestors", line_json(&current->line), "disks", disks_json(&current->disks)),
        &length);
    int result = text ? host_replace(dir, "current", text, length) : -ENOMEM;

    free(text);
    return result < 0 ? error_set(error, result, "cannot write the file 'current': %s", strerror(-result))
                      : 0;
}

/* ---- reading ---- */

/* What is wrong, if anything, is noted once; the calls after that do nothing. */
struct parser {
    const char *file;
    const char *wrong;
};

static json_t *member(struct parser *parser, const json_t *object, const char *key, json_type type)
{
    json_t *value = json_object_get(object, key);

    if (!value || json_typeof(value) != type) {
        parser->wrong = parser->wrong ? parser->wrong : key;
        return NULL;
    }
    return value;
}

static void parse_text(struct parser *parser, const json_t *object, const char *key, char *text, size_t size)
{
    const json_t *value = member(parser, object, key, JSON_STRING);

    *text = '\0';
    if (!value || json_string_length(value) >= size || strlen(json_string_value(value)) >= size) {
        parser->wrong = parser->wrong ? parser->wrong : key;
        return;
    }
    strcpy(text, json_string_value(value));
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?'; /* for terminals */
        }
    }
}

static void parse_name(struct parser *parser, const json_t *object, const char *key, char *text, size_t size)
{
    parse_text(parser, object, key, text, size);
    if (!parser->wrong && !is_plain_name(text, size - 1)) {
        parser->wrong = key;
    }
}

static uint64_t parse_number(struct parser *parser, const json_t *object, const char *key)
{
    const json_t *value = member(parser, object, key, JSON_INTEGER);
    json_int_t number = value ? json_integer_value(value) : 0;

    if (number < 0) {
        parser->wrong = parser->wrong ? parser->wrong : key;
        return 0;
    }
    return (uint64_t)number;
}

static uint64_t parse_hex(struct parser *parser, const json_t *object, const char *key)
{
    char text[SNAPSHOT_ID_LENGTH + 1];

    parse_text(parser, object, key, text, sizeof(text));
    if (!parser->wrong && !is_hex(text, SNAPSHOT_ID_LENGTH)) {
        parser->wrong = key;
    }
    return strtoull(text, NULL, 16);
}

static void parse_id(struct parser *parser, const json_t *object, char id[SNAPSHOT_ID_LENGTH + 1])
{
    parse_hex(parser, object, "id");
    parse_text(parser, object, "id", id, SNAPSHOT_ID_LENGTH + 1);
}

static void parse_section(struct parser *parser, const json_t *object, const char *key,
                          struct snapshot_section *section)
{
    const json_t *value = member(parser, object, key, JSON_OBJECT);

    section->length = parse_number(parser, value, "length");
    section->checksum = parse_hex(parser, value, "xxh3");
}

/* An array of at most `max`, or NULL. */
static json_t *parse_list(struct parser *parser, const json_t *object, const char *key, size_t max)
{
    json_t *list = member(parser, object, key, JSON_ARRAY);

    if (list && json_array_size(list) > max) {
        parser->wrong = parser->wrong ? parser->wrong : key;
        return NULL;
    }
    return list;
}

static void parse_line(struct parser *parser, const json_t *object, struct snapshot_line *line)
{
    const json_t *list = parse_list(parser, object, "ancestors", SNAPSHOT_ANCESTORS_MAX);

    for (size_t i = 0; list && i < json_array_size(list); i++) {
        struct snapshot_name *name = &line->ancestor[line->count++];

        parse_id(parser, json_array_get(list, i), name->id);
        parse_name(parser, json_array_get(list, i), "name", name->name, sizeof(name->name));
    }
}

static void parse_disk(struct parser *parser, const json_t *object, struct snapshot_disk *disk)
{
    const json_t *layers = parse_list(parser, object, "layers", SNAPSHOT_LAYERS_MAX);

    parse_text(parser, object, "drive", disk->id, sizeof(disk->id));
    disk->base_size = parse_number(parser, object, "base_size");
    disk->base_time = parse_number(parser, object, "base_time");
    for (size_t i = 0; layers && i < json_array_size(layers); i++) {
        const char *name = json_string_value(json_array_get(layers, i));

        if (!name || !is_plain_name(name, SNAPSHOT_LAYER_NAME)) {
            parser->wrong = parser->wrong ? parser->wrong : "layers";
            return;
        }
        strcpy(disk->layer[disk->layers++], name);
    }
}

static void parse_disks(struct parser *parser, const json_t *object, struct snapshot_disks *disks)
{
    const json_t *list = parse_list(parser, object, "disks", SNAPSHOT_DISKS_MAX);

    for (size_t i = 0; list && i < json_array_size(list); i++) {
        parse_disk(parser, json_array_get(list, i), &disks->disk[disks->count++]);
    }
}

static void parse_files(struct parser *parser, const json_t *object, struct snapshot_manifest *manifest)
{
    const json_t *list = parse_list(parser, object, "files", SNAPSHOT_RAM_FILES);

    for (size_t i = 0; list && i < json_array_size(list); i++) {
        struct snapshot_ram_file *file = &manifest->file[manifest->files++];
        const json_t *entry = json_array_get(list, i);

        parse_name(parser, entry, "name", file->name, sizeof(file->name));
        file->length = parse_number(parser, entry, "length");
        file->chunks = parse_number(parser, entry, "chunks");
        file->checksum = parse_hex(parser, entry, "xxh3");
    }
}

static int parse_result(const struct parser *parser, struct error *error)
{
    return parser->wrong ? error_set(error, -EINVAL, "'%s' is damaged at \"%s\"", parser->file, parser->wrong)
                         : 0;
}

int snapshot_manifest_read(struct snapshot_manifest *manifest, const struct host_dir *dir, const char *name,
                           struct error *error)
{
    struct parser parser = {.file = "manifest"};
    int result;
    json_t *json = unseal(dir, parser.file, &result, error);

    memset(manifest, 0, sizeof(*manifest));
    if (!json) {
        return result;
    }
    parse_id(&parser, json, manifest->self.id);
    parse_name(&parser, json, "name", manifest->self.name, sizeof(manifest->self.name));
    parse_text(&parser, json, "note", manifest->note, sizeof(manifest->note));
    manifest->time_ns = parse_number(&parser, json, "time_ns");
    manifest->guest_ns = parse_number(&parser, json, "guest_ns");
    manifest->saved_pages = parse_number(&parser, json, "saved_pages");
    manifest->saved_bytes = parse_number(&parser, json, "saved_bytes");
    parse_line(&parser, json, &manifest->line);
    manifest->machine = json_incref(member(&parser, json, "machine", JSON_OBJECT));
    parse_section(&parser, json, "state", &manifest->state);
    manifest->state_size = parse_number(&parser, json, "state_size");
    parse_section(&parser, json, "pages", &manifest->pages);
    manifest->memory = parse_number(&parser, json, "memory");
    parse_files(&parser, json, manifest);
    parse_disks(&parser, json, &manifest->disks);
    if (!parser.wrong && strcmp(manifest->self.name, name) != 0) {
        parser.wrong = "name"; /* the folder was renamed by hand, or the file came from elsewhere */
    }
    json_decref(json);
    result = parse_result(&parser, error);
    if (result < 0) {
        snapshot_manifest_fini(manifest);
    }
    return result;
}

int snapshot_current_read(struct snapshot_current *current, const struct host_dir *dir, struct error *error)
{
    struct parser parser = {.file = "current"};
    int result;
    json_t *json = unseal(dir, parser.file, &result, error);

    memset(current, 0, sizeof(*current));
    if (!json) {
        return result;
    }
    parse_line(&parser, json, &current->line);
    parse_disks(&parser, json, &current->disks);
    json_decref(json);
    return parse_result(&parser, error);
}
