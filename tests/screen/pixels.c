/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Look at a picture file: pixels FILE WIDTHxHEIGHT [X,Y=RRGGBB]...
 *
 * Exit 0 when the size is that and every pixel named has that colour; else 1, with a line for the first difference. Reads
 * PNG by libpng's simplified interface, and PPM (P6, 8 bits) by itself.
 */
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct image {
    unsigned width, height;
    uint8_t *rgb;
};

static int read_png(const char *path, struct image *image)
{
    png_image png = {.version = PNG_IMAGE_VERSION};

    if (!png_image_begin_read_from_file(&png, path)) {
        fprintf(stderr, "%s: %s\n", path, png.message);
        return 0;
    }
    png.format = PNG_FORMAT_RGB;
    image->width = png.width;
    image->height = png.height;
    image->rgb = malloc(PNG_IMAGE_SIZE(png));
    return image->rgb && png_image_finish_read(&png, NULL, image->rgb, 0, NULL);
}

static int read_ppm(const char *path, struct image *image)
{
    FILE *file = fopen(path, "rb");
    size_t size;
    int whole;

    if (!file || fscanf(file, "P6 %u %u 255", &image->width, &image->height) != 2 || fgetc(file) != '\n') {
        fprintf(stderr, "%s: not a PPM of 8 bits\n", path);
        return 0;
    }
    size = (size_t)image->width * image->height * 3;
    image->rgb = malloc(size);
    whole = image->rgb && fread(image->rgb, 1, size, file) == size && fgetc(file) == EOF;
    fclose(file);
    return whole;
}

static int check_pixel(const struct image *image, const char *text)
{
    unsigned x, y, expected;

    if (sscanf(text, "%u,%u=%x", &x, &y, &expected) != 3 || x >= image->width || y >= image->height) {
        fprintf(stderr, "%s: not a pixel of the picture\n", text);
        return 0;
    }
    const uint8_t *rgb = image->rgb + 3 * ((size_t)y * image->width + x);
    unsigned color = (unsigned)rgb[0] << 16 | (unsigned)rgb[1] << 8 | rgb[2];
    if (color != expected) {
        fprintf(stderr, "%s: it is %06x\n", text, color);
        return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct image image = {0};
    char size[32];
    int same;

    if (argc < 3) {
        fprintf(stderr, "usage: pixels FILE WIDTHxHEIGHT [X,Y=RRGGBB]...\n");
        return 1;
    }
    const char *dot = strrchr(argv[1], '.');
    same = dot && strcmp(dot, ".ppm") == 0 ? read_ppm(argv[1], &image) : read_png(argv[1], &image);
    if (!same) {
        return 1;
    }
    snprintf(size, sizeof(size), "%ux%u", image.width, image.height);
    if (strcmp(size, argv[2]) != 0) {
        fprintf(stderr, "the picture is %s, not %s\n", size, argv[2]);
        same = 0;
    }
    for (int i = 3; i < argc && same; i++) {
        same = check_pixel(&image, argv[i]);
    }
    free(image.rgb);
    return !same;
}
