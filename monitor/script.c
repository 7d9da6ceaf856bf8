/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Running a script: see monitor/script.h.
 *
 *              a line that waits                   what it waits for, or in time
 *   NEXT LINE -------------------> WAITING --------------------------------------> NEXT LINE ... -> OVER
 *       |                             |  time is up                                               ^
 *       '----- a line that fails -----+------------------------------> FAILED, VMs are asked to end
 *
 * Serial output is collected by a tap on the character device, on the VM's thread, in a buffer with a lock of its own; the rest is
 * looked at every POLL_NS. Carriage returns are left out and the last BUFFER_SIZE bytes kept; what has matched is used up.
 * Patterns are extended regular expressions of POSIX.
 */
#include "monitor/script.h"

#include <errno.h>
#include <pthread.h>
#include <regex.h>
#include <stdlib.h>

#include "base/clock.h"
#include "monitor/groups.h"
#include "monitor/screen_text.h"

#define POLL_NS   20000000u
#define NS_PER_MS 1000000u

enum { BUFFER_SIZE = 65536, SHOWN = 160, DEFAULT_SECONDS = 60, SECONDS_MAX = 86400, PATTERN_SIZE = 512 };

/* What a serial port has said and nobody has expected yet. */
struct watch {
    struct script *script;
    char vm[HYPERVISOR_NAME_SIZE];
    unsigned port;
    pthread_mutex_t lock;
    char text[BUFFER_SIZE];
    size_t count;
    struct watch *next;
};

enum wait_for { WAIT_NOTHING, WAIT_TIME, WAIT_SERIAL, WAIT_SCREEN, WAIT_STOP, WAIT_OUTPUT, WAIT_SEND };

struct script {
    struct monitor_session session;
    char path[256];
    char *text, *next; /* the file; the line that comes next, NULL: none */
    unsigned line;     /* number of the one under way */
    bool failed, without_vms;

    enum wait_for wait_for;
    uint64_t until; /* host time, or the VM's when by_guest */
    bool by_guest;
    unsigned seconds;
    unsigned port;
    char pattern[PATTERN_SIZE];
    regex_t regex;
    bool compiled;
    char command[COMMAND_LINE_MAX]; /* WAIT_OUTPUT */
    char send[COMMAND_LINE_MAX];    /* WAIT_SEND: left of it */
    size_t send_count;

    struct watch *watches;
    struct loop_poller poller;
};

static uint64_t host_now(void)
{
    return pacer_host_now();
}

/* ---- watching ---- */

/* On the VM's thread. */
static void tap(void *opaque, const uint8_t *bytes, size_t n)
{
    struct watch *watch = opaque;

    pthread_mutex_lock(&watch->lock);
    for (size_t i = 0; i < n; i++) {
        if (watch->count == BUFFER_SIZE - 1) {
            watch->count /= 2;
            memmove(watch->text, watch->text + BUFFER_SIZE - 1 - watch->count, watch->count);
        }
        if (bytes[i] != '\r') {
            watch->text[watch->count++] = (char)(bytes[i] ? bytes[i] : ' ');
        }
    }
    watch->text[watch->count] = '\0';
    pthread_mutex_unlock(&watch->lock);
    loop_wake(hypervisor_loop(watch->script->session.hv));
}

void script_watch(struct script *script, struct vm *vm)
{
    if (!script->watches) {
        snprintf(script->session.chosen, sizeof(script->session.chosen), "%s", vm->config.name);
    }
    for (unsigned i = 0; i < CONFIG_MAX_SERIAL; i++) {
        struct watch *watch = vm->serial[i] ? calloc(1, sizeof(*watch)) : NULL;

        if (watch) {
            watch->script = script;
            snprintf(watch->vm, sizeof(watch->vm), "%s", vm->config.name);
            watch->port = i;
            pthread_mutex_init(&watch->lock, NULL);
            watch->next = script->watches;
            script->watches = watch;
            vm->serial[i]->tap = tap;
            vm->serial[i]->watcher = watch;
        }
    }
}

static struct watch *find_watch(const struct script *script)
{
    struct watch *watch = script->watches;

    while (watch && (watch->port != script->port || strcmp(watch->vm, script->session.chosen) != 0)) {
        watch = watch->next;
    }
    return watch;
}

/* ---- failing ---- */

/* The end of a text on one line, for a message. */
static void print_end(const char *text, FILE *out)
{
    size_t length = strlen(text);

    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' ')) {
        length--;
    }
    text += length > SHOWN ? length - SHOWN : 0;
    length = MIN(length, (size_t)SHOWN);
    fprintf(out, "\"");
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            fputs("\\n", out);
        } else {
            fputc((unsigned char)text[i] >= ' ' && text[i] != 0x7f ? text[i] : '?', out);
        }
    }
    fprintf(out, "\"");
}

/* One line: what was expected, and the end of what was there (NULL: nothing to show). */
static void fail(struct script *script, const char *expected, const char *there)
{
    script->failed = true;
    script->next = NULL;
    script->wait_for = WAIT_NOTHING;
    fflush(stdout);
    fprintf(stderr, "%s:%u: %s", script->path, script->line, expected);
    if (there) {
        fprintf(stderr, "; there was ");
        print_end(there, stderr);
    }
    fputc('\n', stderr);
    if (!script->without_vms) {
        hypervisor_quit(script->session.hv);
    }
}

static const char *limit_text(const struct script *script, char text[64])
{
    if (script->without_vms) {
        return "before the VM ended";
    }
    snprintf(text, 64, "within %u s%s", script->seconds, script->by_guest ? " of the guest's time" : "");
    return text;
}

static void fail_waiting(struct script *script, const char *what, const char *there)
{
    char text[PATTERN_SIZE + SHOWN + 160], limit[64];

    snprintf(text, sizeof(text), "expected %s to match \"%.*s\" %s", what, PATTERN_SIZE - 1, script->pattern,
             limit_text(script, limit));
    fail(script, text, there);
}

/* ---- looking ---- */

/* Does what is waited for stand in the text? *end: behind it. */
static bool matches(const struct script *script, const char *text, size_t *end)
{
    regmatch_t match;

    if (regexec(&script->regex, text, 1, &match, 0) != 0) {
        return false;
    }
    *end = (size_t)match.rm_eo;
    return true;
}

static bool look_at_serial(struct script *script, bool last)
{
    struct watch *watch = find_watch(script);
    size_t end;
    bool found;

    if (!watch) {
        fail(script, "the VM has no such serial port", NULL);
        return true;
    }
    pthread_mutex_lock(&watch->lock);
    found = matches(script, watch->text, &end);
    if (found) {
        watch->count -= end;
        memmove(watch->text, watch->text + end, watch->count + 1);
    } else if (last) {
        pthread_mutex_unlock(&watch->lock);
        fail_waiting(script, "the serial port", watch->text);
        return true;
    }
    pthread_mutex_unlock(&watch->lock);
    return found;
}

static bool look_at_screen(struct script *script, bool last)
{
    struct error error;
    struct vm *vm = hypervisor_hold(script->session.hv, script->session.chosen, &error);
    char *text = vm ? screen_text(vm, &error) : NULL;
    size_t end;
    bool found = text && matches(script, text, &end);

    if (vm) {
        hypervisor_release(script->session.hv, vm);
    }
    if (!found && last) {
        fail_waiting(script, "the screen", text ? text : error.text);
    }
    free(text);
    return found || last;
}

static bool look_for_stop(struct script *script, bool last)
{
    unsigned count = hypervisor_accounts(script->session.hv, NULL, 0);
    struct hypervisor_account *account = count ? calloc(count, sizeof(*account)) : NULL;
    bool runs = false;

    count = account ? MIN(count, hypervisor_accounts(script->session.hv, account, count)) : 0;
    for (unsigned i = 0; i < count; i++) {
        runs = runs || (!strcmp(account[i].name, script->session.chosen) && account[i].life == VM_RUNNING);
    }
    free(account);
    if (runs && last) {
        char text[160], limit[64];

        snprintf(text, sizeof(text), "expected the VM to stop %s; it runs", limit_text(script, limit));
        fail(script, text, NULL);
    }
    return !runs || last;
}

static bool look_at_output(struct script *script, bool last)
{
    char *text = NULL;
    size_t length = 0, end;
    FILE *out = open_memstream(&text, &length);
    bool found;

    if (!out) {
        return false;
    }
    monitor_execute(&script->session, script->command, out);
    fclose(out);
    found = matches(script, text, &end);
    if (!found && last) {
        char what[SHOWN + 32];

        snprintf(what, sizeof(what), "the answer of '%.*s'", SHOWN, script->command);
        fail_waiting(script, what, text);
    }
    free(text);
    return found || last;
}

/* Type as much as the port takes. */
static bool send_more(struct script *script, bool last)
{
    struct error error;
    struct vm *vm = hypervisor_hold(script->session.hv, script->session.chosen, &error);
    struct chardev *serial = vm ? vm->serial[0] : NULL;
    size_t taken = 0;

    if (serial && serial->receive) {
        taken = serial->receive(serial->front, (const uint8_t *)script->send, script->send_count);
    }
    if (vm) {
        hypervisor_release(script->session.hv, vm);
    }
    script->send_count -= taken;
    memmove(script->send, script->send + taken, script->send_count);
    if (script->send_count > 0 && (last || !serial)) {
        fail(script,
             !vm       ? error.text
             : !serial ? "the VM has no serial port"
                       : "the guest does not take what is sent to its serial port",
             NULL);
    }
    return script->send_count == 0 || script->failed;
}

static bool time_is_up(const struct script *script)
{
    uint64_t now = host_now();
    struct error error;
    struct vm *vm;

    if (script->without_vms) {
        return true;
    }
    if (!script->by_guest) {
        return now >= script->until;
    }
    vm = hypervisor_hold(script->session.hv, script->session.chosen, &error);
    if (!vm) {
        return true;
    }
    now = clock_now(&vm->clock);
    hypervisor_release(script->session.hv, vm);
    return now >= script->until;
}

/* True: what was waited for is there, or the script has failed. */
static bool look(struct script *script)
{
    static bool (*const looks[])(struct script * script, bool last) = {
        [WAIT_SERIAL] = look_at_serial, [WAIT_SCREEN] = look_at_screen, [WAIT_STOP] = look_for_stop,
        [WAIT_OUTPUT] = look_at_output, [WAIT_SEND] = send_more,
    };
    bool last = time_is_up(script);

    return script->wait_for == WAIT_TIME ? last : looks[script->wait_for](script, last);
}

/* ---- lines ---- */

static bool take_pattern(struct script *script, const char *pattern)
{
    char why[128], text[PATTERN_SIZE + 160];
    int result;

    if (script->compiled) {
        regfree(&script->regex);
    }
    snprintf(script->pattern, sizeof(script->pattern), "%s", pattern);
    result = regcomp(&script->regex, pattern, REG_EXTENDED | REG_NEWLINE);
    script->compiled = result == 0;
    if (result != 0) {
        regerror(result, &script->regex, why, sizeof(why));
        snprintf(text, sizeof(text), "pattern '%.*s': %s", PATTERN_SIZE - 1, pattern, why);
        fail(script, text, NULL);
    }
    return result == 0;
}

/* word[from...]: [S] [guest|host] */
static bool take_limit(struct script *script, const struct command_line *line, unsigned from)
{
    const char *seconds = from < line->count ? line->word[from] : NULL;
    const char *whose = from + 1 < line->count ? line->word[from + 1] : "host";
    unsigned long value = DEFAULT_SECONDS;
    char *end = NULL;
    struct vm *vm;

    if (seconds) {
        value = strtoul(seconds, &end, 10);
    }
    script->by_guest = !strcmp(whose, "guest");
    if ((seconds && (end == seconds || *end)) || value > SECONDS_MAX || line->count > from + 2 ||
        (!script->by_guest && strcmp(whose, "host") != 0)) {
        fail(script, "a time limit is a number of seconds, and guest or host behind it", line->tail[from]);
        return false;
    }
    script->seconds = (unsigned)value;
    script->until = (script->by_guest ? 0 : host_now()) + value * NS_PER_SEC;
    vm = script->by_guest ? hypervisor_hold(script->session.hv, script->session.chosen, NULL) : NULL;
    if (vm) {
        script->until += clock_now(&vm->clock);
        hypervisor_release(script->session.hv, vm);
    }
    return true;
}

static void begin_expect(struct script *script, const struct command_line *line)
{
    static const struct {
        const char *name;
        enum wait_for wait_for;
        unsigned words, port; /* that it needs; serial */
    } kinds[] = {
        {"serial", WAIT_SERIAL, 1, 0}, {"serial1", WAIT_SERIAL, 1, 1}, {"screen", WAIT_SCREEN, 1, 0},
        {"stop", WAIT_STOP, 0, 0},     {"output", WAIT_OUTPUT, 2, 0},
    };

    for (size_t i = 0; line->count > 1 && i < ARRAY_LEN(kinds); i++) {
        unsigned words = kinds[i].words;

        if (strcmp(kinds[i].name, line->word[1]) != 0 || line->count < 2 + words) {
            continue;
        }
        script->port = kinds[i].port;
        if (words == 2) {
            snprintf(script->command, sizeof(script->command), "%s", line->word[2]);
        }
        if ((words == 0 || take_pattern(script, line->word[1 + words])) &&
            take_limit(script, line, 2 + words)) {
            script->wait_for = kinds[i].wait_for;
        }
        return;
    }
    fail(script,
         "usage: expect serial|serial1|screen PATTERN [S [guest|host]], expect stop [S], expect output "
         "COMMAND PATTERN [S]",
         NULL);
}

static void begin_wait(struct script *script, const struct command_line *line)
{
    char *end = NULL;
    unsigned long ms = line->count == 2 ? strtoul(line->word[1], &end, 10) : 0;

    if (!end || end == line->word[1] || *end || ms > SECONDS_MAX * 1000ul) {
        fail(script, "usage: wait MS", NULL);
        return;
    }
    script->by_guest = false;
    script->until = host_now() + (uint64_t)ms * NS_PER_MS;
    script->wait_for = WAIT_TIME;
}

/* \n \r \t \e \xHH and \\ in what is to be sent. */
static size_t unescape(const char *text, char *to)
{
    static const char letters[] = "nrte\\", bytes[] = "\n\r\t\033\\";
    size_t count = 0;

    while (*text) {
        const char *letter = *text == '\\' && text[1] ? strchr(letters, text[1]) : NULL;
        unsigned byte;

        if (letter) {
            to[count++] = bytes[letter - letters];
            text += 2;
        } else if (*text == '\\' && sscanf(text, "\\x%2x", &byte) == 1) {
            to[count++] = (char)byte;
            text += 4;
        } else {
            to[count++] = *text++;
        }
    }
    return count;
}

static void begin_send(struct script *script, const struct command_line *line)
{
    if (line->count != 2) {
        fail(script, "usage: send TEXT (\"...\" around one with blanks)", NULL);
        return;
    }
    script->send_count = unescape(line->word[1], script->send);
    script->by_guest = false;
    script->until = host_now() + DEFAULT_SECONDS * NS_PER_SEC;
    script->wait_for = WAIT_SEND;
}

static void run_command(struct script *script, const char *text)
{
    char *said = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&said, &length);

    if (!out) {
        fail(script, "out of memory", NULL);
        return;
    }
    if (monitor_execute(&script->session, text, out)) {
        fclose(out);
        fwrite(said, 1, length, stdout);
        fflush(stdout);
    } else {
        char failed[SHOWN + 32];

        fclose(out);
        snprintf(failed, sizeof(failed), "'%.*s' failed", SHOWN, text);
        fail(script, failed, said);
    }
    free(said);
}

static void run_line(struct script *script, const char *text)
{
    struct command_line line;
    struct error error;

    if (command_line_split(&line, text, &error) < 0) {
        fail(script, error.text, NULL);
    } else if (line.count == 0 || line.word[0][0] == '#') {
        return;
    } else if (!strcmp(line.word[0], "expect")) {
        begin_expect(script, &line);
    } else if (!strcmp(line.word[0], "wait")) {
        begin_wait(script, &line);
    } else if (!strcmp(line.word[0], "send")) {
        begin_send(script, &line);
    } else {
        run_command(script, text);
    }
}

/* As far as it goes without waiting. */
static void run(struct script *script)
{
    for (;;) {
        char *text = script->next;

        if (script->wait_for != WAIT_NOTHING) {
            if (!look(script)) {
                return;
            }
            script->wait_for = WAIT_NOTHING;
            continue;
        }
        if (!text) {
            return;
        }
        script->next = strchr(text, '\n');
        if (script->next) {
            *script->next++ = '\0';
        }
        script->line++;
        run_line(script, text);
    }
}

/* ---- the event loop ---- */

static void prepare(void *opaque, struct loop *loop, uint64_t *timeout_ns)
{
    struct script *script = opaque;

    (void)loop;
    if (script->wait_for != WAIT_NOTHING) {
        *timeout_ns = MIN(*timeout_ns, (uint64_t)POLL_NS);
    } else if (script->next) {
        *timeout_ns = 0;
    }
}

static void polled(void *opaque, struct loop *loop, bool failed)
{
    (void)loop;
    (void)failed;
    run(opaque);
}

/* ---- the interface ---- */

static char *read_all(const char *path, struct error *error)
{
    FILE *file = fopen(path, "re"), *memory;
    char *text = NULL, piece[4096];
    size_t length = 0, n;

    if (!file) {
        error_set(error, -errno, "-monitor-script: cannot open '%s': %s", path, strerror(errno));
        return NULL;
    }
    memory = open_memstream(&text, &length);
    while (memory && (n = fread(piece, 1, sizeof(piece), file)) > 0) {
        fwrite(piece, 1, n, memory);
    }
    if (!memory || ferror(file)) {
        error_set(error, -EIO, "-monitor-script: cannot read '%s'", path);
        if (memory) {
            fclose(memory);
        }
        free(text);
        text = NULL;
    } else {
        fclose(memory);
    }
    fclose(file);
    return text;
}

struct script *script_open(struct hypervisor *hv, const struct monitor_host *host, const char *path,
                           struct error *error)
{
    struct script *script = calloc(1, sizeof(*script));

    if (!script) {
        error_set(error, -ENOMEM, "out of memory");
        return NULL;
    }
    script->text = script->next = read_all(path, error);
    if (!script->text) {
        free(script);
        return NULL;
    }
    script->session = (struct monitor_session){.hv = hv, .host = host};
    snprintf(script->path, sizeof(script->path), "%s", path);
    script->poller = (struct loop_poller){.prepare = prepare, .polled = polled, .opaque = script};
    loop_add_poller(hypervisor_loop(hv), &script->poller);
    return script;
}

bool script_finish(struct script *script)
{
    script->without_vms = true;
    run(script);
    return !script->failed;
}

void script_close(struct script *script)
{
    if (!script) {
        return;
    }
    while (script->watches) {
        struct watch *next = script->watches->next;

        pthread_mutex_destroy(&script->watches->lock);
        free(script->watches);
        script->watches = next;
    }
    if (script->compiled) {
        regfree(&script->regex);
    }
    free(script->text);
    free(script);
}
