/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pictures at another size. See canvas_picture() in ui/canvas.h.
 *
 * One direction after the other. Pixel d of n that show m source pixels covers the source from d*m/n to (d+1)*m/n; each source
 * pixel in there has its part as weight, the sum being 256:
 *
 *   source   |    0    |    1    |    2    |        m = 3
 *   target   | 0  | 1  |  2 | 3  |  ...             n = 5: pixel 1 is 2/3 of source pixel 0 and 1/3 of pixel 1
 *
 * Rows are first made as wide as the target and summed up with their weights. When the target is larger, most rows have one
 * source row only and are not computed again.
 */
#include <errno.h>
#include <stdlib.h>

#include "ui/canvas.h"

enum { WHOLE = 256 };

/* The source pixels of one target pixel: `count` from `first` on; the first and the last may count in part. */
struct span {
    uint32_t first, count;
    uint16_t first_weight, inner_weight, last_weight;
};

static void make_spans(struct span *span, unsigned target, unsigned source)
{
    for (unsigned d = 0; d < target; d++) {
        uint64_t from = (uint64_t)d * source, to = from + source; /* in 1/target source pixels */
        uint64_t first = from / target, last = (to - 1) / target;
        uint32_t rest;

        span[d] = (struct span){.first = (uint32_t)first, .count = (uint32_t)(last - first + 1)};
        if (first == last) {
            span[d].first_weight = WHOLE;
            continue;
        }
        span[d].inner_weight = (uint16_t)((uint64_t)target * WHOLE / source);
        span[d].first_weight = (uint16_t)(((first + 1) * target - from) * WHOLE / source);
        rest = WHOLE - span[d].first_weight - (span[d].count - 2) * span[d].inner_weight;
        span[d].last_weight = (uint16_t)rest;
    }
}

/* Of one pixel, times WHOLE. */
struct sum {
    uint32_t red, green, blue;
};

static inline void add(struct sum *sum, uint32_t pixel, uint32_t weight)
{
    sum->red += (pixel >> 16 & 0xff) * weight;
    sum->green += (pixel >> 8 & 0xff) * weight;
    sum->blue += (pixel & 0xff) * weight;
}

static inline uint32_t result_of(const struct sum *sum)
{
    return sum->red / WHOLE << 16 | sum->green / WHOLE << 8 | sum->blue / WHOLE;
}

static inline uint32_t weight_of(const struct span *span, uint32_t i)
{
    return i == 0 ? span->first_weight : i == span->count - 1 ? span->last_weight : span->inner_weight;
}

struct scaler {
    const struct picture *picture;
    struct span *columns, *rows;
    unsigned first_column, column_count; /* of the target: those that are drawn */
    uint32_t *wide[2];                   /* source rows, made as wide as the target */
    int64_t wide_row[2];                 /* which; -1: none */
    struct sum *sum;
};

/* A source row at the target's width, in one of two places. */
static const uint32_t *widen(struct scaler *scaler, uint32_t y)
{
    unsigned at = y & 1;
    const uint32_t *from = scaler->picture->pixel + (size_t)y * scaler->picture->width;
    uint32_t *to = scaler->wide[at];

    if (scaler->wide_row[at] == (int64_t)y) {
        return to;
    }
    scaler->wide_row[at] = (int64_t)y;
    for (unsigned d = 0; d < scaler->column_count; d++) {
        const struct span *span = &scaler->columns[scaler->first_column + d];
        struct sum sum = {0};

        if (span->count == 1) {
            to[d] = from[span->first];
            continue;
        }
        for (uint32_t i = 0; i < span->count; i++) {
            add(&sum, from[span->first + i], weight_of(span, i));
        }
        to[d] = result_of(&sum);
    }
    return to;
}

static void draw_row(struct scaler *scaler, const struct span *span, uint32_t *to)
{
    if (span->count == 1) {
        memcpy(to, widen(scaler, span->first), scaler->column_count * sizeof(*to));
        return;
    }
    memset(scaler->sum, 0, scaler->column_count * sizeof(*scaler->sum));
    for (uint32_t i = 0; i < span->count; i++) {
        const uint32_t *row = widen(scaler, span->first + i);
        uint32_t weight = weight_of(span, i);

        for (unsigned d = 0; d < scaler->column_count; d++) {
            add(&scaler->sum[d], row[d], weight);
        }
    }
    for (unsigned d = 0; d < scaler->column_count; d++) {
        to[d] = result_of(&scaler->sum[d]);
    }
}

static void scaler_free(struct scaler *scaler)
{
    free(scaler->columns);
    free(scaler->rows);
    free(scaler->wide[0]);
    free(scaler->wide[1]);
    free(scaler->sum);
}

static int scaler_make(struct scaler *scaler, struct box to, struct box visible,
                       const struct picture *picture)
{
    *scaler = (struct scaler){.picture = picture,
                              .columns = malloc((size_t)to.width * sizeof(struct span)),
                              .rows = malloc((size_t)to.height * sizeof(struct span)),
                              .first_column = (unsigned)(visible.x - to.x),
                              .column_count = (unsigned)visible.width,
                              .wide = {malloc((size_t)visible.width * sizeof(uint32_t)),
                                       malloc((size_t)visible.width * sizeof(uint32_t))},
                              .wide_row = {-1, -1},
                              .sum = malloc((size_t)visible.width * sizeof(struct sum))};
    if (!scaler->columns || !scaler->rows || !scaler->wide[0] || !scaler->wide[1] || !scaler->sum) {
        scaler_free(scaler);
        return -ENOMEM;
    }
    make_spans(scaler->columns, (unsigned)to.width, picture->width);
    make_spans(scaler->rows, (unsigned)to.height, picture->height);
    return 0;
}

/* The picture's own size. */
static void copy(const struct canvas *canvas, struct box to, struct box visible,
                 const struct picture *picture)
{
    for (int y = visible.y; y < visible.y + visible.height; y++) {
        memcpy(canvas->pixel + (size_t)y * canvas->pitch + visible.x,
               picture->pixel + (size_t)(y - to.y) * picture->width + (visible.x - to.x),
               (size_t)visible.width * sizeof(uint32_t));
    }
}

int canvas_picture(const struct canvas *canvas, struct box to, struct box clip, const struct picture *picture)
{
    struct box visible = box_intersect(box_intersect(to, clip), canvas_bounds(canvas));
    struct scaler scaler;

    if (box_is_empty(visible) || picture->width == 0 || picture->height == 0) {
        return 0;
    }
    if ((unsigned)to.width == picture->width && (unsigned)to.height == picture->height) {
        copy(canvas, to, visible, picture);
        return 0;
    }
    if (scaler_make(&scaler, to, visible, picture) < 0) {
        return -ENOMEM;
    }
    for (int y = visible.y; y < visible.y + visible.height; y++) {
        draw_row(&scaler, &scaler.rows[y - to.y], canvas->pixel + (size_t)y * canvas->pitch + visible.x);
    }
    scaler_free(&scaler);
    return 0;
}
