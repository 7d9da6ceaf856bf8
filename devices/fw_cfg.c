/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fw_cfg: keyed items for the firmware.
 *
 * Source: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device".
 *
 * The file directory is an item like the others; it is rebuilt when a file is added:
 *
 *   count (32, big-endian), then per file: size (32 BE), key (16 BE), reserved (16), name (56)
 *
 * DEVIATION: a DMA read that asks for more than FILL_MAX bytes past the end of its item is refused with the error bit
 * instead of being filled with zeros, so that one port write cannot cost gigabytes of work.
 *
 * Not modelled: see fw_cfg.h.
 */
#include "devices/fw_cfg.h"

#include <errno.h>
#include <stdlib.h>

#define SELECTOR_PORT   0x510
#define DMA_PORT        0x514
#define ID_TRADITIONAL  1u
#define ID_DMA          2u
#define DMA_SIGNATURE   0x51454d5520434647ull /* "QEMU CFG" */
#define DMA_ERROR       0x01u
#define DMA_READ        0x02u
#define DMA_SKIP        0x04u
#define DMA_SELECT      0x08u
#define DMA_WRITE       0x10u
#define DMA_DESCRIPTOR  16u
#define DIRECTORY_ENTRY 64u
#define ITEM_SIZE_MAX   (1u << 30)
#define FILL_MAX        (1u << 20)
#define CHUNK           4096u

static const struct snap_field fw_cfg_fields[] = {
    SNAP_UINT(struct fw_cfg, selected),
    SNAP_UINT(struct fw_cfg, position),
    SNAP_UINT(struct fw_cfg, dma_high),
};

static const struct snap_desc fw_cfg_snap = {.name = "fw_cfg", .version = 1, SNAP_FIELDS(fw_cfg_fields)};

/* --- Items ------------------------------------------------------------------------------------------- */

static void store_be16(uint8_t *p, uint16_t value)
{
    store_le16(p, __builtin_bswap16(value));
}

static void store_be32(uint8_t *p, uint32_t value)
{
    store_le32(p, __builtin_bswap32(value));
}

static uint32_t load_be32(const uint8_t *p)
{
    return __builtin_bswap32(load_le32(p));
}

const struct fw_cfg_item *fw_cfg_find_item(const struct fw_cfg *fw_cfg, uint16_t key)
{
    for (unsigned i = 0; i < fw_cfg->item_count; i++) {
        if (fw_cfg->items[i].key == key) {
            return &fw_cfg->items[i];
        }
    }
    return NULL;
}

const struct fw_cfg_item *fw_cfg_find_file(const struct fw_cfg *fw_cfg, const char *name)
{
    for (unsigned i = 0; i < fw_cfg->item_count; i++) {
        if (fw_cfg->items[i].name[0] && strcmp(fw_cfg->items[i].name, name) == 0) {
            return &fw_cfg->items[i];
        }
    }
    return NULL;
}

/* Bytes of an item, and how many machines have them; atomic, as they may run on several threads. */
struct shared_bytes {
    unsigned holders;
    _Alignas(uint64_t) uint8_t bytes[]; /* whoever made them may look at them as structures */
};

static uint8_t *bytes_create(size_t size)
{
    struct shared_bytes *shared = malloc(sizeof(*shared) + MAX(size, (size_t)1));
    if (!shared) {
        return NULL;
    }
    shared->holders = 1;
    return shared->bytes;
}

static void bytes_take(uint8_t *bytes)
{
    __atomic_add_fetch(&CONTAINER_OF(bytes, struct shared_bytes, bytes)->holders, 1, __ATOMIC_RELAXED);
}

static void bytes_release(uint8_t *bytes)
{
    struct shared_bytes *shared = bytes ? CONTAINER_OF(bytes, struct shared_bytes, bytes) : NULL;
    if (shared && __atomic_sub_fetch(&shared->holders, 1, __ATOMIC_ACQ_REL) == 0) {
        free(shared);
    }
}

static int reserve_item(struct fw_cfg *fw_cfg)
{
    if (fw_cfg->item_count < fw_cfg->item_capacity) {
        return 0;
    }
    unsigned capacity = fw_cfg->item_capacity ? 2 * fw_cfg->item_capacity : 32;
    struct fw_cfg_item *items = realloc(fw_cfg->items, capacity * sizeof(*items));
    if (!items) {
        return -ENOMEM;
    }
    fw_cfg->items = items;
    fw_cfg->item_capacity = capacity;
    return 0;
}

static int append_item(struct fw_cfg *fw_cfg, uint16_t key, const char *name, const void *bytes, size_t size,
                       struct error *error)
{
    if (size > ITEM_SIZE_MAX) {
        return error_set(error, -EFBIG, "fw_cfg: item 0x%x %s: %zu bytes are too many", key, name, size);
    }
    uint8_t *copy = bytes_create(size);
    if (!copy || reserve_item(fw_cfg) < 0) {
        bytes_release(copy);
        return error_set(error, -ENOMEM, "fw_cfg: item 0x%x %s: out of memory", key, name);
    }
    if (size) {
        memcpy(copy, bytes, size);
    }
    struct fw_cfg_item *item = &fw_cfg->items[fw_cfg->item_count++];
    *item = (struct fw_cfg_item){.key = key, .bytes = copy, .size = (uint32_t)size};
    memcpy(item->name, name, strlen(name));
    return 0;
}

int fw_cfg_add_item(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, size_t size, struct error *error)
{
    if (fw_cfg_find_item(fw_cfg, key)) {
        return error_set(error, -EEXIST, "fw_cfg: item 0x%x is there already", key);
    }
    return append_item(fw_cfg, key, "", bytes, size, error);
}

int fw_cfg_add_u16(struct fw_cfg *fw_cfg, uint16_t key, uint16_t value, struct error *error)
{
    return fw_cfg_add_item(fw_cfg, key, &value, sizeof(value), error);
}

int fw_cfg_add_u32(struct fw_cfg *fw_cfg, uint16_t key, uint32_t value, struct error *error)
{
    return fw_cfg_add_item(fw_cfg, key, &value, sizeof(value), error);
}

int fw_cfg_add_u64(struct fw_cfg *fw_cfg, uint16_t key, uint64_t value, struct error *error)
{
    return fw_cfg_add_item(fw_cfg, key, &value, sizeof(value), error);
}

static void fill_directory(const struct fw_cfg *fw_cfg, uint8_t *bytes)
{
    uint8_t *entry = bytes + 4;

    store_be32(bytes, fw_cfg->file_count);
    for (unsigned i = 0; i < fw_cfg->item_count; i++) {
        const struct fw_cfg_item *item = &fw_cfg->items[i];
        if (item->name[0]) {
            store_be32(entry, item->size);
            store_be16(entry + 4, item->key);
            store_be16(entry + 6, 0);
            memcpy(entry + 8, item->name, FW_CFG_NAME_SIZE);
            entry += DIRECTORY_ENTRY;
        }
    }
}

int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t size,
                    struct error *error)
{
    if (name[0] == '\0' || strlen(name) >= FW_CFG_NAME_SIZE) {
        return error_set(error, -ENAMETOOLONG, "fw_cfg: file '%s': a name has 1 to %u characters", name,
                         FW_CFG_NAME_SIZE - 1);
    }
    if (fw_cfg_find_file(fw_cfg, name)) {
        return error_set(error, -EEXIST, "fw_cfg: file '%s' is there already", name);
    }
    if (fw_cfg->file_count == FW_CFG_FILES_MAX) {
        return error_set(error, -ENOSPC, "fw_cfg: file '%s': there are %u already", name, FW_CFG_FILES_MAX);
    }
    uint32_t directory_size = 4 + (fw_cfg->file_count + 1) * DIRECTORY_ENTRY;
    uint8_t *directory = bytes_create(directory_size);
    uint16_t key = (uint16_t)(FW_CFG_FILE_FIRST + fw_cfg->file_count);
    int result = directory ? append_item(fw_cfg, key, name, bytes, size, error)
                           : error_set(error, -ENOMEM, "fw_cfg: file '%s': out of memory", name);
    if (result < 0) {
        bytes_release(directory);
        return result;
    }
    fw_cfg->file_count++;
    fill_directory(fw_cfg, directory);
    struct fw_cfg_item *item = (struct fw_cfg_item *)fw_cfg_find_item(fw_cfg, FW_CFG_FILE_DIR);
    bytes_release(item->bytes);
    item->bytes = directory;
    item->size = directory_size;
    return 0;
}

/* What `own` has in place of an item of another machine's; NULL: that item will do. */
static const struct fw_cfg_item *own_item(const struct fw_cfg *own, const struct fw_cfg_item *item)
{
    const struct fw_cfg_item *mine = NULL;
    if (item->key == FW_CFG_UUID) {
        mine = fw_cfg_find_item(own, item->key);
    } else if (strncmp(item->name, "etc/smbios/", 11) == 0) {
        mine = fw_cfg_find_file(own, item->name);
    }
    return mine && mine->size == item->size ? mine : NULL;
}

int fw_cfg_share(struct fw_cfg *to, const struct fw_cfg *from, struct error *error)
{
    struct fw_cfg_item *items = calloc(from->item_capacity, sizeof(*items));
    if (!items) {
        return error_set(error, -ENOMEM, "fw_cfg: out of memory");
    }
    for (unsigned i = 0; i < from->item_count; i++) {
        const struct fw_cfg_item *mine = own_item(to, &from->items[i]);
        items[i] = from->items[i];
        items[i].bytes = mine ? mine->bytes : items[i].bytes;
        bytes_take(items[i].bytes);
    }
    for (unsigned i = 0; i < to->item_count; i++) {
        bytes_release(to->items[i].bytes);
    }
    free(to->items);
    to->items = items;
    to->item_count = from->item_count;
    to->item_capacity = from->item_capacity;
    to->file_count = from->file_count;
    return 0;
}

/* --- Selector and data ports ------------------------------------------------------------------------- */

static void select_item(struct fw_cfg *fw_cfg, uint16_t key)
{
    fw_cfg->selected = key;
    fw_cfg->position = 0;
}

static uint8_t next_byte(struct fw_cfg *fw_cfg)
{
    const struct fw_cfg_item *item = fw_cfg_find_item(fw_cfg, fw_cfg->selected);
    if (!item || fw_cfg->position >= item->size) {
        return 0;
    }
    return item->bytes[fw_cfg->position++];
}

static uint64_t selector_read(void *opaque, uint64_t offset, unsigned size)
{
    return offset == 1 && size == 1 ? next_byte(opaque) : UINT64_MAX;
}

static void selector_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    if (offset == 0 && size == 2) {
        select_item(opaque, (uint16_t)value);
    }
}

static const struct region_ops selector_ops = {.read = selector_read, .write = selector_write, .max_size = 2};

/* --- DMA --------------------------------------------------------------------------------------------- */

/* Zeros for the part of a read that lies past the item. */
static bool dma_fill(struct fw_cfg *fw_cfg, gpa_t address, uint32_t length)
{
    static const uint8_t zeros[CHUNK];

    TRY(length <= FILL_MAX);
    for (uint32_t done = 0; done < length; done += CHUNK) {
        TRY(dma_write(fw_cfg->device.board->mem, address + done, zeros, MIN(CHUNK, length - done)));
    }
    return true;
}

static bool dma_transfer(struct fw_cfg *fw_cfg, uint32_t control, uint32_t length, gpa_t address)
{
    const struct fw_cfg_item *item = fw_cfg_find_item(fw_cfg, fw_cfg->selected);
    uint32_t size = item ? item->size : 0;
    uint32_t left = fw_cfg->position < size ? size - fw_cfg->position : 0;
    uint32_t count = MIN(length, left);

    if (control & DMA_READ) {
        TRY(length - count <= FILL_MAX);
        if (count) {
            TRY(dma_write(fw_cfg->device.board->mem, address, item->bytes + fw_cfg->position, count));
        }
        TRY(dma_fill(fw_cfg, address + count, length - count));
    } else if (control & DMA_WRITE) {
        return false;
    } else if (!(control & DMA_SKIP)) {
        return true;
    }
    fw_cfg->position += count;
    return true;
}

/* A descriptor that does not lie in RAM cannot be answered; it is logged and forgotten. */
static void dma_start(struct fw_cfg *fw_cfg, gpa_t descriptor_address)
{
    struct addr_space *mem = fw_cfg->device.board->mem;
    uint8_t descriptor[DMA_DESCRIPTOR], result[4];

    if (!dma_read(mem, descriptor_address, descriptor, sizeof(descriptor))) {
        log_printf(fw_cfg->device.board->log, LOG_GUEST_ERRORS, "fw_cfg: no DMA descriptor at %llx\n",
                   (unsigned long long)descriptor_address);
        return;
    }
    uint32_t control = load_be32(descriptor);
    gpa_t address = (gpa_t)load_be32(descriptor + 8) << 32 | load_be32(descriptor + 12);
    if (control & DMA_SELECT) {
        select_item(fw_cfg, (uint16_t)(control >> 16));
    }
    bool done = dma_transfer(fw_cfg, control, load_be32(descriptor + 4), address);
    store_be32(result, done ? 0 : DMA_ERROR);
    (void)dma_write(mem, descriptor_address, result, sizeof(result));
}

static uint64_t dma_region_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t signature = __builtin_bswap64(DMA_SIGNATURE);
    (void)opaque;
    (void)size;
    return signature >> (8 * offset);
}

static void dma_region_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fw_cfg *fw_cfg = opaque;
    uint32_t dword = __builtin_bswap32((uint32_t)value);

    if (size != 4) {
        return;
    }
    if (offset == 0) {
        fw_cfg->dma_high = dword;
    } else if (offset == 4) {
        gpa_t address = (gpa_t)fw_cfg->dma_high << 32 | dword;
        fw_cfg->dma_high = 0;
        dma_start(fw_cfg, address);
    }
}

static const struct region_ops dma_ops = {.read = dma_region_read, .write = dma_region_write, .max_size = 4};

/* --- Life -------------------------------------------------------------------------------------------- */

static void fw_cfg_reset(struct device *device)
{
    struct fw_cfg *fw_cfg = CONTAINER_OF(device, struct fw_cfg, device);
    select_item(fw_cfg, 0);
    fw_cfg->dma_high = 0;
}

static void fw_cfg_fini(struct device *device)
{
    struct fw_cfg *fw_cfg = CONTAINER_OF(device, struct fw_cfg, device);

    addr_space_remove(device->board->io, &fw_cfg->selector_region);
    addr_space_remove(device->board->io, &fw_cfg->dma_region);
    for (unsigned i = 0; i < fw_cfg->item_count; i++) {
        bytes_release(fw_cfg->items[i].bytes);
    }
    free(fw_cfg->items);
    free(fw_cfg);
}

static const struct device_ops fw_cfg_ops = {
    .name = "fw_cfg",
    .reset = fw_cfg_reset,
    .fini = fw_cfg_fini,
    .snap = &fw_cfg_snap,
};

static int add_standard_items(struct fw_cfg *fw_cfg)
{
    static const uint8_t no_files[4];

    if (fw_cfg_add_item(fw_cfg, FW_CFG_SIGNATURE, "QEMU", 4, NULL) < 0 ||
        fw_cfg_add_u32(fw_cfg, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, NULL) < 0 ||
        fw_cfg_add_item(fw_cfg, FW_CFG_FILE_DIR, no_files, sizeof(no_files), NULL) < 0) {
        return -ENOMEM;
    }
    return 0;
}

struct fw_cfg *fw_cfg_create(struct board *board)
{
    struct fw_cfg *fw_cfg = calloc(1, sizeof(*fw_cfg));
    if (!fw_cfg) {
        return NULL;
    }
    device_init(&fw_cfg->device, &fw_cfg_ops, board, NULL);
    region_init_io(&fw_cfg->selector_region, "fw_cfg", SELECTOR_PORT, 2, &selector_ops, fw_cfg);
    region_init_io(&fw_cfg->dma_region, "fw_cfg-dma", DMA_PORT, 8, &dma_ops, fw_cfg);
    addr_space_add(board->io, &fw_cfg->selector_region);
    addr_space_add(board->io, &fw_cfg->dma_region);
    if (add_standard_items(fw_cfg) < 0) {
        device_destroy(&fw_cfg->device);
        return NULL;
    }
    fw_cfg_reset(&fw_cfg->device);
    return fw_cfg;
}
