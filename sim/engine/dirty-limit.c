/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty limit, see dirty-limit.h.
 *
 * Limits: described from QEMU's code, not compared with a run. The largest rate, which says how
 * fast a ring fills up at most, is forgotten with the migration; QEMU keeps it for its life.
 */
#include "sim/engine/dirty-limit.h"

#include <glib.h>

#define TOLERANCE_MB   25u /* MB/s around the quota within which a vCPU is left alone */
#define LINEAR_PERCENT 50u /* further away than that, the sleep follows the distance */
#define LONGEST        99u /* sleep, in times that a ring takes to fill up */
#define STEP           10u /* near the quota: a tenth of that time */

typedef struct Vcpu {
    uint64_t pages; /* at the beginning of the period */
    uint64_t rate;  /* MB/s */
    uint64_t sleep; /* us */
    uint64_t quota; /* MB/s; 0: none */
} Vcpu;

struct MigDirtyLimit {
    Vcpu *vcpus;
    uint32_t count;
    uint32_t page_size;
    uint64_t ring_mib;
    uint64_t largest; /* MB/s, of any vCPU in any period */
};

MigDirtyLimit *mig_dirty_limit_new(uint32_t vcpus, uint32_t entries, uint32_t page_size)
{
    MigDirtyLimit *d = g_new0(MigDirtyLimit, 1);
    g_assert(vcpus > 0);
    d->vcpus = g_new0(Vcpu, vcpus);
    d->count = vcpus;
    d->page_size = page_size;
    d->ring_mib = (uint64_t)entries * page_size >> 20;
    return d;
}

void mig_dirty_limit_free(MigDirtyLimit *d)
{
    if (d) {
        g_free(d->vcpus);
        g_free(d);
    }
}

void mig_dirty_limit_set(MigDirtyLimit *d, uint32_t vcpu, uint64_t quota)
{
    g_assert(vcpu < d->count);
    d->vcpus[vcpu].quota = quota;
    d->vcpus[vcpu].sleep = quota ? d->vcpus[vcpu].sleep : 0;
}

void mig_dirty_limit_start(MigDirtyLimit *d, uint64_t quota)
{
    g_assert(quota > 0);
    for (uint32_t i = 0; i < d->count; i++) {
        mig_dirty_limit_set(d, i, quota);
    }
}

void mig_dirty_limit_stop(MigDirtyLimit *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        mig_dirty_limit_set(d, i, 0);
    }
}

bool mig_dirty_limit_in_service(const MigDirtyLimit *d)
{
    bool any = false;
    for (uint32_t i = 0; i < d->count; i++) {
        any = any || d->vcpus[i].quota > 0;
    }
    return any;
}

uint64_t mig_dirty_limit_quota(const MigDirtyLimit *d, uint32_t vcpu)
{
    return d->vcpus[vcpu].quota;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* us that a ring takes to fill up, for a vCPU of |rate| > 0. */
static uint64_t full_time(const MigDirtyLimit *d, uint64_t rate)
{
    return d->ring_mib * 1000000 / rate;
}

/* As dirtylimit_set_throttle(). */
static void adjust(MigDirtyLimit *d, Vcpu *v)
{
    uint64_t far = distance(v->quota, v->rate);
    if (!v->quota || far <= TOLERANCE_MB) {
        return;
    }
    if (v->rate == 0) {
        v->sleep = 0;
        return;
    }
    uint64_t full = full_time(d, d->largest);
    uint64_t percent = far * 100 / MAX(v->quota, v->rate);
    uint64_t step = percent > LINEAR_PERCENT ? full * percent / (100 - percent) : full / STEP;
    if (v->quota < v->rate) {
        v->sleep += step;
    } else {
        v->sleep -= MIN(step, v->sleep);
    }
    v->sleep = MIN(v->sleep, full * LONGEST);
}

void mig_dirty_limit_begin(MigDirtyLimit *d, const uint64_t *pages)
{
    for (uint32_t i = 0; i < d->count; i++) {
        d->vcpus[i].pages = pages[i];
    }
}

void mig_dirty_limit_measure(MigDirtyLimit *d, const uint64_t *pages, int64_t ms)
{
    g_assert(ms > 0);
    for (uint32_t i = 0; i < d->count; i++) {
        Vcpu *v = &d->vcpus[i];
        uint64_t mib = (pages[i] - v->pages) * d->page_size >> 20;
        v->rate = mib * 1000 / (uint64_t)ms;
        v->pages = pages[i];
        d->largest = MAX(d->largest, v->rate);
    }
    for (uint32_t i = 0; i < d->count; i++) {
        adjust(d, &d->vcpus[i]);
    }
}

uint64_t mig_dirty_limit_rate(const MigDirtyLimit *d, uint32_t vcpu)
{
    return d->vcpus[vcpu].rate;
}

uint64_t mig_dirty_limit_sleep(const MigDirtyLimit *d, uint32_t vcpu)
{
    return d->vcpus[vcpu].sleep;
}

uint64_t mig_dirty_limit_throttle_time_per_round(const MigDirtyLimit *d)
{
    uint64_t longest = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        longest = MAX(longest, d->vcpus[i].sleep);
    }
    return longest;
}

/* Of the average vCPU, 0 while none dirties anything. */
uint64_t mig_dirty_limit_ring_full_time(const MigDirtyLimit *d)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        sum += d->vcpus[i].rate;
    }
    return sum / d->count ? full_time(d, sum / d->count) : 0;
}
