/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty rates, measured on the synthetic guest. The published table is that of the commit that gave
 * calc-dirty-rate its milliseconds (QEMU 34a68001f162): one thread writes to random pages of 1, 4
 * and 24 GiB, and is measured for 0.1 to 2 s. Here a guest of each size writes at one rate, which
 * was fitted, and is measured likewise. Samples are a matter of luck, so a period is measured as
 * often as makes a second in all, and the mean counts. What is left of the difference is for the
 * greatest part the scatter of the table around any such curve: with the best rate and no luck at
 * all there remain 0.92, 0.75 and 0.62 %.
 */
#include <glib.h>
#include <math.h>

#include "sim/guest/dirty-rate.h"
#include "sim/guest/write-counter.h"

#define GIB_PAGES (1ull << 18)
#define MS        1000000ll

typedef struct Fixture {
    MigGuest *guest;
    MigGuestBlock blocks[2];
    MigWorkload workloads[2];
    uint64_t seed;
} Fixture;

static MigWorkload writer(uint32_t block, uint64_t pages, MigPattern pattern, uint64_t rate)
{
    return (MigWorkload){
        .block = block,
        .pages = pages,
        .pattern = pattern,
        .rate = rate,
        .write = MIG_WRITE_COUNTER,
    };
}

static MigGuestBlock block(const char *name, uint64_t pages)
{
    return (MigGuestBlock){ .memory = { .name = name,
                                        .used_length = pages * 4096,
                                        .max_length = pages * 4096,
                                        .host_page = 4096 } };
}

static void begin(Fixture *f, uint32_t blocks, uint32_t workloads)
{
    MigGuestConfig config = {
        .seed = f->seed,
        .page_size = 4096,
        .blocks = f->blocks,
        .block_count = blocks,
        .workloads = f->workloads,
        .workload_count = workloads,
    };
    f->guest = mig_guest_new(&config);
}

static MigDirtyRateResult measure(Fixture *f, MigDirtyRateMode mode, int64_t from, int64_t ms,
                                  uint32_t samples, uint32_t vcpus)
{
    MigDirtyRateConfig config = {
        .mode = mode, .sample_pages = samples, .seed = f->seed, .vcpus = vcpus
    };
    mig_guest_advance(f->guest, from);
    MigDirtyRate *d = mig_dirty_rate_begin(f->guest, &config);
    mig_guest_advance(f->guest, from + ms * MS);
    return mig_dirty_rate_end(d, ms);
}

/* The published table ------------------------------------------------------------------------ */

#define PERIODS 9

static const int64_t periods[PERIODS] = { 100, 200, 300, 400, 500, 750, 1000, 1500, 2000 }; /* ms */

static const struct {
    uint32_t gib;
    uint64_t rate;          /* page writes per second: fitted */
    uint32_t samples;       /* per GiB */
    int64_t rates[PERIODS]; /* MiB/s, published */
} published[] = {
    { 1, 3100000, 16384, { 7100, 4660, 3280, 2525, 2044, 1341, 1052, 678, 507 } },
    { 4, 2615000, 16384, { 8880, 8049, 7193, 6530, 5772, 4586, 3780, 2633, 2031 } },
    { 24, 2300000, 4096, { 8640, 8616, 8386, 8370, 8196, 7885, 7506, 6944, 6402 } },
};

static int64_t measure_random(size_t row, int64_t ms, uint64_t seed)
{
    uint64_t pages = published[row].gib * GIB_PAGES;
    Fixture f = { .blocks = { block("ram", pages) },
                  .workloads = { writer(0, pages, MIG_PATTERN_RANDOM, published[row].rate) },
                  .seed = seed };
    begin(&f, 1, 1);
    MigDirtyRateResult r =
        measure(&f, MIG_DIRTY_RATE_PAGE_SAMPLING, 0, ms, published[row].samples, 1);
    mig_guest_free(f.guest);
    return r.rate;
}

static double mean_rate(size_t row, int64_t ms)
{
    int64_t sum = 0, count = MAX(1000 / ms, 1);
    for (int64_t i = 0; i < count; i++) {
        sum += measure_random(row, ms, (uint64_t)i);
    }
    return (double)sum / (double)count;
}

static void test_published(gconstpointer data)
{
    size_t row = GPOINTER_TO_SIZE(data);
    double sum = 0;
    if (row > 0 && !g_getenv("MIGBENCH_FULL")) {
        g_test_skip("the larger sizes take half a minute: with MIGBENCH_FULL");
        return;
    }
    for (size_t i = 0; i < PERIODS; i++) {
        double want = (double)published[row].rates[i], got = mean_rate(row, periods[i]);
        double error = 100.0 * (got - want) / want;
        g_test_message("%u GiB, %d ms: %.0f MiB/s, published %.0f: %+.2f %%", published[row].gib,
                       (int)periods[i], got, want, error);
        sum += fabs(error);
    }
    g_test_message("%u GiB: mean error %.2f %%", published[row].gib, sum / PERIODS);
    g_assert_cmpfloat(sum / PERIODS, <=, 1.0);
}

/* Modes and bounds --------------------------------------------------------------------------- */

/* 64 MiB in two blocks; one workload each: 2560 pages a second are 10 MiB/s. */
static void begin_two(Fixture *f)
{
    *f = (Fixture){ .blocks = { block("a", 8192), block("b", 8192) },
                    .workloads = { writer(0, 8192, MIG_PATTERN_SEQUENTIAL, 2560),
                                   writer(1, 4096, MIG_PATTERN_SEQUENTIAL, 1280) } };
    begin(f, 2, 2);
}

static void test_bitmap(void)
{
    Fixture f;
    begin_two(&f);
    MigDirtyRateResult r = measure(&f, MIG_DIRTY_RATE_DIRTY_BITMAP, 500 * MS, 1000, 0, 1);
    g_assert_cmpint(r.rate, ==, 15);
    g_assert_null(r.by_vcpu);
    /* Ten seconds: each page counts once, and there are 32 + 16 MiB of them. */
    r = measure(&f, MIG_DIRTY_RATE_DIRTY_BITMAP, 2000 * MS, 10000, 0, 1);
    g_assert_cmpint(r.rate, ==, 4);
    mig_guest_free(f.guest);
}

static void test_ring(void)
{
    Fixture f;
    begin_two(&f);
    MigDirtyRateResult r = measure(&f, MIG_DIRTY_RATE_DIRTY_RING, 0, 1000, 0, 3);
    g_assert_cmpint(r.by_vcpu[0], ==, 10);
    g_assert_cmpint(r.by_vcpu[1], ==, 5);
    g_assert_cmpint(r.by_vcpu[2], ==, 0);
    g_assert_cmpint(r.rate, ==, 15);
    g_free(r.by_vcpu);
    /* Both workloads on one vCPU. */
    r = measure(&f, MIG_DIRTY_RATE_DIRTY_RING, 1000 * MS, 1000, 0, 1);
    g_assert_cmpint(r.by_vcpu[0], ==, 15);
    g_free(r.by_vcpu);
    mig_guest_free(f.guest);
}

static void test_sampling(void)
{
    Fixture f;
    begin_two(&f);
    MigDirtyRateResult r =
        measure(&f, MIG_DIRTY_RATE_PAGE_SAMPLING, 0, 10000, MIG_DIRTY_RATE_MAX_SAMPLES, 1);
    g_assert_cmpint(r.samples, ==, 1024); /* 16384 per GiB */
    g_assert_cmpint(r.rate, >, 3);        /* 4.8 by counting */
    g_assert_cmpint(r.rate, <, 6);
    mig_guest_free(f.guest);
}

/* Who writes what stands there has written nothing, to a hash; to a log he has. */
static void test_same_bytes(void)
{
    Fixture f = { .blocks = { block("a", 8192) },
                  .workloads = { writer(0, 8192, MIG_PATTERN_SEQUENTIAL, 100000) } };
    f.workloads[0].write = MIG_WRITE_FILL;
    begin(&f, 1, 1);
    g_assert_cmpint(measure(&f, MIG_DIRTY_RATE_PAGE_SAMPLING, 0, 1000, 16384, 1).rate, ==, 0);
    g_assert_cmpint(measure(&f, MIG_DIRTY_RATE_DIRTY_BITMAP, 1000 * MS, 1000, 0, 1).rate, ==, 32);
    mig_guest_free(f.guest);
}

/* Blocks of less than 128 KiB are not looked at; one that is too small for a sample has none. */
static void test_small_blocks(void)
{
    Fixture f = { .blocks = { block("a", 31), block("b", 32) },
                  .workloads = { writer(0, 31, MIG_PATTERN_SEQUENTIAL, 100000) } };
    begin(&f, 2, 1);
    MigDirtyRateResult r = measure(&f, MIG_DIRTY_RATE_PAGE_SAMPLING, 0, 100, 16384, 1);
    g_assert_cmpint(r.samples, ==, 2);
    g_assert_cmpint(r.rate, ==, 0);
    r = measure(&f, MIG_DIRTY_RATE_PAGE_SAMPLING, 100 * MS, 100, 128, 1);
    g_assert_cmpint(r.samples, ==, 0);
    g_assert_cmpint(r.rate, ==, 0);
    mig_guest_free(f.guest);
}

/* It counts beside a migration's log and takes nothing from it. */
static void test_beside_log(void)
{
    Fixture f;
    begin_two(&f);
    MigMemory *m = mig_guest_memory(f.guest);
    MigBitmap *dirty = mig_bitmap_new(8192);
    m->ops->log_start(m);
    g_assert_cmpint(measure(&f, MIG_DIRTY_RATE_DIRTY_BITMAP, 0, 1000, 0, 1).rate, ==, 15);
    g_assert_cmpuint(m->ops->sync(m, 0, dirty), ==, 2561); /* the write at 0 and that at 1 s */
    mig_bitmap_free(dirty);
    mig_guest_free(f.guest);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(published); i++) {
        g_autofree char *path =
            g_strdup_printf("/guest/dirty-rate/published/%u-GiB", published[i].gib);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_published);
    }
    g_test_add_func("/guest/dirty-rate/bitmap", test_bitmap);
    g_test_add_func("/guest/dirty-rate/ring", test_ring);
    g_test_add_func("/guest/dirty-rate/sampling", test_sampling);
    g_test_add_func("/guest/dirty-rate/same-bytes", test_same_bytes);
    g_test_add_func("/guest/dirty-rate/small-blocks", test_small_blocks);
    g_test_add_func("/guest/dirty-rate/beside-log", test_beside_log);
    return g_test_run();
}
