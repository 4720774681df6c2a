/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's loop: decide between iterating and completing, and the rate limit of 100 ms windows.
 * Mirrors migration_iteration_run(), migration_update_counters() and migration_rate_limit()
 * (migration/migration.c, 10.0). Times are whole milliseconds where QEMU's are; a window begins at
 * the time when the one before was closed, and nothing is carried over.
 */
#include <string.h>

#include "sim/engine/source-internal.h"
#include "sim/engine/source-postcopy-internal.h"

/* Quota. */

static uint64_t counter(const MigSource *s)
{
    switch ((MigQuota)mig_source_era(s)->quota) {
    case MIG_QUOTA_WRITTEN:
        return s->flushed;
    case MIG_QUOTA_POSITION:
        return s->queued + s->multifd_queued;
    case MIG_QUOTA_FLUSHED:
        break;
    }
    return s->flushed + s->multifd_bytes + s->placed;
}

uint64_t mig_source_quota(const MigSource *s)
{
    uint64_t rate =
        s->postcopy->pushing ? s->parameters.max_postcopy_bandwidth : s->parameters.max_bandwidth;
    return s->unlimited ? 0 : rate / (1000 / MIG_WINDOW_MS);
}

bool mig_source_quota_exceeded(const MigSource *s)
{
    uint64_t quota = mig_source_quota(s), used = counter(s) - s->quota_base;
    bool reached = mig_source_era(s)->quota == MIG_QUOTA_WRITTEN; /* is enough */
    return quota && (used > quota || (reached && used == quota));
}

uint64_t mig_source_quota_left(const MigSource *s)
{
    if (!mig_source_quota(s)) {
        return UINT64_MAX;
    }
    uint64_t used = counter(s) - s->quota_base;
    return used > mig_source_quota(s) ? 0 : mig_source_quota(s) - used;
}

uint64_t mig_source_transferred(const MigSource *s)
{
    return counter(s);
}

/* Closing a window. */

static double switchover_bandwidth(const MigSource *s)
{
    uint64_t told = s->parameters.avail_switchover_bandwidth;
    if (told && mig_source_era(s)->avail_switchover) {
        return (double)(told / 1000);
    }
    return s->bandwidth;
}

static void expect_downtime(MigSource *s, uint64_t bytes)
{
    double bandwidth = switchover_bandwidth(s);
    if (s->ram.dirty_pages_rate == 0 || bytes <= 10000 || bandwidth <= 0) {
        return;
    }
    double dirty = (double)s->last_sync_bytes;
    if (mig_source_era(s)->expect == MIG_EXPECT_DIRTY_RATE) {
        dirty = (double)(s->ram.dirty_pages_rate * mig_source_page(s));
    }
    s->expected_downtime = (int64_t)(dirty / bandwidth);
}

void mig_source_close_window(MigSource *s, int64_t now)
{
    uint64_t bytes = mig_source_transferred(s) - s->window_bytes;
    uint64_t pages = mig_source_pages_done(s);
    int64_t ms = now - s->window_ms;
    s->bandwidth = (double)bytes / (double)ms;
    if (mig_source_era(s)->integer_bandwidth) {
        s->bandwidth = (double)(bytes / (uint64_t)ms);
    }
    s->threshold = (uint64_t)(switchover_bandwidth(s) * (double)s->parameters.downtime_limit);
    s->ram.mbps = ((double)bytes * 8.0) / ((double)ms / 1000.0) / 1000.0 / 1000.0;
    s->ram.pages_per_second = (uint64_t)((double)(pages - s->window_pages) / ((double)ms / 1000.0));
    expect_downtime(s, bytes);
    s->quota_base = counter(s);
    s->window_ms = now;
    s->window_bytes = mig_source_transferred(s);
    s->window_pages = pages;
}

void mig_source_close_due_window(MigSource *s)
{
    if (mig_source_ms(s) >= s->window_ms + MIG_WINDOW_MS) {
        mig_source_close_window(s, mig_source_ms(s));
    }
}

void mig_source_restart_window(MigSource *s)
{
    s->quota_base = counter(s);
    s->window_ms = mig_source_ms(s);
    s->window_bytes = mig_source_transferred(s);
    s->window_pages = mig_source_pages_done(s);
}

void mig_source_sleep_window(MigSource *s)
{
    int64_t left = MAX(s->window_ms + MIG_WINDOW_MS - mig_source_ms(s), 0);
    mig_source_op(s, MIG_OP_SLEEP)->until = s->outcome.now + left * 1000000;
}

static void state_slept(MigSource *s);

/* Until the end of the window; the timer's tick may lie before it. */
static void sleep_on(MigSource *s)
{
    /* Whole milliseconds from now on: the wake-up may come a fraction past the window. */
    int64_t now = mig_source_ms(s), end = s->window_ms + MIG_WINDOW_MS;
    int64_t tick = s->forced_sync_ms ? MAX(s->forced_sync_ms, now) : INT64_MAX;
    mig_source_op(s, MIG_OP_SLEEP)->until = s->outcome.now + (MIN(end, tick) - now) * 1000000;
    s->state = tick < end ? state_slept : mig_source_state_loop;
}

static void state_slept(MigSource *s)
{
    if (mig_source_sync_is_due(s)) {
        mig_source_sync(s, true, true, state_slept);
    } else if (mig_source_ms(s) < s->window_ms + MIG_WINDOW_MS) {
        sleep_on(s);
    } else {
        s->state = mig_source_state_loop;
    }
}

void mig_source_update_counters(MigSource *s)
{
    int64_t now = mig_source_ms(s);
    if (now >= s->window_ms + MIG_WINDOW_MS) {
        mig_source_close_window(s, now);
    }
}

void mig_source_state_rate(MigSource *s)
{
    if (mig_source_sync_is_due(s)) {
        mig_source_sync(s, true, true, mig_source_state_rate);
        return;
    }
    s->state = mig_source_state_loop;
    mig_source_update_counters(s);
    if (mig_source_quota_exceeded(s)) {
        sleep_on(s);
    }
}

/* Deciding. */

static bool completes(const MigSource *s, uint64_t total)
{
    switch ((MigDecide)mig_source_era(s)->decide) {
    case MIG_DECIDE_PENDING:
    case MIG_DECIDE_ESTIMATE:
        return total == 0 || total < s->threshold;
    case MIG_DECIDE_AT_MOST:
    case MIG_DECIDE_EXACT_AT:
        return total <= s->threshold;
    }
    return false;
}

static void state_decided(MigSource *s)
{
    MigPending pending = mig_source_pending(s);
    bool may = mig_source_can_switchover(s);
    bool postcopy = may && mig_source_starts_postcopy(s, &pending);
    bool late = mig_source_era(s)->decide <= MIG_DECIDE_ESTIMATE; /* completion comes first */
    if (may && (!postcopy || late) && completes(s, mig_pending_total(&pending))) {
        s->state = mig_source_state_complete;
        return;
    }
    if (postcopy) {
        s->state = mig_source_state_switchover;
        return;
    }
    mig_source_iterate(s, false, mig_source_state_rate);
}

static bool wants_exact(const MigSource *s)
{
    MigPending p = mig_source_pending(s);
    uint64_t estimate = mig_pending_total(&p);
    switch ((MigDecide)mig_source_era(s)->decide) {
    case MIG_DECIDE_PENDING: /* each iterable decides by its own estimate */
        return true;
    case MIG_DECIDE_ESTIMATE:
    case MIG_DECIDE_AT_MOST:
        return estimate < s->threshold;
    case MIG_DECIDE_EXACT_AT:
        return estimate <= s->threshold || p.precopy_only == 0;
    }
    return false;
}

static void state_thread(MigSource *s)
{
    if (s->postcopy->pushing) {
        mig_source_state_postcopy_loop(s);
    } else if (s->status != MIG_STATUS_IS_ACTIVE) {
        s->state = mig_source_state_cancelled;
    } else if (mig_source_quota_exceeded(s)) {
        s->state = mig_source_state_rate;
    } else if (wants_exact(s)) {
        mig_source_pending_exact(s, state_decided);
    } else {
        s->state = state_decided;
    }
}

/* A loop is a function that begins a turn. */
void mig_source_state_loop(MigSource *s)
{
    static const MigState loops[] = {
        [MIG_LOOP_BUFFERED] = mig_source_state_buffered,
        [MIG_LOOP_THREAD] = state_thread,
    };
    g_assert(mig_source_era(s)->loop < G_N_ELEMENTS(loops));
    loops[mig_source_era(s)->loop](s);
}
