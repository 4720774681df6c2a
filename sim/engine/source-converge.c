/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Auto-converge: when the guest dirties more than a share of what is sent, period after period, its
 * vCPUs are throttled, a step at a time; or, with dirty-limit, given a limit each. Mirrors
 * migration_trigger_throttle(), mig_throttle_guest_down() and migration_dirty_limit_guest()
 * (migration/ram.c, 10.0), and the timer that looks every 5 s whether a
 * sync is due (migration/cpu-throttle.c, 10.0).
 *
 * Limits: the throttle of 1.6 to 2.4 (30 ms of sleep in 40) is a constant percentage here.
 */
#include "sim/engine/source-internal.h"

#define SYNC_TIMER_MS 5000

MigDirtyLimit *mig_source_dirty_limit(MigSource *s)
{
    return s->limit;
}

static void start_limit(MigSource *s)
{
    uint64_t quota = s->parameters.vcpu_dirty_limit;
    if (s->limit && mig_dirty_limit_quota(s->limit, 0) != quota) {
        mig_dirty_limit_start(s->limit, quota);
        mig_source_op(s, MIG_OP_DIRTY_LIMIT);
    }
}

void mig_source_unthrottle(MigSource *s)
{
    mig_source_throttle(s, 0);
    if (s->limit && mig_dirty_limit_in_service(s->limit)) {
        mig_dirty_limit_stop(s->limit);
        mig_source_op(s, MIG_OP_DIRTY_LIMIT);
    }
}

void mig_source_throttle(MigSource *s, unsigned percent)
{
    if (percent != s->throttle) {
        s->throttle = percent;
        mig_source_op(s, MIG_OP_THROTTLE)->percent = percent;
    }
}

/* Percent to add: the increment, or with tailslow as much as makes dirty and sent meet. */
static uint64_t step(const MigSource *s, uint64_t dirty, uint64_t allowed)
{
    const MigParameters *p = &s->parameters;
    uint64_t cpu = 100 - s->throttle;
    if (!p->cpu_throttle_tailslow) {
        return p->cpu_throttle_increment;
    }
    uint64_t ideal = (uint64_t)((double)cpu * ((double)allowed * 1.0 / (double)dirty));
    return MIN(cpu - ideal, p->cpu_throttle_increment);
}

static void increase(MigSource *s, uint64_t dirty, uint64_t allowed)
{
    const MigParameters *p = &s->parameters;
    uint64_t percent = p->cpu_throttle_initial;
    if (mig_source_era(s)->converge_fixed) {
        percent = mig_source_era(s)->converge_fixed;
    } else if (s->throttle) {
        percent = MIN(s->throttle + step(s, dirty, allowed), p->max_cpu_throttle);
    }
    mig_source_throttle(s, (unsigned)percent);
}

void mig_source_converge(MigSource *s)
{
    const MigEra *era = mig_source_era(s);
    uint64_t sent = mig_source_shown(s) - s->period_bytes;
    uint64_t dirty = s->new_dirty * mig_source_page(s);
    uint64_t allowed = sent * s->parameters.throttle_trigger_threshold / 100;
    bool rated = !era->converge_rated || s->ram.dirty_pages_rate != 0;
    bool converges = mig_source_has(s, MIG_CAP_AUTO_CONVERGE);
    if ((!converges && !s->limit) || !era->converge_strikes) {
        return;
    }
    if (era->converge_waits && mig_source_block_in_bulk(s)) {
        return; /* the disks' bytes keep RAM's from going */
    }
    if (rated && dirty > allowed && ++s->strikes >= era->converge_strikes) {
        s->strikes = 0;
        if (converges) {
            increase(s, dirty, allowed);
        } else {
            start_limit(s);
        }
    }
}

void mig_source_arm_sync(MigSource *s)
{
    if (mig_source_has(s, MIG_CAP_AUTO_CONVERGE) && mig_source_era(s)->converge_timer) {
        s->forced_sync_ms = mig_source_ms(s) + SYNC_TIMER_MS;
    }
}

bool mig_source_sync_is_due(MigSource *s)
{
    bool due = s->forced_sync_ms && mig_source_ms(s) >= s->forced_sync_ms;
    if (!due) {
        return false;
    }
    uint64_t before = s->forced_sync_count;
    s->forced_sync_count = s->ram.dirty_sync_count;
    mig_source_arm_sync(s);
    if (s->ram.dirty_sync_count > 1 && before == s->ram.dirty_sync_count) {
        s->forced_sync_count++; /* it looks behind the sync */
        return true;
    }
    return false;
}
