/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `hypatia img`: one function a command, one table of commands. See vm/img.h.
 *
 * Formats are never guessed from an image's contents: -f (and -O, -F) say them, else the file's name does
 * (vm/block_image.h). Long work shows its progress on stderr when that is a terminal, or with -p.
 */
#include "vm/img.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "vm/block_image.h"

/* Exit codes; those of check are qemu-img's. */
enum { IMG_OK = 0, IMG_FAILED = 1, IMG_DIFFERENT = 1, IMG_ERRORS = 2, IMG_LEAKS = 3, IMG_UNSUPPORTED = 63 };

enum { OPTION_ANY_BACKING = 256, OPTION_OUTPUT, OPTION_CHAIN };

/* What a command's options say. */
struct img_arguments {
    const char *format, *output_format, *backing, *backing_format, *options, *repair;
    bool unsafe, any_backing, json, chain, quiet, progress;
    char **operands;
    int operand_count;
};

struct img_command {
    const char *name, *usage, *help;
    int least, most; /* operands */
    const char *short_options;
    int (*run)(const struct img_arguments *arguments, struct error *error);
};

static const struct option long_options[] = {
    {"any-backing", no_argument, NULL, OPTION_ANY_BACKING},
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"backing-chain", no_argument, NULL, OPTION_CHAIN},
    {NULL, 0, NULL, 0},
};

static int img_fail(const struct error *error)
{
    fprintf(stderr, "hypatia img: %s\n", error->text);
    return IMG_FAILED;
}

/* ---- values ---- */

/* "10G", "1440K", "512": bytes by default. */
static int img_parse_size(const char *text, uint64_t *bytes, struct error *error)
{
    static const char units[] = "bkmgtpe";
    char *end;
    const char *unit;
    unsigned long long number;
    unsigned shift = 0;

    errno = 0;
    number = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : (end = (char *)(uintptr_t)text, 0);
    unit = *end ? strchr(units, *end | 0x20) : units;
    if (errno || end == text || !unit || (*end && end[1])) {
        return error_set(error, -EINVAL, "'%.60s' is not a size (examples: 1440K, 512M, 10G, 2T)", text);
    }
    shift = (unsigned)(unit - units) * 10;
    if (number > (uint64_t)INT64_MAX >> shift) {
        return error_set(error, -EINVAL, "the size '%.60s' is too large", text);
    }
    *bytes = (uint64_t)number << shift;
    return 0;
}

static void img_print_size(FILE *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    fprintf(out, "%.3g %s", value, units[unit]);
}

static int img_on_off(const char *key, const char *value, bool *out, struct error *error)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
        return error_set(error, -EINVAL, "-o %s=%.60s must be on or off", key, value);
    }
    *out = value[1] == 'n';
    return 0;
}

/* One key=value of -o. */
static int img_parse_create_option(struct image_create_options *create, const char *key, const char *value,
                                   struct error *error)
{
    uint64_t number;

    if (!strcmp(key, "compat") && (!strcmp(value, "0.10") || !strcmp(value, "v2"))) {
        create->version = 2;
    } else if (!strcmp(key, "compat") && (!strcmp(value, "1.1") || !strcmp(value, "v3"))) {
        create->version = 3;
    } else if (!strcmp(key, "compat")) {
        return error_set(error, -EINVAL, "-o compat=%.60s must be 0.10 or 1.1", value);
    } else if (!strcmp(key, "lazy_refcounts")) {
        return img_on_off(key, value, &create->lazy_refcounts, error);
    } else if (!strcmp(key, "backing_file")) {
        create->backing = value;
    } else if (!strcmp(key, "backing_fmt")) {
        create->backing_format = value;
    } else if (img_parse_size(value, &number, error) < 0) {
        return error_prefix(error, -EINVAL, "-o %.60s", key);
    } else if (!strcmp(key, "size")) {
        create->size = number;
    } else if (!strcmp(key, "cluster_size")) {
        bool power = number && !(number & (number - 1)) && number < UINT32_MAX;

        create->cluster_bits = power ? (unsigned)__builtin_ctzll(number) : 1; /* 1: refused later, by name */
    } else if (!strcmp(key, "refcount_bits")) {
        create->refcount_bits = number >= 1 && number <= 64 ? (unsigned)number : 3; /* 3: as above */
    } else {
        return error_set(
            error, -EINVAL,
            "-o: unknown option '%.60s' (known: size compat cluster_size refcount_bits lazy_refcounts "
            "backing_file backing_fmt)",
            key);
    }
    return 0;
}

/* `text` is cut into pieces, which the options go on using. */
static int img_parse_create_options(struct image_create_options *create, char *text, struct error *error)
{
    char *save = NULL;

    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(item, '=');
        int result;

        if (!equals) {
            return error_set(error, -EINVAL, "-o: '%.60s' must be NAME=VALUE", item);
        }
        *equals = '\0';
        result = img_parse_create_option(create, item, equals + 1, error);
        if (result < 0) {
            return result;
        }
    }
    return 0;
}

static struct image *img_open(const struct img_arguments *arguments, const char *path, const char *format,
                              unsigned flags, struct error *error)
{
    return image_open(path, format, flags | (arguments->any_backing ? IMAGE_ANY_BACKING : 0), error);
}

/* ---- progress ---- */

struct img_progress {
    bool show;
    int last; /* hundredths of a percent */
};

static bool img_step(void *opaque, uint64_t done, uint64_t total)
{
    struct img_progress *progress = opaque;
    int now = total ? (int)((double)done * 10000 / (double)total) : 10000;

    if (progress->show && now != progress->last) {
        fprintf(stderr, "    (%d.%02d/100%%)\r", now / 100, now % 100);
        progress->last = now;
    }
    return true;
}

static void img_check_step(void *opaque, uint64_t done, uint64_t total)
{
    img_step(opaque, done, total);
}

static struct img_progress img_progress_for(const struct img_arguments *arguments)
{
    return (struct img_progress){.show = arguments->progress || (!arguments->quiet && isatty(STDERR_FILENO)),
                                 .last = -1};
}

static void img_progress_end(const struct img_progress *progress)
{
    if (progress->show && progress->last >= 0) {
        fputc('\n', stderr);
    }
}

/* ---- create ---- */

static int img_create(const struct img_arguments *arguments, struct error *error)
{
    struct image_create_options create = {.backing = arguments->backing,
                                          .backing_format = arguments->backing_format,
                                          .flags = (arguments->any_backing ? IMAGE_ANY_BACKING : 0) |
                                                   (arguments->unsafe ? IMAGE_NO_BACKING : 0)};
    const char *path = arguments->operands[0];
    const char *format = image_format(arguments->format, path, error);
    char *options = arguments->options ? strdup(arguments->options) : NULL;
    int result = format ? 0 : -EINVAL;

    if (result == 0 && options) {
        result = img_parse_create_options(&create, options, error);
    }
    if (result == 0 && arguments->operand_count > 1) {
        result = img_parse_size(arguments->operands[1], &create.size, error);
    }
    if (result == 0 && create.backing && !create.backing_format) {
        result = error_set(error, -EINVAL, "the backing file's format must be said: -F raw or -F qcow2");
    }
    if (result == 0 && !create.size && (!create.backing || arguments->unsafe)) {
        result = error_set(error, -EINVAL, "a size is needed: hypatia img create %.100s 10G", path);
    }
    if (result == 0) {
        result = image_create(path, format, &create, error);
    }
    if (result == 0 && !arguments->quiet) {
        printf("Formatting '%s', fmt=%s\n", path, format);
    }
    free(options);
    return result < 0 ? img_fail(error) : IMG_OK;
}

/* ---- info ---- */

static void img_print_info(const struct image *image)
{
    printf("image: %s\nfile format: %s\nvirtual size: ", image->file->path, image->ops->format);
    img_print_size(stdout, image->size);
    printf(" (%llu bytes)\ndisk size: ", (unsigned long long)image->size);
    img_print_size(stdout, block_file_allocated(image->file));
    putchar('\n');
    if (image->cluster_size) {
        printf("cluster_size: %u\n", image->cluster_size);
    }
    if (image->backing_name) {
        printf("backing file: %s\n", image->backing_name);
        printf("backing file format: %s\n", image->backing_format ? image->backing_format : "not said");
    }
    if (image->ops->describe) {
        puts("Format specific information:");
        image->ops->describe((struct image *)(uintptr_t)image, stdout, "    ");
    }
}

static json_t *img_info_json(const struct image *image)
{
    json_t *object = json_object();

    json_object_set_new(object, "filename", json_string(image->file->path));
    json_object_set_new(object, "format", json_string(image->ops->format));
    json_object_set_new(object, "virtual-size", json_integer((json_int_t)image->size));
    json_object_set_new(object, "actual-size", json_integer((json_int_t)block_file_allocated(image->file)));
    if (image->cluster_size) {
        json_object_set_new(object, "cluster-size", json_integer(image->cluster_size));
    }
    if (image->backing_name) {
        json_object_set_new(object, "backing-filename", json_string(image->backing_name));
    }
    if (image->backing_format) {
        json_object_set_new(object, "backing-filename-format", json_string(image->backing_format));
    }
    return object;
}

static void img_print_json(const struct image *image, bool chain)
{
    json_t *value = chain ? json_array() : img_info_json(image);

    for (; chain && image; image = image->backing) {
        json_array_append_new(value, img_info_json(image));
    }
    json_dumpf(value, stdout, JSON_INDENT(4));
    putchar('\n');
    json_decref(value);
}

static int img_info(const struct img_arguments *arguments, struct error *error)
{
    /* Without the chain a missing or forbidden backing file is no reason not to show the image. */
    unsigned flags = IMAGE_NO_LOCK | (arguments->chain ? 0 : IMAGE_NO_BACKING);
    struct image *image = img_open(arguments, arguments->operands[0], arguments->format, flags, error);

    if (!image) {
        return img_fail(error);
    }
    if (arguments->json) {
        img_print_json(image, arguments->chain);
    } else {
        for (const struct image *one = image; one; one = arguments->chain ? one->backing : NULL) {
            printf("%s", one == image ? "" : "\n");
            img_print_info(one);
        }
    }
    image_close(image);
    return IMG_OK;
}

/* ---- check ---- */

static void img_print_report(const struct image_report *report)
{
    if (report->fixed_errors + report->fixed_leaks) {
        printf("Mended: %llu errors, %llu leaks.\n", (unsigned long long)report->fixed_errors,
               (unsigned long long)report->fixed_leaks);
    }
    if (report->errors) {
        printf("%llu errors: data may be damaged or in danger.\n", (unsigned long long)report->errors);
    }
    if (report->leaks) {
        printf("%llu leaked clusters: space is lost, nothing else (-r leaks gives it back).\n",
               (unsigned long long)report->leaks);
    }
    if (!report->errors && !report->leaks) {
        puts("No errors were found on the image.");
    }
    if (report->total_clusters) {
        printf("%llu/%llu clusters allocated, %llu compressed\n",
               (unsigned long long)report->allocated_clusters, (unsigned long long)report->total_clusters,
               (unsigned long long)report->compressed_clusters);
    }
}

static int img_run_check(struct image *image, const struct img_arguments *arguments, unsigned fix,
                         struct error *error)
{
    struct img_progress progress = img_progress_for(arguments);
    struct image_report report = {
        .out = arguments->quiet ? NULL : stdout, .progress = img_check_step, .opaque = &progress};
    int result = image->ops->check(image, fix, &report, error);

    img_progress_end(&progress);
    if (result < 0) {
        return img_fail(error);
    }
    if (!arguments->quiet) {
        img_print_report(&report);
    }
    return report.errors ? IMG_ERRORS : report.leaks ? IMG_LEAKS : IMG_OK;
}

static int img_check(const struct img_arguments *arguments, struct error *error)
{
    unsigned fix = !arguments->repair                    ? 0
                   : !strcmp(arguments->repair, "leaks") ? IMAGE_FIX_LEAKS
                                                         : IMAGE_FIX_LEAKS | IMAGE_FIX_ALL;
    unsigned flags = IMAGE_NO_BACKING | (fix ? IMAGE_WRITE | IMAGE_REPAIR : 0);
    struct image *image;
    int code;

    if (fix && strcmp(arguments->repair, "leaks") != 0 && strcmp(arguments->repair, "all") != 0) {
        error_set(error, -EINVAL, "-r '%.60s' must be leaks or all", arguments->repair);
        return img_fail(error);
    }
    image = img_open(arguments, arguments->operands[0], arguments->format, flags, error);
    if (!image) {
        return img_fail(error);
    }
    if (image->ops->check) {
        code = img_run_check(image, arguments, fix, error);
    } else {
        fprintf(stderr, "hypatia img: there is nothing to check in a %s image\n", image->ops->format);
        code = IMG_UNSUPPORTED;
    }
    image_close(image);
    return code;
}

/* ---- convert ---- */

static int img_make_target(const struct img_arguments *arguments, uint64_t size, struct error *error)
{
    const char *path = arguments->operands[1];
    struct image_create_options create = {0};
    char *options = arguments->options ? strdup(arguments->options) : NULL;
    int result = options ? img_parse_create_options(&create, options, error) : 0;

    if (result == 0 && (create.backing || (create.size && create.size < size))) {
        result = error_set(error, -EINVAL, "-o: a converted image has no backing file and is not smaller");
    }
    if (result == 0) {
        create.size = MAX(size, create.size);
        result = image_create(path, arguments->output_format, &create, error);
    }
    free(options);
    return result;
}

static int img_copy(const struct img_arguments *arguments, struct image *from, struct error *error)
{
    struct img_progress progress = img_progress_for(arguments);
    struct image_progress steps = {.step = img_step, .opaque = &progress};
    const char *format = image_format(arguments->output_format, arguments->operands[1], error);
    struct image *to;
    int result = format ? img_make_target(arguments, from->size, error) : -EINVAL;

    if (result < 0) {
        return result;
    }
    to = image_open(arguments->operands[1], format, IMAGE_WRITE, error);
    if (!to) {
        return -EIO;
    }
    result = image_copy(from, to, &steps, error);
    img_progress_end(&progress);
    if (result == 0) {
        result = image_flush(to);
        if (result < 0) {
            error_set(error, result, "cannot write '%s': %s", arguments->operands[1], strerror(-result));
        }
    }
    image_close(to);
    return result;
}

static int img_convert(const struct img_arguments *arguments, struct error *error)
{
    struct image *from = img_open(arguments, arguments->operands[0], arguments->format, 0, error);
    int result;

    if (!from) {
        return img_fail(error);
    }
    result = img_copy(arguments, from, error);
    image_close(from);
    return result < 0 ? img_fail(error) : IMG_OK;
}

/* ---- commit ---- */

static int img_commit(const struct img_arguments *arguments, struct error *error)
{
    struct img_progress progress = img_progress_for(arguments);
    struct image_progress steps = {.step = img_step, .opaque = &progress};
    struct image *image = img_open(arguments, arguments->operands[0], arguments->format, IMAGE_WRITE, error);
    int result;

    if (!image) {
        return img_fail(error);
    }
    result = image_commit(image, &steps, error);
    img_progress_end(&progress);
    image_close(image);
    if (result == 0 && !arguments->quiet) {
        puts("Image committed.");
    }
    return result < 0 ? img_fail(error) : IMG_OK;
}

/* ---- compare ---- */

/* Bytes [offset, offset + length) of an image, with zeros behind its end. */
static int img_read_padded(struct image *image, uint64_t offset, uint8_t *bytes, uint64_t length)
{
    uint64_t there = offset < image->size ? MIN(length, image->size - offset) : 0;

    memset(bytes + there, 0, length - there);
    return image_read(image, MIN(offset, image->size), bytes, there);
}

static int img_compare_images(struct image *a, struct image *b, bool quiet)
{
    enum { PIECE = 64 * 1024 };
    uint64_t size = MAX(a->size, b->size);
    uint8_t *bytes = malloc((size_t)PIECE * 2);
    int code = bytes ? IMG_OK : IMG_ERRORS;

    for (uint64_t offset = 0; offset < size && code == IMG_OK; offset += PIECE) {
        uint64_t piece = MIN((uint64_t)PIECE, size - offset);

        if (img_read_padded(a, offset, bytes, piece) < 0 ||
            img_read_padded(b, offset, bytes + PIECE, piece) < 0) {
            fprintf(stderr, "hypatia img: cannot read both images at byte %llu\n",
                    (unsigned long long)offset);
            code = IMG_ERRORS;
        } else if (memcmp(bytes, bytes + PIECE, piece) != 0) {
            if (!quiet) {
                printf("Content mismatch at offset %llu!\n", (unsigned long long)offset);
            }
            code = IMG_DIFFERENT;
        }
    }
    free(bytes);
    return code;
}

static int img_compare(const struct img_arguments *arguments, struct error *error)
{
    struct image *a = img_open(arguments, arguments->operands[0], arguments->format, 0, error);
    struct image *b =
        a ? img_open(arguments, arguments->operands[1], arguments->backing_format, 0, error) : NULL;
    int code = IMG_ERRORS;

    if (!b) {
        img_fail(error);
    } else {
        code = img_compare_images(a, b, arguments->quiet);
        if (code == IMG_OK && !arguments->quiet) {
            puts("Images are identical.");
        }
    }
    image_close(b);
    image_close(a);
    return code;
}

/* ---- the table ---- */

static const struct img_command commands[] = {
    {"create", "[-f FMT] [-o OPTIONS] [-b BACKING -F FMT [-u]] [-q] [--any-backing] FILE [SIZE]",
     "make an image", 1, 2, "f:o:b:F:uq", img_create},
    {"info", "[-f FMT] [--output human|json] [--backing-chain] [--any-backing] FILE", "what an image is", 1,
     1, "f:", img_info},
    {"check", "[-f FMT] [-r leaks|all] [-p] [-q] FILE",
     "does everything in it fit together? Exit: 0 yes, 2 errors, 3 leaks", 1, 1, "f:r:pq", img_check},
    {"convert", "[-f FMT] [-O FMT] [-o OPTIONS] [-p] [-q] [--any-backing] FILE NEW",
     "copy into another format", 2, 2, "f:O:o:pq", img_convert},
    {"commit", "[-f FMT] [-p] [-q] [--any-backing] FILE", "move an overlay's data into its backing file", 1,
     1, "f:pq", img_commit},
    {"compare", "[-f FMT] [-F FMT] [-q] [--any-backing] FILE FILE",
     "same contents? Exit: 0 yes, 1 no, 2 error", 2, 2, "f:F:q", img_compare},
};

static int img_help(void)
{
    puts("usage: hypatia img COMMAND ...\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        printf("img %s %s\n        %s\n", commands[i].name, commands[i].usage, commands[i].help);
    }
    puts("\nFMT is raw or qcow2; without it a name ending in .qcow2 means qcow2, any other raw.\n"
         "SIZE is in bytes, or with K, M, G, T. OPTIONS: size=, compat=0.10|1.1, cluster_size=, "
         "refcount_bits=,\n"
         "lazy_refcounts=on|off, backing_file=, backing_fmt=.");
    return IMG_OK;
}

static bool img_take_option(struct img_arguments *arguments, int option)
{
    switch (option) {
    case 'f':
        arguments->format = optarg;
        return true;
    case 'O':
        arguments->output_format = optarg;
        return true;
    case 'F':
        arguments->backing_format = optarg;
        return true;
    case 'b':
        arguments->backing = optarg;
        return true;
    case 'o':
        arguments->options = optarg;
        return true;
    case 'r':
        arguments->repair = optarg;
        return true;
    case 'u':
        arguments->unsafe = true;
        return true;
    case 'p':
        arguments->progress = true;
        return true;
    case 'q':
        arguments->quiet = true;
        return true;
    case OPTION_ANY_BACKING:
        arguments->any_backing = true;
        return true;
    case OPTION_CHAIN:
        arguments->chain = true;
        return true;
    case OPTION_OUTPUT:
        arguments->json = !strcmp(optarg, "json");
        return arguments->json || !strcmp(optarg, "human");
    default:
        return false;
    }
}

static int img_run(const struct img_command *command, int argc, char **argv)
{
    struct img_arguments arguments = {0};
    struct error error = {{0}};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, command->short_options, long_options, NULL)) != -1) {
        if (!img_take_option(&arguments, option)) {
            fprintf(stderr, "hypatia img: bad option '%s'; usage: img %s %s\n", argv[optind - 1],
                    command->name, command->usage);
            return IMG_FAILED;
        }
    }
    arguments.operands = argv + optind;
    arguments.operand_count = argc - optind;
    if (arguments.operand_count < command->least || arguments.operand_count > command->most) {
        fprintf(stderr, "hypatia img: usage: img %s %s\n", command->name, command->usage);
        return IMG_FAILED;
    }
    return command->run(&arguments, &error);
}

int img_main(int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        return img_help();
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (!strcmp(commands[i].name, argv[1])) {
            return img_run(&commands[i], argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "hypatia img: unknown command '%s' (img help lists them)\n", argv[1]);
    return IMG_FAILED;
}
