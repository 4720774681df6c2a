/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty limit's thread, as a timer of a scenario that runs: every period it asks the guest's
 * rings what each vCPU has dirtied, and tells each how long to sleep when its ring is full. Mirrors
 * vcpu_dirty_rate_stat_thread() and dirtylimit_process() (softmmu/dirtylimit.c, 10.0).
 */
#include "sim/scenario/run.h"
#include "sim/world/clock.h"

static uint32_t vcpus_of(const MigScenarioRun *run)
{
    return MAX(run->scenario->vcpus, 1);
}

/* The pages of every vCPU so far; g_free(). */
static uint64_t *count_pages(const MigScenarioRun *run, int64_t at)
{
    uint64_t *pages = g_new0(uint64_t, vcpus_of(run));
    for (uint32_t i = 0; i < vcpus_of(run); i++) {
        pages[i] = mig_guest_ring_noted(run->guest, at, i);
    }
    return pages;
}

static void set_sleeps(const MigScenarioRun *run, const MigDirtyLimit *d, int64_t at)
{
    for (uint32_t i = 0; i < vcpus_of(run); i++) {
        int64_t us = d ? (int64_t)mig_dirty_limit_sleep(d, i) : 0;
        mig_guest_ring_sleep(run->guest, at, i, us * MIG_NS_PER_US);
    }
}

static void period_is_over(void *opaque, int64_t at);

static void begin_period(MigScenarioRun *run, int64_t at)
{
    uint64_t ms = mig_source_parameters(run->source)->x_vcpu_dirty_limit_period;
    run->limit_began = at;
    mig_events_add(run->events, at + (int64_t)ms * MIG_NS_PER_MS, period_is_over, run);
}

static void period_is_over(void *opaque, int64_t at)
{
    MigScenarioRun *run = opaque;
    MigDirtyLimit *d = mig_source_dirty_limit(run->source);
    if (!d || !mig_dirty_limit_in_service(d)) {
        run->limiting = false;
        return;
    }
    g_autofree uint64_t *pages = count_pages(run, at);
    int64_t ms = (at - run->limit_began) / MIG_NS_PER_MS;
    mig_guest_ring_reap(run->guest, at); /* it looks by way of a sync */
    mig_dirty_limit_measure(d, pages, MAX(ms, 1));
    set_sleeps(run, d, at);
    begin_period(run, at);
}

void mig_scenario_run_dirty_limit(MigScenarioRun *run, int64_t at)
{
    MigDirtyLimit *d = mig_source_dirty_limit(run->source);
    bool wanted = d && mig_dirty_limit_in_service(d);
    if (!run->guest || !mig_guest_has_rings(run->guest)) {
        return;
    }
    if (!wanted) {
        set_sleeps(run, NULL, at);
    } else if (!run->limiting) {
        g_autofree uint64_t *pages = count_pages(run, at);
        run->limiting = true;
        mig_dirty_limit_begin(d, pages);
        begin_period(run, at);
    }
}
