/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Auto-converge and dirty limits of the plain simulator (reference.h). With a limit the rate of
 * each vCPU is taken every period from what its ring has had, and says how long it sleeps when that
 * is full.
 */
#include "tests/unit/reference-internal.h"

#define TOLERANCE 25 /* MB/s around the quota */

/* They have had everything by now. */
static void reap(Sim *m)
{
    reference_guest_at(&m->guest, m->now);
    reference_guest_reap(&m->guest);
}

/* us that a vCPU sleeps from now on, from what it slept, and its rate; |full|: us of a ring. */
static int64_t adjusted(int64_t sleep, int64_t quota, int64_t rate, int64_t full)
{
    int64_t far = ABS(quota - rate), percent = far * 100 / MAX(MAX(quota, rate), 1);
    int64_t step = percent > 50 && percent < 100 ? full * percent / (100 - percent) : full / 10;
    if (far <= TOLERANCE) {
        return sleep;
    }
    if (rate == 0) {
        return 0;
    }
    sleep = quota < rate ? sleep + step : sleep - MIN(step, sleep);
    return MIN(sleep, full * 99);
}

static void period_ends(Sim *m, uint64_t unused);

static void begin_period(Sim *m)
{
    int64_t ms = (int64_t)m->p->x_vcpu_dirty_limit_period;
    m->limit_began = m->now;
    reference_later(m, m->now + ms * 1000000, period_ends, 0);
}

static void measure(Sim *m, ReferenceRing *ring)
{
    int64_t ms = MAX((m->now - m->limit_began) / 1000000, 1);
    ring->rate = (int64_t)((ring->noted - ring->then) * PAGE >> 20) * 1000 / ms;
    ring->then = ring->noted;
    m->largest_rate = MAX(m->largest_rate, ring->rate);
}

static void period_ends(Sim *m, uint64_t unused)
{
    ReferenceGuest *g = &m->guest;
    (void)unused;
    reference_guest_at(g, m->now);
    if (g->asleep_until > m->now) {
        reference_later(m, g->asleep_until, period_ends, 0);
        return;
    }
    for (guint v = 0; v < g->vcpus; v++) {
        measure(m, &g->rings[v]);
    }
    reap(m);
    int64_t mib = (int64_t)m->s->ring_pages * PAGE >> 20, quota = (int64_t)m->p->vcpu_dirty_limit;
    for (guint v = 0; v < g->vcpus; v++) {
        int64_t full = m->largest_rate ? mib * 1000000 / m->largest_rate : 0;
        g->rings[v].sleep = adjusted(g->rings[v].sleep, quota, g->rings[v].rate, full);
    }
    begin_period(m);
}

static void begin_limit(Sim *m)
{
    if (!m->limited) {
        m->limited = true;
        reap(m);
        for (guint v = 0; v < m->guest.vcpus; v++) {
            m->guest.rings[v].then = m->guest.rings[v].noted;
        }
        begin_period(m);
    }
}

void reference_converge(Sim *m, uint64_t sent)
{
    const MigParameters *p = m->p;
    uint64_t allowed = sent * p->throttle_trigger_threshold / 100;
    unsigned strikes = m->v < V(2, 5) ? 6 : m->v < V(3, 0) ? 3 : 2, cpu = 100 - m->guest.throttle;
    bool rated = m->v < V(2, 5) || m->v >= V(3, 0) || m->rate;
    bool converges = HAS(AUTO_CONVERGE) || HAS(DIRTY_LIMIT);
    if (!converges || !rated || m->new_dirty * PAGE <= allowed || ++m->strikes < strikes) {
        return;
    }
    m->strikes = 0;
    if (HAS(DIRTY_LIMIT)) {
        begin_limit(m);
    } else {
        uint64_t slow = cpu - (uint64_t)(cpu * ((double)allowed / (double)(m->new_dirty * PAGE)));
        uint64_t most = p->cpu_throttle_increment;
        uint64_t more = m->guest.throttle + (p->cpu_throttle_tailslow ? MIN(slow, most) : most);
        m->guest.nap = m->guest.throttle ? m->guest.nap : m->now;
        more = m->guest.throttle ? MIN(more, p->max_cpu_throttle) : p->cpu_throttle_initial;
        m->guest.throttle = m->v < V(2, 5) ? 75 : (unsigned)more;
    }
}

void reference_limit_spend(Sim *m, int64_t ns)
{
    if (!reference_over(m)) {
        reference_guest_at(&m->guest, m->now);
        reference_pass(m, MAX(m->guest.asleep_until, m->now) + ns);
    }
}
