/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Completion by the arguments column of the table (monitor/command.h has its grammar).
 *
 *   change  DRIVE FILE [raw|qcow2 [read-only]]
 *           ----- ---- ---------- ------------
 *           slot 0 1   2, may be  3, may be left out
 *                      left out
 *                      with 3
 *
 * The words before the cursor are matched against the slots from the left; the slots that could come next say what is offered.
 * A kind without a list of its own (EXPR, MS, ...) offers nothing.
 */
#include "monitor/completion.h"

#include <ctype.h>
#include <stdlib.h>

#include "monitor/keys.h"
#include "vm/snapshot.h"
#include "vm/symbols.h"

enum { SLOTS_MAX = 16, SLOT_SIZE = 64, SYMBOLS_SHOWN = 512 };

struct slot {
    char words[SLOT_SIZE]; /* alternatives, with | between them */
    bool repeats;
    unsigned skip; /* not 0: an optional part begins here, and ends before this slot */
};

struct grammar {
    struct slot slot[SLOTS_MAX];
    unsigned count;
};

/* What is being completed. */
struct search {
    struct monitor_session *session;
    struct vm *vm;
    const char *typed; /* the word at the cursor, so far */
    struct editor_words *words;
};

static void offer(struct search *search, const char *word)
{
    if (!strncmp(word, search->typed, strlen(search->typed))) {
        editor_add_word(search->words, word);
    }
}

/* ---- kinds ---- */

static void offer_vms(struct search *search)
{
    unsigned count = hypervisor_accounts(search->session->hv, NULL, 0);
    struct hypervisor_account *account = count ? calloc(count, sizeof(*account)) : NULL;

    count = account ? MIN(count, hypervisor_accounts(search->session->hv, account, count)) : 0;
    for (unsigned i = 0; i < count; i++) {
        offer(search, account[i].name);
    }
    free(account);
}

static void offer_drive(struct disk *disk, void *opaque)
{
    offer(opaque, disk->block.id);
}

static void offer_drives(struct search *search)
{
    if (search->vm) {
        drives_for_each(&search->vm->drives, offer_drive, search);
    }
}

static void offer_snapshot(void *opaque, const struct snapshot_entry *entry)
{
    offer(opaque, entry->name);
}

static void offer_snapshots(struct search *search)
{
    struct error error;

    if (search->vm) {
        snapshot_each(search->vm, offer_snapshot, search, &error);
    }
}

static void offer_devices(struct search *search)
{
    for (struct device *device = search->vm ? pc_board(search->vm->pc)->devices : NULL; device;
         device = device->next) {
        if (device->ops->snap) {
            offer(search, device->id);
        }
    }
}

static bool offer_symbol(void *opaque, const struct symbol *symbol)
{
    struct search *search = opaque;

    editor_add_word(search->words, symbol->name);
    return search->words->count < SYMBOLS_SHOWN;
}

static void offer_symbols(struct search *search)
{
    if (search->vm && (isalpha((unsigned char)search->typed[0]) || search->typed[0] == '_')) {
        symbols_complete(search->vm->symbols, search->typed, offer_symbol, search);
    }
}

/* "ctrl-alt-de": the last of several keys. */
static void offer_keys(struct search *search)
{
    const char *dash = strrchr(search->typed, '-');
    size_t kept = dash ? (size_t)(dash + 1 - search->typed) : 0;
    char word[128];

    for (unsigned i = 0; keys_name(i); i++) {
        snprintf(word, sizeof(word), "%.*s%s", (int)MIN(kept, sizeof(word) / 2), search->typed, keys_name(i));
        offer(search, word);
    }
}

static void offer_files(struct search *search)
{
    search->words->files = true;
}

static void offer_window_actions(struct search *search)
{
    const struct monitor_host *host = search->session->host;
    const char *name, *text;

    for (unsigned i = 0; host && host->window_action && (name = host->window_action(host->opaque, i, &text));
         i++) {
        offer(search, name);
    }
}

/* The words of names that begin with what the line already has: word `index` of each. */
static void offer_names(struct search *search, char *const *word, unsigned index)
{
    for (size_t i = 0; i < command_group_count; i++) {
        for (size_t j = 0; j < command_groups[i]->count; j++) {
            const char *name = command_groups[i]->commands[j].name;
            char next[64];
            unsigned k = 0;

            for (; k < index; k++) {
                size_t length = strcspn(name, " ");

                if (strlen(word[k]) != length || strncmp(name, word[k], length) != 0 || !name[length]) {
                    break;
                }
                name += length + 1;
            }
            if (k == index) {
                snprintf(next, sizeof(next), "%.*s", (int)strcspn(name, " "), name);
                offer(search, next);
            }
        }
    }
}

static void offer_commands(struct search *search)
{
    offer_names(search, NULL, 0);
}

static const struct {
    const char *kind;
    void (*offer)(struct search *search);
} kinds[] = {
    {"VM", offer_vms},
    {"DRIVE", offer_drives},
    {"SNAPSHOT", offer_snapshots},
    {"DEVICE", offer_devices},
    {"SYMBOL", offer_symbols},
    {"ADDR", offer_symbols},
    {"EXPR", offer_symbols},
    {"KEYS", offer_keys},
    {"FILE", offer_files},
    {"COMMAND", offer_commands},
    {"ACTION", offer_window_actions},
};

/* Is a word of the arguments a kind? Others stand for themselves. */
static bool is_kind(const char *word)
{
    return isupper((unsigned char)word[0]);
}

static void offer_slot(struct search *search, const struct slot *slot)
{
    char copy[SLOT_SIZE];

    strcpy(copy, slot->words);
    for (char *save = NULL, *word = strtok_r(copy, "|", &save); word; word = strtok_r(NULL, "|", &save)) {
        if (!is_kind(word)) {
            offer(search, word);
        }
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            if (!strcmp(kinds[i].kind, word)) {
                kinds[i].offer(search);
            }
        }
    }
}

/* ---- the grammar ---- */

static void parse_arguments(struct grammar *grammar, const char *text)
{
    unsigned open[SLOTS_MAX], depth = 0;

    grammar->count = 0;
    while (*text && grammar->count < SLOTS_MAX) {
        struct slot *slot = &grammar->slot[grammar->count];
        size_t length;

        if (*text == '[') {
            if (depth < SLOTS_MAX) {
                open[depth++] = grammar->count;
            }
            text++;
            continue;
        }
        if (*text == ']' && depth > 0 && open[--depth] < grammar->count) {
            grammar->slot[open[depth]].skip = grammar->count;
        }
        if (*text == ']' || *text == ' ') {
            text++;
            continue;
        }
        length = strcspn(text, " []");
        *slot = (struct slot){.repeats = length > 3 && !strncmp(text + length - 3, "...", 3)};
        snprintf(slot->words, sizeof(slot->words), "%.*s", (int)(length - (slot->repeats ? 3 : 0)), text);
        grammar->count++;
        text += length;
    }
}

/* Could this word have been meant by that slot? */
static bool fits(const struct slot *slot, const char *word)
{
    const char *at = slot->words;

    for (size_t length; *at; at += length + (at[length] == '|')) {
        length = strcspn(at, "|");
        if (is_kind(at) || (strlen(word) == length && !strncmp(at, word, length))) {
            return true;
        }
    }
    return false;
}

/* A set of slots, one bit each, with those behind optional parts. */
static uint32_t with_skips(const struct grammar *grammar, uint32_t slots)
{
    for (unsigned i = 0; i < grammar->count; i++) {
        if ((slots & 1u << i) && grammar->slot[i].skip) {
            slots |= 1u << grammar->slot[i].skip;
        }
    }
    return slots;
}

static uint32_t after_word(const struct grammar *grammar, uint32_t slots, const char *word)
{
    uint32_t next = 0;

    for (unsigned i = 0; i < grammar->count; i++) {
        if ((slots & 1u << i) && fits(&grammar->slot[i], word)) {
            next |= 1u << (i + 1) | (grammar->slot[i].repeats ? 1u << i : 0);
        }
    }
    return with_skips(grammar, next);
}

/* ---- the line ---- */

static void find_in(struct search *search, struct command_line *line, unsigned from);

/* The arguments of a command are word[from..count), the last of which is being typed. */
static void find_argument(struct search *search, const struct command *command, struct command_line *line,
                          unsigned from)
{
    const char *arguments = command->arguments;
    struct grammar grammar;
    uint32_t slots;

    if (arguments[0] == '/') {
        arguments += strcspn(arguments, " ");
    }
    parse_arguments(&grammar, arguments);
    slots = with_skips(&grammar, 1);
    for (unsigned i = from; i + 1 < line->count; i++) {
        for (unsigned k = 0; k < grammar.count; k++) {
            if ((slots & 1u << k) && grammar.slot[k].repeats && !strcmp(grammar.slot[k].words, "COMMAND")) {
                /* vm NAME COMMAND...: another VM's drives are not known here */
                if (search->vm && !strcmp(command->name, "vm") &&
                    strcmp(search->vm->config.name, line->word[from]) != 0) {
                    search->vm = NULL;
                }
                find_in(search, line, i);
                return;
            }
        }
        slots = after_word(&grammar, slots, line->word[i]);
    }
    for (unsigned i = 0; i < grammar.count; i++) {
        if (slots & 1u << i) {
            offer_slot(search, &grammar.slot[i]);
        }
    }
}

/* word[from..count) are a command, the last of them is being typed. */
static void find_in(struct search *search, struct command_line *line, unsigned from)
{
    struct command_line part = *line;
    const struct command *command;
    const char *format;
    unsigned words;

    part.count -= from;
    memmove(part.word, part.word + from, part.count * sizeof(*part.word));
    if (part.count > 1 && !strcmp(part.word[0], "-j")) {
        find_in(search, line, from + 1);
        return;
    }
    offer_names(search, part.word, part.count - 1);
    part.count--;
    command = command_find(&part, &words, &format);
    part.count++;
    if (command) {
        find_argument(search, command, &part, words);
    }
}

void completion_find(struct monitor_session *session, struct vm *vm, const char *text, size_t start,
                     struct editor_words *words)
{
    struct command_line *line = malloc(sizeof(*line));
    struct search search = {session, vm, text + start, words};
    char before[COMMAND_LINE_MAX];
    struct error error;

    if (!line) {
        return;
    }
    /* A quote that was opened is closed: what is behind it is the word at the cursor. */
    snprintf(before, sizeof(before), "%.*s", (int)start, text);
    if (start > 0 && start < sizeof(before) && before[start - 1] == '"') {
        before[start - 1] = '\0';
    }
    if (command_line_split(line, before, &error) == 0 && line->count < COMMAND_WORDS_MAX) {
        line->word[line->count++] = (char *)search.typed;
        find_in(&search, line, 0);
    }
    free(line);
}
