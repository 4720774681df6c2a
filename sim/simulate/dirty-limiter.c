/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty limit's thread, as a timer of a scenario that runs: every period it asks the guest's
 * rings what each vCPU has dirtied, and tells each how long to sleep when its ring is full. Mirrors
 * vcpu_dirty_rate_stat_thread() and dirtylimit_process() (softmmu/dirtylimit.c, 10.0).
 */
#include "sim/scenario/run.h"
#include "sim/world/clock.h"

/* The guest's rings, whoever it is ----------------------------------------------------------- */

static uint32_t vcpus_of(const MigScenarioRun *run)
{
    return MAX(run->scenario->vcpus, 1);
}

static bool has_rings(const MigScenarioRun *run)
{
    MigBackend *b = run->backend;
    return b ? b->ops->has_rings(b) : run->guest && mig_guest_has_rings(run->guest);
}

/* The pages that each vCPU's ring has had so far; g_free(). It looks by way of a sync: all rings
 * are reaped. */
static uint64_t *take_rings(const MigScenarioRun *run, int64_t at)
{
    uint64_t *pages = g_new0(uint64_t, vcpus_of(run));
    if (run->backend) {
        run->backend->ops->take_rings(run->backend, pages);
        return pages;
    }
    for (uint32_t i = 0; i < vcpus_of(run); i++) {
        pages[i] = mig_guest_ring_noted(run->guest, at, i);
    }
    mig_guest_ring_reap(run->guest, at);
    return pages;
}

static void watch_rings(const MigScenarioRun *run, int64_t at, bool on)
{
    if (run->backend) {
        run->backend->ops->watch_rings(run->backend, on);
    } else {
        mig_guest_ring_watch(run->guest, at, on);
    }
}

static void set_sleeps(const MigScenarioRun *run, const MigDirtyLimit *d, int64_t at)
{
    for (uint32_t i = 0; i < vcpus_of(run); i++) {
        int64_t ns = d ? (int64_t)mig_dirty_limit_sleep(d, i) * MIG_NS_PER_US : 0;
        if (run->backend) {
            run->backend->ops->sleep_when_full(run->backend, i, ns);
        } else {
            mig_guest_ring_sleep(run->guest, at, i, ns);
        }
    }
}

/* Periods ------------------------------------------------------------------------------------ */

static MigDirtyLimit *in_force(const MigScenarioRun *run)
{
    MigDirtyLimit *all[] = { mig_source_dirty_limit(run->source), run->limit_by_hand };
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        if (all[i] && mig_dirty_limit_in_service(all[i])) {
            return all[i];
        }
    }
    return NULL;
}

static void period_is_over(void *opaque, int64_t at);

static void begin_period(MigScenarioRun *run, int64_t at)
{
    uint64_t ms = mig_source_parameters(run->source)->x_vcpu_dirty_limit_period;
    run->limit_began = at;
    run->limit_timer = true;
    mig_events_add(run->events, at + (int64_t)ms * MIG_NS_PER_MS, period_is_over, run);
}

/* Its look at the rings is a sync, which waits for vCPUs that sleep: put off until they wake. */
static bool must_wait(MigScenarioRun *run, int64_t at)
{
    int64_t until = run->guest && !run->backend ? mig_guest_asleep_until(run->guest, at) : 0;
    if (until > at) {
        mig_events_add(run->events, until, period_is_over, run);
    }
    return until > at;
}

static void period_is_over(void *opaque, int64_t at)
{
    MigScenarioRun *run = opaque;
    if (must_wait(run, at)) {
        return;
    }
    run->limit_timer = false;
    if (run->limit != in_force(run)) { /* a source is gone, and its limit with it */
        mig_scenario_run_dirty_limit(run, at);
    }
    if (!run->limit || run->limit_timer) {
        return;
    }
    g_autofree uint64_t *pages = take_rings(run, at);
    int64_t ms = (at - run->limit_began) / MIG_NS_PER_MS;
    mig_dirty_limit_measure(run->limit, pages, MAX(ms, 1));
    set_sleeps(run, run->limit, at);
    begin_period(run, at);
}

void mig_scenario_run_dirty_limit(MigScenarioRun *run, int64_t at)
{
    MigDirtyLimit *now = in_force(run), *before = run->limit;
    if (!has_rings(run)) {
        return;
    }
    run->limit = now;
    if (!now || now != before) {
        set_sleeps(run, now, at);
    }
    if ((now != NULL) != (before != NULL)) {
        watch_rings(run, at, now != NULL);
    }
    if (now && now != before) {
        g_autofree uint64_t *pages = take_rings(run, at);
        mig_dirty_limit_begin(now, pages);
        run->limit_began = at;
    }
    if (now && !run->limit_timer) {
        begin_period(run, at);
    }
}
