/* SPDX-License-Identifier: Apache-2.0 */
/* The synthetic guest: contents, workloads, the dirty log; and memory that is memory. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/guest/buffer.h"
#include "sim/guest/guest.h"
#include "sim/guest/page-map.h"
#include "sim/world/prng.h"
#include "stream/zero.h"

#define PAGE 4096u
#define MS   1000000ll
#define S    1000000000ll

/* A page of bytes to which the writes are applied one by one, as a processor would. */
static void apply_plainly(uint8_t *page, const MigWrite *w)
{
    uint64_t word = GUINT64_TO_LE(w->number + 1);
    switch (w->kind) {
    case MIG_WRITE_COUNTER:
        memcpy(page, &word, 8);
        break;
    case MIG_WRITE_BYTES:
        for (uint32_t i = 0; i < w->n; i++) {
            page[i * PAGE / w->n]++;
        }
        break;
    case MIG_WRITE_FILL:
        memset(page, w->byte, PAGE);
        break;
    case MIG_WRITE_PAGE: {
        MigPageState fresh = { 0 };
        MigPageOrigin none = { .page_size = PAGE };
        mig_content_write(&fresh, &none, w);
        mig_content_read(&fresh, &none, page);
        break;
    }
    }
}

/* Any row of writes leaves what the same writes leave in plain bytes, and is_zero() knows. */
static void test_content_any_order(void)
{
    static const uint8_t data[5000] = { 1, 2, 3 };
    const MigContent contents[] = {
        { .pages = 9, .kind = MIG_CONTENT_ZERO },
        { .pages = 9, .kind = MIG_CONTENT_RANDOM },
        { .pages = 9, .kind = MIG_CONTENT_TEXT },
        { .pages = 9, .kind = MIG_CONTENT_REPEATED, .byte = 255 },
        { .pages = 9, .kind = MIG_CONTENT_FILE, .data = data, .bytes = sizeof data },
    };
    MigPrng r = mig_prng(7, "test", 0);
    for (unsigned round = 0; round < 400; round++) {
        MigPageOrigin o = {
            .content = &contents[round % 5], .page = round % 3, .key = round, .page_size = PAGE
        };
        MigPageState state = { 0 };
        uint8_t plain[PAGE], made[PAGE];
        mig_content_read(NULL, &o, plain);
        for (unsigned i = 0; i < 12; i++) {
            MigWrite w = { .kind = (MigWriteKind)mig_prng_below(&r, 4),
                           .byte = (uint8_t)(mig_prng_below(&r, 2) * 255),
                           .n = mig_prng_below(&r, 2) ? 64 : PAGE,
                           .key = 5,
                           .number = i };
            apply_plainly(plain, &w);
            mig_content_write(&state, &o, &w);
            mig_content_read(&state, &o, made);
            g_assert_cmpmem(made, PAGE, plain, PAGE);
            g_assert_cmpint(mig_content_is_zero(&state, &o), ==, mig_is_zero(plain, PAGE));
        }
        mig_content_release(&state);
    }
}

/* Incrementing every byte of a page of 255s makes it zero; 256 times makes a zero page zero. */
static void test_content_wraps_to_zero(void)
{
    const MigContent full = { .pages = 1, .kind = MIG_CONTENT_REPEATED, .byte = 255 };
    MigPageOrigin o = { .content = &full, .page_size = PAGE };
    MigWrite w = { .kind = MIG_WRITE_BYTES, .n = PAGE };
    MigPageState state = { 0 };
    mig_content_write(&state, &o, &w);
    g_assert_true(mig_content_is_zero(&state, &o));
    MigPageState other = { 0 };
    o.content = NULL;
    w.n = 3;
    for (unsigned i = 1; i <= 256; i++) {
        mig_content_write(&other, &o, &w);
        g_assert_cmpint(mig_content_is_zero(&other, &o), ==, i == 256);
    }
}

static void test_page_map(void)
{
    MigPageMap m = { 0 };
    g_assert_null(mig_page_map_find(&m, 5));
    for (uint64_t i = 0; i < 20000; i++) {
        mig_page_map_get(&m, i * 977)->value = i + 1;
    }
    g_assert_cmpuint(m.count, ==, 20000);
    for (uint64_t i = 0; i < 20000; i++) {
        g_assert_cmpuint(mig_page_map_find(&m, i * 977)->value, ==, i + 1);
    }
    g_assert_null(mig_page_map_find(&m, 1));
    mig_page_map_clear(&m);
}

static MigGuest *one_block(uint64_t pages, MigTracking tracking, const MigWorkload *w, uint32_t n)
{
    MigGuestBlock block = { .memory = { .name = "ram",
                                        .used_length = pages * PAGE,
                                        .max_length = pages * PAGE,
                                        .host_page = PAGE } };
    MigGuestConfig config = { .seed = 3,
                              .tracking = tracking,
                              .blocks = &block,
                              .block_count = 1,
                              .workloads = w,
                              .workload_count = n };
    return mig_guest_new(&config);
}

static uint64_t sync_count(MigGuest *g, uint64_t pages)
{
    MigMemory *m = mig_guest_memory(g);
    MigBitmap *dirty = mig_bitmap_new(pages);
    uint64_t fresh = m->ops->sync(m, 0, dirty);
    g_assert_cmpuint(fresh, ==, dirty->set);
    mig_bitmap_free(dirty);
    return fresh;
}

/* Writes 0, 1, 2... are due at 0, 1/rate, 2/rate...: rate * t + 1 of them up to t. */
static void test_rate(void)
{
    static const struct {
        uint64_t rate;
        int64_t until;
        uint64_t writes;
    } rows[] = {
        { 1000, 1 * S, 1001 }, { 1000, 1 * S - 1, 1000 }, { 3, 1 * S, 4 },
        { 7, 100 * S, 701 },   { 0, 100 * S, 0 },         { 1000000, 20 * MS, 20001 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        MigWorkload w = { .pages = 64, .pattern = MIG_PATTERN_RANDOM, .rate = rows[i].rate };
        MigGuest *g = one_block(64, MIG_TRACKING_TCG, &w, 1);
        mig_guest_advance(g, rows[i].until);
        g_assert_cmpuint(mig_guest_stats(g).written, ==, rows[i].writes);
        mig_guest_free(g);
    }
}

/* A workload that only looks is as often there as one that writes, and dirties nothing. */
static void test_reads(void)
{
    MigWorkload w = {
        .pages = 64, .pattern = MIG_PATTERN_RANDOM, .access = MIG_ACCESS_READ, .rate = 1000
    };
    MigGuest *g = one_block(64, MIG_TRACKING_TCG, &w, 1);
    MigMemory *m = mig_guest_memory(g);
    m->ops->log_start(m);
    mig_guest_advance(g, 1 * S);
    g_assert_cmpuint(sync_count(g, 64), ==, 0);
    g_assert_true(m->ops->is_zero(m, 0, 5));
    MigGuestStats stats = mig_guest_stats(g);
    g_assert_cmpuint(stats.read, ==, 1001);
    g_assert_cmpuint(stats.written, ==, 0);
    g_assert_cmpuint(stats.touched, ==, 0);
    mig_guest_free(g);
}

static void test_patterns(void)
{
    MigWorkload once = { .pages = 10, .pattern = MIG_PATTERN_ONCE, .rate = 1000 };
    MigWorkload periodic = {
        .pages = 10, .pattern = MIG_PATTERN_PERIODIC, .rate = 1000, .period = 100 * MS
    };
    MigWorkload hot = { .pages = 1000,
                        .pattern = MIG_PATTERN_HOT_COLD,
                        .hot_share = 100,
                        .hot_size = 10,
                        .rate = 10000 };
    static const uint64_t pages = 1000;
    MigGuest *g = one_block(pages, MIG_TRACKING_TCG, &once, 1);
    mig_guest_advance(g, 10 * S);
    g_assert_cmpuint(mig_guest_stats(g).written, ==, 10);
    mig_guest_free(g);
    g = one_block(pages, MIG_TRACKING_TCG, &periodic, 1);
    mig_guest_advance(g, 1 * S - 1);
    g_assert_cmpuint(mig_guest_stats(g).written, ==, 100);
    mig_guest_free(g);
    g = one_block(pages, MIG_TRACKING_TCG, &hot, 1);
    mig_guest_advance(g, 1 * S);
    g_assert_cmpuint(mig_guest_stats(g).touched, ==, 100);
    mig_guest_free(g);
}

/* Uniform writes with replacement: N (1 - (1 - 1/N)^k) different pages after k writes. */
static void test_unique_pages(void)
{
    enum { N = 20000 };
    MigWorkload w = { .pages = N, .pattern = MIG_PATTERN_RANDOM, .rate = 100000 };
    MigGuest *g = one_block(N, MIG_TRACKING_TCG, &w, 1);
    double missed = 1.0;
    uint64_t k = 0;
    for (int64_t t = 50 * MS; t <= 500 * MS; t += 50 * MS) {
        mig_guest_advance(g, t);
        for (MigGuestStats s = mig_guest_stats(g); k < s.written; k++) {
            missed *= 1.0 - 1.0 / N;
        }
        double expected = N * (1.0 - missed), found = (double)mig_guest_stats(g).touched;
        g_assert_cmpfloat(found, >, expected * 0.985);
        g_assert_cmpfloat(found, <, expected * 1.015);
    }
    mig_guest_free(g);
}

/* Each rank as often as its weight says (within five standard deviations), and none beyond. */
static void test_zipf(void)
{
    enum { RANKS = 2000, DRAWS = 400000 };
    for (uint32_t power = 0; power <= 2; power++) {
        MigZipf *z = mig_zipf_new(RANKS, power * 1000);
        MigPrng r = mig_prng(5, "test", power);
        g_autofree uint64_t *hits = g_new0(uint64_t, RANKS);
        g_autofree double *weight = g_new(double, RANKS);
        double total = 0;
        for (unsigned i = 0; i < DRAWS; i++) {
            uint64_t rank = mig_zipf_rank(z, mig_prng_next(&r), mig_prng_next(&r));
            g_assert_cmpuint(rank, <, RANKS);
            hits[rank]++;
        }
        for (unsigned i = 0; i < RANKS; i++) {
            weight[i] = 1;
            for (unsigned k = 0; k < power; k++) {
                weight[i] /= i + 1;
            }
            total += weight[i];
        }
        for (unsigned i = 0; i < RANKS; i++) {
            double expected = DRAWS * weight[i] / total, off = (double)hits[i] - expected;
            double slack = 0.04 * expected + 3;
            g_assert_cmpfloat(off * off, <, 2 * (25 * expected + slack * slack));
        }
        mig_zipf_free(z);
    }
    MigZipf *huge = mig_zipf_new(UINT64_MAX, 990), *one = mig_zipf_new(1, 990);
    g_assert_cmpuint(mig_zipf_rank(huge, UINT64_MAX, UINT64_MAX), ==, UINT64_MAX - 1);
    g_assert_cmpuint(mig_zipf_rank(huge, 0, UINT64_MAX), ==, 0);
    g_assert_cmpuint(mig_zipf_rank(one, UINT64_MAX, UINT64_MAX), ==, 0);
    mig_zipf_free(huge);
    mig_zipf_free(one);
}

static uint64_t written_by(MigGuest *g, int64_t now)
{
    mig_guest_advance(g, now);
    return mig_guest_stats(g).written;
}

/* A burst of 100 ms in every second, from 2 s to 5 s. */
static void test_phases(void)
{
    static const MigPhase phases[] = { { 100 * MS, 5000 }, { 900 * MS, 0 } };
    MigWorkload w = { .pages = 64,
                      .pattern = MIG_PATTERN_RANDOM,
                      .rate = 5000,
                      .phases = phases,
                      .phase_count = 2,
                      .start = 2 * S,
                      .end = 5 * S };
    MigGuest *g = one_block(64, MIG_TRACKING_TCG, &w, 1);
    g_assert_cmpuint(written_by(g, 2 * S - 1), ==, 0);
    g_assert_cmpuint(written_by(g, 2 * S), ==, 1);
    g_assert_cmpuint(written_by(g, 2 * S + 100 * MS - 1), ==, 500);
    g_assert_cmpuint(written_by(g, 3 * S - 1), ==, 500);
    g_assert_cmpuint(written_by(g, 3 * S + 50 * MS - 1), ==, 750);
    g_assert_cmpuint(written_by(g, 9 * S), ==, 1500);
    mig_guest_free(g);
}

/* Pages and times as the trace has them; a stop moves what is behind it, with pace "cpu". */
static void test_trace(void)
{
    static const MigTraceWrite trace[] = { { 0, 7 }, { 10 * MS, 3 }, { 10 * MS, 3 }, { 1 * S, 9 } };
    MigWorkload w = { .first = 20,
                      .pages = 10,
                      .pattern = MIG_PATTERN_TRACE,
                      .rate = 1,
                      .pace = MIG_PACE_CPU,
                      .trace = trace,
                      .trace_count = 4 };
    MigGuest *g = one_block(64, MIG_TRACKING_TCG, &w, 1);
    MigMemory *m = mig_guest_memory(g);
    g_assert_cmpuint(written_by(g, 9 * MS), ==, 1);
    g_assert_false(m->ops->is_zero(m, 0, 27));
    g_assert_cmpuint(written_by(g, 10 * MS), ==, 3);
    mig_guest_stop(g, 500 * MS);
    mig_guest_start(g, 700 * MS);
    g_assert_cmpuint(written_by(g, 1200 * MS - 1), ==, 3);
    g_assert_true(m->ops->is_zero(m, 0, 29));
    g_assert_cmpuint(written_by(g, 1200 * MS), ==, 4);
    g_assert_false(m->ops->is_zero(m, 0, 29));
    g_assert_cmpuint(written_by(g, 100 * S), ==, 4);
    g_assert_cmpuint(mig_guest_stats(g).touched, ==, 3);
    mig_guest_free(g);
}

static void nobody(void *opaque, uint32_t block, uint64_t page)
{
    (void)opaque, (void)block, (void)page;
}

/* The pages of the last sync, and which pages are zero. */
static void assert_same_log(MigGuest *a, MigGuest *b, uint64_t pages)
{
    MigMemory *x = mig_guest_memory(a), *y = mig_guest_memory(b);
    MigBitmap *p = mig_bitmap_new(pages), *q = mig_bitmap_new(pages);
    g_assert_cmpuint(x->ops->sync(x, 0, p), ==, y->ops->sync(y, 0, q));
    x->ops->clear(x, 0, 64, pages / 2);
    y->ops->clear(y, 0, 64, pages / 2);
    for (uint64_t i = 0; i < pages; i++) {
        g_assert_cmpint(mig_bitmap_test(p, i), ==, mig_bitmap_test(q, i));
        g_assert_cmpint(x->ops->is_zero(x, 0, i), ==, y->ops->is_zero(y, 0, i));
    }
    mig_bitmap_free(p);
    mig_bitmap_free(q);
}

/*
 * Writes that are made in batches, and contents that are deferred, are those that are made one by
 * one (which a listener enforces), with any rate, cost, pace and stall.
 */
static void test_batches(void)
{
    static const uint64_t rates[] = { 0, 1, 7, 999, 1000, 20000, 333333, 1000000000 };
    static const int64_t periods[] = { 30 * MS, 2 * MS, 1 };
    MigPrng r = mig_prng(11, "test", 0);
    for (unsigned round = 0; round < 60; round++) {
        MigWorkload w[3];
        for (unsigned i = 0; i < 3; i++) {
            w[i] = (MigWorkload){ .first = i * 500,
                                  .pages = 1 + mig_prng_below(&r, 500),
                                  .pattern = (MigPattern)mig_prng_below(&r, 5),
                                  .access = mig_prng_below(&r, 5) == 0 ? MIG_ACCESS_READ : 0,
                                  .hot_share = 80,
                                  .hot_size = 10,
                                  .rate = rates[mig_prng_below(&r, G_N_ELEMENTS(rates))],
                                  .pace = (MigPace)mig_prng_below(&r, 2),
                                  .catch_up = 20 * MS,
                                  .cost = (int64_t)mig_prng_below(&r, 20000),
                                  .period = periods[round % G_N_ELEMENTS(periods)],
                                  .write =
                                      mig_prng_below(&r, 2) ? MIG_WRITE_COUNTER : MIG_WRITE_FILL };
            w[i].cost += w[i].rate > MS || w[i].period == 1 ? 5000 : 0; /* all that it can do */
        }
        MigTracking tracking = mig_prng_below(&r, 2) ? MIG_TRACKING_KVM_MANUAL : MIG_TRACKING_TCG;
        MigGuest *a = one_block(1500, tracking, w, 3), *b = one_block(1500, tracking, w, 3);
        uint8_t page[PAGE];
        mig_guest_on_write(b, nobody, NULL);                             /* steps */
        mig_guest_memory(b)->ops->read(mig_guest_memory(b), 0, 0, page); /* contents from now on */
        mig_guest_memory(a)->ops->log_start(mig_guest_memory(a));
        mig_guest_memory(b)->ops->log_start(mig_guest_memory(b));
        for (int64_t now = 0; now < 3 * S;) {
            now += (int64_t)mig_prng_below(&r, 900 * MS);
            mig_guest_throttle(a, now, round % 3 * 20);
            mig_guest_throttle(b, now, round % 3 * 20);
            if (mig_prng_below(&r, 3) == 0) {
                mig_guest_stop(a, now);
                mig_guest_stop(b, now);
                now += (int64_t)mig_prng_below(&r, 70 * MS);
                mig_guest_start(a, now);
                mig_guest_start(b, now);
            }
            assert_same_log(a, b, 1500);
        }
        MigGuestStats s = mig_guest_stats(a), t = mig_guest_stats(b);
        g_assert_cmpmem(&s, sizeof(s), &t, sizeof(t));
        MigMemoryDifference difference;
        g_assert_true(mig_memory_equal(mig_guest_memory(a), mig_guest_memory(b), &difference));
        mig_guest_free(a);
        mig_guest_free(b);
    }
}

/* Looking often or once: the same bytes and the same log, also where workloads share pages. */
static void test_looking_changes_nothing(void)
{
    const MigWorkload w[] = {
        { .pages = 300, .pattern = MIG_PATTERN_RANDOM, .rate = 5003, .write = MIG_WRITE_PAGE },
        { .pages = 200,
          .first = 50,
          .pattern = MIG_PATTERN_RANDOM,
          .rate = 4999,
          .write = MIG_WRITE_FILL },
        { .pages = 100,
          .pattern = MIG_PATTERN_SEQUENTIAL,
          .rate = 777,
          .write = MIG_WRITE_BYTES,
          .write_bytes = 5,
          .cost = 2 * MS,
          .catch_up = 10 * MS },
    };
    for (uint32_t n = 1; n <= 3; n++) {
        MigGuest *a = one_block(300, MIG_TRACKING_TCG, w, n),
                 *b = one_block(300, MIG_TRACKING_TCG, w, n);
        MigMemory *am = mig_guest_memory(a), *bm = mig_guest_memory(b);
        MigMemoryDifference d;
        am->ops->log_start(am);
        bm->ops->log_start(bm);
        for (int64_t t = 0; t < 300 * MS; t += 137001) {
            mig_guest_advance(a, t);
        }
        mig_guest_advance(a, 300 * MS);
        mig_guest_advance(b, 300 * MS);
        g_assert_cmpuint(mig_guest_stats(a).written, ==, mig_guest_stats(b).written);
        g_assert_true(mig_memory_equal(am, bm, &d));
        g_assert_cmpuint(sync_count(a, 300), ==, sync_count(b, 300));
        mig_guest_free(a);
        mig_guest_free(b);
    }
}

/* After a stop, "clock" makes up for at most catch-up, "cpu" for nothing. */
static void test_pace(void)
{
    static const struct {
        MigPace pace;
        int64_t catch_up;
        uint64_t least, most;
    } rows[] = {
        { MIG_PACE_CPU, 50 * MS, 2000, 2002 },
        { MIG_PACE_CLOCK, 0, 2000, 2002 },
        { MIG_PACE_CLOCK, 50 * MS, 2049, 2052 },
        { MIG_PACE_CLOCK, 10 * S, 3000, 3002 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        MigWorkload w = {
            .pages = 64, .rate = 1000, .pace = rows[i].pace, .catch_up = rows[i].catch_up
        };
        MigGuest *g = one_block(64, MIG_TRACKING_TCG, &w, 1);
        mig_guest_stop(g, 1 * S);
        mig_guest_advance(g, 2 * S - 1);
        uint64_t stopped = mig_guest_stats(g).written;
        g_assert_cmpuint(stopped, ==, 1001);
        mig_guest_start(g, 2 * S);
        mig_guest_advance(g, 3 * S);
        MigGuestStats s = mig_guest_stats(g);
        g_assert_cmpuint(s.written, >=, rows[i].least);
        g_assert_cmpuint(s.written, <=, rows[i].most);
        g_assert_cmpint(s.stalled, ==, 1 * S);
        g_assert_cmpuint(s.written + s.lost, >=, 2999);
        g_assert_cmpuint(s.written + s.lost, <=, 3003);
        mig_guest_free(g);
    }
}

/* At p percent a processor-bound guest gets 100 - p percent of its writes done. */
static void test_throttle(void)
{
    for (unsigned percent = 10; percent <= 90; percent += 20) {
        MigWorkload w = { .pages = 64, .rate = 10000, .pace = MIG_PACE_CPU };
        MigGuest *g = one_block(64, MIG_TRACKING_TCG, &w, 1);
        mig_guest_throttle(g, 0, percent);
        mig_guest_advance(g, 10 * S);
        uint64_t written = mig_guest_stats(g).written, expected = 1000 * (100 - percent);
        g_assert_cmpuint(written, >=, expected - expected / 50);
        g_assert_cmpuint(written, <=, expected + expected / 50);
        mig_guest_free(g);
    }
}

/* A sync forgets. With manual protection a page that it told of is logged anew once its chunk was
 * cleared, not before. */
static void test_tracking(void)
{
    MigGuest *tcg = one_block(256, MIG_TRACKING_TCG, NULL, 0);
    MigGuest *kvm = one_block(256, MIG_TRACKING_KVM_MANUAL, NULL, 0);
    MigGuest *both[] = { tcg, kvm };
    for (unsigned i = 0; i < 2; i++) {
        MigMemory *m = mig_guest_memory(both[i]);
        mig_guest_fill(both[i], 0, 0, 8, 1);
        m->ops->log_start(m);
        g_assert_cmpuint(sync_count(both[i], 256), ==, 0);
        mig_guest_fill(both[i], 0, 10, 20, 1);
        g_assert_cmpuint(sync_count(both[i], 256), ==, 20);
        g_assert_cmpuint(sync_count(both[i], 256), ==, 0);
        mig_guest_fill(both[i], 0, 10, 8, 1);
        m->ops->clear(m, 0, 0, 16);
        g_assert_cmpuint(sync_count(both[i], 256), ==, i == 0 ? 8 : 2);
        mig_guest_fill(both[i], 0, 10, 2, 1);
        g_assert_cmpuint(sync_count(both[i], 256), ==, 2);
        m->ops->log_stop(m);
        mig_guest_fill(both[i], 0, 100, 3, 1);
        m->ops->clear(m, 0, 0, 256);
        g_assert_cmpuint(sync_count(both[i], 256), ==, 0);
        mig_guest_free(both[i]);
    }
}

static void test_buffer(void)
{
    g_autoptr(GError) error = NULL;
    MigWorkload w = { .pages = 40, .rate = 1000, .write = MIG_WRITE_PAGE };
    MigGuest *g = one_block(64, MIG_TRACKING_TCG, &w, 1);
    MigMemory *from = mig_guest_memory(g);
    mig_guest_advance(g, 1 * S);
    g_autoptr(MigBuffer) buffer = mig_buffer_new(from, NULL, &error);
    g_assert_no_error(error);
    MigMemory *to = mig_buffer_memory(buffer);
    uint8_t scratch[PAGE];
    for (uint64_t page = 0; page < 64; page++) {
        to->ops->write(to, 0, page, from->ops->read(from, 0, page, scratch));
    }
    MigMemoryDifference d;
    g_assert_true(mig_memory_equal(from, to, &d));
    to->ops->map(to, 0, 17)[5] ^= 1;
    to->ops->fill(to, 0, 63, 9);
    g_assert_false(mig_memory_equal(from, to, &d));
    g_assert_cmpuint(d.pages, ==, 2);
    g_assert_cmpuint(d.page, ==, 17);

    g_autofree char *folder = g_dir_make_tmp("migbench-test-XXXXXX", &error);
    g_autofree char *path = g_build_filename(folder, "dump", NULL);
    g_autofree char *bytes = NULL;
    gsize n;
    int fd = g_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    g_assert_true(mig_memory_dump(from, 0, fd));
    close(fd);
    g_assert_true(g_file_get_contents(path, &bytes, &n, &error));
    g_assert_cmpuint(n, ==, 64 * PAGE);
    for (uint64_t page = 0; page < 64; page++) {
        g_assert_cmpmem(bytes + page * PAGE, PAGE, from->ops->read(from, 0, page, scratch), PAGE);
    }
    g_unlink(path);
    g_rmdir(folder);
    mig_guest_free(g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/content/any-order", test_content_any_order);
    g_test_add_func("/guest/content/wraps-to-zero", test_content_wraps_to_zero);
    g_test_add_func("/guest/page-map", test_page_map);
    g_test_add_func("/guest/workload/rate", test_rate);
    g_test_add_func("/guest/workload/reads", test_reads);
    g_test_add_func("/guest/workload/patterns", test_patterns);
    g_test_add_func("/guest/workload/unique-pages", test_unique_pages);
    g_test_add_func("/guest/workload/zipf", test_zipf);
    g_test_add_func("/guest/workload/phases", test_phases);
    g_test_add_func("/guest/workload/trace", test_trace);
    g_test_add_func("/guest/batches", test_batches);
    g_test_add_func("/guest/looking-changes-nothing", test_looking_changes_nothing);
    g_test_add_func("/guest/pace", test_pace);
    g_test_add_func("/guest/throttle", test_throttle);
    g_test_add_func("/guest/tracking", test_tracking);
    g_test_add_func("/guest/buffer", test_buffer);
    return g_test_run();
}
