/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, random numbers, event queue, link and costs. */
#include <glib.h>
#include <string.h>

#include "sim/world/clock.h"
#include "sim/world/costs.h"
#include "sim/world/events.h"
#include "sim/world/link.h"
#include "sim/world/prng.h"

static void test_prng_streams(void)
{
    MigPrng a = mig_prng(1, "guest", 0), again = mig_prng(1, "guest", 0);
    MigPrng others[] = { mig_prng(2, "guest", 0), mig_prng(1, "guesu", 0),
                         mig_prng(1, "guest", 1) };
    uint64_t first = mig_prng_next(&a);
    g_assert_cmpuint(first, ==, mig_prng_next(&again));
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        g_assert_cmpuint(mig_prng_next(&others[i]), !=, first);
    }
}

/* xoshiro256** from the state 1, 2, 3, 4: the published first outputs. */
static void test_prng_reference(void)
{
    static const uint64_t expected[] = { 11520, 0, 1509978240, 1215971899390074240 };
    MigPrng p = { { 1, 2, 3, 4 } };
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_assert_cmpuint(mig_prng_next(&p), ==, expected[i]);
    }
    /* splitmix64 from 0 */
    g_assert_cmphex(mig_prng_at(0, 0), ==, 0xe220a8397b1dcdafull);
    g_assert_cmphex(mig_prng_at(0, 1), ==, 0x6e789e6aa1b965f4ull);
}

static void test_prng_below(void)
{
    MigPrng p = mig_prng(9, "below", 0);
    unsigned seen[10] = { 0 };
    for (int i = 0; i < 10000; i++) {
        seen[mig_prng_below(&p, 10)]++;
        g_assert_cmpuint(mig_prng_below(&p, 1), ==, 0);
    }
    for (int i = 0; i < 10; i++) {
        g_assert_cmpuint(seen[i], >, 850);
        g_assert_cmpuint(seen[i], <, 1150);
    }
}

static void note(void *opaque, int64_t at)
{
    g_string_append_printf(opaque, "%d ", (int)at);
}

static void test_events_order(void)
{
    MigEvents q = { 0 };
    MigEvent e;
    GString *order = g_string_new(NULL);
    uint64_t gone = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t id = mig_events_add(&q, i * 37 % 50, note, order);
        gone = i == 120 ? id : gone;
    }
    g_assert_true(mig_events_cancel(&q, gone));
    g_assert_false(mig_events_cancel(&q, gone));
    int64_t last = -1, count = 0;
    uint64_t sequence = 0;
    while (mig_events_take(&q, 30, &e)) {
        g_assert_true(e.at > last || (e.at == last && e.sequence > sequence));
        g_assert_cmpuint(e.sequence, !=, gone);
        last = e.at;
        sequence = e.sequence;
        count++;
    }
    g_assert_cmpint(last, ==, 30);
    g_assert_cmpint(mig_events_next(&q), ==, 31);
    g_assert_cmpint(count + (int64_t)q.count, ==, 199);
    mig_events_clear(&q);
    g_assert_cmpint(mig_events_next(&q), ==, MIG_FOREVER);
    g_string_free(order, TRUE);
}

/* Many small writes take what one large write takes: rounding does not add up. */
static void test_link_exact(void)
{
    MigLinkConfig c = { .bandwidth = 1000000007, .framing = MIG_FRAMING_ETHERNET_TCP };
    MigLink small, large;
    mig_link_init(&small, &c);
    mig_link_init(&large, &c);
    MigLinkWrite w = { 0 };
    for (int i = 0; i < 1000; i++) {
        w = mig_link_write(&small, 0, 777, 0);
    }
    MigLinkWrite all = mig_link_write(&large, 0, 777000, 0);
    g_assert_cmpint(w.arrived, ==, all.arrived);
    g_assert_cmpint(all.arrived, ==, mig_link_span(&c, 777000));
    g_assert_cmpint(all.accepted, ==, 0); /* fits the buffer */
    mig_link_clear(&small);
    mig_link_clear(&large);
}

static void test_link_blocks(void)
{
    /* 8 Mbit/s: a byte a microsecond. */
    MigLinkConfig c = { .bandwidth = 8000000, .latency = 500, .send_buffer = 1000 };
    MigLink l;
    mig_link_init(&l, &c);
    MigLinkWrite w = mig_link_write(&l, 0, 1000, 0);
    g_assert_cmpint(w.accepted, ==, 0);
    g_assert_cmpint(w.arrived, ==, 1000500);
    w = mig_link_write(&l, 100000, 300, 0); /* 100 gone, 900 wait, 300 come: 200 too many */
    g_assert_cmpint(w.accepted, ==, 300000);
    g_assert_cmpuint(mig_link_queued(&l, 300000), ==, 1000);
    w = mig_link_write(&l, 2000000, 5, 0); /* idle in between */
    g_assert_cmpint(w.arrived, ==, 2005500);
    mig_link_clear(&l);
}

static void test_link_wakes_late(void)
{
    /* A byte a microsecond; a writer who finds 1000 in front of him sleeps until 700 are. */
    const MigLinkConfig c = { .bandwidth = 8000000, .send_buffer = 1000, .send_wake = 300 };
    static const struct {
        int64_t at; /* us */
        uint64_t bytes;
        int64_t accepted;
        uint64_t queued; /* then */
    } rows[] = {
        { 0, 1000, 0, 1000 },      { 100, 100, 100, 1000 },  /* the last byte that fits */
        { 100, 1, 400, 701 },      { 400, 299, 400, 1000 },  /* as one of 300 would */
        { 500, 700, 1100, 1000 },  { 1100, 601, 2000, 701 }, /* 100 fit, and twice 300 are waited */
        { 9000, 1001, 9300, 701 }, { 9300, 299, 9300, 1000 }, /* for; idle, and more than fits */
    };
    MigLink l;
    mig_link_init(&l, &c);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        MigLinkWrite w = mig_link_write(&l, rows[i].at * 1000, rows[i].bytes, 0);
        g_assert_cmpint(w.accepted, ==, rows[i].accepted * 1000);
        g_assert_cmpuint(mig_link_queued(&l, w.accepted), ==, rows[i].queued);
    }
    mig_link_clear(&l);
}

static void test_link_segments(void)
{
    /* A byte a microsecond, 100 at a time. */
    const MigLinkConfig c = { .bandwidth = 8000000, .latency = 7000, .segment = 100 };
    static const struct {
        int64_t at; /* us */
        uint64_t bytes, first;
        int64_t arrives;
    } rows[] = {
        { 0, 250, 1, 100 },      { 0, 30, 30, 300 }, /* the rest of the third will come */
        { 0, 30, 5, 300 },       { 0, 30, 30, 400 }, /* into the third, and out of it */
        { 9000, 30, 30, 9030 },                      /* nothing in front: goes as it is */
        { 9010, 200, 70, 9100 }, { 9010, 1, 1, 9300 },
    };
    MigLink l;
    mig_link_init(&l, &c);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        MigLinkWrite w = mig_link_write(&l, rows[i].at * 1000, rows[i].bytes, 0);
        g_assert_cmpint(mig_link_arrival(&l, &w, rows[i].first), ==,
                        rows[i].arrives * 1000 + c.latency);
    }
    mig_link_clear(&l);
}

static void test_link_receiver_holds(void)
{
    MigLinkConfig c = { .send_buffer = 1000, .receive_buffer = 1000 }; /* infinitely fast */
    MigLink l;
    mig_link_init(&l, &c);
    int64_t now = 0;
    for (int i = 0; i < 100; i++) {
        now = mig_link_write(&l, now, 100, 1000).accepted;
    }
    /* 10 000 bytes, all but 2000 of them worked on, 10 ns a byte */
    g_assert_cmpint(now, ==, 80000);
    mig_link_clear(&l);
}

static void test_costs_fields(void)
{
    MigCosts c = mig_costs_default();
    g_assert_cmpint(*mig_costs_field(&c, "normal_page"), ==, c.normal_page);
    g_assert_null(mig_costs_field(&c, "normal"));
    c = mig_costs_free();
    g_assert_cmpint(*mig_costs_field(&c, "setup"), ==, 0);
}

static void test_costs_draw(void)
{
    const MigCosts c = mig_costs_default(), noise = mig_costs_noise();
    int64_t sum = 0, above = 0, far = 0;
    enum { DRAWS = 1000 };
    for (unsigned i = 0; i < DRAWS; i++) {
        MigPrng p = mig_prng(7, "run", i), again = p;
        MigCosts one = mig_costs_draw(&c, &noise, &p), two = mig_costs_draw(&c, &noise, &again);
        g_assert_cmpmem(&one, sizeof(one), &two, sizeof(two));
        g_assert_cmpint(one.multifd_threads, ==, c.multifd_threads);
        sum += one.normal_page;
        above += one.normal_page > c.normal_page;
        far += ABS(one.normal_page - c.normal_page) > c.normal_page / 10; /* a deviation */
    }
    g_assert_cmpint(ABS(sum / DRAWS - c.normal_page), <, c.normal_page / 50);
    g_assert_cmpint(above, >, DRAWS * 45 / 100);
    g_assert_cmpint(above, <, DRAWS * 55 / 100);
    g_assert_cmpint(far, >, DRAWS * 27 / 100); /* 31.7 % of a normal distribution */
    g_assert_cmpint(far, <, DRAWS * 37 / 100);
}

static void test_costs_never_vanish(void)
{
    MigCosts c = mig_costs_default(), noise = mig_costs_noise();
    noise.setup = 5000;
    for (unsigned i = 0; i < 200; i++) {
        MigPrng p = mig_prng(1, "run", i);
        g_assert_cmpint(mig_costs_draw(&c, &noise, &p).setup, >=, c.setup / 4);
    }
}

static void test_costs_names(void)
{
    MigCosts c = mig_costs_default();
    unsigned i = 0;
    for (; mig_costs_name(i); i++) {
        g_assert_nonnull(mig_costs_field(&c, mig_costs_name(i)));
    }
    g_assert_cmpuint(i, ==, sizeof(c) / sizeof(int64_t));
    g_assert_cmpstr(mig_costs_unit(0), ==, "ps");
    g_assert_cmpstr(mig_costs_unit(i), ==, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/world/prng/streams-differ", test_prng_streams);
    g_test_add_func("/world/prng/reference-values", test_prng_reference);
    g_test_add_func("/world/prng/below-is-uniform", test_prng_below);
    g_test_add_func("/world/events/time-then-sequence", test_events_order);
    g_test_add_func("/world/link/add-first-round-last", test_link_exact);
    g_test_add_func("/world/link/full-buffer-holds-the-writer", test_link_blocks);
    g_test_add_func("/world/link/segments-arrive-whole", test_link_segments);
    g_test_add_func("/world/link/writer-wakes-when-so-much-is-free", test_link_wakes_late);
    g_test_add_func("/world/link/slow-receiver-holds-the-writer", test_link_receiver_holds);
    g_test_add_func("/world/costs/fields-by-name", test_costs_fields);
    g_test_add_func("/world/costs/draws-spread-as-told", test_costs_draw);
    g_test_add_func("/world/costs/never-below-a-quarter", test_costs_never_vanish);
    g_test_add_func("/world/costs/every-field-has-a-name", test_costs_names);
    return g_test_run();
}
