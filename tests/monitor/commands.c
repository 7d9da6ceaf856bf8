/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The table of commands and what is made of it: unique names, splitting, dispatch, help, JSON, completion, the manual, key names.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "monitor/completion.h"
#include "monitor/groups.h"
#include "monitor/keys.h"

/* ---- the table ---- */

Test(commands, names_and_aliases_are_unique_and_every_row_is_complete)
{
    for (size_t i = 0; i < command_group_count; i++) {
        for (size_t j = 0; j < command_groups[i]->count; j++) {
            const struct command *command = &command_groups[i]->commands[j];
            struct command_line line;
            const char *format;
            struct error error;
            unsigned words;

            cr_assert(command->name && command->arguments && command->help && command->run,
                      "group %zu row %zu", i, j);
            cr_assert_leq(command->least, command->most, "%s", command->name);
            cr_assert_neq(command->help[strlen(command->help) - 1], '.', "%s", command->name);
            cr_assert_eq(command_line_split(&line, command->name, &error), 0);
            cr_assert_eq(command_find(&line, &words, &format), command, "two commands are called %s",
                         command->name);
            cr_assert_eq(words, line.count);
            for (const char *alias = command->aliases; alias && *alias;) {
                size_t length = strcspn(alias, " ");
                char one[64];

                snprintf(one, sizeof(one), "%.*s", (int)length, alias);
                cr_assert_eq(command_line_split(&line, one, &error), 0);
                cr_assert_eq(command_find(&line, &words, &format), command, "two commands are called %s",
                             one);
                alias += length + (alias[length] == ' ');
            }
        }
    }
}

/* ---- lines ---- */

Test(commands, lines_are_split_with_quotes_taken_off)
{
    struct command_line line;
    struct error error;

    cr_assert_eq(command_line_split(&line, "  a \"b  c\" d\\e \"\\\"x\\\\\"\t f\"g h\"  ", &error), 0);
    cr_assert_eq(line.count, 5);
    cr_assert_str_eq(line.word[0], "a");
    cr_assert_str_eq(line.word[1], "b  c");
    cr_assert_str_eq(line.word[2], "d\\e");
    cr_assert_str_eq(line.word[3], "\"x\\");
    cr_assert_str_eq(line.word[4], "fg h");
    cr_assert_str_eq(line.tail[3], "\"\\\"x\\\\\"\t f\"g h\"");
    cr_assert_eq(command_line_split(&line, "   ", &error), 0);
    cr_assert_eq(line.count, 0);
}

Test(commands, lines_that_are_no_lines_are_refused)
{
    struct command_line line;
    struct error error;
    char text[COMMAND_LINE_MAX + 10];

    cr_assert_eq(command_line_split(&line, "savevm \"half", &error), -EINVAL);
    cr_assert(strstr(error.text, "a quote is not closed"), "%s", error.text);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    cr_assert_eq(command_line_split(&line, text, &error), -E2BIG);
    text[COMMAND_LINE_MAX - 2] = '\0';
    cr_assert_eq(command_line_split(&line, text, &error), 0);
    for (size_t i = 0; i < COMMAND_LINE_MAX - 2; i += 2) {
        text[i] = ' ';
    }
    cr_assert_eq(command_line_split(&line, text, &error), -E2BIG);
}

Test(commands, the_longest_name_wins_and_formats_stand_at_either_place)
{
    static const struct {
        const char *text, *name, *format;
        unsigned words;
    } cases[] = {
        {"vm list", "vm list", "", 2}, {"vm web", "vm", "", 1},
        {"vm", "vm", "", 1},           {"sched trace save x", "sched trace save", "", 3},
        {"x/8xw 0x10", "x", "8xw", 1}, {"x /8xw 0x10", "x", "8xw", 2},
        {"x 0x10", "x", "", 1},        {"p/d 5", "print", "d", 1},
        {"q", "quit", "", 1},          {"? stop", "help", "", 1},
        {"info pg", "info pg", "", 2}, {"info i8259", "info", "", 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct command_line line;
        const struct command *command;
        const char *format;
        struct error error;
        unsigned words;

        cr_assert_eq(command_line_split(&line, cases[i].text, &error), 0);
        command = command_find(&line, &words, &format);
        cr_assert(command, "%s", cases[i].text);
        cr_assert_str_eq(command->name, cases[i].name, "%s", cases[i].text);
        cr_assert_str_eq(format, cases[i].format, "%s", cases[i].text);
        cr_assert_eq(words, cases[i].words, "%s", cases[i].text);
    }
}

static const char *const unknown[] = {"stop/3", "infox", "x8", "schedule", "sched bogus", "nonsense"};

Test(commands, what_is_no_command_is_said_to_be_none)
{
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        struct monitor_session session = {.hv = NULL};
        char text[256] = "";
        FILE *out = fmemopen(text, sizeof(text), "w");

        if (!strcmp(unknown[i], "sched bogus")) { /* sched takes no argument */
            cr_assert_not(monitor_execute(&session, unknown[i], out));
            fclose(out);
            cr_assert_str_eq(text, "usage: sched\n");
            continue;
        }
        cr_assert_not(monitor_execute(&session, unknown[i], out));
        fclose(out);
        cr_assert(strstr(text, "unknown command '"), "%s: %s", unknown[i], text);
    }
}

/* ---- answers ---- */

static char *answer(const char *line, bool *done)
{
    struct error error;
    struct hypervisor *hv = hypervisor_create(1, &error);
    struct monitor_session session = {.hv = hv};
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    *done = monitor_execute(&session, line, out);
    fclose(out);
    hypervisor_destroy(hv);
    return text;
}

static void expect_answer(const char *line, bool well, const char *text)
{
    bool done;
    char *said = answer(line, &done);

    cr_assert_eq(done, well, "%s: %s", line, said);
    cr_assert(strstr(said, text), "'%s' answers: %s", line, said);
    free(said);
}

Test(commands, help_knows_one_several_and_all)
{
    expect_answer("help", true, "\nSnapshots:\nsavevm [NAME [NOTE...]]");
    expect_answer("help quit", true, "usage: quit\nend the VM");
    expect_answer("help quit", true, "also called: q exit\n");
    expect_answer("help q", true, "usage: quit\n");
    expect_answer("help info pg", true, "usage: info pg [ADDR]\n");
    expect_answer("help snap", true, "snap diff SNAPSHOT SNAPSHOT");
    expect_answer("help nothing", false, "unknown command 'nothing'");
}

Test(commands, usage_is_printed_when_arguments_are_wrong)
{
    expect_answer("sched weight a", false, "usage: sched weight VM N\n");
    expect_answer("quit now", false, "usage: quit\n");
    expect_answer("assert-output x", false, "usage: assert-output COMMAND PATTERN\n");
}

Test(commands, commands_for_a_vm_need_one)
{
    expect_answer("info status", false, "for which VM?");
    expect_answer("vm nobody info status", false, "there is no VM 'nobody'");
}

Test(commands, asserted_output_is_looked_into)
{
    expect_answer("assert-output \"info version\" \"^Hypatia [0-9.]+$\"", true, "");
    expect_answer("assert-output \"info version\" \"^QEMU\"", false,
                  "'info version' does not answer \"^QEMU\" but: Hypatia ");
    expect_answer("assert-output \"info version\" \"(\"", false, "pattern '('");
}

/* ---- windows: a host that notes what it is asked for ---- */

static const char *two_actions(void *opaque, unsigned i, const char **text)
{
    static const char *const names[] = {"full-screen", "grab"};

    (void)opaque;
    *text = "what it does";
    return i < ARRAY_LEN(names) ? names[i] : NULL;
}

static int note_action(void *opaque, const char *vm, const char *action, struct error *error)
{
    char *noted = opaque;

    if (strcmp(action, "grab") != 0) {
        return error_set(error, -EINVAL, "there is no action '%s'", action);
    }
    sprintf(noted, "%s in %s", action, vm);
    return 0;
}

/* For the lab's monitor, which has chosen "web". */
static void expect_window(const char *line, bool well, const char *answer_is, const char *noted_is)
{
    char noted[64] = "", text[256] = "";
    const struct monitor_host host = {
        .window_action = two_actions, .act_in_window = note_action, .opaque = noted};
    struct monitor_session session = {.host = &host, .chosen = "web"};
    FILE *out = fmemopen(text, sizeof(text), "w");

    cr_assert_eq(monitor_execute(&session, line, out), well, "%s: %s", line, text);
    fclose(out);
    cr_expect_str_eq(text, answer_is, "%s: %s", line, text);
    cr_expect_str_eq(noted, noted_is, "%s: %s", line, noted);
}

Test(commands, window_does_what_the_host_offers)
{
    struct editor_words words = {0};
    const struct monitor_host host = {.window_action = two_actions, .act_in_window = note_action};
    struct monitor_session session = {.host = &host};
    char text[64] = "";
    FILE *out;

    expect_window("window", true, "full-screen    what it does\ngrab           what it does\n", "");
    expect_window("window grab", true, "", "grab in web");
    expect_window("window grab db", true, "", "grab in db");
    expect_window("vm db window grab", true, "", "grab in db");
    expect_window("window fly", false, "window: there is no action 'fly'\n", "");
    expect_window("-j window grab", true, "{\"command\":\"window grab\",\"ok\":true,\"text\":[]}\n",
                  "grab in web");
    completion_find(&session, NULL, "window g", 7, &words);
    cr_assert_eq(words.count, 1);
    cr_assert_str_eq(words.word[0], "grab");
    free(words.word[0]);
    free(words.word);
    out = fmemopen(text, sizeof(text), "w");
    cr_assert_not(monitor_execute(&session, "window grab", out)); /* no VM has been chosen */
    fclose(out);
    cr_assert_str_eq(text, "window: which VM? (vm list shows them)\n");
}

Test(commands, without_windows_there_is_one_line)
{
    static const char none[] = "window: no window can be reached from here (-display sdl opens one)\n";
    const struct monitor_host no_windows = {.new_vms = NULL};
    struct monitor_session session = {.host = &no_windows};
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    expect_answer("window", false, none);
    expect_answer("window full-screen", false, none);
    cr_assert_not(monitor_execute(&session, "window full-screen", out));
    fclose(out);
    cr_assert_str_eq(text, none);
    expect_answer("vm new x", false, "vm new: only a lab's monitor makes VMs");
}

static void expect_json(const char *line, const char *format, ...)
{
    bool done;
    char *said = answer(line, &done);
    json_error_t error;
    json_t *root = json_loads(said, 0, &error);
    va_list list;

    cr_assert(root, "'%s' answers: %s", line, said);
    cr_assert_eq(said[strlen(said) - 1], '\n');
    cr_assert_eq(strchr(said, '\n'), said + strlen(said) - 1, "more than a line: %s", said);
    va_start(list, format);
    cr_assert_eq(json_vunpack_ex(root, &error, JSON_STRICT, format, list), 0, "%s: %s", said, error.text);
    va_end(list);
    cr_assert_str_eq(json_string_value(json_object_get(root, "command")), line + strlen("-j "));
    json_decref(root);
    free(said);
}

Test(commands, json_is_a_line_with_data_text_or_error)
{
    const char *command, *text, *error;
    json_t *data;
    int ok;

    expect_json("-j info version", "{s:s, s:b, s:{s:s}}", "command", &command, "ok", &ok, "data", "version",
                &text);
    expect_json("-j help quit", "{s:s, s:b, s:o}", "command", &command, "ok", &ok, "text", &data);
    cr_assert(ok);
    expect_json("-j bogus x", "{s:s, s:b, s:s}", "command", &command, "ok", &ok, "error", &error);
    cr_assert_not(ok);
    expect_answer("-j bogus \xff", false, "{\"command\":\"bogus ?\",\"ok\":false,");
}

/* ---- completion ---- */

static void add_word(char *text, size_t size, const struct editor_words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        size_t used = strlen(text);

        snprintf(text + used, size - used, "%s ", words->word[i]);
        free(words->word[i]);
    }
    if (words->files) {
        strncat(text, "FILES ", size - strlen(text) - 1);
    }
    free(words->word);
}

static void expect_completion(const char *text, size_t start, const char *expected)
{
    struct error error;
    struct hypervisor *hv = hypervisor_create(1, &error);
    struct monitor_session session = {.hv = hv};
    struct editor_words words = {0};
    char found[4096] = "";

    completion_find(&session, NULL, text, start, &words);
    add_word(found, sizeof(found), &words);
    hypervisor_destroy(hv);
    cr_assert_str_eq(found, expected, "'%s' completes to: %s", text, found);
}

Test(completion, names_word_by_word)
{
    expect_completion("qui", 0, "quit ");
    expect_completion("sched tr", 6, "trace trace ");
    expect_completion("sched trace sa", 12, "save ");
    expect_completion("-j qui", 3, "quit ");
    expect_completion("nonsense x", 9, "");
}

Test(completion, literals_and_alternatives)
{
    expect_completion("set_link net0 ", 14, "on off ");
    expect_completion("set_link net0 of", 14, "off ");
    expect_completion("change ide1-cd0 ", 16, "FILES ");
    expect_completion("change ide1-cd0 x ", 18, "raw qcow2 ");
    expect_completion("change ide1-cd0 x raw ", 22, "read-only ");
    expect_completion("change ide1-cd0 x raw read-only ", 32, "");
    expect_completion("eject -", 6, "-f ");
    expect_completion("commit a", 7, "all ");
}

Test(completion, commands_within_commands)
{
    expect_completion("vm web qui", 7, "quit ");
    expect_completion("vm web set_link net0 o", 21, "on off ");
    expect_completion("help qui", 5, "quit ");
    expect_completion("assert-output \"qui", 15, "quit ");
}

Test(completion, files)
{
    expect_completion("screendump ", 11, "FILES ");
    expect_completion("memsave 0 16 ", 13, "FILES ");
    expect_completion("memsave 0 ", 10, "");
}

/* ---- the manual ---- */

Test(manual, has_every_command_in_every_form)
{
    static const char *const forms[] = {"text", "man", "markdown"};

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        char *text = NULL;
        size_t length;
        FILE *out = open_memstream(&text, &length);

        cr_assert_eq(monitor_write_manual(forms[i], out), 0);
        fclose(out);
        for (size_t k = 0; k < command_group_count; k++) {
            cr_assert(strstr(text, command_groups[k]->title), "%s", command_groups[k]->title);
            for (size_t j = 0; j < command_groups[k]->count; j++) {
                const char *name = command_groups[k]->commands[j].name;

                cr_assert(strstr(text, name) || strchr(name, '-'), "%s: %s", forms[i], name);
            }
        }
        free(text);
    }
    cr_assert_eq(monitor_write_manual("pdf", stdout), -EINVAL);
}

/* ---- keys ---- */

Test(keys, combinations_and_numbers)
{
    enum key key[KEYS_AT_ONCE];
    struct error error;

    cr_assert_eq(keys_parse("ctrl-alt-delete", key, &error), 3);
    cr_assert_eq(key[0], KEY_LEFT_CTRL);
    cr_assert_eq(key[1], KEY_LEFT_ALT);
    cr_assert_eq(key[2], KEY_DELETE);
    cr_assert_eq(keys_parse("0x1e-0xe048-<", key, &error), 3);
    cr_assert_eq(key[0], KEY_A);
    cr_assert_eq(key[1], KEY_UP);
    cr_assert_eq(key[2], KEY_102ND);
}

Test(keys, every_name_is_a_key)
{
    enum key key[KEYS_AT_ONCE];
    struct error error;

    for (unsigned i = 0; keys_name(i); i++) {
        cr_assert_eq(keys_parse(keys_name(i), key, &error), 1, "%s", keys_name(i));
    }
}

Test(keys, nonsense_is_refused)
{
    static const char *const bad[] = {"",     "ctrl-", "-a",     "ctrl--a", "bogus", "0x",
                                      "0xzz", "0x80",  "0xe080", "0x12345", "0x0"};
    enum key key[KEYS_AT_ONCE];
    struct error error;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_assert_eq(keys_parse(bad[i], key, &error), -EINVAL, "%s", bad[i]);
        cr_assert(strstr(error.text, "unknown key '"), "%s", error.text);
    }
    cr_assert_eq(keys_parse("a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a", key, &error), 16);
    cr_assert_eq(keys_parse("a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a", key, &error), -EINVAL);
}
