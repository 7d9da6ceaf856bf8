/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A lab's files: what they may say, what is refused and in which words, and that a command line survives the way into a
 * file and back.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/lab.h"

static char folder[64];

static void enter(void)
{
    strcpy(folder, "/tmp/hypatia-lab-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    unsetenv("DISPLAY"); /* the default display depends on them */
    unsetenv("WAYLAND_DISPLAY");
}

static void leave(void)
{
    char command[100];

    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(lab, .init = enter, .fini = leave);

/* ---- helpers ---- */

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

/* Load one file and check the lab. */
static int load(struct lab *lab, const char *path, struct error *error)
{
    int result;

    lab_init(lab);
    error->text[0] = '\0';
    result = lab_add_file(lab, path, error);
    return result == 0 ? lab_check(lab, error) : result;
}

static void load_text(struct lab *lab, const char *text)
{
    struct error error;

    write_text("a.ini", text);
    cr_assert_eq(load(lab, "a.ini", &error), 0, "%s", error.text);
}

static void expect_error(const char *text, const char *message)
{
    struct lab lab;
    struct error error;

    write_text("a.ini", text);
    cr_assert_lt(load(&lab, "a.ini", &error), 0, "accepted:\n%s", text);
    cr_assert(!strncmp(error.text, message, strlen(message)), "wanted: %s\ngot:    %s", message, error.text);
    lab_free(&lab);
}

/* The text with this many bytes of `fill` in the place of its '@'. */
static char *stretch(const char *text, char fill, size_t count)
{
    const char *at = strchr(text, '@');
    char *out = malloc(strlen(text) + count);

    cr_assert(at && out);
    memcpy(out, text, (size_t)(at - text));
    memset(out + (at - text), fill, count);
    strcpy(out + (at - text) + count, at + 1);
    return out;
}

/* ---- what a file may say ---- */

Test(lab, sections_make_vms)
{
    struct lab lab;

    load_text(&lab, "# two of them\n"
                    "[lab]\n"
                    "pcpus = 2\n"
                    "memory-limit = 1G\n"
                    "monitor = unix:mon,server,nowait\n"
                    "\n"
                    "[vm \"web\"]\n"
                    "m = 64 ; not much\n"
                    "kernel = vmlinuz\n"
                    "append = console=ttyS0 root=/dev/sda1;x\n"
                    "serial = file:web.log\n"
                    "serial = null\n"
                    "drive = file=web.qcow2\n"
                    "drive = media=cdrom\n"
                    "snapshot = on\n"
                    "no-reboot = off\n"
                    "weight = 512\n"
                    "cap = 25\n"
                    "[ vm \"db-1.x_Y\" ]\n");
    cr_assert_eq(lab.count, 2);
    cr_assert_eq(lab.pcpus, 2);
    cr_assert_eq(lab.memory_limit, GIB);
    cr_assert_str_eq(lab.monitor, "unix:mon,server,nowait");
    const struct lab_vm *web = &lab.vm[0];
    cr_assert_str_eq(web->config.name, "web");
    cr_assert_eq(web->config.ram_size, 64 * MIB);
    cr_assert_str_eq(web->config.append, "console=ttyS0 root=/dev/sda1;x");
    cr_assert_eq(web->config.serial_count, 2);
    cr_assert_str_eq(web->config.serial[0], "file:web.log");
    cr_assert_str_eq(web->config.ide[0].file, "web.qcow2");
    cr_assert(web->config.ide[1].cdrom);
    cr_assert(web->config.snapshot);
    cr_assert_not(web->config.no_reboot);
    cr_assert_eq(web->weight, 512);
    cr_assert_eq(web->cap, 25);
    cr_assert_eq(web->place.line, 7);
    cr_assert_str_eq(web->place.file, "a.ini");
    cr_assert_str_eq(lab.vm[1].config.name, "db-1.x_Y");
    cr_assert_eq(lab.vm[1].weight, 256);
    cr_assert_eq(lab.vm[1].cap, 0);
    cr_assert_null(lab.terminal);
    lab_free(&lab);
    cr_assert_null(lab.vm);
}

Test(lab, a_section_without_keys_is_a_vm_with_the_defaults)
{
    struct lab lab;
    struct vm_config config;

    config_init(&config);
    load_text(&lab, "[vm \"a\"]\n[vm \"b\"]\n\n; nothing\n[vm \"c\"]");
    cr_assert_eq(lab.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(lab.vm[i].config.ram_size, config.ram_size);
        cr_assert_eq(lab.vm[i].config.display, CONFIG_DISPLAY_NONE); /* they have one terminal */
    }
    cr_assert_eq(lab.pcpus, 1);
    cr_assert_eq(lab.memory_limit, 0);
    cr_assert_null(lab.monitor);
    lab_free(&lab);
}

Test(lab, editors_of_all_kinds_may_have_written_the_file)
{
    struct lab lab;

    load_text(&lab, "\xef\xbb\xbf[vm \"a\"]\r\n\tm = 64\r\n   append\t=  x  y \t\r\nkernel: k\r\n\r\n"
                    "    [vm \"b\"]   ; indented\r\n    m=32");
    cr_assert_eq(lab.count, 2);
    cr_assert_eq(lab.vm[0].config.ram_size, 64 * MIB);
    cr_assert_str_eq(lab.vm[0].config.append, "x  y");
    cr_assert_str_eq(lab.vm[0].config.kernel, "k");
    cr_assert_eq(lab.vm[1].config.ram_size, 32 * MIB);
    lab_free(&lab);
}

Test(lab, quotes_keep_what_would_be_lost)
{
    static const struct {
        const char *written, *meant;
    } values[] = {
        {"plain \"inside\" \\n #x", "plain \"inside\" \\n #x"},
        {"cut ; here", "cut"},
        {"not;here", "not;here"},
        {"\"\"", ""},
        {"", ""},
        {"; all", ""},
        {"\" blanks \"", " blanks "},
        {"\"a ; b ;; c ;\"  ; comment", "a ; b ;; c ;"},
        {"\"q\\\" b\\\\ n\\n t\\t r\\r x\\x41\\x7f\\xFf\"", "q\" b\\ n\n t\t r\r xA\x7f\xff"},
        {"\"tab\there\"", "tab\there"},
        {"\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac"},
        {"a=b:c=[d]", "a=b:c=[d]"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
        char text[200];
        struct lab lab;

        snprintf(text, sizeof(text), "[vm \"a\"]\nappend = %s\nkernel = k\n", values[i].written);
        load_text(&lab, text);
        cr_assert_str_eq(lab.vm[0].config.append, values[i].meant, "%s: '%s'", values[i].written,
                         lab.vm[0].config.append);
        lab_free(&lab);
    }
}

/* inih's own buffer has 200 bytes: every length around it and its multiples, with and without what a cut could hurt. */
Test(lab, long_lines_arrive_whole)
{
    static const char *const patterns[] = {"x", "# ; [a] = ", "a  b", "; ", " ", "\xc3\xa4=:"};
    static char value[65000], text[66000];

    for (unsigned i = 0; i < ARRAY_LEN(patterns); i++) {
        for (size_t length = 150; length <= 64000; length += length < 850 ? 1 : 7901) {
            struct lab lab;

            for (size_t j = 0; j < length; j++) {
                value[j] = patterns[i][j % strlen(patterns[i])];
            }
            value[length] = '\0';
            snprintf(text, sizeof(text), "[vm \"a\"]\nkernel = k\nappend = \"%s\" ; c\nm = 64\n", value);
            load_text(&lab, text);
            cr_assert_str_eq(lab.vm[0].config.append, value, "%zu of '%s'", length, patterns[i]);
            cr_assert_eq(lab.vm[0].config.ram_size, 64 * MIB);
            lab_free(&lab);
        }
    }
}

Test(lab, long_comments_and_blanks_are_no_lines)
{
    struct lab lab;
    char *text = stretch("[vm \"a\"]\n# m = @\nm = 64 ; x\n", ';', 1000);

    load_text(&lab, text);
    cr_assert_eq(lab.vm[0].config.ram_size, 64 * MIB);
    lab_free(&lab);
    free(text);
    text = stretch("[vm \"a\"]\nm@= 64\n", ' ', 100);
    load_text(&lab, text);
    cr_assert_eq(lab.vm[0].config.ram_size, 64 * MIB);
    lab_free(&lab);
    free(text);
    text = stretch("[vm \"a\"]\nappend =@v\nkernel=k\n", ' ', 1000);
    load_text(&lab, text);
    cr_assert_str_eq(lab.vm[0].config.append, "v");
    lab_free(&lab);
    free(text);
}

Test(lab, several_files_make_one_lab)
{
    struct lab lab;
    struct error error = {{0}};
    char *argv[] = {(char[]){"run"}, (char[]){"a.ini"}, (char[]){"--pcpus"}, (char[]){"3"},
                    (char[]){"b.ini"}};
    enum config_action action;

    write_text("a.ini", "[lab]\npcpus = 2\nmonitor = none\n[vm \"a\"]\n");
    write_text("b.ini", "[lab]\nmemory-limit = 512\n[vm \"b\"]\n[vm \"c\"]\n");
    lab_init(&lab);
    cr_assert_eq(lab_parse_args(&lab, ARRAY_LEN(argv), argv, &action, &error), 0, "%s", error.text);
    cr_assert_eq(action, CONFIG_RUN);
    cr_assert_eq(lab.count, 3);
    cr_assert_str_eq(lab.vm[2].place.file, "b.ini");
    cr_assert_eq(lab.pcpus, 3); /* the command line outweighs the files */
    cr_assert_eq(lab.memory_limit, 512 * MIB);
    cr_assert_str_eq(lab.monitor, "none");
    lab_free(&lab);
}

Test(lab, a_large_file_is_read_and_a_larger_one_refused)
{
    struct lab lab;
    struct error error;
    size_t size = 17 << 20;
    char *text = malloc(size);

    for (size_t i = 0; i < size; i++) {
        text[i] = i % 80 == 79 ? '\n' : '#';
    }
    memcpy(text, "[vm \"a\"]\n", 9);
    memcpy(text + (10 << 20) - 8, "\nm = 64\n", 8);
    write_bytes("a.ini", text, 10 << 20);
    cr_assert_eq(load(&lab, "a.ini", &error), 0, "%s", error.text);
    cr_assert_eq(lab.vm[0].config.ram_size, 64 * MIB);
    lab_free(&lab);
    write_bytes("a.ini", text, size);
    cr_assert_lt(load(&lab, "a.ini", &error), 0);
    cr_assert_not_null(strstr(error.text, "16 MiB"), "%s", error.text);
    lab_free(&lab);
    free(text);
}

Test(lab, a_pipe_will_do)
{
    struct lab lab;
    struct error error;
    int ends[2];
    char path[40];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "[vm \"a\"]\n", 9), 9);
    close(ends[1]);
    snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
    cr_assert_eq(load(&lab, path, &error), 0, "%s", error.text);
    cr_assert_eq(lab.count, 1);
    lab_free(&lab);
    close(ends[0]);
}

/* ---- what is refused ---- */

Test(lab, errors_name_the_file_the_line_the_section_and_the_key)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"[vm \"web\"]\nm = abc\n", "a.ini:2: [vm \"web\"] m: 'abc' is not a size"},
        {"[vm \"web\"]\n\n# c\nm = 9G\n", "a.ini:4: [vm \"web\"] m: '9G' is out of range"},
        {"[vm \"web\"]\nserial = nonsense\n", "a.ini:2: [vm \"web\"] serial: character device 'nonsense'"},
        {"[vm \"web\"]\ndrive = file=x,if=virtio\n", "a.ini:2: [vm \"web\"] drive: there is no interface"},
        {"[vm \"web\"]\nhda = x\nhda = y\n", "a.ini:3: [vm \"web\"] hda: already said in line 2"},
        {"[vm \"web\"]\nhda = x\ndrive = file=y,index=0\n",
         "a.ini:3: [vm \"web\"] drive: disk 'y': there is already a drive at ide index 0"},
        {"[vm \"web\"]\nm = 64\nm = 64\n", "a.ini:3: [vm \"web\"] m: already said in line 2"},
        {"[vm \"web\"]\nserial=null\nserial=null\nserial=null\n",
         "a.ini:4: [vm \"web\"] serial: the machine has 2"},
        {"[vm \"web\"]\nkernl = x\n", "a.ini:2: [vm \"web\"] kernl: there is no such key (hypatia -help"},
        {"[vm \"web\"]\n-m = 64\n",
         "a.ini:2: [vm \"web\"] -m: there is no such key (keys are written without"},
        {"[vm \"web\"]\npcpus = 1\n", "a.ini:2: [vm \"web\"] pcpus: there is no such key"},
        {"[vm \"web\"]\nsnapshot = yes\n", "a.ini:2: [vm \"web\"] snapshot: 'yes' must be on or off"},
        {"[vm \"web\"]\nsnapshot\n", "a.ini:2: [vm \"web\"] the line is neither a [section] nor KEY = VALUE"},
        {"[vm \"web\"]\nsnapshot", "a.ini:2: [vm \"web\"] the line is neither a [section] nor KEY = VALUE"},
        {"[vm \"web\"]\n= 1\n", "a.ini:2: [vm \"web\"] the key is empty or too long"},
        {"[vm \"web\"]\nweight = 0\n", "a.ini:2: [vm \"web\"] weight: '0' is not a number from 1 to 65535"},
        {"[vm \"web\"]\nweight = 65536\n", "a.ini:2: [vm \"web\"] weight: '65536' is not"},
        {"[vm \"web\"]\nweight = -1\n", "a.ini:2: [vm \"web\"] weight: '-1' is not"},
        {"[vm \"web\"]\nweight =\n", "a.ini:2: [vm \"web\"] weight: '' is not"},
        {"[vm \"web\"]\ncap = 101\n", "a.ini:2: [vm \"web\"] cap: '101' is not a percentage"},
        {"[vm \"web\"]\ncap = 25%\n", "a.ini:2: [vm \"web\"] cap: '25%' is not a percentage"},
        {"[vm \"web\"]\ndaemonize = on\n", "a.ini:2: [vm \"web\"] daemonize: not a key of a VM"},
        {"[vm \"web\"]\npidfile = x\n", "a.ini:2: [vm \"web\"] pidfile: not a key of a VM"},
        {"[vm \"web\"]\nname = x\n", "a.ini:2: [vm \"web\"] name: not a key of a VM"},
        {"[vm \"web\"]\nmonitor = stdio\n",
         "a.ini:2: [vm \"web\"] monitor: not a key of a VM: one monitor sees"},
        {"[vm \"web\"]\nhelp = on\n", "a.ini:2: [vm \"web\"] help: not a key of a VM"},
        {"[vm \"web\"]\ncpu = help\n", "a.ini:2: [vm \"web\"] cpu: a file has no use for a list"},
        {"[vm \"web\"]\nnic = user,model=help\n", "a.ini:2: [vm \"web\"] nic: a file has no use for a list"},
        {"[vm \"web\"]\nm = 64\ninitrd = x\n\n[vm \"b\"]\n", "a.ini:1: [vm \"web\"] -initrd needs -kernel"},
        {"[vm \"web\"]\nappend = \"x\n", "a.ini:2: [vm \"web\"] append: the closing quote is missing"},
        {"[vm \"web\"]\nappend = \"x\\\"\n", "a.ini:2: [vm \"web\"] append: the closing quote is missing"},
        {"[vm \"web\"]\nappend = \"x\" y\n", "a.ini:2: [vm \"web\"] append: there is more behind"},
        {"[vm \"web\"]\nappend = \"x\\q\"\n", "a.ini:2: [vm \"web\"] append: unknown escape"},
        {"[vm \"web\"]\nappend = \"x\\x00\"\n", "a.ini:2: [vm \"web\"] append: unknown escape"},
        {"[vm \"web\"]\nappend = a\001b\n", "a.ini:2: [vm \"web\"] the line has a control character"},
        {"[vm \"web\"]\nappend = a\rb\n", "a.ini:2: [vm \"web\"] the line has a control character"},
        {"m = 64\n[vm \"web\"]\n", "a.ini:1: m: stands before the first section"},
        {"[vm]\n", "a.ini:1: [vm]: there is no such section (known: [lab], [vm \"NAME\"])"},
        {"[vm web]\n", "a.ini:1: [vm web]: there is no such section"},
        {"[vm \"web]\n", "a.ini:1: [vm \"web]: there is no such section"},
        {"[vm \"web\" x]\n", "a.ini:1: [vm \"web\" x]: there is no such section"},
        {"[VM \"web\"]\n", "a.ini:1: [VM \"web\"]: there is no such section"},
        {"[]\n", "a.ini:1: []: there is no such section"},
        {"[laboratory]\n", "a.ini:1: [laboratory]: there is no such section"},
        {"[vm \"\"]\n", "a.ini:1: [vm \"\"]: a VM's name has 1 to 32"},
        {"[vm \"a b\"]\n", "a.ini:1: [vm \"a b\"]: a VM's name has 1 to 32"},
        {"[vm \"../a\"]\n", "a.ini:1: [vm \"../a\"]: a VM's name has 1 to 32"},
        {"[vm \"a]\"]\n", "a.ini:1: a section's head must be"},
        {"[vm \"web\"\nm = 64\n", "a.ini:1: a section's head must be"},
        {"[vm \"web\"] x\n", "a.ini:1: a section's head must be"},
        {"[vm \"a\"]\n[vm \"b\"]\n[vm \"a\"]\n",
         "a.ini:3: [vm \"a\"]: there is already a VM of this name at a.ini:1"},
        {"[lab]\npcpus = 0\n", "a.ini:2: [lab] pcpus: '0' is not a number from 1 to 64"},
        {"[lab]\npcpus = 65\n", "a.ini:2: [lab] pcpus: '65' is not"},
        {"[lab]\nmemory-limit = none\n", "a.ini:2: [lab] memory-limit: 'none' is not a size"},
        {"[lab]\nmonitor = x\n", "a.ini:2: [lab] monitor: character device 'x'"},
        {"[lab]\nm = 64\n", "a.ini:2: [lab] m: there is no such key in [lab] (known: pcpus,"},
        {"[lab]\npcpus = 1\n[vm \"a\"]\n[lab]\npcpus = 2\n", "a.ini:5: [lab] pcpus: already said at a.ini:2"},
        {"", "there is no VM in the lab"},
        {"[lab]\n", "there is no VM in the lab"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        expect_error(bad[i].text, bad[i].message);
    }
}

Test(lab, what_is_too_long_is_refused_not_cut)
{
    static const struct {
        const char *text;
        size_t count;
        const char *message;
    } bad[] = {
        {"[vm \"web\"]\nappend = @\n", 65535, "a.ini:2: [vm \"web\"] the line is longer than 65535 bytes"},
        {"[vm \"@\"]\n", 33, "a.ini:1: [vm \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]: a VM's name has 1 to 32"},
        {"[vm \"@\"]\n", 60, "a.ini:1: the section's head is too long"},
        {"[vm \"@\"]\n", 300, "a.ini:1: the section's head is too long"},
        {"[vm \"web\"]\n@ = 1\n", 45, "a.ini:2: [vm \"web\"] the key is empty or too long"},
        {"[vm \"web\"]\n@ = 1\n", 195, "a.ini:2: [vm \"web\"] the "},
        {"[vm \"web\"]\n@ = 1\n", 1000, "a.ini:2: [vm \"web\"] the line is neither"},
        {"[vm \"web\"]\n@\n", 1000, "a.ini:2: [vm \"web\"] the line is neither"},
        {"[vm \"web\"]\nhda = @\n", 5000, "a.ini:2: [vm \"web\"] hda: disk 'xxx"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char *text = stretch(bad[i].text, 'x', bad[i].count);

        expect_error(text, bad[i].message);
        free(text);
    }
}

Test(lab, what_is_no_text_file_is_refused)
{
    static const char utf16[] = "\xff\xfe[\0v\0m\0", nul[] = "[vm \"a\"]\nm = 64\0\n";
    struct lab lab;
    struct error error;

    write_bytes("a.ini", utf16, sizeof(utf16) - 1);
    cr_assert_lt(load(&lab, "a.ini", &error), 0);
    cr_assert_not_null(strstr(error.text, "a.ini:1: the file is not plain text"), "%s", error.text);
    lab_free(&lab);
    write_bytes("a.ini", nul, sizeof(nul) - 1);
    cr_assert_lt(load(&lab, "a.ini", &error), 0);
    cr_assert_not_null(strstr(error.text, "a.ini:2: [vm \"a\"] the file is not plain text"), "%s",
                       error.text);
    lab_free(&lab);
    cr_assert_lt(load(&lab, "/dev/zero", &error), 0);
    lab_free(&lab);
    cr_assert_lt(load(&lab, "none.ini", &error), 0);
    cr_assert_str_eq(error.text, "cannot open 'none.ini': No such file or directory");
    lab_free(&lab);
    cr_assert_lt(load(&lab, folder, &error), 0);
    cr_assert_not_null(strstr(error.text, "Is a directory"), "%s", error.text);
    lab_free(&lab);
}

Test(lab, names_are_unique_over_all_files)
{
    struct lab lab;
    struct error error = {{0}};

    write_text("a.ini", "\n[vm \"web\"]\n");
    write_text("b.ini", "[vm \"web\"]\n");
    lab_init(&lab);
    cr_assert_eq(lab_add_file(&lab, "a.ini", &error), 0, "%s", error.text);
    cr_assert_lt(lab_add_file(&lab, "b.ini", &error), 0);
    cr_assert_str_eq(error.text, "b.ini:1: [vm \"web\"]: there is already a VM of this name at a.ini:2");
    lab_free(&lab);
}

Test(lab, there_is_a_largest_lab)
{
    struct lab lab;
    struct error error;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    for (unsigned i = 0; i <= LAB_VMS_MAX; i++) {
        fprintf(out, "[vm \"vm%u\"]\nnic = user\nserial = file:%u.log\n", i, i);
    }
    fclose(out);
    write_bytes("a.ini", text, size);
    cr_assert_lt(load(&lab, "a.ini", &error), 0);
    cr_assert_not_null(strstr(error.text, "no more than 256 VMs"), "%s", error.text);
    lab_free(&lab);
    *strstr(text, "[vm \"vm256\"]") = '\0';
    write_text("a.ini", text);
    cr_assert_eq(load(&lab, "a.ini", &error), 0, "%s", error.text);
    cr_assert_eq(lab.count, LAB_VMS_MAX);
    lab_free(&lab);
    free(text);
}

/* Files from pieces that mean something and bytes that do not: accepted, or refused with one line. */
Test(lab, no_file_does_harm, .timeout = 300)
{
    static const char *const pieces[] = {"[vm \"a\"]",
                                         "[vm \"b\"]",
                                         "[lab]",
                                         "\n",
                                         "\n",
                                         "\n",
                                         "\r\n",
                                         "m = 64",
                                         "kernel = k",
                                         "append = \"",
                                         "\"",
                                         "\\",
                                         "\\x",
                                         " ; ",
                                         "#",
                                         "=",
                                         ":",
                                         "[",
                                         "]",
                                         " ",
                                         "snapshot = on",
                                         "serial = null",
                                         "drive = file=x",
                                         "cap = 5",
                                         "pcpus = 2",
                                         "\xef\xbb\xbf",
                                         "\001",
                                         "nic = user",
                                         "-m",
                                         "0123456789012345678901234567890123456789"};
    uint64_t state = 2;
    unsigned accepted = 0;

    for (unsigned turn = 0; turn < 20000; turn++) {
        char text[4096];
        size_t length = 0;
        struct lab lab;
        struct error error;

        for (unsigned i = 0; i < 60 && length < sizeof(text) - 64; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            if ((state >> 33) % 25 == 0) {
                text[length++] = (char)(state >> 50);
            } else if ((state >> 33) % 25 == 1) {
                break;
            } else {
                strcpy(text + length, pieces[(state >> 40) % ARRAY_LEN(pieces)]);
                length += strlen(text + length);
            }
        }
        write_bytes("a.ini", text, length);
        if (load(&lab, "a.ini", &error) == 0) {
            accepted++;
            cr_assert_geq(lab.count, 1);
        } else {
            cr_assert(error.text[0] && !strchr(error.text, '\n'));
        }
        lab_free(&lab);
    }
    cr_assert_gt(accepted, 100, "%u of the files were right", accepted);
}

/* ---- what VMs may not do to each other ---- */

Test(lab, one_vm_has_the_terminal)
{
    static const char *const uses[] = {
        "serial = stdio", "serial = mon:stdio", "serial = null\nserial = stdio", "nographic = on",
        "display = text", "debugcon = stdio",   "firmware-log = stdio"};
    struct lab lab;
    char text[200];

    for (unsigned i = 0; i < ARRAY_LEN(uses); i++) {
        snprintf(text, sizeof(text), "[vm \"a\"]\n[vm \"b\"]\n%s\n", uses[i]);
        load_text(&lab, text);
        cr_assert_eq(lab.terminal, &lab.vm[1], "%s", uses[i]);
        lab_free(&lab);
        snprintf(text, sizeof(text), "[vm \"a\"]\n%s\n[vm \"b\"]\nserial = mon:stdio\n", uses[i]);
        expect_error(text, "a.ini:");
        snprintf(text, sizeof(text), "[lab]\nmonitor = stdio\n[vm \"a\"]\n%s\n[vm \"b\"]\n", uses[i]);
        expect_error(text, "a.ini:3: [vm \"a\"] ");
        /* alone, it may what it may on a command line */
        snprintf(text, sizeof(text), "[lab]\nmonitor = stdio\n[vm \"a\"]\n%s\n", uses[i]);
        load_text(&lab, text);
        lab_free(&lab);
    }
    expect_error("[vm \"a\"]\nnographic = on\n[vm \"b\"]\nserial = mon:stdio\n",
                 "a.ini:3: [vm \"b\"] serial: the terminal is already VM \"a\"'s");
    load_text(&lab, "[vm \"a\"]\nnographic = on\nserial = file:x\n[vm \"b\"]\nserial = stdio\n");
    cr_assert_eq(lab.terminal, &lab.vm[1]);
    lab_free(&lab);
}

Test(lab, two_vms_do_not_write_one_file)
{
    static const struct {
        const char *first, *second, *message;
    } pairs[] = {
        {"serial = file:x", "serial = null\nserial = file:x",
         "a.ini:3: [vm \"b\"] serial: 'x' is already used by a"},
        {"D = x", "result = x", "a.ini:3: [vm \"b\"] result: 'x' is already used by a"},
        {"debugcon = unix:s,server", "serial = unix:s,server", "a.ini:3: [vm \"b\"] serial: 'unix:s,server'"},
        {"firmware-log = file:x", "D = x", "a.ini:3: [vm \"b\"] D: 'x'"},
        {"serial = tcp:127.0.0.1:4000,server", "serial = tcp:127.0.0.1:4000,server",
         "a.ini:3: [vm \"b\"] serial: 'tcp:"},
    };
    struct lab lab;
    char text[300];

    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
        snprintf(text, sizeof(text), "[vm \"a\"]\n%s\n[vm \"b\"]\n%s\n", pairs[i].first, pairs[i].second);
        expect_error(text, pairs[i].message);
    }
    expect_error("[lab]\nmonitor = unix:m,server\n[vm \"a\"]\nserial = unix:m,server\n",
                 "a.ini:3: [vm \"a\"] serial: 'unix:m,server' is already used by the lab's monitor");
    load_text(&lab, "[vm \"a\"]\nD = /dev/null\nserial = null\n[vm \"b\"]\nD = /dev/null\nserial = null\n"
                    "debugcon = file:/dev/null\n[vm \"c\"]\nserial = pty\n[vm \"d\"]\nserial = pty\n");
    lab_free(&lab);
}

Test(lab, adapters_have_addresses_of_their_own)
{
    struct lab lab;

    load_text(&lab, "[vm \"a\"]\nnic = user\nnic = user,model=ne2k_pci\n"
                    "[vm \"b\"]\nnic = user,mac=52:54:00:12:34:58\nnic = user\n"
                    "[vm \"c\"]\n[vm \"d\"]\nnic = user\n");
    for (unsigned i = 0; i < lab.count; i++) {
        for (unsigned j = 0; j < lab.vm[i].config.net.nic_count; j++) {
            static const uint8_t last[4][2] = {{0x56, 0x57}, {0x58, 0x59}, {0}, {0x5a}};
            const uint8_t *mac = lab.vm[i].config.net.nic[j].mac;

            cr_assert_eq(mac[NET_MAC_SIZE - 1], last[i][j], "VM %u adapter %u: %02x", i, j,
                         mac[NET_MAC_SIZE - 1]);
            cr_assert_eq(memcmp(mac, (uint8_t[]){0x52, 0x54, 0x00, 0x12, 0x34}, 5), 0);
        }
    }
    lab_free(&lab);
}

/* ---- the command line of hypatia run ---- */

static int run_args(struct lab *lab, struct error *error, enum config_action *action, unsigned count,
                    const char *const *words)
{
    char *argv[10];

    cr_assert_leq(count, ARRAY_LEN(argv));
    for (unsigned i = 0; i < count; i++) {
        argv[i] = (char *)(uintptr_t)words[i];
    }
    lab_init(lab);
    error->text[0] = '\0';
    return lab_parse_args(lab, (int)count, argv, action, error);
}

#define RUN(lab, error, action, ...)                                                                         \
    run_args(lab, error, action, (unsigned)ARRAY_LEN(((const char *[]){"run", __VA_ARGS__})),                \
             (const char *[]){"run", __VA_ARGS__})

Test(lab, guests_that_could_exceed_the_memory_limit_are_refused)
{
    struct lab lab;
    struct error error;
    enum config_action action;

    write_text("a.ini", "[vm \"a\"]\nm = 64\n[vm \"b\"]\nm = 65\n");
    write_text("b.ini", "[lab]\nmemory-limit = 128\n");
    cr_assert_lt(RUN(&lab, &error, &action, "a.ini", "b.ini"), 0);
    cr_assert_str_eq(error.text,
                     "b.ini:2: memory-limit: the VMs have 132096 KiB together, 131072 KiB are allowed "
                     "(m sets a VM's)");
    lab_free(&lab);
    cr_assert_lt(RUN(&lab, &error, &action, "a.ini", "-memory-limit", "128M"), 0);
    cr_assert_str_eq(error.text, "memory-limit: the VMs have 132096 KiB together, 131072 KiB are allowed "
                                 "(m sets a VM's)");
    lab_free(&lab);
    cr_assert_eq(RUN(&lab, &error, &action, "a.ini", "b.ini", "-memory-limit", "129"), 0, "%s", error.text);
    lab_free(&lab);
}

Test(lab, the_sandbox_is_the_labs)
{
    struct lab lab;

    load_text(&lab, "[lab]\nsandbox = on\n[vm \"a\"]\n");
    cr_assert_eq(lab.sandbox, SANDBOX_ON);
    lab_free(&lab);
    expect_error("[lab]\nsandbox = maybe\n[vm \"a\"]\n",
                 "a.ini:2: [lab] sandbox: 'maybe' is not 'on', 'off' or 'on,files=off'");
    expect_error(
        "[vm \"a\"]\nsandbox = on\n",
        "a.ini:2: [vm \"a\"] sandbox: not a key of a VM: it is of the whole process; it is a key of [lab]");
}

Test(lab, run_has_options_of_its_own)
{
    struct lab lab;
    struct error error;
    enum config_action action;

    write_text("a.ini", "[lab]\npcpus = 8\nmonitor = none\n[vm \"a\"]\n");
    cr_assert_eq(
        RUN(&lab, &error, &action, "a.ini", "-pcpus", "2", "-memory-limit", "2G", "--monitor", "pty"), 0,
        "%s", error.text);
    cr_assert_eq(lab.pcpus, 2);
    cr_assert_eq(lab.memory_limit, 2 * GIB);
    cr_assert_str_eq(lab.monitor, "pty");
    lab_free(&lab);
    cr_assert_eq(RUN(&lab, &error, &action, "-pcpus", "2", "-pcpus", "4", "a.ini"), 0, "%s", error.text);
    cr_assert_eq(lab.pcpus, 4);
    lab_free(&lab);
    cr_assert_lt(RUN(&lab, &error, &action, "-pcpus", "0", "a.ini"), 0);
    cr_assert_str_eq(error.text, "-pcpus: '0' is not a number from 1 to 64");
    lab_free(&lab);
    cr_assert_lt(RUN(&lab, &error, &action, "a.ini", "-pcpus"), 0);
    cr_assert_str_eq(error.text, "-pcpus needs a value: N");
    lab_free(&lab);
    cr_assert_lt(RUN(&lab, &error, &action, "-m", "64", "a.ini"), 0);
    cr_assert_not_null(strstr(error.text, "unknown option '-m'"), "%s", error.text);
    lab_free(&lab);
    cr_assert_lt(RUN(&lab, &error, &action, "-pcpus", "2"), 0);
    cr_assert_not_null(strstr(error.text, "run needs a file"), "%s", error.text);
    lab_free(&lab);
    /* what the command line outweighs must be right all the same */
    write_text("a.ini", "[lab]\npcpus = many\n[vm \"a\"]\n");
    cr_assert_lt(RUN(&lab, &error, &action, "-pcpus", "2", "a.ini"), 0);
    cr_assert_not_null(strstr(error.text, "a.ini:2: [lab] pcpus: 'many'"), "%s", error.text);
    lab_free(&lab);
}

/* ---- --dump-config, and back ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

#define SAME(field) cr_assert(a->field == b->field, "%s: " #field, what)
#define SAME_TEXT(field)                                                                                     \
    cr_assert(same_text(a->field, b->field), "%s: " #field ": '%s' '%s'", what, a->field, b->field)

static void compare_drives(const struct config_drive *a, const struct config_drive *b, unsigned count,
                           const char *what)
{
    for (; count > 0; count--, a++, b++) {
        SAME(present);
        SAME(cdrom);
        SAME(read_only);
        SAME(snapshot);
        SAME(any_backing);
        SAME(ignore_discard);
        SAME(cache);
        SAME_TEXT(file);
        SAME_TEXT(format);
        SAME_TEXT(id);
        SAME_TEXT(serial);
    }
}

static void compare_backend(const struct net_backend_config *a, const struct net_backend_config *b,
                            const char *what)
{
    SAME(kind);
    SAME_TEXT(id);
    SAME_TEXT(pcap);
    SAME_TEXT(segment);
    SAME(user.network.s_addr);
    SAME(user.mask.s_addr);
    SAME(user.restricted);
    SAME_TEXT(user.hostname);
    SAME_TEXT(user.tftp);
    SAME(user.forward_count);
    for (unsigned i = 0; i < a->user.forward_count; i++) {
        SAME(user.forward[i].udp);
        SAME(user.forward[i].host_port);
        SAME(user.forward[i].guest_port);
        SAME(user.forward[i].host.s_addr);
    }
    SAME(socket.server);
    SAME(socket.is_unix);
    SAME_TEXT(socket.path);
    SAME(socket.port);
}

static void compare_net(const struct net_config *a, const struct net_config *b, const char *what)
{
    SAME(backend_count);
    SAME(nic_count);
    for (unsigned i = 0; i < a->backend_count; i++) {
        compare_backend(&a->backend[i], &b->backend[i], what);
    }
    for (unsigned i = 0; i < a->nic_count; i++) {
        SAME(nic[i].model);
        SAME_TEXT(nic[i].id);
        SAME_TEXT(nic[i].netdev);
        cr_assert_eq(memcmp(a->nic[i].mac, b->nic[i].mac, NET_MAC_SIZE), 0, "%s: mac", what);
        SAME(nic[i].slot);
        SAME_TEXT(nic[i].romfile);
        SAME(nic[i].default_rom);
    }
}

static void compare_devices(const struct vm_config *a, const struct vm_config *b, const char *what)
{
    SAME(fw_cfg_count);
    for (unsigned i = 0; i < a->fw_cfg_count; i++) {
        SAME_TEXT(fw_cfg[i].name);
        SAME_TEXT(fw_cfg[i].file);
        SAME_TEXT(fw_cfg[i].string);
    }
    compare_drives(a->ide, b->ide, CONFIG_IDE_DRIVES, what);
    compare_drives(a->floppy, b->floppy, CONFIG_FLOPPY_DRIVES, what);
    SAME(snapshot);
    SAME(no_defaults);
    SAME(nographic);
    SAME(display);
    SAME(vga);
    SAME(serial_count);
    for (unsigned i = 0; i < CONFIG_MAX_SERIAL; i++) {
        SAME_TEXT(serial[i]);
    }
    SAME_TEXT(debugcon);
    SAME_TEXT(firmware_log);
    compare_net(&a->net, &b->net, what);
    SAME(exit_device);
    SAME(exit_iobase);
    SAME(exit_iosize);
}

static void compare_configs(const struct vm_config *a, const struct vm_config *b, const char *what)
{
    SAME_TEXT(name);
    SAME_TEXT(uuid);
    SAME(ram_size);
    SAME(cpu_model);
    SAME(cpu_features);
    SAME(accel);
    SAME(accel_check);
    SAME(windows);
    SAME_TEXT(kernel);
    SAME_TEXT(initrd);
    SAME_TEXT(append);
    SAME(multiboot);
    SAME_TEXT(bios);
    SAME(dir_count);
    for (unsigned i = 0; i < a->dir_count; i++) {
        SAME_TEXT(dirs[i]);
    }
    SAME_TEXT(boot_order);
    SAME_TEXT(boot_once);
    compare_devices(a, b, what);
    SAME(icount);
    SAME(icount_shift);
    SAME(icount_sleep);
    SAME(seed);
    SAME(rtc);
    SAME(rtc_date);
    SAME(start_paused);
    SAME(no_reboot);
    SAME(no_shutdown);
    SAME(limit_insns);
    SAME(limit_ns);
    SAME(log_mask);
    SAME_TEXT(log_file);
    SAME_TEXT(result_file);
}

/* Dump the command line, read the file back, and compare what the two would run. Returns the file's text. */
static char *round_trip(int argc, char **argv, struct lab *lab)
{
    struct vm_config *config = malloc(sizeof(*config));
    enum config_action action;
    struct error error = {{0}};
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    config_init(config);
    cr_assert_eq(config_parse(config, argc, argv, &action, &error), 0, "%s", error.text);
    cr_assert_eq(lab_dump(argc, argv, out, &error), 0, "%s", error.text);
    fclose(out);
    write_bytes("a.ini", text, size);
    cr_assert_eq(load(lab, "a.ini", &error), 0, "%s\n%s", error.text, text);
    cr_assert_eq(lab->count, 1);
    compare_configs(config, &lab->vm[0].config, text);
    cr_assert(!config->monitor || same_text(config->monitor, lab->monitor), "%s", text);
    free(config);
    return text;
}

Test(lab, a_command_line_survives_the_way_into_a_file_and_back)
{
    static const char *const lines[][16] = {
        {NULL},
        {"-m", "64", NULL},
        {"disk.img", NULL},
        {"--m", "64", "-m", "1G", "--nographic", NULL},
        {"-nographic", "-kernel", "k", "-initrd", "i", "-append", "console=ttyS0 root=/dev/sda1 ; x", NULL},
        {"-append", "", "-kernel", "k", NULL},
        {"-nographic", "-display", "text", NULL},
        {"-display", "text", "-nographic", NULL},
        {"-nographic", "-display", "text", "-nographic", NULL},
        {"-display", "none", "-serial", "stdio", "-serial", "file:s", "-monitor", "pty", NULL},
        {"-serial", "mon:stdio", "-debugcon", "file:d", "-firmware-log", "file:f", "-vga", "none", NULL},
        {"-name", "web", "-uuid", "00112233-4455-6677-8899-aabbccddeeff", "-S", "-no-reboot", "-no-shutdown",
         NULL},
        {"-hda", "a", "-hdb", "b.qcow2", "-cdrom", "c", "-fda", "f", "-fdb", "g", "-snapshot", "-nodefaults",
         NULL},
        {"-drive", "file=a,,b,format=raw,id=x", "-drive", "media=cdrom", "-drive", "if=floppy,file=f", NULL},
        {"-L", "a", "-L", "b c ", "-bios", "builtin", "-boot", "order=cd", "-boot", "once=a", NULL},
        {"-fw_cfg", "name=opt/a,string= x ", "-fw_cfg", "name=opt/b,file=b", NULL},
        {"-netdev", "user,id=n,hostfwd=tcp::2222-:22,hostfwd=udp::5-:5", "-device", "e1000,netdev=n", NULL},
        {"-nic", "user,model=ne2k_pci", "-nic", "switch,segment=a", "-net", "nic", "-net", "user", NULL},
        {"-netdev", "user,id=n", "-device", "e1000,netdev=n", "-object", "filter-dump,id=f,netdev=n,file=x",
         NULL},
        {"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-d", "int", "-d", "exec", "-D", "log", NULL},
        {"-icount", "5", "-icount", "sleep=off", "-seed", "7", "-rtc", "base=localtime", NULL},
        {"-rtc", "base=2026-01-31T12:00:00", "-limit", "insns=5", "-limit", "time=6", "-result", "r", NULL},
        {"-accel", "dbt,check=on", "-accel", "dbt,windows=off", "-cpu", "pentium3", "-m", "4G", "-smp", "1",
         NULL},
        {"-machine", "pc,multiboot=2", "-M", "pc", "-enable-kvm", "-accel", "interp", NULL},
    };

    for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
        char *argv[17] = {(char[]){"hypatia"}};
        struct lab lab;
        int argc = 1;

        for (; lines[i][argc - 1]; argc++) {
            argv[argc] = (char *)(uintptr_t)lines[i][argc - 1];
        }
        free(round_trip(argc, argv, &lab));
        lab_free(&lab);
    }
}

/* Any bytes an argument can hold, biased towards those that mean something in a file. */
Test(lab, any_text_survives)
{
    static const char special[] = " ;#\"\\=[]:\t\n\r\x01\x7f\xff\xc3";
    uint64_t state = 1;

    for (unsigned turn = 0; turn < 3000; turn++) {
        char value[1500];
        char *argv[] = {(char[]){"hypatia"}, (char[]){"-kernel"}, (char[]){"k"}, (char[]){"-append"}, value};
        unsigned length;
        struct lab lab;

        state = state * 6364136223846793005u + 1442695040888963407u;
        length = (unsigned)(state >> 33) % (turn % 10 ? 40 : sizeof(value) - 1);
        for (unsigned i = 0; i < length; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            value[i] = state >> 63 ? special[(state >> 40) % (sizeof(special) - 1)]
                                   : (char)((state >> 40) % 255 + 1);
        }
        value[length] = '\0';
        free(round_trip(ARRAY_LEN(argv), argv, &lab));
        lab_free(&lab);
    }
}

Test(lab, a_dump_is_a_readable_file)
{
    char *argv[] = {(char[]){"hypatia"}, (char[]){"-m"},    (char[]){"32"},      (char[]){"-m"},
                    (char[]){"64"},      (char[]){"-name"}, (char[]){"web"},     (char[]){"-S"},
                    (char[]){"-append"}, (char[]){"a ;b"},  (char[]){"-kernel"}, (char[]){"vmlinuz"},
                    (char[]){"d.img"}};
    struct lab lab;
    char *text = round_trip(ARRAY_LEN(argv), argv, &lab);

    cr_assert_str_eq(text, "[lab]\n"
                           "monitor = none\n"
                           "\n"
                           "[vm \"web\"]\n"
                           "display = text\n"
                           "m = 64\n"
                           "S = on\n"
                           "append = \"a ;b\"\n"
                           "kernel = vmlinuz\n"
                           "hda = d.img\n");
    lab_free(&lab);
    free(text);
}

Test(lab, what_no_file_can_say_is_refused)
{
    static const struct {
        const char *option, *value, *message;
    } bad[] = {
        {"-daemonize", "-S", "-daemonize"},
        {"-pidfile", "p", "-pidfile: cannot be said in a lab's file: it is of the whole process"},
        {"-name", "my vm", "-name: 'my vm': in a lab's file"},
        {"-m", "none", "-m: 'none' is not a size"},
        {"-nonsense", "x", "unknown option '-nonsense'"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char *argv[] = {(char[]){"hypatia"}, (char *)(uintptr_t)bad[i].option,
                        (char *)(uintptr_t)bad[i].value};
        struct error error = {{0}};
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        cr_assert_lt(lab_dump(ARRAY_LEN(argv), argv, out, &error), 0, "%s", bad[i].option);
        fclose(out);
        cr_assert_eq(size, 0);
        cr_assert(!strncmp(error.text, bad[i].message, strlen(bad[i].message)), "%s", error.text);
        free(text);
    }
}

/* ---- VMs that come later ---- */

/* Check a file's VMs beside those of `first`. */
static int load_beside(struct lab *lab, const struct lab *first, const char *text, struct error *error)
{
    write_text("b.ini", text);
    lab_init(lab);
    for (unsigned i = 0; i < first->count; i++) {
        cr_assert_eq(lab_adopt(lab, &first->vm[i], error), 0, "%s", error->text);
    }
    return lab_add_file(lab, "b.ini", error) < 0 ? -1 : lab_check(lab, error);
}

Test(lab, new_vms_are_compared_with_those_that_run)
{
    struct lab first, lab;
    struct error error;

    load_text(&first, "[vm \"a\"]\nnic = user\nnic = user\nserial = file:log\nweight = 7\n");
    cr_assert_eq(load_beside(&lab, &first, "[vm \"b\"]\nnic = user\n", &error), 0, "%s", error.text);
    cr_assert_eq(lab.count, 2);
    cr_assert_eq(lab.vm[0].weight, 7);
    cr_assert_eq(lab.vm[0].config.net.nic[1].mac[NET_MAC_SIZE - 1], 0x57);
    cr_assert_eq(lab.vm[1].config.net.nic[0].mac[NET_MAC_SIZE - 1], 0x58);
    lab_free(&lab);
    cr_assert_lt(load_beside(&lab, &first, "[vm \"a\"]\n", &error), 0);
    cr_assert_str_eq(error.text, "b.ini:1: [vm \"a\"]: there is already a VM of this name at a.ini:1");
    lab_free(&lab);
    cr_assert_lt(load_beside(&lab, &first, "[vm \"b\"]\nserial = file:log\n", &error), 0);
    cr_assert_str_eq(error.text, "b.ini:1: [vm \"b\"] serial: 'log' is already used by a");
    lab_free(&lab);
    lab_free(&first);
}
