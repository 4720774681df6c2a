/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links whose rate varies: their rates, and the link against a plain model that takes one
 * nanosecond after the other and knows nothing of pieces, cursors or busy periods.
 */
#include <glib.h>

#include "sim/world/clock.h"
#include "sim/world/link.h"
#include "sim/world/prng.h"
#include "tests/unit/counts.h"

#define LINKS 60

/* Rates over time
 * ----------------------------------------------------------------------------------- */

static void test_rates(void)
{
    static const MigRatePoint points[] = { { 0, 5 }, { 10, 0 }, { 25, 7 } };
    static const struct {
        int64_t period, at;
        uint64_t rate;
        int64_t until;
    } rows[] = {
        { 0, 0, 5, 10 },   { 0, 9, 5, 10 },
        { 0, 10, 0, 25 },  { 0, 25, 7, MIG_FOREVER },
        { 30, 29, 7, 30 }, { 30, 30, 5, 40 },
        { 30, 69, 5, 70 }, { 30, 3000000000025, 7, 3000000000030 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const MigRates c = { points, G_N_ELEMENTS(points), rows[i].period };
        int64_t until = 0;
        g_assert_cmpuint(mig_rates_at(&c, rows[i].at, &until), ==, rows[i].rate);
        g_assert_cmpint(until, ==, rows[i].until);
        g_assert_cmpuint(mig_rates_most(&c), ==, 7);
    }
}

/* A nanosecond at a time ------------------------------------------------------------------- */

#define WRITES 30 /* on each link */

typedef struct Naive {
    const MigLinkConfig *c;
    int64_t now;
    MigAmount waiting, tokens; /* nanobits of frames, times their payload */
    struct {
        int64_t left; /* ns, when the wire had taken them */
        uint64_t bytes;
    } beside[WRITES]; /* what has overtaken */
    unsigned besides;
} Naive;

static uint64_t payload_of(const MigLinkConfig *c)
{
    return c->framing ? 1448 : 1;
}

static MigAmount amount_of(const MigLinkConfig *c, uint64_t bytes)
{
    return (MigAmount)bytes * 8000000000 * (c->framing ? 1538 : 1);
}

static MigAmount full_bucket(const MigLinkConfig *c)
{
    return (MigAmount)c->bucket.burst * 8000000000 * payload_of(c);
}

static uint64_t naive_at(const MigRates *c, int64_t at)
{
    uint64_t rate = 0;
    for (size_t i = 0; i < c->count; i++) {
        bool begun = c->points[i].at <= (c->period ? at % c->period : at);
        rate = begun ? c->points[i].rate : rate;
    }
    return rate;
}

static uint64_t naive_rate(const MigLinkConfig *c, int64_t at)
{
    uint64_t wire = c->trace.count ? naive_at(&c->trace, at) : c->bandwidth;
    uint64_t load = naive_at(&c->background.load, at);
    uint64_t ours = c->flows ? c->flows : 1;
    uint64_t fair = wire * c->background.flows / (ours + c->background.flows);
    uint64_t rate = wire - (c->background.load.count ? MIN(load, fair) : 0);
    return c->bucket.peak ? MIN(rate, c->bucket.peak) : rate;
}

/* One ns: what leaves in it. */
static MigAmount naive_step(Naive *n)
{
    const MigTokenBucket *b = &n->c->bucket;
    MigAmount most = (MigAmount)naive_rate(n->c, n->now) * payload_of(n->c);
    MigAmount refill = (MigAmount)b->rate * payload_of(n->c);
    most = b->rate ? MIN(most, n->tokens + refill) : most;
    MigAmount out = MIN(most, n->waiting);
    n->tokens = MIN(n->tokens + refill - out, full_bucket(n->c));
    n->waiting -= out;
    n->now++;
    return out;
}

static void naive_until(Naive *n, int64_t at)
{
    while (n->now < at) {
        naive_step(n);
    }
}

static uint64_t naive_queued(const Naive *n)
{
    MigAmount byte = amount_of(n->c, 1);
    return (uint64_t)((n->waiting + byte - 1) / byte);
}

static MigLinkWrite naive_write(Naive *n, int64_t now, uint64_t bytes)
{
    naive_until(n, now);
    n->waiting += amount_of(n->c, bytes);
    MigLinkWrite w = { 0 };
    Naive ahead = *n;
    uint64_t all = naive_queued(n), wake = MAX(n->c->send_wake, 1);
    for (uint64_t inside = n->c->send_buffer;
         inside < all;) { /* the rest is the sleeping writer's */
        naive_step(&ahead);
        uint64_t left = all - naive_queued(&ahead);
        while (inside < all && inside + wake - left <= n->c->send_buffer) {
            inside += wake;
        }
    }
    w.accepted = ahead.now;
    while (ahead.waiting > 0) {
        naive_step(&ahead);
    }
    w.arrived = ahead.now + n->c->latency;
    return w;
}

/* Of |queued| bytes those in front of the wire: others that came like this one, and the queue's. */
static uint64_t naive_line(const Naive *n, uint64_t queued)
{
    uint64_t others = 0;
    for (unsigned i = 0; i < n->besides; i++) {
        others += n->beside[i].left > n->now ? n->beside[i].bytes : 0;
    }
    others = MIN(others, queued);
    return n->c->queue.main ? others + MIN(queued - others, n->c->queue.main) : queued;
}

/* As many bytes of the queue as of the other stream go with it; of a line all that stand in it. */
static int64_t naive_overtake(Naive *n, int64_t now, uint64_t bytes)
{
    naive_until(n, now);
    uint64_t queued = naive_queued(n);
    bool line = n->c->bucket.rate || n->c->queue.main;
    Naive ahead = *n;
    ahead.waiting = amount_of(n->c, bytes + (line ? naive_line(n, queued) : MIN(queued, bytes)));
    n->waiting += amount_of(n->c, bytes);
    while (ahead.waiting > 0) {
        naive_step(&ahead);
    }
    n->beside[n->besides].left = ahead.now;
    n->beside[n->besides++].bytes = bytes;
    return ahead.now + n->c->latency;
}

/* Random links ----------------------------------------------------------------------------- */

typedef struct RandomLink {
    MigLinkConfig config;
    MigRatePoint points[2][6];
} RandomLink;

static uint64_t below(MigPrng *p, uint64_t n)
{
    return mig_prng_below(p, n);
}

/* The first rate is not 0 and lasts, so that the plain model sees an end. */
static MigRates random_rates(MigPrng *p, MigRatePoint *points)
{
    MigRates c = { points, 1 + below(p, 6), 0 };
    int64_t at = 0;
    for (size_t i = 0; i < c.count; i++) {
        bool outage = i > 0 && i + 1 < c.count && below(p, 3) == 0;
        points[i] = (MigRatePoint){ at, outage ? 0 : 800000000 + below(p, 20000000000) };
        at += (int64_t)(1 + below(p, below(p, 2) ? 40 : 700) + (i == 0 ? 300 : 0));
    }
    c.period = below(p, 2) ? at : 0;
    return c;
}

static void random_link(MigPrng *p, RandomLink *l)
{
    unsigned kinds = 1 + (unsigned)below(p, 7);
    l->config = (MigLinkConfig){
        .bandwidth = 800000000 + below(p, below(p, 2) ? 1000000000 : 40000000000),
        .latency = (int64_t)below(p, 300),
        .framing = below(p, 2) ? MIG_FRAMING_ETHERNET_TCP : MIG_FRAMING_NONE,
        .send_buffer = 1 + below(p, 2000),
        .receive_buffer = 1 << 30,
        .flows = (uint32_t)below(p, 5),
    };
    l->config.send_wake = below(p, 2) ? 1 + below(p, l->config.send_buffer) : 0;
    l->config.queue.main = below(p, 3) ? 0 : 1 + below(p, 1000);
    if (kinds & 1) {
        l->config.trace = random_rates(p, l->points[0]);
    }
    if (kinds & 2) {
        l->config.background.load = random_rates(p, l->points[1]);
        l->config.background.flows = 1 + (uint32_t)below(p, 4);
    }
    if (kinds & 4) {
        uint64_t rate = 500000000 + below(p, 20000000000);
        l->config.bucket = (MigTokenBucket){ rate, below(p, 4000),
                                             below(p, 2) ? rate + below(p, 20000000000) : 0 };
    }
}

static void test_against_naive(void)
{
    unsigned long held = 0, overtaken = 0, idle = 0;
    unsigned links = (unsigned)MAX(mig_test_count("MIGBENCH_SEEDS", 10 * LINKS) / 10, 20);
    for (unsigned seed = 1; seed <= links; seed++) {
        MigPrng p = mig_prng(seed, "wire", 0);
        RandomLink r;
        random_link(&p, &r);
        MigLink l;
        mig_link_init(&l, &r.config);
        Naive n = { .c = &r.config, .tokens = full_bucket(&r.config) };
        int64_t now = (int64_t)below(&p, 2000);
        for (int i = 0; i < WRITES; i++) {
            now += (int64_t)(below(&p, 2) ? below(&p, 50) : below(&p, 4000));
            uint64_t bytes = below(&p, below(&p, 2) ? 60 : 700);
            naive_until(&n, now);
            g_assert_cmpuint(mig_link_queued(&l, now), ==, naive_queued(&n));
            idle += n.waiting == 0;
            if (below(&p, 5) == 0) {
                int64_t at = naive_overtake(&n, now, 1 + bytes);
                g_assert_cmpint(mig_link_overtake(&l, now, 1 + bytes), ==, at);
                overtaken++;
                continue;
            }
            MigLinkWrite want = naive_write(&n, now, bytes);
            MigLinkWrite w = mig_link_write(&l, now, bytes, 0);
            g_assert_cmpint(w.accepted, ==, want.accepted);
            g_assert_cmpint(w.arrived, ==, want.arrived);
            g_assert_cmpint(w.done, ==, want.arrived);
            held += w.accepted > now;
            now = below(&p, 4) ? w.accepted : now; /* another channel doesn't wait for it */
        }
        mig_link_clear(&l);
    }
    g_test_message("%lu writes held, %lu overtaken, %lu found nothing in front", held, overtaken,
                   idle);
    g_assert_cmpuint(held, >, links);
    g_assert_cmpuint(overtaken, >, links);
    g_assert_cmpuint(idle, >, links);
}

/* A trace that doesn't change, no load, a bucket that is never empty: the plain link. */
static void test_constant(void)
{
    for (unsigned seed = 1; seed <= 200; seed++) {
        MigPrng p = mig_prng(seed, "constant wire", 0);
        const MigLinkConfig plain = {
            .bandwidth = 1 + below(&p, below(&p, 2) ? 1000000 : 400000000000),
            .latency = (int64_t)below(&p, 1000000),
            .framing = below(&p, 2) ? MIG_FRAMING_ETHERNET_TCP : MIG_FRAMING_NONE,
            .send_buffer = (1 << 18) + below(&p, 1 << 20),
            .send_wake = below(&p, 1 << 18),
            .receive_buffer = 1 + below(&p, 1 << 20),
        };
        const MigRatePoint points[] = { { 0, plain.bandwidth }, { 777, plain.bandwidth } };
        MigLinkConfig same = plain;
        same.trace = (MigRates){ points, 2, below(&p, 2) ? 1000000 : 0 };
        same.bucket = (MigTokenBucket){ plain.bandwidth, 0, 0 };
        same.horizon = INT64_MAX / 2;
        MigLink a, b;
        mig_link_init(&a, &plain);
        mig_link_init(&b, &same);
        int64_t now = 0;
        for (int i = 0; i < 100; i++) {
            uint64_t bytes = 1 + below(&p, 1 << 17);
            int64_t work = (int64_t)below(&p, 100000);
            MigLinkWrite x = mig_link_write(&a, now, bytes, work);
            MigLinkWrite y = mig_link_write(&b, now, bytes, work);
            g_assert_cmpmem(&x, sizeof(x), &y, sizeof(y));
            now = x.accepted + (int64_t)below(&p, 1000);
            g_assert_cmpuint(mig_link_queued(&a, now), ==, mig_link_queued(&b, now));
        }
        mig_link_clear(&a);
        mig_link_clear(&b);
    }
}

/* Many periods of a trace, and many writes: nothing adds up. 1 and 3 Gbit/s for half a second. */
static void test_long(void)
{
    static const MigRatePoint points[] = { { 0, 1000000000 }, { 500000000, 3000000000 } };
    const MigLinkConfig c = { .trace = { points, 2, 1000000000 }, .send_buffer = 1 << 20 };
    MigLink l;
    mig_link_init(&l, &c);
    MigLinkWrite w = { 0 };
    for (int i = 0; i < 1000000; i++) { /* 250 MB a second */
        w = mig_link_write(&l, w.accepted, 125000, 0);
    }
    g_assert_cmpint(w.arrived, ==, 500 * MIG_NS_PER_S);
    mig_link_clear(&l);
}

/* A line that stays dead: nothing leaves, and nobody waits beyond the horizon. */
static void test_dead(void)
{
    static const MigRatePoint points[] = { { 0, 8000000000 }, { 1000, 0 } };
    const MigLinkConfig c = { .trace = { points, 2, 0 }, .send_buffer = 10, .horizon = 50000 };
    MigLink l;
    mig_link_init(&l, &c);
    g_assert_cmpint(mig_link_write(&l, 0, 1000, 0).arrived, ==, 1000);
    MigLinkWrite w = mig_link_write(&l, 1000, 500, 0);
    g_assert_cmpint(w.accepted, ==, 50001);
    g_assert_cmpint(w.arrived, ==, 50001);
    g_assert_cmpuint(mig_link_queued(&l, 40000), ==, 500);
    mig_link_clear(&l);
}

/* While the receiver holds the writer the wire is free, for a stream beside it. */
static void test_receiver_holds(void)
{
    static const MigRatePoint points[] = { { 0, 8000000000 } };
    const MigLinkConfig c = { .trace = { points, 1, 0 }, .send_buffer = 100, .receive_buffer = 1 };
    MigLink l;
    mig_link_init(&l, &c);
    mig_link_write(&l, 0, 101, 5000);
    g_assert_cmpint(mig_link_write(&l, 200, 50, 0).began, ==, 5101);
    g_assert_cmpint(mig_link_overtake(&l, 300, 7), ==, 300 + 14);
    mig_link_clear(&l);
}

/* Two channels wait for the same room; the first one's wait is not the second one's. */
static void test_receiver_holds_two(void)
{
    const MigLinkConfig c = { .bandwidth = 8000000000, .send_buffer = 100, .receive_buffer = 100 };
    MigLink l;
    mig_link_init(&l, &c);
    mig_link_write(&l, 0, 200, 5000);
    g_assert_cmpint(mig_link_write(&l, 200, 50, 0).accepted, ==, 5200);
    g_assert_cmpint(mig_link_write(&l, 300, 50, 0).accepted, ==, 5200);
    mig_link_clear(&l);
}

/* A second channel brings a buffer: who writes on it is let go before who was held. A byte a ns. */
static void test_more_buffer(void)
{
    static const MigRatePoint points[] = { { 0, 8000000000 }, { 1000, 0 }, { 2000, 8000000000 } };
    static const struct {
        uint64_t bytes;
        int64_t accepted;
    } rows[] = { { 10, 910 }, { 100, 1000 }, { 101, 2001 } };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const MigLinkConfig c = { .trace = { points, 3, 0 }, .send_buffer = 100 };
        MigLink l;
        mig_link_init(&l, &c);
        g_assert_cmpint(mig_link_write(&l, 0, 1200, 0).accepted, ==, 2100);
        l.config.send_buffer += 200;
        g_assert_cmpint(mig_link_write(&l, 50, rows[i].bytes, 0).accepted, ==, rows[i].accepted);
        mig_link_clear(&l);
    }
}

/* What goes back shares the wire with what is against it, and knows no bucket. */
static void test_reverse(void)
{
    static const MigRatePoint load[] = { { 0, 8000000000 } };
    const MigLinkConfig c = { .bandwidth = 8000000000,
                              .reverse = { { load, 1, 0 }, 3 },
                              .bucket = { 8000000, 100, 0 } };
    const MigLinkConfig back = mig_link_reverse(&c);
    MigLink l;
    mig_link_init(&l, &back);
    g_assert_cmpint(mig_link_span_at(&l, 5, 1000), ==, 4000);
    g_assert_cmpint(mig_link_write(&l, 0, 1000, 0).arrived, ==, 4000);
    mig_link_clear(&l);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/rates", test_rates);
    g_test_add_func("/wire/a-nanosecond-at-a-time", test_against_naive);
    g_test_add_func("/wire/constant-is-the-plain-link", test_constant);
    g_test_add_func("/wire/nothing-adds-up", test_long);
    g_test_add_func("/wire/dead-line", test_dead);
    g_test_add_func("/wire/receiver-holds", test_receiver_holds);
    g_test_add_func("/wire/receiver-holds-two", test_receiver_holds_two);
    g_test_add_func("/wire/more-buffer", test_more_buffer);
    g_test_add_func("/wire/reverse", test_reverse);
    return g_test_run();
}
