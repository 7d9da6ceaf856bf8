/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Symbols from files.
 *
 *   ELF    the sections SHT_SYMTAB and SHT_DYNSYM of 32- and 64-bit files for x86, as the System V ABI, "Object Files",
 *          describes them. Of a file that is not linked yet (a kernel module) the functions of its first code section, which
 *          the bias says the place of.
 *   text   a line a symbol:  c1000000 T _stext             System.map, nm, nm -n
 *                            c1000000 00000020 T name      nm -S
 *                            f7c01000 t name [module]      /proc/kallsyms
 *                            7c00 name                     as Bochs takes it
 *
 * Only headers and the tables in question are read, never the whole file. Sizes and offsets are the file's word, and are
 * checked against how large it is before anything is allocated.
 *
 * NOT modelled: DWARF, compressed sections, symbols of thread-local storage.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/symbols.h"

enum {
    EI_CLASS = 4,
    EI_DATA = 5,
    DATA_LSB = 1,
    EHDR_TYPE = 16,
    EHDR_MACHINE = 18,
    EHDR32_SIZE = 52,
    EHDR64_SIZE = 64,
    ET_REL = 1,
    EM_386 = 3,
    EM_486 = 6,
    EM_X86_64 = 62,
    SHT_SYMTAB = 2,
    SHT_DYNSYM = 11,
    SHF_EXECINSTR = 4,
    SHN_UNDEF = 0,
    SHN_LORESERVE = 0xff00,
    SHN_ABS = 0xfff1,
    SHN_XINDEX = 0xffff, /* the index does not fit; it is in another section */
    STT_NOTYPE = 0,
    STT_OBJECT = 1,
    STT_FUNC = 2,
    STT_GNU_IFUNC = 10,
    STB_LOCAL = 0,
    SECTIONS_MAX = 1 << 20,
};
#define TABLE_MAX (256 * MIB) /* of one table, or a text */

struct source {
    int fd;
    uint64_t size;
    const char *path;
    uint64_t bias;
    struct symbols_batch *batch;
    struct error *error;
};

static int no_memory(const struct source *source)
{
    return error_set(source->error, -ENOMEM, "%s: no memory for its symbols", source->path);
}

/* [offset, offset + size) of the file, with a NUL behind it; the caller frees it. NULL: why is in the error. */
static uint8_t *take(const struct source *source, uint64_t offset, uint64_t size, const char *what)
{
    uint8_t *bytes;

    if (offset > source->size || size > source->size - offset) {
        error_set(source->error, -ENOEXEC,
                  "%s: its %s does not lie inside the file: it is cut short or damaged", source->path, what);
        return NULL;
    }
    if (size > TABLE_MAX) {
        error_set(source->error, -EFBIG, "%s: its %s is larger than 256 MiB", source->path, what);
        return NULL;
    }
    bytes = malloc(size + 1);
    if (!bytes) {
        no_memory(source);
        return NULL;
    }
    for (uint64_t done = 0; done < size;) {
        ssize_t n = pread(source->fd, bytes + done, size - done, (off_t)(offset + done));

        if (n <= 0) {
            error_set(source->error, -EIO, "%s: cannot read its %s: %s", source->path, what,
                      n < 0 ? strerror(errno) : "the file became shorter");
            free(bytes);
            return NULL;
        }
        done += (uint64_t)n;
    }
    bytes[size] = '\0';
    return bytes;
}

/* ---- ELF ---- */

struct section {
    uint32_t type, link;
    uint64_t flags, offset, size;
};

struct elf {
    struct source *source;
    bool wide; /* ELF64 */
    bool relocatable;
    uint8_t *headers; /* of sections */
    unsigned stride;
    uint32_t count;
    uint32_t code_section; /* of a relocatable file: the first; 0: none */
};

static struct section section_of(const struct elf *elf, uint32_t i)
{
    const uint8_t *header = elf->headers + (size_t)i * elf->stride;

    if (elf->wide) {
        return (struct section){.type = load_le32(header + 4),
                                .flags = load_le64(header + 8),
                                .offset = load_le64(header + 24),
                                .size = load_le64(header + 32),
                                .link = load_le32(header + 40)};
    }
    return (struct section){.type = load_le32(header + 4),
                            .flags = load_le32(header + 8),
                            .offset = load_le32(header + 16),
                            .size = load_le32(header + 20),
                            .link = load_le32(header + 24)};
}

struct elf_symbol {
    uint32_t name;
    uint64_t value, size;
    uint8_t info;
    uint16_t section;
};

static struct elf_symbol symbol_of(const uint8_t *bytes, bool wide)
{
    if (wide) {
        return (struct elf_symbol){.name = load_le32(bytes),
                                   .info = bytes[4],
                                   .section = load_le16(bytes + 6),
                                   .value = load_le64(bytes + 8),
                                   .size = load_le64(bytes + 16)};
    }
    return (struct elf_symbol){.name = load_le32(bytes),
                               .value = load_le32(bytes + 4),
                               .size = load_le32(bytes + 8),
                               .info = bytes[12],
                               .section = load_le16(bytes + 14)};
}

/* Is it the name of a place or a number? Then what it is. */
static bool classify(const struct elf *elf, const struct elf_symbol *symbol, unsigned *kind)
{
    unsigned type = symbol->info & 0xf;
    bool absolute = symbol->section == SHN_ABS;
    bool inside = symbol->section < SHN_LORESERVE || symbol->section == SHN_XINDEX;

    if (type != STT_NOTYPE && type != STT_OBJECT && type != STT_FUNC && type != STT_GNU_IFUNC) {
        return false;
    }
    if (symbol->section == SHN_UNDEF || (!absolute && !inside)) {
        return false;
    }
    if (elf->relocatable && (absolute || symbol->section != elf->code_section)) {
        return false;
    }
    *kind = (symbol->info >> 4 != STB_LOCAL ? SYMBOL_GLOBAL : 0) | (type != STT_NOTYPE ? SYMBOL_TYPED : 0) |
            (absolute ? SYMBOL_ABSOLUTE : 0);
    if (type == STT_FUNC || type == STT_GNU_IFUNC ||
        (type == STT_NOTYPE && symbol->section < elf->count &&
         section_of(elf, symbol->section).flags & SHF_EXECINSTR)) {
        *kind |= SYMBOL_CODE;
    }
    return true;
}

static int add_elf_symbol(const struct elf *elf, const struct elf_symbol *symbol, const char *strings,
                          uint64_t strings_size)
{
    const struct source *source = elf->source;
    const char *name = strings + symbol->name;
    uint64_t address = symbol->value;
    unsigned kind;

    if (symbol->name >= strings_size || !*name || !strncmp(name, ".L", 2) || !classify(elf, symbol, &kind)) {
        return 0;
    }
    address += kind & SYMBOL_ABSOLUTE ? 0 : source->bias;
    address = elf->wide ? address : (uint32_t)address;
    /* the NUL that take() put behind the table ends the last name, whatever the file says */
    return symbols_batch_add(source->batch, name, strlen(name), address, symbol->size, kind)
               ? 0
               : no_memory(source);
}

static int add_table(const struct elf *elf, const struct section *table)
{
    unsigned stride = elf->wide ? 24 : 16;
    struct section strings;
    uint8_t *names, *bytes;
    int result = 0;

    if (table->link >= elf->count) {
        return error_set(elf->source->error, -ENOEXEC, "%s: its symbol table names no string table",
                         elf->source->path);
    }
    strings = section_of(elf, table->link);
    names = take(elf->source, strings.offset, strings.size, "string table");
    bytes = names ? take(elf->source, table->offset, table->size, "symbol table") : NULL;
    if (!bytes) {
        free(names);
        return -ENOEXEC;
    }
    for (uint64_t at = 0; result == 0 && table->size - at >= stride; at += stride) {
        struct elf_symbol symbol = symbol_of(bytes + at, elf->wide);

        result = add_elf_symbol(elf, &symbol, (const char *)names, strings.size);
    }
    free(bytes);
    free(names);
    return result;
}

/* Where the section headers are, and how many; a count of 0 means that the first of them has it. */
static int take_headers(struct elf *elf, const uint8_t *header)
{
    uint64_t offset = elf->wide ? load_le64(header + 40) : load_le32(header + 32);
    const uint8_t *counts = header + (elf->wide ? 58 : 46);
    unsigned least = elf->wide ? 64 : 40;
    uint64_t count = load_le16(counts + 2);

    elf->stride = load_le16(counts);
    if (offset == 0) {
        return 0;
    }
    if (elf->stride < least) {
        return error_set(elf->source->error, -ENOEXEC,
                         "%s: its ELF section headers are %u bytes long, not %u", elf->source->path,
                         elf->stride, least);
    }
    if (count == 0) {
        elf->headers = take(elf->source, offset, elf->stride, "table of sections");
        if (!elf->headers) {
            return -ENOEXEC;
        }
        count = MIN(section_of(elf, 0).size, (uint64_t)SECTIONS_MAX);
        free(elf->headers);
    }
    elf->headers = take(elf->source, offset, count * elf->stride, "table of sections");
    elf->count = elf->headers ? (uint32_t)count : 0;
    return elf->headers ? 0 : -ENOEXEC;
}

static int add_tables(struct elf *elf)
{
    int result = 0;

    for (uint32_t i = 1; i < elf->count && elf->relocatable && !elf->code_section; i++) {
        struct section section = section_of(elf, i);

        if (section.flags & SHF_EXECINSTR && section.size > 0) {
            elf->code_section = i;
        }
    }
    for (uint32_t i = 1; i < elf->count && result == 0; i++) {
        struct section section = section_of(elf, i);

        if (section.type == SHT_SYMTAB || section.type == SHT_DYNSYM) {
            result = add_table(elf, &section);
        }
    }
    return result;
}

static int read_elf(struct source *source)
{
    struct elf elf = {.source = source};
    uint8_t *header = take(source, 0, EHDR32_SIZE, "ELF header");
    unsigned machine;
    int result;

    if (!header) {
        return -ENOEXEC;
    }
    machine = load_le16(header + EHDR_MACHINE);
    elf.wide = header[EI_CLASS] == 2;
    elf.relocatable = load_le16(header + EHDR_TYPE) == ET_REL;
    if (header[EI_DATA] != DATA_LSB || header[EI_CLASS] < 1 || header[EI_CLASS] > 2 ||
        (machine != EM_386 && machine != EM_486 && machine != EM_X86_64)) {
        free(header);
        return error_set(source->error, -ENOEXEC, "%s: this ELF file is not for x86 (machine %u)",
                         source->path, machine);
    }
    if (elf.wide) {
        free(header);
        header = take(source, 0, EHDR64_SIZE, "ELF header");
    }
    result = header ? take_headers(&elf, header) : -ENOEXEC;
    free(header);
    if (result == 0) {
        result = add_tables(&elf);
    }
    free(elf.headers);
    return result;
}

/* ---- text ---- */

struct words {
    const char *word[4];
    size_t length[4];
    unsigned count; /* 5: more than four */
};

static struct words split(const char *line, const char *end)
{
    struct words words = {.count = 0};

    while (line < end) {
        const char *start = line;

        while (line < end && *line != ' ' && *line != '\t' && *line != '\r') {
            line++;
        }
        if (line > start) {
            if (words.count < ARRAY_LEN(words.word)) {
                words.word[words.count] = start;
                words.length[words.count] = (size_t)(line - start);
            }
            words.count = MIN(words.count + 1, 5u);
        }
        line++;
    }
    return words;
}

/* 1 to 16 hexadecimal digits, 0x before them or not. */
static bool parse_hex(const char *text, size_t length, uint64_t *value)
{
    if (length > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        text += 2;
        length -= 2;
    }
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned char)text[i];

        if (digit >= '0' && digit <= '9') {
            digit -= '0';
        } else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f') {
            digit = (digit | 0x20) - 'a' + 10;
        } else {
            return false;
        }
        *value = *value << 4 | digit;
    }
    return length > 0 && length <= 16;
}

/* nm's letter: capitals are global. */
static unsigned kind_of_letter(char letter)
{
    unsigned kind = strchr("TDBRGSVWAui", letter) ? SYMBOL_GLOBAL : 0;

    kind |= strchr("TtWwi", letter) ? SYMBOL_CODE : 0;
    kind |= letter == 'A' || letter == 'a' ? SYMBOL_ABSOLUTE : 0;
    return kind | SYMBOL_TYPED;
}

/* False: the line is not one of the forms. Lines without an address are, and add nothing: *name is NULL. */
static bool parse_line(const struct words *words, uint64_t *address, uint64_t *size, const char **name,
                       size_t *name_length, unsigned *kind)
{
    unsigned letter = words->count == 4 && words->length[1] > 1 ? 2 : 1;
    unsigned last = words->count == 2 ? 1 : letter + 1;

    *name = NULL;
    *size = 0;
    if (words->count == 2 && words->length[0] == 1 && strchr("Uwv", *words->word[0])) {
        return true; /* nm: undefined */
    }
    if (words->count < 2 || words->count > 4 || !parse_hex(words->word[0], words->length[0], address)) {
        return false;
    }
    if (words->count > 2 && words->length[letter] != 1) {
        return false;
    }
    if (words->count == 4 &&
        (letter == 2 ? !parse_hex(words->word[1], words->length[1], size) : *words->word[3] != '[')) {
        return false;
    }
    *kind = words->count == 2 ? SYMBOL_CODE | SYMBOL_GLOBAL : kind_of_letter(*words->word[letter]);
    *name = words->word[last];
    *name_length = words->length[last];
    return true;
}

static int add_line(const struct source *source, const char *line, const char *end, unsigned number,
                    bool *somewhere)
{
    static const char placeholder[] = "The real System.map is in";
    struct words words = split(line, end);
    uint64_t address = 0, size;
    size_t length = 0;
    const char *name;
    unsigned kind;

    if (words.count == 0 || (words.count == 1 && words.word[0][words.length[0] - 1] == ':')) {
        return 0; /* nm: of an archive's member */
    }
    if (!parse_line(&words, &address, &size, &name, &length, &kind)) {
        if (memmem(line, (size_t)(end - line), placeholder, sizeof(placeholder) - 1)) {
            return error_set(
                source->error, -ENODATA,
                "%s: Debian's place holder, the real one is in the -dbg package (ldsym linux reads "
                "a running kernel's own table)",
                source->path);
        }
        return error_set(source->error, -ENOEXEC,
                         "%s: line %u is not ADDRESS TYPE NAME, as System.map and nm have it (nor is it ELF)",
                         source->path, number);
    }
    *somewhere = *somewhere || address != 0;
    if (!name) {
        return 0;
    }
    address += kind & SYMBOL_ABSOLUTE ? 0 : source->bias;
    address = words.length[0] <= 8 ? (uint32_t)address : address;
    return symbols_batch_add(source->batch, name, length, address, size, kind) ? 0 : no_memory(source);
}

static int read_text(struct source *source)
{
    char *text = (char *)take(source, 0, source->size, "text");
    const char *end = text + source->size;
    bool somewhere = false;
    unsigned number = 1;
    int result = 0;

    if (!text) {
        return -EFBIG;
    }
    for (const char *line = text; line < end && result == 0; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));

        stop = stop ? stop : end;
        result = add_line(source, line, stop, number, &somewhere);
        line = stop + 1;
    }
    free(text);
    if (result == 0 && source->size > 0 && !somewhere) {
        return error_set(source->error, -ENODATA,
                         "%s: all addresses are zero (root alone sees those of /proc/kallsyms)",
                         source->path);
    }
    return result;
}

/* ---- either ---- */

static int open_source(struct source *source)
{
    struct stat status;

    source->fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (source->fd < 0) {
        return error_set(source->error, -errno, "cannot read symbols from '%s': %s", source->path,
                         strerror(errno));
    }
    if (fstat(source->fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(source->fd);
        return error_set(source->error, -EINVAL, "cannot read symbols from '%s': it is not a file",
                         source->path);
    }
    source->size = (uint64_t)status.st_size;
    return 0;
}

static int read_source(struct source *source)
{
    uint8_t *magic;
    bool elf;

    if (source->size < EHDR32_SIZE) {
        return read_text(source);
    }
    magic = take(source, 0, 4, "first bytes");
    if (!magic) {
        return -EIO;
    }
    elf = memcmp(magic, "\177ELF", 4) == 0;
    free(magic);
    return elf ? read_elf(source) : read_text(source);
}

long symbols_load(struct symbols **symbols, const char *path, uint64_t bias, struct error *error)
{
    struct error unused;
    struct source source = {.path = path, .bias = bias, .error = error ? error : &unused};
    int result = open_source(&source);
    long added;

    if (result < 0) {
        return result;
    }
    source.batch = symbols_batch_begin();
    result = source.batch ? read_source(&source) : no_memory(&source);
    close(source.fd);
    if (result < 0) {
        symbols_batch_drop(source.batch);
        return result;
    }
    if (symbols_batch_is_empty(source.batch)) {
        symbols_batch_drop(source.batch);
        return error_set(error, -ENODATA, "%s: it has no symbols (was it stripped?)", path);
    }
    added = symbols_batch_end(source.batch, symbols, error);
    return added;
}
