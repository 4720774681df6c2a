/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of QEMU 1.4, whose stream is a buffer without bounds: what iterates fills it, and a step
 * of its own at the end of each turn writes of it what the window's quota leaves. Mirrors
 * buffered_file_thread(), buffered_flush() and buffered_close() (migration.c, 1.4), known from
 * text; no such binary was run.
 *
 *     turn: head --quota left--> pending, iterate or complete --> window --> [sleep] --> drain -->
 * turn
 *
 * So one call of iterate may queue 50 ms worth of pages beyond the quota, which then takes windows
 * to drain; the window is judged by the time at the head of the turn; and the quota is used up when
 * it is reached, not exceeded. Closing the stream drains it without a limit, inside the downtime.
 *
 * Limits. QEMU iterates under its big lock and stops the guest with that; here it runs on. On the
 * real clock the channel's own buffer is the buffer, so that a turn drains as it goes.
 */
#include "sim/engine/source-internal.h"

static void state_drain(MigSource *s)
{
    mig_source_op(s, MIG_OP_DRAIN)->limit = mig_source_quota_left(s);
    s->state = mig_source_state_loop;
}

/* Behind the work of a turn. */
static void state_window(MigSource *s)
{
    int64_t end = s->window_ms + MIG_WINDOW_MS;
    if (s->turn_ms >= end) {
        mig_source_close_window(s, s->turn_ms);
        end = s->window_ms + MIG_WINDOW_MS;
    }
    s->state = state_drain;
    if (mig_source_quota_exceeded(s)) {
        mig_source_op(s, MIG_OP_SLEEP)->until = s->outcome.now + (end - s->turn_ms) * 1000000;
    }
}

static void state_decided(MigSource *s)
{
    MigPending pending = mig_source_pending(s);
    uint64_t total = mig_pending_total(&pending);
    if (total > 0 && total >= s->threshold) {
        mig_source_iterate(s, false, state_window);
    } else {
        s->state = mig_source_state_complete;
    }
}

void mig_source_state_buffered(MigSource *s)
{
    s->turn_ms = mig_source_ms(s);
    if (s->status != MIG_STATUS_IS_ACTIVE) {
        s->state = mig_source_state_cancelled;
    } else if (mig_source_quota_exceeded(s)) {
        s->state = state_window;
    } else {
        mig_source_pending_exact(s, state_decided);
    }
}

void mig_source_drain_all(MigSource *s)
{
    if (mig_source_era(s)->loop == MIG_LOOP_BUFFERED) {
        mig_source_op(s, MIG_OP_DRAIN)->limit = UINT64_MAX;
    }
}
