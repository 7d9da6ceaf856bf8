/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The shell: an ordinary program in ring 3 that reads lines, obeys some itself and runs programs for the
 * rest.
 *
 *      line editing   Backspace, Ctrl-U (drop the line), Ctrl-C (drop it, or end the program that runs)
 *      a program      NAME [NUMBER] [&]     with & the shell does not wait for it
 *      exit           ends a shell started from another one; the first one stays
 *
 * Not modelled: history, pipes, more than one argument for a program.
 */
#include "roms/kernel/user.h"

enum { LINE_SIZE = 72, WORDS = 12, CTRL_C = 3, CTRL_U = 0x15, DELETE = 0x7f };

struct command {
    const char *name, *help;
    void (*run)(unsigned count, char **words);
};
static const struct command commands[];

static void command_help(unsigned count, char **words)
{
    struct program_info info;

    (void)count;
    (void)words;
    for (const struct command *c = commands; c->name != NULL; c++) {
        print("  \x1b[1;37m%-9s\x1b[0m %s\n", c->name, c->help);
    }
    print("Programs; add & to run one in the background:\n");
    for (unsigned i = 0; get_program_info(i, &info) > 0; i++) {
        if (info.help[0] != '\0') {
            print("  \x1b[1;37m%-9s\x1b[0m %s\n", info.name, info.help);
        }
    }
}

static void command_ps(unsigned count, char **words)
{
    struct task_info info;
    int found;

    (void)count;
    (void)words;
    print("\x1b[1;37m PID PARENT NAME       STATE     TICKS  SWITCHES  KiB\x1b[0m\n");
    for (unsigned slot = 0; (found = get_task_info(slot, &info)) >= 0; slot++) {
        if (found > 0) {
            print("%4d %6d %-10s %-8s %6u %9u %4u\n", info.pid, info.parent, info.name, info.state,
                  info.ticks, info.switches, info.frames * 4);
        }
    }
}

static void command_mem(unsigned count, char **words)
{
    struct memory_info info;

    (void)count;
    (void)words;
    get_memory_info(&info);
    print("frames of 4 KiB: %u in all, %u free; the kernel's image has %u more\n", info.total, info.free,
          info.kernel);
    print("pages given on demand since the start: %u\n", info.faults);
}

static void command_ticks(unsigned count, char **words)
{
    uint32_t ticks = get_ticks();

    (void)count;
    (void)words;
    print("%u ticks, %u.%02u seconds\n", ticks, ticks / TICKS_PER_SECOND, ticks % TICKS_PER_SECOND);
}

static void command_echo(unsigned count, char **words)
{
    for (unsigned i = 1; i < count; i++) {
        print("%s%s", words[i], i + 1 < count ? " " : "");
    }
    print("\n");
}

static void command_clear(unsigned count, char **words)
{
    (void)count;
    (void)words;
    print("\x1b[2J\x1b[H");
}

static void command_kill(unsigned count, char **words)
{
    if (count < 2 || kill_task((int)parse_number(words[1])) < 0) {
        print("kill: which task? ps lists them\n");
    }
}

static void command_reboot(unsigned count, char **words)
{
    (void)count;
    (void)words;
    machine(MACHINE_REBOOT);
}

static void command_poweroff(unsigned count, char **words)
{
    (void)count;
    (void)words;
    machine(MACHINE_POWEROFF);
}

static const struct command commands[] = {
    {"help", "this list", command_help},          {"ps", "the tasks", command_ps},
    {"mem", "the memory", command_mem},           {"ticks", "time since the start", command_ticks},
    {"echo", "say the words", command_echo},      {"clear", "clear the screen", command_clear},
    {"kill", "end task N", command_kill},         {"reboot", "start again", command_reboot},
    {"poweroff", "switch off", command_poweroff}, {NULL, NULL, NULL},
};

static void report(int status)
{
    if (status >= STATUS_KILLED) {
        print("[killed]\n");
    } else if (status >= STATUS_TRAP) {
        print("[ended by exception %d]\n", status - STATUS_TRAP);
    } else if (status != 0) {
        print("[status %d]\n", status);
    }
}

static void run_program(unsigned count, char **words)
{
    bool background = count > 1 && string_equal(words[count - 1], "&");
    uint32_t argument = count > 1 ? parse_number(words[1]) : 0;
    int pid = spawn(words[0], argument, background ? SPAWN_DETACHED : 0);

    if (pid == ERR_NO_SUCH) {
        print("%s: no such command or program; try help\n", words[0]);
    } else if (pid < 0) {
        print("%s: too many tasks, or no memory\n", words[0]);
    } else if (background) {
        print("[task %d]\n", pid);
    } else {
        report(wait_for(pid));
    }
}

static void run_line(unsigned count, char **words)
{
    for (const struct command *c = commands; c->name != NULL; c++) {
        if (string_equal(c->name, words[0])) {
            c->run(count, words);
            return;
        }
    }
    run_program(count, words);
}

static unsigned split(char *line, char **words)
{
    unsigned count = 0;

    while (*line != '\0' && count < WORDS) {
        while (*line == ' ') {
            *line++ = '\0';
        }
        if (*line != '\0') {
            words[count++] = line;
        }
        while (*line != '\0' && *line != ' ') {
            line++;
        }
    }
    return count;
}

static unsigned rub_out(unsigned length, unsigned how_many)
{
    for (; how_many > 0 && length > 0; how_many--, length--) {
        print("\b \b");
    }
    return length;
}

static void read_line(char *line)
{
    unsigned length = 0;

    for (int c = read_key(); c != '\n' && c != CTRL_C; c = read_key()) {
        if (c == '\b' || c == DELETE) {
            length = rub_out(length, 1);
        } else if (c == CTRL_U) {
            length = rub_out(length, length);
        } else if (c >= ' ' && c < DELETE && length < LINE_SIZE - 1) {
            line[length++] = (char)c;
            print("%c", c);
        }
        line[length] = '\0';
        if (c == CTRL_C) {
            line[0] = '\0';
        }
    }
    print("\n");
}

int shell_main(uint32_t first_shell)
{
    char line[LINE_SIZE];
    char *words[WORDS];
    unsigned count;

    print("Type \x1b[1;37mhelp\x1b[0m for the commands.\n");
    for (;;) {
        print("\x1b[1;32malex> \x1b[0m");
        line[0] = '\0';
        read_line(line);
        count = split(line, words);
        if (count > 0 && string_equal(words[0], "exit") && first_shell == 0) {
            return 0;
        }
        if (count > 0) {
            run_line(count, words);
        }
    }
}
