/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writes an initial RAM disk: a cpio archive in the "newc" form that Linux unpacks, uncompressed, to
 * standard output.
 *
 *   mkinitramfs < LIST > ARCHIVE        one item a line, fields separated by single spaces:
 *
 *     dir PATH MODE                     file PATH MODE SOURCE
 *     link PATH TARGET                  node PATH MODE MAJOR MINOR     (a character device)
 *
 * Modes are octal. Everything belongs to root and carries the time 0, so that equal inputs give equal
 * archives. No root rights are needed, device nodes included. Follows Linux
 * Documentation/driver-api/early-userspace/buffer-format.rst. Not modelled: hard links, block devices, check
 * sums, names with spaces.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TYPE_DIRECTORY = 0040000,
    TYPE_FILE = 0100000,
    TYPE_LINK = 0120000,
    TYPE_CHARACTER = 0020000,
    SIZE_MAX_FILE = 1 << 30,
    BLOCK = 512,
};

struct archive {
    FILE *out;
    uint32_t inode;   /* of the last item */
    uint64_t written; /* bytes */
};

struct item {
    const char *name; /* without a leading slash */
    uint32_t mode;
    uint32_t major, minor;
    const void *data;
    size_t size;
};

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "mkinitramfs: %s '%s'\n", what, which);
    exit(1);
}

static void put(struct archive *archive, const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, archive->out) != size) {
        fail("cannot write", "standard output");
    }
    archive->written += size;
}

static void pad(struct archive *archive, size_t alignment)
{
    while (archive->written % alignment) {
        put(archive, "", 1);
    }
}

/* The header is 6 bytes of magic and 13 numbers of 8 hex digits. */
static void put_item(struct archive *archive, const struct item *item)
{
    const uint32_t name_size = (uint32_t)strlen(item->name) + 1;
    const uint32_t number[13] = {++archive->inode,
                                 item->mode,
                                 0,
                                 0,
                                 1, /* owner, group, links */
                                 0,
                                 (uint32_t)item->size, /* time */
                                 0,
                                 0, /* the device it lies on */
                                 item->major,
                                 item->minor,
                                 name_size,
                                 0}; /* check sum: none in this form */
    put(archive, "070701", 6);
    for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++) {
        char digits[9];
        snprintf(digits, sizeof(digits), "%08" PRIX32, number[i]);
        put(archive, digits, 8);
    }
    put(archive, item->name, name_size);
    pad(archive, 4);
    if (item->size) {
        put(archive, item->data, item->size);
    }
    pad(archive, 4);
}

/* The whole file, malloc'ed. */
static char *read_source(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) < 0) {
        fail("cannot open", path);
    }
    long length = ftell(file);
    if (length < 0 || length > SIZE_MAX_FILE) {
        fail("impossible size of", path);
    }
    rewind(file);
    char *bytes = malloc((size_t)length + 1);
    if (!bytes || fread(bytes, 1, (size_t)length, file) != (size_t)length) {
        fail("cannot read", path);
    }
    fclose(file);
    *size = (size_t)length;
    return bytes;
}

static uint32_t number(const char *text, int base)
{
    char *end;
    unsigned long value = strtoul(text, &end, base);
    if (*text == '\0' || *end != '\0' || value > 0xffff) {
        fail("not a number:", text);
    }
    return (uint32_t)value;
}

/* Split at spaces into at most five words; returns how many. */
static unsigned split(char *line, char *word[5])
{
    unsigned count = 0;
    for (char *at = strtok(line, " \n"); at && count < 5; at = strtok(NULL, " \n")) {
        word[count++] = at;
    }
    return count;
}

static bool put_line(struct archive *archive, char *word[5], unsigned count)
{
    struct item item = {.name = count > 1 && word[1][0] == '/' ? word[1] + 1 : count > 1 ? word[1] : ""};
    if (strcmp(word[0], "dir") == 0 && count == 3) {
        item.mode = TYPE_DIRECTORY | number(word[2], 8);
    } else if (strcmp(word[0], "link") == 0 && count == 3) {
        item.mode = TYPE_LINK | 0777;
        item.data = word[2];
        item.size = strlen(word[2]);
    } else if (strcmp(word[0], "node") == 0 && count == 5) {
        item.mode = TYPE_CHARACTER | number(word[2], 8);
        item.major = number(word[3], 10);
        item.minor = number(word[4], 10);
    } else if (strcmp(word[0], "file") == 0 && count == 4) {
        char *bytes = read_source(word[3], &item.size);
        item.mode = TYPE_FILE | number(word[2], 8);
        item.data = bytes;
        put_item(archive, &item);
        free(bytes);
        return true;
    } else {
        return false;
    }
    put_item(archive, &item);
    return true;
}

int main(void)
{
    struct archive archive = {.out = stdout};
    char line[4096];
    while (fgets(line, sizeof(line), stdin)) {
        char *word[5];
        unsigned count = split(line, word);
        if (count && !put_line(&archive, word, count)) {
            fail("cannot make sense of a line that begins with", word[0]);
        }
    }
    const struct item trailer = {.name = "TRAILER!!!"};
    put_item(&archive, &trailer);
    pad(&archive, BLOCK);
    if (fflush(stdout) != 0) {
        fail("cannot write", "standard output");
    }
    return 0;
}
