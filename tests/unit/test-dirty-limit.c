/* SPDX-License-Identifier: Apache-2.0 */
/* The dirty limit: its arithmetic, the rings that it reads, and whole migrations that need it. */
#include <glib.h>
#include <string.h>

#include "sim/engine/dirty-limit.h"
#include "sim/guest/guest.h"
#include "sim/simulate/result.h"
#include "sim/world/clock.h"
#include "tests/unit/simulated.h"

#define MIB_PAGES 256u

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigDirtyLimit, mig_dirty_limit_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigGuest, mig_guest_free)

/* A second at each rate, in MB/s; what the vCPU sleeps then, us. A ring of 16 MiB. */
static void test_arithmetic(void)
{
    static const struct {
        uint64_t rate, sleep;
    } rows[] = {
        { 400, 267692 }, /* 87 % away: 40 ms until full * 87 / 13 */
        { 60, 267692 },  /* near enough */
        { 100, 271692 }, /* 50 %: a tenth of 40 ms */
        { 90, 275692 },  /* 44 % */
        { 10, 115692 },  /* 80 %, downwards: 40 ms * 80 / 20 */
        { 20, 55692 },   /* 60 %: 40 ms * 60 / 40 */
        { 0, 0 },        /* nothing at all */
    };
    g_autoptr(MigDirtyLimit) d = mig_dirty_limit_new(1, 4096, 4096);
    uint64_t pages = 7;
    mig_dirty_limit_begin(d, &pages);
    mig_dirty_limit_start(d, 50);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        pages += rows[i].rate * MIB_PAGES;
        mig_dirty_limit_measure(d, &pages, 1000);
        g_assert_cmpuint(mig_dirty_limit_rate(d, 0), ==, rows[i].rate);
        g_assert_cmpuint(mig_dirty_limit_sleep(d, 0), ==, rows[i].sleep);
    }
}

/* However fast it is, it sleeps at most 99 times as long as its ring needs to fill up. */
static void test_longest_sleep(void)
{
    g_autoptr(MigDirtyLimit) d = mig_dirty_limit_new(1, 1024, 4096);
    uint64_t pages = 0;
    mig_dirty_limit_start(d, 1);
    for (int i = 0; i < 5; i++) {
        pages += 1000 * MIB_PAGES;
        mig_dirty_limit_measure(d, &pages, 1000);
        g_assert_cmpuint(mig_dirty_limit_sleep(d, 0), ==, 4000 * 99);
    }
}

/* Each vCPU for itself; what query-migrate says of them all. */
static void test_each_vcpu(void)
{
    g_autoptr(MigDirtyLimit) d = mig_dirty_limit_new(3, 4096, 4096);
    uint64_t pages[] = { 0, 0, 0 };
    g_assert_false(mig_dirty_limit_in_service(d));
    g_assert_cmpuint(mig_dirty_limit_ring_full_time(d), ==, 0);
    mig_dirty_limit_start(d, 30);
    pages[0] = 400 * MIB_PAGES / 2;
    pages[1] = 40 * MIB_PAGES / 2;
    mig_dirty_limit_measure(d, pages, 500);
    g_assert_cmpuint(mig_dirty_limit_rate(d, 0), ==, 400);
    g_assert_cmpuint(mig_dirty_limit_rate(d, 1), ==, 40);
    g_assert_cmpuint(mig_dirty_limit_sleep(d, 0), >, 0);
    g_assert_cmpuint(mig_dirty_limit_sleep(d, 1), ==, 0);
    g_assert_cmpuint(mig_dirty_limit_throttle_time_per_round(d), ==, mig_dirty_limit_sleep(d, 0));
    g_assert_cmpuint(mig_dirty_limit_ring_full_time(d), ==, 16000000 / (440 / 3));
    mig_dirty_limit_stop(d);
    g_assert_false(mig_dirty_limit_in_service(d));
    g_assert_cmpuint(mig_dirty_limit_sleep(d, 0), ==, 0);
}

/* Rings ---------------------------------------------------------------------------------------- */

static MigGuest *two_vcpus(bool same_vcpu)
{
    MigGuestBlock block = { .memory = { .name = "ram",
                                        .used_length = 64u << 20,
                                        .max_length = 64u << 20,
                                        .host_page = 4096 } };
    MigWorkload w[] = {
        { .pages = 4096, .rate = 10000, .cost = 100, .pattern = MIG_PATTERN_SEQUENTIAL },
        { .first = 8192, .pages = 16, .rate = 2000, .cost = 100 },
    };
    MigGuestConfig config = {
        .tracking = MIG_TRACKING_KVM_RING,
        .vcpus = same_vcpu ? 1 : 2,
        .ring_pages = 1024,
        .blocks = &block,
        .block_count = 1,
        .workloads = w,
        .workload_count = G_N_ELEMENTS(w),
    };
    MigGuest *g = mig_guest_new(&config);
    mig_guest_memory(g)->ops->log_start(mig_guest_memory(g));
    return g;
}

/* A limit of its own: who has none is left alone, and what is taken back leaves no sleep. */
static void test_one_vcpu(void)
{
    g_autoptr(MigDirtyLimit) d = mig_dirty_limit_new(2, 4096, 4096);
    const uint64_t pages[2] = { 51200, 51200 }; /* 200 MiB */
    mig_dirty_limit_set(d, 1, 30);
    g_assert_true(mig_dirty_limit_in_service(d));
    g_assert_cmpuint(mig_dirty_limit_quota(d, 0), ==, 0);
    g_assert_cmpuint(mig_dirty_limit_quota(d, 1), ==, 30);
    mig_dirty_limit_measure(d, pages, 1000);
    g_assert_cmpuint(mig_dirty_limit_rate(d, 0), ==, 200);
    g_assert_cmpuint(mig_dirty_limit_sleep(d, 0), ==, 0);
    g_assert_cmpuint(mig_dirty_limit_sleep(d, 1), >, 0);
    mig_dirty_limit_set(d, 1, 0);
    g_assert_false(mig_dirty_limit_in_service(d));
    g_assert_cmpuint(mig_dirty_limit_sleep(d, 1), ==, 0);
}

/* A page counts once until its ring is reaped: when it is full, by a sync, or by who asks. */
static void test_ring_counts(void)
{
    g_autoptr(MigGuest) g = two_vcpus(false);
    MigMemory *m = mig_guest_memory(g);
    MigBitmap *dirty = mig_bitmap_new(16384);
    g_assert_cmpuint(mig_guest_ring_noted(g, 99 * MIG_NS_PER_MS, 0), ==, 990 + 1);
    g_assert_cmpuint(mig_guest_ring_noted(g, 99 * MIG_NS_PER_MS, 1), ==, 16);
    g_assert_cmpuint(mig_guest_ring_noted(g, 200 * MIG_NS_PER_MS, 1), ==, 16);
    mig_guest_ring_reap(g, 200 * MIG_NS_PER_MS);
    g_assert_cmpuint(mig_guest_ring_noted(g, 300 * MIG_NS_PER_MS, 1), ==, 32);
    m->ops->sync(m, 0, dirty);
    g_assert_cmpuint(dirty->set, ==, 3001 + 16);
    g_assert_cmpuint(mig_guest_ring_noted(g, 400 * MIG_NS_PER_MS, 1), ==, 48);
    mig_bitmap_free(dirty);
}

/* A full ring has its own vCPU sleep, and all workloads of it; however often somebody looks. */
static void test_ring_sleep(void)
{
    for (int same = 0; same < 2; same++) {
        uint64_t noted[2] = { 0 }, written[2] = { 0 };
        for (int often = 0; often < 2; often++) {
            g_autoptr(MigGuest) g = two_vcpus(same);
            mig_guest_ring_sleep(g, 0, 0, 500 * MIG_NS_PER_MS);
            for (int64_t at = 0; often && at < 2000; at += 3) {
                mig_guest_advance(g, at * MIG_NS_PER_MS);
            }
            noted[often] = mig_guest_ring_noted(g, 2000 * MIG_NS_PER_MS, 0);
            written[often] = mig_guest_stats(g).written;
            g_assert_cmpint(mig_guest_stats(g).limited, >=, 1000 * MIG_NS_PER_MS);
        }
        g_assert_cmpuint(noted[0], ==, noted[1]);
        g_assert_cmpuint(written[0], ==, written[1]);
        /* About 100 ms until it is full, then 500 ms: four rings in two seconds, not twenty. */
        g_assert_cmpuint(noted[0], >=, 3 * 1024);
        g_assert_cmpuint(noted[0], <=, 5 * 1024);
        g_assert_cmpint(written[0] > 4000 + noted[0], ==, !same);
    }
}

/* Migrations ----------------------------------------------------------------------------------- */

/* vCPU 0 dirties 78 MiB/s, vCPU 1 8 MiB/s; 50 MB/s can go. */
#define SCENARIO                                                                                \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"vcpus\": 2, "        \
    "\"dirty-tracking\": \"kvm-ring\", \"dirty-ring-size\": %u, \"ram\": [{\"name\": \"ram\", " \
    "\"size\": \"96M\", "                                                                       \
    "\"content\": "                                                                             \
    "[{\"kind\": \"random\"}]}], "                                                              \
    "\"workload\": [{\"length\": \"72M\", \"pattern\": \"sequential\", \"rate\": 20000}, "      \
    "{\"offset\": \"72M\", \"length\": \"16M\", \"rate\": 2000}]}, "                            \
    "\"capabilities\": {\"dirty-limit\": %s}, \"parameters\": {\"max-bandwidth\": 50000000"     \
    "%s}, \"limit\": \"%us\"}"

typedef struct Seen {
    uint64_t rates[2]; /* MB/s, the last in service */
    uint64_t sleep, full;
    unsigned looks;
} Seen;

static void look(void *opaque, const MigSource *source, int64_t now)
{
    Seen *seen = opaque;
    const MigDirtyLimit *d = mig_source_dirty_limit((MigSource *)(uintptr_t)source);
    MigStats stats;
    mig_source_query(source, now, &stats);
    g_assert_cmpint(stats.has_dirty_limit, ==, d && mig_dirty_limit_in_service(d));
    if (stats.has_dirty_limit) {
        seen->rates[0] = mig_dirty_limit_rate(d, 0);
        seen->rates[1] = mig_dirty_limit_rate(d, 1);
        seen->sleep = MAX(seen->sleep, stats.dirty_limit_throttle_time_per_round);
        seen->full = MAX(seen->full, stats.dirty_limit_ring_full_time);
        seen->looks++;
    }
}

static void test_converges(void)
{
    static const char *const qemus[] = { "8.1", "10.0", "11.1" };
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        Seen seen = { 0 };
        MigSimulateOptions counted = { .accounting = true };
        MigSimulateOptions options = { .accounting = true,
                                       .max_run = 64, /* it is to look often */
                                       .progress = look,
                                       .opaque = &seen };
        g_auto(Simulated) off =
            simulated_run(&counted, SCENARIO, qemus[i], 1024u, "false", "", 12u);
        g_auto(Simulated) on = simulated_run(&options, SCENARIO, qemus[i], 1024u, "true",
                                             ", \"vcpu-dirty-limit\": 10", 200u);
        g_assert_cmpstr(off.m->outcome, ==, "limit");
        g_assert_cmpstr(on.stats.status, ==, "completed");
        g_test_message("QEMU %s: %d and %d MB/s, slept at most %d us, ring full in %d us, %d ms",
                       qemus[i], (int)seen.rates[0], (int)seen.rates[1], (int)seen.sleep,
                       (int)seen.full, (int)on.stats.total_time);
        /* Within 25 MB/s and a tenth of the quota; who stays below is not touched. */
        g_assert_cmpuint(seen.looks, >, 0);
        g_assert_cmpuint(seen.rates[0], <=, 10 + 25 + 1);
        g_assert_cmpuint(seen.sleep, >, 0);
        g_assert_cmpuint(seen.full, >, 0);
        g_assert_cmpint(on.m->guest_stats.limited, >, 0);
        g_assert_false(on.stats.has_dirty_limit);
        g_assert_true(mig_guest_has_rings(on.m->guest));
    }
}

/*
 * Every sync reaps the rings: one that takes longer to fill than a pass lasts is never full, and
 * nobody is slowed down. And a sync waits for a vCPU that sleeps. Both as QEMU 10.0 and 11.1 did.
 */
static void test_large_ring(void)
{
    for (unsigned entries = 1024; entries <= 8192; entries *= 8) {
        MigSimulateOptions counted = { .accounting = true };
        g_auto(Simulated) s = simulated_run(&counted, SCENARIO, "11.1", entries, "true",
                                            ", \"vcpu-dirty-limit\": 10", 60u);
        g_assert_cmpstr(s.m->outcome, ==, entries == 1024 ? NULL : "limit");
    }
}

/* The same in runs of any length, and without bytes. */
static void test_deterministic(void)
{
    MigSimulateOptions options[] = { { .max_run = 64 }, { .max_run = 1 }, { .accounting = true } };
    g_autofree char *digest = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        g_auto(Simulated) s = simulated_run(&options[i], SCENARIO, "10.0", 1024u, "true",
                                            ", \"x-vcpu-dirty-limit-period\": 300, "
                                            "\"vcpu-dirty-limit\": 8",
                                            200u);
        g_assert_cmpstr(s.stats.status, ==, "completed");
        g_assert_cmpint(s.m->verdict, ==,
                        options[i].accounting ? MIG_MEMORY_NOT_COMPARED : MIG_MEMORY_EQUAL);
        digest = digest ? digest : g_strdup(s.m->events_digest);
        g_assert_cmpstr(digest, ==, s.m->events_digest);
    }
}

static void test_refused(void)
{
    static const struct {
        const char *qemu, *tracking, *caps, *ring, *word;
    } rows[] = {
        { "8.0", "kvm-ring", "", "4096", "8.1" },
        { "10.0", "kvm-log", "", "4096", "kvm-ring" },
        { "10.0", "kvm-ring", ", \"auto-converge\": true", "4096", "auto-converge" },
        { "10.0", "kvm-ring", "", "5000", "power of two" },
        { "10.0", "kvm-ring", "", "512", "power of two" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *why =
            simulated_refusal("{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {"
                              "\"dirty-tracking\": \"%s\", \"dirty-ring-size\": %s, "
                              "\"ram\": [{\"name\": \"ram\", \"size\": \"4M\"}]}, "
                              "\"capabilities\": {\"dirty-limit\": true%s}}",
                              rows[i].qemu, rows[i].tracking, rows[i].ring, rows[i].caps);
        g_test_message("%s", why);
        g_assert_nonnull(strstr(why, rows[i].word));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty-limit/arithmetic", test_arithmetic);
    g_test_add_func("/dirty-limit/longest-sleep", test_longest_sleep);
    g_test_add_func("/dirty-limit/each-vcpu", test_each_vcpu);
    g_test_add_func("/dirty-limit/one-vcpu", test_one_vcpu);
    g_test_add_func("/dirty-limit/ring/counts", test_ring_counts);
    g_test_add_func("/dirty-limit/ring/sleep", test_ring_sleep);
    g_test_add_func("/dirty-limit/migration/converges", test_converges);
    g_test_add_func("/dirty-limit/migration/large-ring", test_large_ring);
    g_test_add_func("/dirty-limit/migration/deterministic", test_deterministic);
    g_test_add_func("/dirty-limit/refused", test_refused);
    return g_test_run();
}
