/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Picture files: PNG by libpng (the only file that includes it), and PPM, which is a header and the bytes.
 *
 * PNG Specification 1.2 and Netpbm's ppm(5), format P6. 8 bits a channel, no alpha, no palette, no time stamp: equal screens
 * make equal files.
 */
#include "monitor/screendump.h"

#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CHANNELS = 3 };

/* A row of the surface as bytes red, green, blue. */
static void copy_row(const struct display_surface *surface, unsigned y, uint8_t *to)
{
    const uint32_t *from = surface->pixel + (size_t)y * surface->width;

    for (unsigned x = 0; x < surface->width; x++) {
        *to++ = (uint8_t)(from[x] >> 16);
        *to++ = (uint8_t)(from[x] >> 8);
        *to++ = (uint8_t)from[x];
    }
}

static bool write_ppm(FILE *file, const struct display_surface *surface, uint8_t *row)
{
    fprintf(file, "P6\n%u %u\n255\n", surface->width, surface->height);
    for (unsigned y = 0; y < surface->height; y++) {
        copy_row(surface, y, row);
        fwrite(row, CHANNELS, surface->width, file);
    }
    return !ferror(file);
}

/* libpng would print its complaints; ours go into the error line. */
static void png_failed(png_structp png, png_const_charp text)
{
    (void)text;
    longjmp(png_jmpbuf(png), 1);
}

static void png_warned(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static bool write_png(FILE *file, const struct display_surface *surface, uint8_t *row)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_failed, png_warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, NULL);
        return false;
    }
    png_init_io(png, file);
    png_set_IHDR(png, info, surface->width, surface->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (unsigned y = 0; y < surface->height; y++) {
        copy_row(surface, y, row);
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

int screendump_write(const struct display *display, const char *path, struct error *error)
{
    const struct display_surface *surface = display_update(display);
    uint8_t *row = surface ? malloc((size_t)surface->width * CHANNELS) : NULL;
    bool written;
    FILE *file;

    if (!row) {
        return error_set(error, -ENOMEM, "cannot write '%s': out of memory", path);
    }
    file = fopen(path, "wb");
    if (!file) {
        free(row);
        return error_set(error, -errno, "cannot write '%s': %s", path, strerror(errno));
    }
    errno = 0;
    written = ends_with(path, ".ppm") ? write_ppm(file, surface, row) : write_png(file, surface, row);
    written = fclose(file) == 0 && written;
    free(row);
    if (!written) {
        int code = errno ? -errno : -EIO;
        unlink(path);
        return error_set(error, code, "cannot write '%s': %s", path, strerror(-code));
    }
    return 0;
}
