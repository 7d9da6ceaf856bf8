/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Snapshot tables: round trips, every way a stream can be damaged, naming of differences, printing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/snap.h"

struct channel {
    uint16_t count;
    uint8_t mode;
    bool gate;
};

struct chip {
    uint8_t index; /* 0..7 */
    uint16_t half;
    uint32_t word;
    uint64_t wide;
    uint8_t bytes[5];
    uint32_t limits[3]; /* 10..20 */
    bool flag;
    bool flags[2];
    struct channel channel[2];
    struct timer timer;
    unsigned not_saved;
    unsigned loads; /* counts post_load */
    bool refuse;
};

static const struct snap_field channel_fields[] = {
    SNAP_UINT(struct channel, count),
    SNAP_RANGE(struct channel, mode, 0, 5),
    SNAP_BOOL(struct channel, gate),
};

static const struct snap_field chip_fields[] = {
    SNAP_RANGE(struct chip, index, 0, 7),
    SNAP_UINT(struct chip, half),
    SNAP_UINT(struct chip, word),
    SNAP_UINT(struct chip, wide),
    SNAP_BYTES(struct chip, bytes),
    SNAP_RANGES(struct chip, limits, 3, 10, 20),
    SNAP_BOOL(struct chip, flag),
    SNAP_BOOLS(struct chip, flags, 2),
    SNAP_STRUCTS(struct chip, channel, 2, channel_fields),
    SNAP_TIMER(struct chip, timer),
};

static int chip_post_load(void *object, struct error *error)
{
    struct chip *chip = object;
    if (chip->refuse) {
        return error_set(error, -EINVAL, "fields contradict each other");
    }
    chip->loads++;
    return 0;
}

static const struct snap_desc chip_desc = {
    .name = "chip", .version = 3, SNAP_FIELDS(chip_fields), .post_load = chip_post_load};

static void do_nothing(void *opaque)
{
    (void)opaque;
}

static void chip_init(struct chip *chip, struct clock *clock)
{
    memset(chip, 0, sizeof(*chip));
    timer_init(&chip->timer, clock, "chip", do_nothing, chip);
    chip->limits[0] = chip->limits[1] = chip->limits[2] = 10;
}

static void chip_fill(struct chip *chip)
{
    chip->index = 7;
    chip->half = 0xbeef;
    chip->word = 0xdeadbeef;
    chip->wide = 0x0123456789abcdef;
    memcpy(chip->bytes, "\x01\x02\x03\x04\xff", 5);
    chip->limits[0] = 10;
    chip->limits[1] = 15;
    chip->limits[2] = 20;
    chip->flag = true;
    chip->flags[1] = true;
    chip->channel[0] = (struct channel){.count = 1, .mode = 2, .gate = true};
    chip->channel[1] = (struct channel){.count = 0xffff, .mode = 5};
    chip->not_saved = 99;
    timer_arm(&chip->timer, 12345);
}

/* A clock, a filled chip with its stream, and an empty one to load into. */
struct bench {
    struct clock clock;
    struct chip full, empty;
    struct snap_writer writer;
};

static struct bench *bench_create(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    cr_assert_not_null(bench);
    clock_init(&bench->clock, CLOCK_STEPPED);
    chip_init(&bench->full, &bench->clock);
    chip_init(&bench->empty, &bench->clock);
    chip_fill(&bench->full);
    snap_writer_init(&bench->writer);
    snap_save(&bench->writer, &chip_desc, &bench->full);
    cr_assert(!bench->writer.failed);
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    snap_writer_fini(&bench->writer);
    free(bench);
}

/* Load from an exact-size heap copy, so that the sanitizer sees a read past the end. */
static int load_copy(const uint8_t *data, size_t length, struct chip *chip, struct error *error)
{
    uint8_t *copy = malloc(length ? length : 1);
    cr_assert_not_null(copy);
    memcpy(copy, data, length);
    struct snap_reader reader = {.data = copy, .length = length};
    int rc = snap_load(&reader, &chip_desc, chip, error);
    cr_assert(rc || reader.position <= length);
    cr_assert(!rc || reader.position == 0, "a refused section does not move the reader");
    free(copy);
    return rc;
}

Test(snap, save_load_save_is_identical)
{
    struct bench *bench = bench_create();
    struct error error;
    struct snap_reader reader = {.data = bench->writer.data, .length = bench->writer.length};
    cr_assert_eq(snap_load(&reader, &chip_desc, &bench->empty, &error), 0);
    cr_assert_eq(reader.position, reader.length);
    cr_assert_eq(bench->empty.loads, 1);
    cr_assert_eq(bench->empty.not_saved, 0);
    cr_assert_eq(bench->empty.wide, bench->full.wide);
    cr_assert_eq(bench->empty.channel[1].mode, 5);
    cr_assert(timer_armed(&bench->empty.timer));
    cr_assert_eq(bench->empty.timer.deadline, 12345);
    cr_assert(snap_equal(&chip_desc, &bench->full, &bench->empty, NULL));

    struct snap_writer again;
    snap_writer_init(&again);
    snap_save(&again, &chip_desc, &bench->empty);
    cr_assert_eq(again.length, bench->writer.length);
    cr_assert_eq(memcmp(again.data, bench->writer.data, again.length), 0);
    snap_writer_fini(&again);
    bench_destroy(bench);
}

Test(snap, loading_disarms_a_timer_that_was_saved_disarmed)
{
    struct bench *bench = bench_create();
    struct snap_writer writer;
    snap_writer_init(&writer);
    snap_save(&writer, &chip_desc, &bench->empty);
    struct snap_reader reader = {.data = writer.data, .length = writer.length};
    cr_assert_eq(snap_load(&reader, &chip_desc, &bench->full, NULL), 0);
    cr_assert(!timer_armed(&bench->full.timer));
    cr_assert_eq(clock_next_deadline(&bench->clock), CLOCK_NEVER);
    snap_writer_fini(&writer);
    bench_destroy(bench);
}

Test(snap, sections_follow_each_other_in_one_stream)
{
    struct bench *bench = bench_create();
    snap_save(&bench->writer, &chip_desc, &bench->full);
    struct chip second;
    chip_init(&second, &bench->clock);
    struct snap_reader reader = {.data = bench->writer.data, .length = bench->writer.length};
    cr_assert_eq(snap_load(&reader, &chip_desc, &bench->empty, NULL), 0);
    cr_assert_eq(snap_load(&reader, &chip_desc, &second, NULL), 0);
    cr_assert_eq(reader.position, reader.length);
    cr_assert_neq(snap_load(&reader, &chip_desc, &second, NULL), 0);
    bench_destroy(bench);
}

Test(snap, truncation_at_every_length_is_refused_and_touches_nothing)
{
    struct bench *bench = bench_create();
    struct chip untouched = bench->empty;
    for (size_t length = 0; length < bench->writer.length; length++) {
        struct error error = {{0}};
        cr_assert_eq(load_copy(bench->writer.data, length, &bench->empty, &error), -EINVAL);
        cr_assert_neq(error.text[0], '\0');
        cr_assert_eq(memcmp(&untouched, &bench->empty, sizeof(untouched)), 0, "length %zu", length);
    }
    bench_destroy(bench);
}

/* A mutated stream that is accepted must hold a legal state, and be exactly what that state saves as. */
static void check_mutation(struct bench *bench, const uint8_t *data, size_t length)
{
    struct chip chip;
    chip_init(&chip, &bench->clock);
    struct chip untouched = chip;
    if (load_copy(data, length, &chip, NULL) != 0) {
        cr_assert_eq(memcmp(&untouched, &chip, sizeof(chip)), 0);
        return;
    }
    cr_assert_leq(chip.index, 7);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(chip.limits[i] >= 10 && chip.limits[i] <= 20);
    }
    cr_assert(chip.channel[0].mode <= 5 && chip.channel[1].mode <= 5);
    struct snap_writer again;
    snap_writer_init(&again);
    snap_save(&again, &chip_desc, &chip);
    cr_assert_eq(again.length, length);
    cr_assert_eq(memcmp(again.data, data, length), 0);
    snap_writer_fini(&again);
    timer_disarm(&chip.timer);
}

Test(snap, every_flipped_bit_is_refused_or_yields_a_legal_state)
{
    struct bench *bench = bench_create();
    for (size_t i = 0; i < bench->writer.length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bench->writer.data[i] ^= (uint8_t)(1u << bit);
            check_mutation(bench, bench->writer.data, bench->writer.length);
            bench->writer.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    bench_destroy(bench);
}

Test(snap, every_byte_set_to_extremes_is_refused_or_yields_a_legal_state)
{
    static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    struct bench *bench = bench_create();
    for (size_t i = 0; i < bench->writer.length; i++) {
        uint8_t saved = bench->writer.data[i];
        for (size_t k = 0; k < sizeof(extremes); k++) {
            bench->writer.data[i] = extremes[k];
            check_mutation(bench, bench->writer.data, bench->writer.length);
        }
        bench->writer.data[i] = saved;
    }
    bench_destroy(bench);
}

/* Where a field's name begins in a stream. */
static uint8_t *find_bytes(struct snap_writer *writer, const char *text)
{
    uint8_t *found = memmem(writer->data, writer->length, text, strlen(text));
    cr_assert_not_null(found);
    return found;
}

Test(snap, value_outside_its_range_is_refused_by_name)
{
    struct bench *bench = bench_create();
    struct error error;
    bench->full.index = 8;
    bench->writer.length = 0;
    snap_save(&bench->writer, &chip_desc, &bench->full);
    cr_assert_eq(load_copy(bench->writer.data, bench->writer.length, &bench->empty, &error), -EINVAL);
    cr_assert_str_eq(error.text, "chip.index: 8 is not within 0..7");

    bench->full.index = 0;
    bench->full.channel[1].mode = 6;
    bench->writer.length = 0;
    snap_save(&bench->writer, &chip_desc, &bench->full);
    cr_assert_eq(load_copy(bench->writer.data, bench->writer.length, &bench->empty, &error), -EINVAL);
    cr_assert_str_eq(error.text, "chip.channel[1].mode: 6 is not within 0..5");

    bench->full.channel[1].mode = 0;
    bench->full.limits[2] = 9;
    bench->writer.length = 0;
    snap_save(&bench->writer, &chip_desc, &bench->full);
    cr_assert_eq(load_copy(bench->writer.data, bench->writer.length, &bench->empty, &error), -EINVAL);
    cr_assert_str_eq(error.text, "chip.limits[2]: 9 is not within 10..20");
    bench_destroy(bench);
}

Test(snap, foreign_names_and_versions_are_named)
{
    struct bench *bench = bench_create();
    struct error error;
    *find_bytes(&bench->writer, "half") = 'c';
    cr_assert_eq(load_copy(bench->writer.data, bench->writer.length, &bench->empty, &error), -EINVAL);
    cr_assert_str_eq(error.text, "chip: expected field 'half', found 'calf'");
    *find_bytes(&bench->writer, "calf") = 'h';

    uint8_t *name = find_bytes(&bench->writer, "chip");
    name[4] = 2;
    cr_assert_eq(load_copy(bench->writer.data, bench->writer.length, &bench->empty, &error), -EINVAL);
    cr_assert_str_eq(error.text, "chip: version is 2, not 3");
    name[0] = 's';
    cr_assert_eq(load_copy(bench->writer.data, bench->writer.length, &bench->empty, &error), -EINVAL);
    cr_assert_str_eq(error.text, "chip: expected section 'chip', found 'ship'");
    bench_destroy(bench);
}

Test(snap, name_that_hides_bytes_behind_a_nul_is_refused)
{
    /* The name of the first field becomes "index\0": one byte longer, equal as a C string. */
    struct bench *bench = bench_create();
    size_t at = (size_t)(find_bytes(&bench->writer, "index") - bench->writer.data);
    uint8_t longer[2048];
    size_t length = bench->writer.length;
    cr_assert_lt(length, sizeof(longer));
    memcpy(longer, bench->writer.data, at + 5);
    longer[at - 1] = 6;
    longer[at + 5] = 0;
    memcpy(longer + at + 6, bench->writer.data + at + 5, length - at - 5);
    cr_assert_eq(load_copy(longer, length + 1, &bench->empty, NULL), -EINVAL);
    bench_destroy(bench);
}

Test(snap, post_load_can_refuse)
{
    struct bench *bench = bench_create();
    struct error error;
    struct snap_reader reader = {.data = bench->writer.data, .length = bench->writer.length};
    bench->empty.refuse = true;
    cr_assert_eq(snap_load(&reader, &chip_desc, &bench->empty, &error), -EINVAL);
    cr_assert_str_eq(error.text, "chip: fields contradict each other");
    bench_destroy(bench);
}

Test(snap, equality_names_the_first_difference)
{
    struct bench *bench = bench_create();
    struct error error;
    struct chip *a = &bench->full, *b = &bench->empty;
    struct snap_reader reader = {.data = bench->writer.data, .length = bench->writer.length};
    cr_assert_eq(snap_load(&reader, &chip_desc, b, NULL), 0);
    cr_assert(snap_equal(&chip_desc, a, b, &error));

    b->bytes[3] = 0;
    cr_assert(!snap_equal(&chip_desc, a, b, &error));
    cr_assert_str_eq(error.text, "chip.bytes[3]: 0x04 and 0x00");
    b->bytes[3] = a->bytes[3];
    b->channel[1].count = 2;
    cr_assert(!snap_equal(&chip_desc, a, b, &error));
    cr_assert_str_eq(error.text, "chip.channel[1].count: 0xffff and 0x2");
    b->channel[1].count = a->channel[1].count;
    timer_arm(&b->timer, 1);
    cr_assert(!snap_equal(&chip_desc, a, b, &error));
    cr_assert_str_eq(error.text, "chip.timer: 0x3039 and 0x1");
    cr_assert(!snap_equal(&chip_desc, a, b, NULL));
    bench_destroy(bench);
}

Test(snap, prints_a_line_a_field)
{
    struct bench *bench = bench_create();
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    snap_print(out, &chip_desc, &bench->full);
    fclose(out);
    cr_assert_str_eq(text, "index = 0x07\n"
                           "half = 0xbeef\n"
                           "word = 0xdeadbeef\n"
                           "wide = 0x0123456789abcdef\n"
                           "bytes = 01 02 03 04 ff\n"
                           "limits = 0x0000000a 0x0000000f 0x00000014\n"
                           "flag = 1\n"
                           "flags = 0 1\n"
                           "channel[0].count = 0x0001\n"
                           "channel[0].mode = 0x02\n"
                           "channel[0].gate = 1\n"
                           "channel[1].count = 0xffff\n"
                           "channel[1].mode = 0x05\n"
                           "channel[1].gate = 0\n"
                           "timer = at 12345 ns\n");
    free(text);
    bench_destroy(bench);
}

Test(snap, unsound_table_fails_instead_of_reading_wild)
{
    static const struct snap_field wrong[] = {{.name = "x", .kind = SNAP_KIND_UINT, .size = 3, .count = 1}};
    static const struct snap_desc desc = {.name = "wrong", SNAP_FIELDS(wrong)};
    uint32_t object = 0;
    struct snap_writer writer;
    snap_writer_init(&writer);
    snap_save(&writer, &desc, &object);
    cr_assert(writer.failed);
    size_t length = writer.length;
    snap_write(&writer, "more", 4);
    cr_assert_eq(writer.length, length, "writes after a failure are ignored");
    snap_writer_fini(&writer);
}
