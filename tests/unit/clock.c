/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The virtual clock: order of timers, the three policies, floods, and the muldiv helper. */
#include <criterion/criterion.h>
#include <time.h>

#include "base/clock.h"

/* A timer that writes its letter and the time into a log, and may re-arm itself. */
struct bell {
    struct timer timer;
    struct journal *journal;
    char letter;
    uint64_t period; /* 0: once */
};

struct journal {
    char letters[64];
    uint64_t times[64];
    unsigned count;
};

static void ring(void *opaque)
{
    struct bell *bell = opaque;
    struct journal *journal = bell->journal;
    cr_assert(!timer_armed(&bell->timer), "a timer fires disarmed");
    if (journal->count < 63) {
        journal->letters[journal->count] = bell->letter;
        journal->times[journal->count] = clock_now(bell->timer.clock);
    }
    journal->count++;
    if (bell->period) {
        timer_arm(&bell->timer, clock_now(bell->timer.clock) + bell->period);
    }
}

static void rearm_now(void *opaque)
{
    struct bell *bell = opaque;
    bell->journal->count++;
    timer_arm(&bell->timer, clock_now(bell->timer.clock));
}

static void bell_init(struct bell *bell, struct clock *clock, struct journal *journal, char letter)
{
    *bell = (struct bell){.journal = journal, .letter = letter};
    timer_init(&bell->timer, clock, "bell", ring, bell);
}

Test(clock, timers_fire_in_order_of_deadline_then_of_arming)
{
    struct clock clock;
    struct journal journal = {0};
    struct bell bells[4];
    clock_init(&clock, CLOCK_STEPPED);
    for (int i = 0; i < 4; i++) {
        bell_init(&bells[i], &clock, &journal, (char)('a' + i));
    }
    timer_arm(&bells[2].timer, 20);
    timer_arm(&bells[0].timer, 10);
    timer_arm(&bells[3].timer, 10);
    timer_arm(&bells[1].timer, 5);
    cr_assert_eq(clock_next_deadline(&clock), 5);
    clock_step_to(&clock, 100);
    cr_assert_str_eq(journal.letters, "badc");
    cr_assert_eq(journal.times[0], 5);
    cr_assert_eq(journal.times[1], 10);
    cr_assert_eq(journal.times[2], 10);
    cr_assert_eq(journal.times[3], 20);
    cr_assert_eq(clock_now(&clock), 100);
    cr_assert_eq(clock_next_deadline(&clock), CLOCK_NEVER);
}

Test(clock, arming_again_moves_a_timer_behind_its_equals)
{
    struct clock clock;
    struct journal journal = {0};
    struct bell a, b;
    clock_init(&clock, CLOCK_STEPPED);
    bell_init(&a, &clock, &journal, 'a');
    bell_init(&b, &clock, &journal, 'b');
    timer_arm(&a.timer, 10);
    timer_arm(&b.timer, 10);
    timer_arm(&a.timer, 10);
    clock_step_to(&clock, 10);
    cr_assert_str_eq(journal.letters, "ba");
}

Test(clock, disarmed_timer_stays_silent_and_never_disarms)
{
    struct clock clock;
    struct journal journal = {0};
    struct bell a, b, c;
    clock_init(&clock, CLOCK_STEPPED);
    bell_init(&a, &clock, &journal, 'a');
    bell_init(&b, &clock, &journal, 'b');
    bell_init(&c, &clock, &journal, 'c');
    timer_arm(&a.timer, 1);
    timer_arm(&b.timer, 2);
    timer_arm(&c.timer, 3);
    timer_disarm(&b.timer);
    timer_disarm(&b.timer);
    timer_arm(&c.timer, CLOCK_NEVER);
    cr_assert(timer_armed(&a.timer));
    cr_assert(!timer_armed(&b.timer));
    cr_assert(!timer_armed(&c.timer));
    clock_step_to(&clock, 10);
    cr_assert_str_eq(journal.letters, "a");
}

Test(clock, periodic_timer_sees_exact_deadlines)
{
    struct clock clock;
    struct journal journal = {0};
    struct bell bell;
    clock_init(&clock, CLOCK_STEPPED);
    bell_init(&bell, &clock, &journal, 'p');
    bell.period = 7;
    timer_arm(&bell.timer, 7);
    clock_step_to(&clock, 50);
    cr_assert_eq(journal.count, 7);
    for (unsigned i = 0; i < 7; i++) {
        cr_assert_eq(journal.times[i], 7 * (i + 1));
    }
    cr_assert_eq(clock_next_deadline(&clock), 56);
}

Test(clock, deadline_in_the_past_fires_at_the_next_run_only)
{
    struct clock clock;
    struct journal journal = {0};
    struct bell bell;
    clock_init(&clock, CLOCK_STEPPED);
    clock_set_now(&clock, 1000);
    bell_init(&bell, &clock, &journal, 'x');
    timer_arm(&bell.timer, 1);
    cr_assert_eq(journal.count, 0);
    cr_assert_eq(clock_run_timers(&clock), 1);
    cr_assert_eq(clock_run_timers(&clock), 0);
    cr_assert_eq(journal.times[0], 1000);
}

Test(clock, flood_of_due_timers_is_bounded)
{
    struct clock clock;
    struct journal journal = {0};
    struct bell bell;
    clock_init(&clock, CLOCK_STEPPED);
    bell_init(&bell, &clock, &journal, 'f');
    bell.timer.fire = rearm_now;
    timer_arm(&bell.timer, 0);
    unsigned fired = clock_run_timers(&clock);
    cr_assert(fired > 0 && fired <= 10000);
    cr_assert_eq(journal.count, fired);
    clock_step_to(&clock, 3);
    cr_assert_eq(clock_now(&clock), 3);
    cr_assert(timer_armed(&bell.timer));
}

Test(clock, stepping_back_does_nothing)
{
    struct clock clock;
    clock_init(&clock, CLOCK_STEPPED);
    clock_step_to(&clock, 100);
    clock_step_to(&clock, 50);
    cr_assert_eq(clock_now(&clock), 100);
}

Test(clock, skip_moves_time_without_firing)
{
    struct clock clock;
    struct journal journal = {0};
    struct bell bell;
    clock_init(&clock, CLOCK_STEPPED);
    bell_init(&bell, &clock, &journal, 's');
    timer_arm(&bell.timer, 10);
    clock_skip(&clock, 500);
    cr_assert_eq(clock_now(&clock), 500);
    cr_assert_eq(journal.count, 0);
    cr_assert_eq(clock_run_timers(&clock), 1);
    clock_skip(&clock, UINT64_MAX);
    cr_assert_eq(clock_now(&clock), CLOCK_NEVER - 1, "time saturates below CLOCK_NEVER");
}

static void count_firing(void *opaque)
{
    ++*(unsigned *)opaque;
}

Test(clock, icount_follows_instructions_and_keeps_a_set_time)
{
    struct clock clock;
    uint64_t instructions = 1000;
    clock_init(&clock, CLOCK_ICOUNT);
    cr_assert_eq(clock_now(&clock), 0);
    clock_set_icount(&clock, &instructions, 3);
    cr_assert_eq(clock_now(&clock), 0, "connecting the counter does not jump");
    instructions += 5;
    cr_assert_eq(clock_now(&clock), 40);
    clock_skip(&clock, 100);
    cr_assert_eq(clock_now(&clock), 140);
    clock_set_now(&clock, 8);
    cr_assert_eq(clock_now(&clock), 8, "a time below the executed time is representable");
    instructions += 1;
    cr_assert_eq(clock_now(&clock), 16);
    clock_start(&clock);
    clock_stop(&clock);
    cr_assert_eq(clock_now(&clock), 16);
}

/* A run may end in the middle of a repeated instruction: nothing may fire there that would otherwise have come behind it. */
Test(clock, what_an_instruction_arms_fires_behind_it)
{
    unsigned fired[2] = {0};
    uint64_t insns = 100;
    struct clock clock;
    struct timer past, future;

    clock_init(&clock, CLOCK_ICOUNT);
    clock_set_icount(&clock, &insns, 3);
    timer_init(&past, &clock, "past", count_firing, &fired[0]);
    timer_init(&future, &clock, "future", count_firing, &fired[1]);
    clock.executing = true;
    timer_arm(&past, clock_now(&clock));
    timer_arm(&future, clock_now(&clock) + 8);
    clock.executing = false;
    cr_assert_eq(past.deadline, clock_now(&clock) + 1);
    cr_assert_eq(future.deadline, clock_now(&clock) + 8);
    cr_assert_eq(clock_run_timers(&clock), 0);
    insns++;
    cr_assert_eq(clock_run_timers(&clock), 2);
    cr_assert(fired[0] == 1 && fired[1] == 1);

    timer_arm(&past, clock_now(&clock)); /* by others than an instruction */
    cr_assert_eq(clock_run_timers(&clock), 1);
}

Test(clock, realtime_stands_while_stopped_and_flows_while_started)
{
    struct clock clock;
    struct timespec pause = {.tv_nsec = 2000000};
    clock_init(&clock, CLOCK_REAL_TIME);
    nanosleep(&pause, NULL);
    cr_assert_eq(clock_now(&clock), 0, "a new clock stands");
    clock_start(&clock);
    nanosleep(&pause, NULL);
    clock_start(&clock);
    cr_assert_geq(clock_now(&clock), 2000000, "starting twice does not restart");
    clock_stop(&clock);
    uint64_t stopped = clock_now(&clock);
    nanosleep(&pause, NULL);
    cr_assert_eq(clock_now(&clock), stopped);
    clock_stop(&clock);
    cr_assert_eq(clock_now(&clock), stopped);
    clock_start(&clock);
    cr_assert_geq(clock_now(&clock), stopped);
    clock_set_now(&clock, 5 * NS_PER_SEC);
    cr_assert_geq(clock_now(&clock), 5 * NS_PER_SEC);
    cr_assert_lt(clock_now(&clock), 65 * NS_PER_SEC);
    clock_skip(&clock, 100 * NS_PER_SEC);
    cr_assert_lt(clock_now(&clock), 65 * NS_PER_SEC, "skip does not apply to real time");
}

Test(clock, end_of_time_from_a_hostile_state_does_not_wrap)
{
    struct clock clock;
    clock_init(&clock, CLOCK_REAL_TIME);
    clock_set_now(&clock, UINT64_MAX);
    clock_start(&clock);
    cr_assert_eq(clock_now(&clock), CLOCK_NEVER - 1);
}

Test(clock, muldiv_keeps_the_whole_product_and_saturates)
{
    cr_assert_eq(muldiv64(NS_PER_SEC, 1193182, NS_PER_SEC), 1193182);
    cr_assert_eq(muldiv64(UINT64_MAX, UINT64_MAX, UINT64_MAX), UINT64_MAX);
    cr_assert_eq(muldiv64(UINT64_MAX, 3, 4), 13835058055282163711ull);
    cr_assert_eq(muldiv64(UINT64_MAX, 2, 1), UINT64_MAX);
    cr_assert_eq(muldiv64(7, 3, 2), 10, "rounds down");
    cr_assert_eq(muldiv64(0, 5, 9), 0);
}
