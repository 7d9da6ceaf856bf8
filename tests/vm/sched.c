/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The scheduling policy, played in virtual time: guests that compute, sleep, yield and overrun on P pCPUs; what each got
 * is compared with what it is due. vm/sched.h numbers the rules.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stddef.h>

#include "base/clock.h"
#include "vm/sched.h"

#define MS        1000000ull
#define SLICE_NS  (10 * MS)
#define PCPUS_MAX 4

/* What a guest does each time it gets the processor: computes for `burst_ns` (0: for ever), then sleeps for `sleep_ns`
 * (0: only yields). It stops `overrun_ns` late at the end of a slice. */
struct behaviour {
    uint64_t burst_ns, sleep_ns, overrun_ns;
};

enum { GUESTS_MAX = 12 };

struct guest {
    struct sched_entity entity;
    struct behaviour behaviour;
    uint64_t left_ns;  /* of its burst */
    uint64_t wakes_ns; /* when it sleeps: until when */
};

static struct sched sched;
static struct guest guest[GUESTS_MAX];
static unsigned guests;
static uint64_t now;

/* What runs on each pCPU, since when, and when it gives up the processor. */
static struct run {
    struct guest *guest;
    uint64_t began_ns, ends_ns;
} run[PCPUS_MAX];

static void begin(unsigned pcpus)
{
    now = 0;
    guests = 0;
    sched_init(&sched, pcpus, SLICE_NS);
    memset(run, 0, sizeof(run));
}

static struct guest *add(uint32_t weight, uint32_t cap, struct behaviour behaviour)
{
    struct guest *added = &guest[guests++];

    *added = (struct guest){.behaviour = behaviour, .left_ns = behaviour.burst_ns, .wakes_ns = UINT64_MAX};
    cr_assert(sched_add(&sched, &added->entity, now));
    sched_set_weight(&sched, &added->entity, weight);
    sched_set_cap(&sched, &added->entity, cap, now);
    sched_wake(&sched, &added->entity, now);
    return added;
}

static struct guest *guest_of(struct sched_entity *entity)
{
    return (struct guest *)((char *)entity - offsetof(struct guest, entity));
}

static void start_on(struct run *cpu)
{
    uint64_t slice = 0;
    struct sched_entity *entity = sched_pick(&sched, now, &slice);

    if (!entity) {
        return;
    }
    cr_assert_gt(slice, 0);
    cpu->guest = guest_of(entity);
    cpu->began_ns = now;
    cpu->ends_ns = now + slice + cpu->guest->behaviour.overrun_ns;
    if (cpu->guest->behaviour.burst_ns && now + cpu->guest->left_ns < cpu->ends_ns) {
        cpu->ends_ns = now + cpu->guest->left_ns;
    }
}

static void stop_on(struct run *cpu)
{
    struct guest *stopped = cpu->guest;
    uint64_t used = now - cpu->began_ns;
    bool burst_over = stopped->behaviour.burst_ns && used >= stopped->left_ns;
    bool sleeps = burst_over && stopped->behaviour.sleep_ns;

    stopped->left_ns = burst_over ? stopped->behaviour.burst_ns : stopped->left_ns - used;
    if (sleeps) {
        stopped->wakes_ns = now + stopped->behaviour.sleep_ns;
    }
    sched_put(&sched, &stopped->entity, used, !sleeps, now);
    cpu->guest = NULL;
}

static void wake(struct guest *woken)
{
    woken->wakes_ns = UINT64_MAX;
    sched_wake(&sched, &woken->entity, now);
    for (unsigned i = 0; i < sched.pcpus; i++) {
        if (!run[i].guest) {
            return;
        }
    }
    for (unsigned i = 0; i < sched.pcpus; i++) {
        if (sched_preempts(&woken->entity, &run[i].guest->entity, now - run[i].began_ns)) {
            run[i].ends_ns = now;
            return;
        }
    }
}

static uint64_t next_event(void)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < sched.pcpus; i++) {
        next = MIN(next, run[i].guest ? run[i].ends_ns : sched_next_release(&sched));
    }
    for (unsigned i = 0; i < guests; i++) {
        next = MIN(next, guest[i].wakes_ns);
    }
    return MAX(next, now);
}

static void play(uint64_t duration_ns)
{
    uint64_t end = now + duration_ns;

    for (;;) {
        for (unsigned i = 0; i < guests; i++) {
            if (guest[i].wakes_ns <= now) {
                wake(&guest[i]);
            }
        }
        for (unsigned i = 0; i < sched.pcpus; i++) {
            if (run[i].guest && run[i].ends_ns <= now) {
                stop_on(&run[i]);
            }
        }
        for (unsigned i = 0; i < sched.pcpus; i++) {
            if (!run[i].guest) {
                start_on(&run[i]);
            }
        }
        uint64_t next = next_event();
        if (next >= end) {
            break;
        }
        now = next;
    }
    now = end;
    for (unsigned i = 0; i < sched.pcpus; i++) { /* settle what is under way */
        if (run[i].guest) {
            stop_on(&run[i]);
        }
    }
}

static const struct behaviour busy = {0};

/* In per cent of `duration_ns`. */
static double share(const struct guest *of, uint64_t duration_ns)
{
    return 100.0 * (double)of->entity.charged_ns / (double)duration_ns;
}

#define assert_near(value, wanted, by)                                                                       \
    cr_assert(fabs((value) - (wanted)) <= (by), "%s is %.3f, not %.3f", #value, (double)(value),             \
              (double)(wanted))

Test(sched, rule_1_time_is_in_proportion_to_weights)
{
    for (unsigned count = 2; count <= 8; count++) {
        unsigned sum = 0;

        begin(1);
        for (unsigned i = 0; i < count; i++) {
            add(128 * (i + 1), 0, busy);
            sum += 128 * (i + 1);
        }
        play(10000 * MS);
        for (unsigned i = 0; i < count; i++) {
            double due = 100.0 * 128 * (i + 1) / sum;
            assert_near(share(&guest[i], 10000 * MS), due, due / 100);
        }
    }
}

Test(sched, rule_1_extreme_weights)
{
    begin(1);
    add(SCHED_WEIGHT_MAX, 0, busy);
    add(64, 0, busy);
    play(400000 * MS);
    assert_near(share(&guest[1], 400000 * MS), 100.0 * 64 / (64 + 65535), 0.01);
}

Test(sched, rule_2_overrunning_slices_wins_nothing)
{
    begin(1);
    add(256, 0, busy);
    add(256, 0, (struct behaviour){.overrun_ns = 7 * MS});
    play(10000 * MS);
    assert_near(share(&guest[1], 10000 * MS), 50, 0.5);
}

Test(sched, rule_2_yielding_before_every_tick_wins_nothing)
{
    begin(1);
    add(256, 0, busy);
    add(256, 0, (struct behaviour){.burst_ns = SLICE_NS - 1});
    add(256, 0, (struct behaviour){.burst_ns = SLICE_NS - 1, .sleep_ns = 1});
    play(10000 * MS);
    for (unsigned i = 0; i < 3; i++) {
        assert_near(share(&guest[i], 10000 * MS), 100.0 / 3, 1.0 / 3);
    }
}

Test(sched, rule_3_naps_of_any_length_win_nothing)
{
    for (uint64_t nap = 1; nap < 100 * MS; nap *= 10) {
        begin(1);
        add(256, 0, busy);
        add(256, 0, (struct behaviour){.burst_ns = 3 * MS, .sleep_ns = nap});
        play(10000 * MS);
        cr_assert(share(&guest[1], 10000 * MS) <= 50.5, "naps of %llu ns: %.2f %%", (unsigned long long)nap,
                  share(&guest[1], 10000 * MS));
    }
}

Test(sched, rule_3_long_sleep_is_worth_one_slice)
{
    begin(1);
    struct guest *worker = add(256, 0, busy);
    struct guest *sleeper = add(256, 0, (struct behaviour){.burst_ns = 1, .sleep_ns = 60000 * MS});
    play(60000 * MS - 2);
    sleeper->behaviour = busy;
    uint64_t before = worker->entity.charged_ns;
    play(100 * MS);
    assert_near((double)(worker->entity.charged_ns - before) / MS, 50, 10);
}

Test(sched, rule_3_one_that_wakes_preempts_a_busy_one)
{
    begin(1);
    add(256, 0, busy);
    struct guest *editor = add(256, 0, (struct behaviour){.burst_ns = MS / 10, .sleep_ns = 7 * MS});
    play(10000 * MS);
    cr_assert_gt(editor->entity.wakes, 1000);
    cr_assert(sched_latency(&editor->entity, 99) < MS / 10, "%llu ns",
              (unsigned long long)sched_latency(&editor->entity, 99));
}

Test(sched, rule_4_cap_holds_on_an_idle_pcpu)
{
    begin(1);
    add(256, 25, busy);
    play(10000 * MS);
    assert_near(share(&guest[0], 10000 * MS), 25, 0.25);
}

Test(sched, rule_4_cap_holds_beside_others_and_what_is_overrun_is_owed)
{
    begin(1);
    add(256, 0, busy);
    add(65535, 25, (struct behaviour){.overrun_ns = 5 * MS});
    play(10000 * MS);
    assert_near(share(&guest[1], 10000 * MS), 25, 0.25);
    assert_near(share(&guest[0], 10000 * MS), 75, 0.25);
}

Test(sched, rule_4_capped_one_does_not_hold_the_others_virtual_time_back)
{
    begin(1);
    add(256, 0, busy);
    add(256, 1, busy);
    struct guest *sleeper = add(256, 0, (struct behaviour){.burst_ns = 1, .sleep_ns = 60000 * MS});
    play(60000 * MS - 2);
    sleeper->behaviour = busy;
    uint64_t before = sleeper->entity.charged_ns;
    play(1000 * MS);
    assert_near((double)(sleeper->entity.charged_ns - before) / MS, 495, 15);
}

Test(sched, rule_4_cap_can_be_taken_away_and_given_again)
{
    begin(1);
    struct guest *only = add(256, 10, busy);
    play(1000 * MS);
    assert_near((double)only->entity.charged_ns / MS, 100, 2);
    sched_set_cap(&sched, &only->entity, 0, now);
    play(1000 * MS);
    assert_near((double)only->entity.charged_ns / MS, 1100, 2);
    sched_set_cap(&sched, &only->entity, 50, now);
    play(1000 * MS);
    assert_near((double)only->entity.charged_ns / MS, 1600, 3);
}

Test(sched, rule_5_large_weight_counts_as_one_pcpu)
{
    begin(2);
    add(60000, 0, busy);
    add(256, 0, busy);
    add(512, 0, busy);
    play(10000 * MS);
    assert_near(share(&guest[0], 10000 * MS), 100, 0.5);
    assert_near(share(&guest[1], 10000 * MS), 100.0 / 3, 0.5);
    assert_near(share(&guest[2], 10000 * MS), 200.0 / 3, 0.5);
}

Test(sched, rule_5_three_equals_share_two_pcpus)
{
    begin(2);
    for (unsigned i = 0; i < 3; i++) {
        add(256, 0, busy);
    }
    play(10000 * MS);
    for (unsigned i = 0; i < 3; i++) {
        assert_near(share(&guest[i], 10000 * MS), 200.0 / 3, 0.5);
    }
}

Test(sched, rule_5_small_weights_are_not_rounded)
{
    begin(3);
    add(5, 0, busy);
    for (unsigned i = 0; i < 3; i++) {
        add(1, 0, busy);
    }
    play(10000 * MS);
    assert_near(share(&guest[0], 10000 * MS), 100, 0.5);
    for (unsigned i = 1; i < 4; i++) {
        assert_near(share(&guest[i], 10000 * MS), 200.0 / 3, 0.5);
    }
}

/* Run `before` on two pCPUs for a minute, then another beside them; how much of the next second guest[0] gets, per cent. */
static double share_once_crowded(void)
{
    uint64_t before;

    play(60000 * MS);
    before = guest[0].entity.charged_ns;
    add(256, 0, busy);
    play(1000 * MS);
    return (double)(guest[0].entity.charged_ns - before) / (double)(10 * MS);
}

Test(sched, rule_5_having_run_on_a_free_pcpu_is_not_held_against_anybody)
{
    begin(2);
    add(128, 0, busy);
    add(256, 0, busy);
    assert_near(share_once_crowded(), 200.0 * 128 / (128 + 256 + 256), 2);
}

Test(sched, rule_5_one_that_is_held_back_by_its_cap_does_not_crowd)
{
    begin(2);
    add(64, 0, busy);
    add(256, 0, busy);
    add(256, 1, busy);
    assert_near(share_once_crowded(), 200.0 * 64 / (64 + 256 + 256), 2);
}

Test(sched, rule_3_time_under_a_cap_is_not_made_up_for_without_it)
{
    begin(1);
    struct guest *held = add(256, 1, busy);
    add(256, 0, busy);
    play(60000 * MS);
    sched_set_cap(&sched, &held->entity, 0, now);
    uint64_t before = held->entity.charged_ns;
    play(1000 * MS);
    assert_near((double)(held->entity.charged_ns - before) / MS, 500, 15);
}

Test(sched, fewer_guests_than_pcpus_all_run)
{
    begin(4);
    add(1, 0, busy);
    add(65535, 0, busy);
    play(1000 * MS);
    assert_near(share(&guest[0], 1000 * MS), 100, 0.1);
    assert_near(share(&guest[1], 1000 * MS), 100, 0.1);
}

Test(sched, weight_changes_while_they_run)
{
    begin(1);
    add(256, 0, busy);
    add(256, 0, busy);
    play(1000 * MS);
    sched_set_weight(&sched, &guest[0].entity, 768);
    uint64_t before = guest[0].entity.charged_ns;
    play(4000 * MS);
    assert_near((double)(guest[0].entity.charged_ns - before) / MS, 3000, 30);
}

Test(sched, one_that_is_removed_is_picked_no_more)
{
    uint64_t slice;

    begin(1);
    add(256, 0, busy);
    add(256, 0, busy);
    sched_remove(&sched, &guest[0].entity);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(sched_pick(&sched, now, &slice), &guest[1].entity);
        sched_put(&sched, &guest[1].entity, SLICE_NS, true, now);
    }
    sched_remove(&sched, &guest[1].entity);
    cr_assert_null(sched_pick(&sched, now, &slice));
    cr_assert_null(sched_peek(&sched, now));
}

Test(sched, settings_are_clamped)
{
    begin(1);
    add(256, 0, busy);
    sched_set_weight(&sched, &guest[0].entity, 0);
    cr_assert_eq(guest[0].entity.weight, SCHED_WEIGHT_MIN);
    sched_set_weight(&sched, &guest[0].entity, 1000000);
    cr_assert_eq(guest[0].entity.weight, SCHED_WEIGHT_MAX);
    sched_set_cap(&sched, &guest[0].entity, 1000, now);
    cr_assert_eq(guest[0].entity.cap, SCHED_CAP_MAX);
}

Test(sched, there_is_a_limit)
{
    static struct sched_entity many[SCHED_ENTITIES_MAX + 1];

    begin(1);
    for (unsigned i = 0; i < SCHED_ENTITIES_MAX; i++) {
        cr_assert(sched_add(&sched, &many[i], 0));
    }
    cr_assert(!sched_add(&sched, &many[SCHED_ENTITIES_MAX], 0));
}
