/* SPDX-License-Identifier: Apache-2.0 */
/* The KVM guest: its program really runs, its dirty log is exact, its state can be moved. */
#include <glib.h>
#include <string.h>

#include "sim/guest/kvm.h"

#define PAGE    4096u
#define MIB     (1u << 20)
#define BYTES   (16u * MIB)
#define PAGES   (BYTES / PAGE)
#define SYNCS   100u
#define FOREVER 60 /* s: a busy machine is no error */

static const MigTracking trackings[] = { MIG_TRACKING_KVM_LOG, MIG_TRACKING_KVM_MANUAL,
                                         MIG_TRACKING_KVM_RING };

static bool skipped(void)
{
    g_autoptr(GError) error = NULL;
    if (!mig_kvm_available(&error)) {
        g_test_skip(error->message);
        return true;
    }
    return false;
}

static const MigWorkload workloads[] = {
    { .first = 512, .pages = 1000, .pattern = MIG_PATTERN_RANDOM, .rate = 20000 },
    { .first = 2000, .pages = 300, .pattern = MIG_PATTERN_SEQUENTIAL, .rate = 5000 },
    { .first = 2500,
      .pages = 500,
      .pattern = MIG_PATTERN_HOT_COLD,
      .hot_share = 90,
      .hot_size = 10,
      .rate = 8000 },
    { .first = 3500, .pages = 100, .pattern = MIG_PATTERN_ONCE, .rate = 2000 },
    /* No reads: KVM maps a page that is read for the first time for writing, and logs it. */
    { .first = 3700, .pages = 50, .rate = 1000, .write = MIG_WRITE_FILL },
};

static MigKvm *make(MigTracking tracking, uint32_t vcpus, uint32_t ring, bool incoming)
{
    g_autoptr(GError) error = NULL;
    MigGuestBlock block = {
        .memory = { .name = "ram", .used_length = BYTES, .max_length = BYTES, .host_page = PAGE },
    };
    MigKvmConfig config = {
        .seed = 5,
        .vcpus = vcpus,
        .tracking = tracking,
        .ring_entries = ring,
        .blocks = &block,
        .block_count = 1,
        .workloads = workloads,
        .workload_count = G_N_ELEMENTS(workloads),
        .incoming = incoming,
    };
    MigKvm *k = mig_kvm_new(&config, &error);
    g_assert_no_error(error);
    return k;
}

/* Writes of all vCPUs; 0 as long as one of them has made none. */
static uint64_t written_by_all(MigKvm *k)
{
    uint64_t written[MIG_GUEST_MAX_REGIONS], sum = 0;
    bool all = true;
    for (uint32_t v = 0; v < mig_kvm_vcpus(k); v++) {
        uint64_t own = 0;
        mig_kvm_written(k, v, written);
        for (unsigned i = 0; i < MIG_GUEST_MAX_REGIONS; i++) {
            own += written[i];
        }
        all = all && own > 0;
        sum += own;
    }
    return all ? sum : 0;
}

/* Lets it run until it has made |more| writes, and every vCPU some. */
static void run_for(MigKvm *k, uint64_t more)
{
    uint64_t before = written_by_all(k), now = 0;
    int64_t end = g_get_monotonic_time() + FOREVER * G_TIME_SPAN_SECOND;
    mig_kvm_run(k, true);
    while (now < before + more && g_get_monotonic_time() < end && !mig_kvm_death(k)) {
        g_usleep(500);
        now = written_by_all(k);
    }
    mig_kvm_run(k, false);
    g_assert_cmpstr(mig_kvm_death(k), ==, NULL);
    g_assert_cmpuint(now, >=, before + more);
}

static void assert_right(MigKvm *k)
{
    g_autoptr(GError) error = NULL;
    MigKvmCheck check;
    mig_kvm_check(k, &check, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(check.pages, >, 100);
    g_assert_cmpuint(check.wrong, ==, 0);
    g_assert_cmpuint(check.noticed, ==, 0);
}

/* It says that it is ready, and what it wrote is there. */
static void test_runs(void)
{
    if (skipped()) {
        return;
    }
    for (uint32_t vcpus = 1; vcpus <= 3; vcpus++) {
        MigKvm *k = make(MIG_TRACKING_KVM_LOG, vcpus, 0, false);
        run_for(k, 2000);
        assert_right(k);
        g_autofree char *said = mig_kvm_serial(k);
        for (uint32_t v = 0; v < vcpus; v++) {
            g_autofree char *ready = g_strdup_printf("%u: migbench-guest ready", v);
            g_assert_nonnull(strstr(said, ready));
        }
        mig_kvm_free(k);
    }
}

/* A page that is not as it was left is found, by us and by the program. */
static void test_old_page(void)
{
    if (skipped()) {
        return;
    }
    g_autoptr(GError) error = NULL;
    MigKvmCheck check;
    MigKvm *k = make(MIG_TRACKING_KVM_LOG, 1, 0, false);
    run_for(k, 5000);
    memset(mig_kvm_at(k, 0) + 2007 * PAGE, 0, 8);
    g_assert_true(mig_kvm_check(k, &check, &error));
    g_assert_cmpuint(check.wrong, ==, 1);
    g_assert_cmpuint(check.page, ==, 2007);
    g_assert_cmpuint(check.found, ==, 0);
    run_for(k, 10000);
    g_assert_true(mig_kvm_check(k, &check, &error));
    g_assert_cmpuint(check.noticed, ==, 1);
    mig_kvm_free(k);
}

/* What a guest had made by a certain time: its writes, and each vCPU's own page of state. */
typedef struct Past {
    uint64_t written[MIG_GUEST_MAX_PROCESSORS][MIG_GUEST_MAX_REGIONS];
    uint8_t state[MIG_GUEST_MAX_PROCESSORS][PAGE];
} Past;

static void remember(MigKvm *k, Past *past)
{
    const uint8_t *state = mig_kvm_at(k, 0) + MIG_GUEST_COUNTERS_ADDRESS;
    for (uint32_t v = 0; v < mig_kvm_vcpus(k); v++) {
        mig_kvm_written(k, v, past->written[v]);
        memcpy(past->state[v], state + v * PAGE, PAGE);
    }
}

/* What every vCPU says it wrote since, and its page of state if that is another now (a vCPU may not
 * have got a processor meanwhile). Then the past is the present. */
static MigBitmap *expected(MigKvm *k, Past *past)
{
    MigBitmap *pages = mig_bitmap_new(PAGES);
    g_autofree Past *now = g_new0(Past, 1);
    remember(k, now);
    for (uint32_t v = 0; v < mig_kvm_vcpus(k); v++) {
        mig_kvm_pages_between(k, v, 0, past->written[v], now->written[v], pages);
        if (memcmp(past->state[v], now->state[v], PAGE) != 0) {
            mig_bitmap_set(pages, MIG_GUEST_COUNTERS_ADDRESS / PAGE + v);
        }
    }
    *past = *now;
    return pages;
}

/*
 * What is reported is what was written. But for one page of a vCPU: KVM logs a page when the write
 * faults, and the vCPU may be stopped before it writes; then that is the page of its next write, or
 * of its state. And but for the first 2 MiB, which is where the program is, and no workload: a KVM
 * without nested paging logs a page when it makes a writable mapping of it (make_spte()), and it
 * does that for those of a small guest page table that it looks through again.
 */
static void assert_exact(MigKvm *k, const MigBitmap *said, const MigBitmap *reported, unsigned sync)
{
    MigBitmap *next = mig_bitmap_new(PAGES);
    uint64_t early = 0;
    for (uint32_t v = 0; v < mig_kvm_vcpus(k); v++) {
        uint64_t from[MIG_GUEST_MAX_REGIONS], to[MIG_GUEST_MAX_REGIONS];
        mig_kvm_written(k, v, from);
        for (unsigned i = 0; i < MIG_GUEST_MAX_REGIONS; i++) {
            to[i] = from[i] + 1;
        }
        mig_kvm_pages_between(k, v, 0, from, to, next);
        mig_bitmap_set(next, MIG_GUEST_COUNTERS_ADDRESS / PAGE + v);
    }
    for (uint64_t w = 0; w < mig_bitmap_word_count(said); w++) {
        uint64_t a = mig_bitmap_word(said, w), b = mig_bitmap_word(reported, w);
        b &= w < 512 / 64 ? a | mig_bitmap_word(next, w) : ~0ull;
        if (a & ~b || b & ~a & ~mig_bitmap_word(next, w)) {
            g_error("sync %u, pages from %" G_GUINT64_FORMAT ": written %" G_GINT64_MODIFIER
                    "x, reported %" G_GINT64_MODIFIER "x",
                    sync, w * 64, a, b);
        }
        early += (unsigned)__builtin_popcountll(b & ~a);
    }
    g_assert_cmpuint(early, <=, mig_kvm_vcpus(k)); /* each makes one write at a time */
    mig_bitmap_free(next);
}

static void check_exact(MigTracking tracking, uint32_t vcpus, uint32_t ring)
{
    g_autofree Past *past = g_new0(Past, 1);
    MigKvm *k = make(tracking, vcpus, ring, false);
    MigMemory *m = mig_kvm_memory(k);
    run_for(k, 1000);
    m->ops->log_start(m);
    MigBitmap *reported = mig_bitmap_new(PAGES);
    m->ops->sync(m, 0, reported); /* manual clear: all pages; else none */
    g_assert_cmpuint(reported->set, ==, tracking == MIG_TRACKING_KVM_MANUAL ? PAGES : 0);
    m->ops->clear(m, 0, 0, PAGES);
    remember(k, past);
    for (unsigned sync = 0; sync < SYNCS; sync++) {
        mig_bitmap_clear_range(reported, 0, PAGES);
        run_for(k, 200 + sync % 7 * 100);
        g_assert_cmpuint(m->ops->sync(m, 0, reported), ==, reported->set);
        MigBitmap *said = expected(k, past);
        assert_exact(k, said, reported, sync);
        mig_bitmap_free(said);
        m->ops->clear(m, 0, 0, PAGES);
    }
    assert_right(k);
    if (ring && ring < 100) {
        g_assert_cmpuint(mig_kvm_stats(k).ring_full, >, 0);
    }
    m->ops->log_stop(m);
    mig_bitmap_free(reported);
    mig_kvm_free(k);
}

static void test_exact(gconstpointer data)
{
    if (!skipped()) {
        check_exact(*(const MigTracking *)data, 1, 0);
        check_exact(*(const MigTracking *)data, 2, 0);
    }
}

/* A ring that is smaller than what is written: the vCPU leaves, and nothing is lost. */
static void test_full_ring(void)
{
    if (skipped()) {
        return;
    }
    MigBitmap *reported = mig_bitmap_new(PAGES);
    g_autofree Past *past = g_new0(Past, 1);
    MigKvm *k = make(MIG_TRACKING_KVM_RING, 1, 1024, false);
    MigMemory *m = mig_kvm_memory(k);
    run_for(k, 10);
    m->ops->log_start(m);
    remember(k, past);
    run_for(k, 20000);
    g_assert_cmpuint(mig_kvm_stats(k).ring_full, >, 0);
    m->ops->sync(m, 0, reported);
    MigBitmap *said = expected(k, past);
    assert_exact(k, said, reported, 0);
    mig_bitmap_free(said);
    mig_bitmap_free(reported);
    mig_kvm_free(k);
}

/* Counting goes on beside a migration's log, and takes nothing from it. */
static void test_counts(gconstpointer data)
{
    if (skipped()) {
        return;
    }
    g_autofree Past *all = g_new0(Past, 1), *counted = g_new0(Past, 1);
    MigBitmap *reported = mig_bitmap_new(PAGES);
    MigKvm *k = make(*(const MigTracking *)data, 2, 0, false);
    MigMemory *m = mig_kvm_memory(k);
    run_for(k, 100);
    m->ops->log_start(m);
    m->ops->sync(m, 0, reported);
    m->ops->clear(m, 0, 0, PAGES);
    mig_bitmap_clear_range(reported, 0, PAGES);
    remember(k, all);
    run_for(k, 500);
    mig_kvm_count(k, true);
    remember(k, counted);
    run_for(k, 500);
    mig_kvm_count(k, false);
    MigBitmap *said = expected(k, counted);
    g_assert_cmpuint(mig_kvm_counted(k), >=, said->set);
    g_assert_cmpuint(mig_kvm_counted(k), <=, said->set + 4); /* each may be ahead, and has a page */
    if (mig_kvm_has_rings(k)) {
        g_assert_cmpuint(mig_kvm_counted_by(k, 0) + mig_kvm_counted_by(k, 1), >=, said->set);
    }
    mig_bitmap_free(said);
    run_for(k, 100);
    m->ops->sync(m, 0, reported);
    said = expected(k, all);
    assert_exact(k, said, reported, 0);
    mig_bitmap_free(said);
    mig_bitmap_free(reported);
    mig_kvm_free(k);
}

/* Who has a limit sleeps whenever its ring was full, others don't; the log is on for that alone. */
static void test_limit(void)
{
    uint64_t noted[2] = { 0 };
    if (skipped()) {
        return;
    }
    MigKvm *k = make(MIG_TRACKING_KVM_RING, 1, 1024, false);
    g_assert_true(mig_kvm_has_rings(k));
    run_for(k, 10);
    mig_kvm_watch_rings(k, true);
    run_for(k, 20000);
    mig_kvm_take_rings(k, noted);
    g_assert_cmpuint(noted[0], >, 1024);
    g_assert_cmpint(mig_kvm_stats(k).limited, ==, 0);
    mig_kvm_sleep_when_full(k, 0, 1000000);
    run_for(k, 20000);
    g_assert_cmpint(mig_kvm_stats(k).limited, >, 0);
    mig_kvm_watch_rings(k, false);
    mig_kvm_take_rings(k, noted);
    run_for(k, 20000);
    mig_kvm_take_rings(k, noted + 1);
    g_assert_cmpuint(noted[1], ==, noted[0]);
    assert_right(k);
    mig_kvm_free(k);
}

/* While it runs, syncs may come at any time: together they report all that was written. */
static void test_running(gconstpointer data)
{
    if (skipped()) {
        return;
    }
    g_autofree Past *past = g_new0(Past, 1);
    MigBitmap *all = mig_bitmap_new(PAGES);
    MigKvm *k = make(*(const MigTracking *)data, 2, 0, false);
    MigMemory *m = mig_kvm_memory(k);
    run_for(k, 100);
    m->ops->log_start(m);
    m->ops->sync(m, 0, all);
    m->ops->clear(m, 0, 0, PAGES);
    mig_bitmap_clear_range(all, 0, PAGES);
    remember(k, past);
    mig_kvm_run(k, true);
    for (unsigned i = 0; i < SYNCS; i++) {
        m->ops->sync(m, 0, all);
        m->ops->clear(m, 0, i % 4 * 1024, 1024);
        g_usleep(1000);
    }
    run_for(k, 100);
    m->ops->sync(m, 0, all);
    MigBitmap *said = expected(k, past);
    assert_exact(k, said, all, SYNCS);
    mig_bitmap_free(said);
    mig_bitmap_free(all);
    mig_kvm_free(k);
}

static void copy_memory(MigKvm *to, MigKvm *from)
{
    memcpy(mig_kvm_at(to, 0), mig_kvm_at(from, 0), BYTES);
}

/* Memory and states in another machine: the guest goes on where it was. */
static void test_moves(void)
{
    if (skipped()) {
        return;
    }
    g_autoptr(GError) error = NULL;
    MigKvm *k = make(MIG_TRACKING_KVM_LOG, 3, 0, false);
    run_for(k, 3000);
    for (unsigned hop = 0; hop < 5; hop++) {
        MigKvmCheck before, after;
        MigKvm *next = make(MIG_TRACKING_KVM_RING, 3, 0, true);
        g_assert_true(mig_kvm_check(k, &before, &error));
        copy_memory(next, k);
        for (uint32_t v = 0; v < 3; v++) {
            MigX86Cpu state = mig_x86_cpu_reset(), again = state;
            mig_kvm_save_cpu(k, v, &state, &error);
            g_assert_no_error(error);
            mig_kvm_load_cpu(next, v, &state, &error);
            g_assert_no_error(error);
            mig_kvm_save_cpu(next, v, &again, &error);
            again.tsc = state.tsc; /* it goes on */
            g_assert_cmpmem(&state, sizeof(state), &again, sizeof(again));
        }
        mig_kvm_free(k);
        k = next;
        run_for(k, 3000);
        assert_right(k);
        g_assert_true(mig_kvm_check(k, &after, &error));
        g_assert_cmpuint(after.written, >=, before.written + 3000);
    }
    mig_kvm_free(k);
}

/* A throttled guest sleeps, stops when it is told to, and loses nothing. */
static void test_throttle(void)
{
    if (skipped()) {
        return;
    }
    MigKvm *k = make(MIG_TRACKING_KVM_LOG, 2, 0, false);
    run_for(k, 100);
    int64_t before = mig_kvm_stats(k).stalled;
    mig_kvm_throttle(k, 80);
    run_for(k, 500);
    g_assert_cmpint(mig_kvm_stats(k).stalled, >, before);
    mig_kvm_throttle(k, 0);
    run_for(k, 3000);
    assert_right(k);
    mig_kvm_free(k);
}

/* A write from outside is in the log, too. */
static void test_fill(gconstpointer data)
{
    if (skipped()) {
        return;
    }
    MigBitmap *dirty = mig_bitmap_new(PAGES);
    MigKvm *k = make(*(const MigTracking *)data, 1, 0, false);
    MigMemory *m = mig_kvm_memory(k);
    m->ops->log_start(m);
    m->ops->sync(m, 0, dirty);
    m->ops->clear(m, 0, 0, PAGES);
    mig_bitmap_clear_range(dirty, 0, PAGES);
    mig_kvm_fill(k, 0, 700, 3, 9);
    g_assert_cmpuint(m->ops->sync(m, 0, dirty), ==, 3);
    g_assert_true(mig_bitmap_test(dirty, 701));
    g_assert_false(m->ops->is_zero(m, 0, 701));
    mig_bitmap_free(dirty);
    mig_kvm_free(k);
}

/* What it can't do it says, with the key and what to do. */
static void test_refuses(void)
{
    if (skipped()) {
        return;
    }
    MigWorkload low = { .first = 0, .pages = 300, .rate = 1 };
    MigPhase phase = { 1000, 1 };
    MigWorkload zipf = { .first = 512, .pages = 1, .pattern = MIG_PATTERN_ZIPF, .rate = 1 };
    MigWorkload trace = { .first = 512, .pages = 1, .pattern = MIG_PATTERN_TRACE, .rate = 1 };
    MigWorkload phases = { .first = 512, .pages = 1, .phases = &phase, .phase_count = 1 };
    MigWorkload late = { .first = 512, .pages = 1, .start = 1, .rate = 1 };
    MigWorkload ends = { .first = 512, .pages = 1, .end = 1, .rate = 1 };
    const struct {
        uint64_t address, length;
        uint32_t vcpus;
        const MigWorkload *w;
        const char *text;
    } rows[] = {
        { 0, BYTES, 17, NULL, "vcpus" },
        { 0, BYTES, 0, NULL, "vcpus" },
        { 0, BYTES, 1, &low, "workload[0]" },
        { 0, BYTES, 1, &zipf, "workload[0]: its program has no pattern zipf" },
        { 0, BYTES, 1, &trace, "pattern trace" },
        { 0, BYTES, 1, &phases, "no phases" },
        { 0, BYTES, 1, &late, "no start" },
        { 0, BYTES, 1, &ends, "no end" },
        { MIB, BYTES, 1, NULL, "address 0" },
        { 0, 64 * PAGE, 1, NULL, "at least 1M" },
        { 123, BYTES, 1, NULL, "multiple of 4096" },
        { 0xfff00000, BYTES, 1, NULL, "memory ends" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        MigGuestBlock block = { .memory = { .name = "ram",
                                            .used_length = rows[i].length,
                                            .max_length = rows[i].length,
                                            .host_page = PAGE,
                                            .address = rows[i].address } };
        MigKvmConfig config = { .vcpus = rows[i].vcpus,
                                .blocks = &block,
                                .block_count = 1,
                                .workloads = rows[i].w,
                                .workload_count = rows[i].w != NULL };
        g_assert_null(mig_kvm_new(&config, &error));
        g_assert_nonnull(error);
        g_assert_nonnull(strstr(error->message, rows[i].text));
    }
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "log", "manual", "ring" };
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm/runs", test_runs);
    g_test_add_func("/kvm/old-page-is-found", test_old_page);
    for (size_t i = 0; i < G_N_ELEMENTS(trackings); i++) {
        g_autofree char *exact = g_strdup_printf("/kvm/dirty/exact/%s", names[i]);
        g_autofree char *running = g_strdup_printf("/kvm/dirty/running/%s", names[i]);
        g_autofree char *fill = g_strdup_printf("/kvm/dirty/fill/%s", names[i]);
        g_test_add_data_func(exact, &trackings[i], test_exact);
        g_test_add_data_func(running, &trackings[i], test_running);
        g_autofree char *counts = g_strdup_printf("/kvm/dirty/counts/%s", names[i]);
        g_test_add_data_func(fill, &trackings[i], test_fill);
        g_test_add_data_func(counts, &trackings[i], test_counts);
    }
    g_test_add_func("/kvm/dirty/full-ring", test_full_ring);
    g_test_add_func("/kvm/dirty/limit", test_limit);
    g_test_add_func("/kvm/moves", test_moves);
    g_test_add_func("/kvm/throttle", test_throttle);
    g_test_add_func("/kvm/refuses", test_refuses);
    return g_test_run();
}
