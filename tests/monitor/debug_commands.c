/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The debugger's commands, on a VM that runs a few functions on either engine: what they do, and what they say.
 *
 *   1000h  GDT: null, code 08h, data 10h    8000h   the counter    10000h  the program, flat 32-bit protected mode
 *   2000h  IDT: 64 gates to 3000h           4000h   page tables    70000h  top of the stack
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "binxlate/binxlate.h"
#include "monitor/debug_stop.h"
#include "monitor/groups.h"
#include "vm/symbols.h"

enum {
    GDT = 0x1000,
    IDT = 0x2000,
    HANDLER = 0x3000,
    TABLES = 0x4000,
    COUNTER = 0x8000,
    START = 0x10000,
    MAIN = 0x10010,
    OUTER = 0x10030,
    INNER = 0x10040,
    CRASH = 0x10050,
    MAGIC = 0x10060,
    STACK = 0x70000,
    WORDS_MAX = 40,
};

/* clang-format off */
static const uint8_t program[] = {
    0xe8, 0x0b, 0x00, 0x00, 0x00,             /* start: call main */
    0xff, 0x05, 0x00, 0x80, 0x00, 0x00,       /*        inc dword [counter] */
    0xe6, 0x80,                               /*        out 80h, al */
    0xeb, 0xf1,                               /*        jmp start */
    0x90,
    0x55,                                     /* main:  push ebp */
    0x89, 0xe5,                               /*        mov ebp, esp */
    0x6a, 0x02,                               /*        push 2 */
    0x6a, 0x01,                               /*        push 1 */
    0xe8, 0x14, 0x00, 0x00, 0x00,             /*        call outer */
    0x83, 0xc4, 0x08,                         /*        add esp, 8 */
    0xc9,                                     /*        leave */
    0xc3,                                     /*        ret */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0x55,                                     /* outer: push ebp */
    0x89, 0xe5,                               /*        mov ebp, esp */
    0x6a, 0x07,                               /*        push 7 */
    0xe8, 0x06, 0x00, 0x00, 0x00,             /*        call inner */
    0x83, 0xc4, 0x04,                         /*        add esp, 4 */
    0xc9,                                     /*        leave */
    0xc3,                                     /*        ret */
    0x90,
    0x55,                                     /* inner: push ebp */
    0x89, 0xe5,                               /*        mov ebp, esp */
    0x8b, 0x45, 0x08,                         /*        mov eax, [ebp + 8] */
    0x5d,                                     /*        pop ebp */
    0xc3,                                     /*        ret */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0xc7, 0x05, 0x00, 0x00, 0x00, 0x40, 0x01, 0x00, 0x00, 0x00, /* crash: mov dword [40000000h], 1 */
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
    0x66, 0x87, 0xdb,                         /* magic: xchg bx, bx */
    0xb9, 0x05, 0x00, 0x00, 0x00,             /*        mov ecx, 5 */
    0xf3, 0xaa,                               /*        rep stosb */
    0xcd, 0x20,                               /*        int 20h */
    0x0f, 0x0b,                               /*        ud2 */
};
/* clang-format on */

static const char *const engines[] = {"interp", "dbt"};

struct guest {
    struct vm *vm;
    char *text; /* of the last command */
    json_t *data;
};

/* A machine needs a ROM; nothing of it is ever executed. */
static struct vm *machine_create(const char *engine)
{
    char rom[] = "/tmp/hypatia-debug-XXXXXX";
    struct vm_config *config = calloc(1, sizeof(*config)); /* the VM borrows its strings, and the line's */
    char *line = calloc(1, 512), *word[WORDS_MAX], *save = NULL;
    enum config_action action;
    struct error error = {""};
    int count = 0, fd = mkstemp(rom);
    struct vm *vm;

    cr_assert(fd >= 0 && ftruncate(fd, 65536) == 0);
    close(fd);
    snprintf(line, 512,
             "hypatia -S -m 4 -vga none -bios %s -display none -nodefaults -serial null -icount 0,sleep=off "
             "-accel %s",
             rom, engine);
    for (char *at = strtok_r(line, " ", &save); at && count < WORDS_MAX; at = strtok_r(NULL, " ", &save)) {
        word[count++] = at;
    }
    config_init(config);
    cr_assert_eq(config_parse(config, count, word, &action, &error), 0, "%s", error.text);
    vm = vm_create(config, &error);
    unlink(rom);
    cr_assert_not_null(vm, "%s", error.text);
    return vm;
}

static void poke32(struct vm *vm, gpa_t gpa, uint32_t value)
{
    cr_assert_eq(debugger_write(vm, true, gpa, &value, 4), 4);
}

static void set_segment(struct vm *vm, enum sreg seg, uint16_t selector, uint32_t attr)
{
    vm->cpu->seg[seg] = (struct segment){.selector = selector, .attr = attr, .limit = UINT32_MAX};
}

static void enter_protected(struct vm *vm)
{
    poke32(vm, GDT + 8, 0x0000ffff);
    poke32(vm, GDT + 12, 0x00cf9b00);
    poke32(vm, GDT + 16, 0x0000ffff);
    poke32(vm, GDT + 20, 0x00cf9300);
    for (unsigned n = 0; n < 0x40; n++) {
        poke32(vm, IDT + 8 * n, 8u << 16 | HANDLER);
        poke32(vm, IDT + 8 * n + 4, 0x8e00);
    }
    poke32(vm, HANDLER, 0xcf); /* IRET */
    vm->cpu->gdtr = (struct table_register){GDT, 0x17};
    vm->cpu->idtr = (struct table_register){IDT, 0x40 * 8 - 1};
    vm->cpu->cr0 = CR0_PE | CR0_ET;
    set_segment(vm, SEG_CS, 8, 0xc09b);
    for (unsigned seg = 0; seg < SEG_COUNT; seg++) {
        if (seg != SEG_CS) {
            set_segment(vm, (enum sreg)seg, 0x10, 0xc093);
        }
    }
    vcpu_sync(vm->cpu);
}

static void begin(struct guest *guest, const char *engine)
{
    static const char *const names[] = {"start", "main", "outer", "inner", "crash", "magic"};
    static const uint32_t addresses[] = {START, MAIN, OUTER, INNER, CRASH, MAGIC};
    struct symbols_batch *batch = symbols_batch_begin();

    *guest = (struct guest){.vm = machine_create(engine)};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        cr_assert(symbols_batch_add(batch, names[i], strlen(names[i]), addresses[i], 0, SYMBOL_CODE));
    }
    cr_assert(symbols_batch_add(batch, "counter", 7, COUNTER, 4, 0));
    cr_assert_eq(symbols_batch_end(batch, &guest->vm->symbols, NULL), ARRAY_LEN(names) + 1);
    enter_protected(guest->vm);
    cr_assert_eq(debugger_write(guest->vm, true, START, program, sizeof(program)), sizeof(program));
    guest->vm->cpu->rip = START;
    guest->vm->cpu->gpr[RSP] = STACK;
    guest->vm->cpu->gpr[RBP] = 0;
}

static void end(struct guest *guest)
{
    free(guest->text);
    json_decref(guest->data);
    vm_destroy(guest->vm);
}

/* Run a command; its text is guest->text, its data guest->data. */
static bool give(struct guest *guest, const char *line)
{
    struct monitor_session session = {.vm = guest->vm};
    size_t size;
    bool done;
    FILE *out;

    free(guest->text);
    json_decref(guest->data);
    out = open_memstream(&guest->text, &size);
    done = command_execute(&session, line, out, &guest->data);
    fclose(out);
    return done;
}

/* The command succeeds, and says just this. */
static void says(struct guest *guest, const char *line, const char *text)
{
    cr_expect(give(guest, line), "%s: %s", line, guest->text);
    cr_expect_str_eq(guest->text, text, "%s says\n%s--- expected\n%s---", line, guest->text, text);
}

/* It succeeds, and says this among other things. */
static void mentions(struct guest *guest, const char *line, const char *part)
{
    cr_expect(give(guest, line), "%s: %s", line, guest->text);
    cr_expect(strstr(guest->text, part), "%s says\n%s--- without '%s'", line, guest->text, part);
}

static void refuses(struct guest *guest, const char *line, const char *part)
{
    cr_expect_not(give(guest, line), "%s: %s", line, guest->text);
    cr_expect(strstr(guest->text, part), "%s says\n%s--- without '%s'", line, guest->text, part);
}

/* Let it run until it stops, and look what is told then. */
static void runs_to(struct guest *guest, const char *line, const char *told)
{
    uint64_t wait;
    char *text;
    size_t size;
    FILE *out;

    says(guest, line, "");
    for (unsigned i = 0; i < 2000 && guest->vm->state == VM_RUNNING; i++) {
        vm_step(guest->vm, UINT64_MAX, &wait);
    }
    out = open_memstream(&text, &size);
    debug_stop_print(out, guest->vm);
    fclose(out);
    cr_expect_str_eq(text, told, "%s told\n%s--- expected\n%s---", line, text, told);
    free(text);
}

#define DEBUG_TEST(name)                                                                                     \
    static void name(struct guest *guest);                                                                   \
    Test(debug_commands, name)                                                                               \
    {                                                                                                        \
        for (unsigned i = 0; i < ARRAY_LEN(engines) && (i == 0 || binxlate_supported(NULL) == 0); i++) {     \
            struct guest guest;                                                                              \
                                                                                                             \
            begin(&guest, engines[i]);                                                                       \
            name(&guest);                                                                                    \
            end(&guest);                                                                                     \
        }                                                                                                    \
    }                                                                                                        \
    static void name(struct guest *guest)

/* ---- breakpoints ---- */

DEBUG_TEST(breakpoints_stop_at_symbols)
{
    says(guest, "b inner", "breakpoint 1 at 0x00010040 <inner>\n");
    runs_to(guest, "cont", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    runs_to(guest, "cont", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    mentions(guest, "why", "breakpoint 1, inner\n  set as: inner; hit 2 times\n");
    says(guest, "info break",
         "NO   KIND        STATE      HITS  ADDRESS      WHAT\n"
         "1    execute     enabled       2  0x00010040   inner\n");
}

DEBUG_TEST(names_of_bochs_and_gdb_are_aliases)
{
    says(guest, "break outer", "breakpoint 1 at 0x00010030 <outer>\n");
    says(guest, "lb 0x10010 + 3", "breakpoint 2 at 0x00010013 <main+0x3>\n");
    says(guest, "pb 0x10040", "breakpoint 3 at physical 0x00010040\n");
    says(guest, "vb 8:0x10005", "breakpoint 4 at 0x00010005 <start+0x5>\n");
    says(guest, "tbreak main", "breakpoint 5 at 0x00010010 <main>\n");
    runs_to(guest, "cont", "breakpoint 5, main\n0x00010010 <main>: push ebp\n");
    mentions(guest, "why", "it was there for one stop, and is gone");
    runs_to(guest, "c", "breakpoint 2, main+0x3\n0x00010013 <main+0x3>: push 2\n");
    runs_to(guest, "c", "breakpoint 1, outer\n0x00010030 <outer>: push ebp\n");
    runs_to(guest, "c", "breakpoint 3, inner\n0x00010040 <inner>: push ebp\n");
    runs_to(guest, "c", "breakpoint 4, start+0x5\n0x00010005 <start+0x5>: inc dword ptr [0x8000]\n");
}

DEBUG_TEST(conditions_choose_the_hit)
{
    says(guest, "b inner if [counter] == 5 && $esp < 0x70000", "breakpoint 1 at 0x00010040 <inner>\n");
    runs_to(guest, "cont", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    mentions(guest, "print [counter]", "5");
    says(guest, "d 1", "");
    says(guest, "b outer if \"dword[counter] >= 10\"", "breakpoint 2 at 0x00010030 <outer>\n");
    runs_to(guest, "cont", "breakpoint 2, outer\n0x00010030 <outer>: push ebp\n");
    mentions(guest, "print/d [counter]", "10");
    mentions(guest, "why", "set as: outer if dword[counter] >= 10; hit 1 time\n");
}

DEBUG_TEST(conditions_that_cannot_be_evaluated_stop_and_say_so)
{
    says(guest, "b inner if 1 / [0x9000]", "breakpoint 1 at 0x00010040 <inner>\n");
    runs_to(guest, "cont", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    mentions(guest, "why", "its condition could not be evaluated: it divides by zero");
    mentions(guest, "info break", "its condition: it divides by zero");
}

DEBUG_TEST(hits_can_be_ignored_and_points_disabled)
{
    says(guest, "b inner", "breakpoint 1 at 0x00010040 <inner>\n");
    says(guest, "b outer", "breakpoint 2 at 0x00010030 <outer>\n");
    says(guest, "bpd 2", "");
    says(guest, "ignore 1 3", "");
    mentions(guest, "info b", "(3 more ignored)");
    runs_to(guest, "cont", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    mentions(guest, "print [counter]", "3");
    says(guest, "disable", "");
    mentions(guest, "info b", "1    execute     disabled");
    says(guest, "bpe 2", "");
    runs_to(guest, "cont", "breakpoint 2, outer\n0x00010030 <outer>: push ebp\n");
    says(guest, "delete", "");
    says(guest, "info break", "no breakpoints\n");
}

DEBUG_TEST(mistakes_are_refused_in_one_line)
{
    refuses(guest, "b", "usage: b ADDR [if EXPR]");
    refuses(guest, "b nowhere", "'nowhere' is not a number, symbol or register");
    refuses(guest, "b main if", "an expression is missing behind 'if'");
    refuses(guest, "b main if $eax ==", "column 8");
    refuses(guest, "b if 1", "usage:");
    refuses(guest, "vb 0x10000", "usage:");
    refuses(guest, "vb 0x50:0", "no descriptor for selector 0050");
    refuses(guest, "watch w", "usage:");
    refuses(guest, "watch w counter 0", "1 to 4096 bytes long, not 0");
    refuses(guest, "watch w counter 4 5", "usage:");
    refuses(guest, "watch io 0x10000", "ports go from 0 to 0xffff");
    refuses(guest, "watch io 0x80 x y", "'x' is not a number, symbol or register");
    refuses(guest, "break exception foo", "'foo' is no exception");
    refuses(guest, "break exception 32", "'32' is no exception");
    refuses(guest, "break interrupt 256", "'256' is no vector");
    refuses(guest, "magic maybe", "usage:");
    refuses(guest, "delete 1", "there is no point 1");
    refuses(guest, "d x", "'x' is not a breakpoint's number");
    refuses(guest, "enable 7", "there is no point 7");
    refuses(guest, "ignore 7 1", "there is no point 7");
    refuses(guest, "sba 0", "instructions have retired already");
    refuses(guest, "bt 0", "1 to 256 frames");
    refuses(guest, "ldsym /nonexistent", "cannot read symbols from '/nonexistent'");
    refuses(guest, "ldsym linux", "no kernel with paging");
    refuses(guest, "u/0", "1 to 4096");
    says(guest, "info break", "no breakpoints\n");
}

/* ---- watchpoints and events ---- */

DEBUG_TEST(watchpoints_tell_who_changed_what)
{
    says(guest, "watch w counter", "watchpoint 1: writes to 0x00008000 <counter>, 4 bytes\n");
    runs_to(guest, "cont",
            "watchpoint 1, 4 bytes written at 0x00008000 <counter>: 0x0 -> 0x1\n"
            "0x0001000b <start+0xb>: out 0x80, al\n");
    mentions(guest, "why", "  by 0x00010005 <start+0x5>: inc dword ptr [0x8000]\n");
    says(guest, "d", "");
    says(guest, "watch w phys counter 1 if byte[counter] == 4",
         "watchpoint 2: writes to physical 0x00008000, 1 byte\n");
    runs_to(guest, "cont",
            "watchpoint 2, 4 bytes written at 0x00008000 <counter>: 0x3 -> 0x4\n"
            "0x0001000b <start+0xb>: out 0x80, al\n");
    mentions(guest, "watch", "phys counter if byte[counter] == 4");
}

DEBUG_TEST(ports_are_watched)
{
    says(guest, "watch io 0x80 w if $al == 7", "watchpoint 1: writes to port 0x0080\n");
    runs_to(guest, "cont", "watchpoint 1, port 0x80 <- 0x07\n0x0001000d <start+0xd>: jmp 0x10000 <start>\n");
    mentions(guest, "why", "  by 0x0001000b <start+0xb>: out 0x80, al\n");
}

/* The first 4 MiB as they are, the others nowhere. */
static void turn_paging_on(struct guest *guest)
{
    poke32(guest->vm, TABLES, 0x83);
    guest->vm->cpu->cr3 = TABLES;
    guest->vm->cpu->cr4 |= CR4_PSE;
    guest->vm->cpu->cr0 |= CR0_PG;
    vcpu_sync(guest->vm->cpu);
}

DEBUG_TEST(a_page_fault_is_explained_by_its_walk)
{
    turn_paging_on(guest);
    guest->vm->cpu->rip = CRASH;
    says(guest, "break exception pf if $cr2 == 0x40000000", "breakpoint 1: exception #PF\n");
    runs_to(guest, "cont",
            "exception breakpoint 1, #PF, error code 0x0002\n"
            "0x00010050 <crash>: mov dword ptr [0x40000000], 1\n");
    mentions(guest, "why", "  it is a page fault\n");
    cr_expect(strstr(guest->text, "linear 40000000"), "%s", guest->text);
    cr_expect(strstr(guest->text, "not present"), "%s", guest->text);
}

DEBUG_TEST(a_triple_fault_is_explained)
{
    guest->vm->cpu->idtr.limit = 0;
    guest->vm->cpu->rip = MAGIC + 12;
    says(guest, "break shutdown", "breakpoint 1: triple fault\n");
    says(guest, "cont", "");
    for (uint64_t wait; guest->vm->state == VM_RUNNING;) {
        vm_step(guest->vm, UINT64_MAX, &wait);
    }
    cr_expect_eq(guest->vm->state, VM_PAUSED);
    mentions(guest, "why", "breakpoint 1, triple fault at 0001006c <magic+0xc>\n");
    cr_expect(strstr(guest->text, "-> #DF (error code 0000) -> shutdown"), "%s", guest->text);
    cr_expect(strstr(guest->text, "beyond the limit"), "%s", guest->text);
    cr_expect_not(strstr(guest->text, "back trace"), "nobody has called: %s", guest->text);
}

DEBUG_TEST(a_triple_fault_says_who_called)
{
    static const uint8_t ud2[] = {0x0f, 0x0b};

    cr_assert_eq(debugger_write(guest->vm, true, INNER + 3, ud2, sizeof(ud2)), sizeof(ud2));
    guest->vm->cpu->idtr.limit = 0;
    says(guest, "break shutdown", "breakpoint 1: triple fault\n");
    says(guest, "cont", "");
    for (uint64_t wait; guest->vm->state == VM_RUNNING;) {
        vm_step(guest->vm, UINT64_MAX, &wait);
    }
    mentions(guest, "why",
             "  instruction: ud2\n"
             "  back trace:\n"
             "#0   0x00010043 inner+0x3 (0x7)\n"
             "#1   0x0001003a outer+0xa (0x1, 0x2)\n"
             "#2   0x0001001c main+0xc\n"
             "#3   0x00010005 start+0x5\n");
}

DEBUG_TEST(magic_breakpoints_mode_switches_and_time)
{
    says(guest, "magic on", "breakpoint 1: xchg bx, bx\n");
    says(guest, "magic on", "");
    guest->vm->cpu->rip = MAGIC;
    says(guest, "cont", "");
    for (uint64_t wait; guest->vm->state == VM_RUNNING;) {
        vm_step(guest->vm, UINT64_MAX, &wait);
    }
    cr_expect_eq(guest->vm->cpu->rip, MAGIC + 3);
    says(guest, "magic off", "");
    says(guest, "info break", "no breakpoints\n");
    says(guest, "modebp", "breakpoint 2: mode switch\n");
    says(guest, "modebp", "breakpoint 2: mode switch, removed\n");
    guest->vm->cpu->rip = START;
    give(guest, "sb 100");
    cr_expect(strstr(guest->text, "breakpoint 3: after instruction"), "%s", guest->text);
    uint64_t before = guest->vm->cpu->insn_count;
    says(guest, "cont", "");
    for (uint64_t wait; guest->vm->state == VM_RUNNING;) {
        vm_step(guest->vm, UINT64_MAX, &wait);
    }
    cr_expect_eq(guest->vm->cpu->insn_count, before + 100);
    says(guest, "info break", "no breakpoints\n");
}

/* ---- stepping ---- */

DEBUG_TEST(s_goes_into_and_n_goes_over)
{
    says(guest, "s", "0x00010010 <main>: push ebp\n");
    says(guest, "s 4", "0x00010017 <main+0x7>: call 0x10030 <outer>\n");
    runs_to(guest, "n", "stepped\n0x0001001c <main+0xc>: add esp, 8\n");
    says(guest, "n", "0x0001001f <main+0xf>: leave\n");
    says(guest, "info break", "no breakpoints\n");
    mentions(guest, "u/3 inner",
             "0x00010040 <inner>: push ebp\n0x00010041 <inner+0x1>: mov ebp, esp\n"
             "0x00010043 <inner+0x3>: mov eax, dword ptr [ebp + 8]\n");
}

DEBUG_TEST(n_takes_repetitions_and_interrupts_as_one)
{
    guest->vm->cpu->rip = MAGIC + 3;
    guest->vm->cpu->gpr[RDI] = 0x9000;
    says(guest, "s", "0x00010068 <magic+0x8>: rep stosb byte ptr es:[edi], al\n");
    runs_to(guest, "n", "stepped\n0x0001006a <magic+0xa>: int 0x20\n");
    cr_expect_eq(guest->vm->cpu->gpr[RCX], 0);
    runs_to(guest, "n", "stepped\n0x0001006c <magic+0xc>: ud2\n");
}

DEBUG_TEST(finish_returns_from_the_function)
{
    says(guest, "tbreak inner", "breakpoint 1 at 0x00010040 <inner>\n");
    runs_to(guest, "cont", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    runs_to(guest, "finish", "stepped\n0x0001003a <outer+0xa>: add esp, 4\n");
    runs_to(guest, "out", "stepped\n0x0001001c <main+0xc>: add esp, 8\n");
    runs_to(guest, "until inner+3", "stepped\n0x00010043 <inner+0x3>: mov eax, dword ptr [ebp + 8]\n");
}

/* A breakpoint on the way is a stop, and what n had in mind is void. */
DEBUG_TEST(a_breakpoint_on_the_way_ends_n)
{
    says(guest, "b inner", "breakpoint 1 at 0x00010040 <inner>\n");
    runs_to(guest, "n", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    says(guest, "d", "");
    says(guest, "tbreak outer", "breakpoint 3 at 0x00010030 <outer>\n");
    runs_to(guest, "cont", "breakpoint 3, outer\n0x00010030 <outer>: push ebp\n");
}

DEBUG_TEST(stepping_is_for_guests_that_do_not_run)
{
    says(guest, "cont", "");
    refuses(guest, "s", "the VM is running");
    refuses(guest, "n", "the VM is running");
    refuses(guest, "finish", "the VM is running");
    says(guest, "why", "the VM is running\n");
    says(guest, "stop", "");
    mentions(guest, "why", "paused\n");
    guest->vm->cpu->gpr[RBP] = 0;
    guest->vm->cpu->rip = START;
    refuses(guest, "finish", "who called this is not known");
}

/* ---- back traces ---- */

DEBUG_TEST(bt_names_who_called_with_what)
{
    says(guest, "tbreak inner", "breakpoint 1 at 0x00010040 <inner>\n");
    runs_to(guest, "cont", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    says(guest, "bt",
         "#0   0x00010040 inner (0x7)\n"
         "#1   0x0001003a outer+0xa (0x1, 0x2)\n"
         "#2   0x0001001c main+0xc\n"
         "#3   0x00010005 start+0x5\n");
    says(guest, "bt 2", "#0   0x00010040 inner (0x7)\n#1   0x0001003a outer+0xa\n");
    mentions(guest, "bt scan", "#3   0x00010005 start+0x5   <- found on the stack\n");
}

DEBUG_TEST(symbols_are_listed_saved_and_forgotten)
{
    char path[64], line[96], expected[256] = "";
    FILE *file;
    size_t size;

    says(guest, "info symbols ma", "00010060 t magic\n00010010 t main\n");
    says(guest, "info symbol 0x10012", "main+0x2\n");
    refuses(guest, "info symbol 0x7fffffff", "no symbol is near");
    snprintf(path, sizeof(path), "/tmp/hypatia-debug-symbols-%d", (int)getpid());
    snprintf(line, sizeof(line), "savesym %s", path);
    says(guest, line, "");
    file = fopen(path, "r");
    size = fread(expected, 1, sizeof(expected) - 1, file);
    fclose(file);
    cr_expect_gt(size, 0);
    cr_expect(strstr(expected, "00008000 D counter\n00010000 T start\n00010010 T main\n"), "%s", expected);
    says(guest, "ldsym none", "");
    refuses(guest, "info symbols", "no symbols are loaded");
    snprintf(line, sizeof(line), "ldsym %s 0x100", path);
    says(guest, line, "7 symbols\n");
    says(guest, "info symbol 0x10112", "main+0x2\n");
    unlink(path);
}

/* ---- JSON ---- */

DEBUG_TEST(answers_have_structure)
{
    json_t *row;

    says(guest, "b inner if $eax != 9", "breakpoint 1 at 0x00010040 <inner>\n");
    runs_to(guest, "cont", "breakpoint 1, inner\n0x00010040 <inner>: push ebp\n");
    cr_assert(give(guest, "info break"));
    row = json_array_get(guest->data, 0);
    cr_expect_eq(json_integer_value(json_object_get(row, "number")), 1);
    cr_expect_eq(json_integer_value(json_object_get(row, "hits")), 1);
    cr_expect_str_eq(json_string_value(json_object_get(row, "text")), "inner if $eax != 9");
    cr_assert(give(guest, "bt"));
    cr_assert_eq(json_array_size(guest->data), 4);
    row = json_array_get(guest->data, 1);
    cr_expect_str_eq(json_string_value(json_object_get(row, "symbol")), "outer+0xa");
    cr_expect_eq(json_integer_value(json_array_get(json_object_get(row, "arguments"), 1)), 2);
    cr_assert(give(guest, "why"));
    cr_expect_str_eq(json_string_value(json_object_get(guest->data, "reason")), "point");
    cr_expect_str_eq(json_string_value(json_object_get(guest->data, "kind")), "execute");
    cr_expect_eq(json_integer_value(json_object_get(guest->data, "pc")), INNER);
    cr_expect_str_eq(json_string_value(json_object_get(guest->data, "symbol")), "inner");
}
