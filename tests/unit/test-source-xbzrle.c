/* SPDX-License-Identifier: Apache-2.0 */
/* XBZRLE in whole migrations: what is cached, counted and sent, and that memory is equal. */
#include "tests/unit/simulated.h"

/* A set that is written round and round while it is sent. |cache| in MiB. */
#define SCENARIO                                                                                \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"ram\": [{\"name\": " \
    "\"ram\", \"size\": \"64M\", \"content\": [{\"offset\": 0, \"length\": \"48M\", \"kind\": " \
    "\"random\"}]}], \"workload\": [{\"block\": \"ram\", \"offset\": 0, \"length\": \"32M\", "  \
    "\"pattern\": \"%s\", \"rate\": 7680, \"pace\": \"clock\", \"write\": \"%s\"}]}, "          \
    "\"link\": {\"bandwidth\": \"10Gbit/s\"}, "                                                 \
    "\"capabilities\": {\"xbzrle\": %s}, \"parameters\": {\"max-bandwidth\": 30000000, "        \
    "\"xbzrle-cache-size\": \"%uM\", \"downtime-limit\": 100}, \"limit\": \"60s\"}"

static const char *const qemus[] = { "2.5", "5.2", "7.2", "10.0", "11.1" };

/* Pages of the set miss once and then hit; deltas are small; it converges, which it doesn't
 * without. */
static void test_counts(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, qemus[i], "sequential", "counter", "true", 64);
        const MigXbzrleStats *x = &s.stats.xbzrle;
        simulated_expect_fine(&s);
        g_assert_true(s.stats.has_xbzrle);
        g_assert_cmpuint(x->cache_size, ==, 64u << 20);
        g_assert_cmpuint(x->cache_miss, ==, 8192); /* every page of the set, once */
        g_assert_cmpuint(x->pages, >, 1000);
        g_assert_cmpuint(x->overflow, ==, 0);
        g_assert_cmpuint(mig_dest_counts(s.m->dest)->xbzrle, >, 0);
        g_assert_cmpuint(mig_dest_counts(s.m->dest)->xbzrle, <=, x->pages);
        /* A counter changes 8 bytes: 3 of header, at most 4 of lengths, at most 8 of data. */
        g_assert_cmpuint(x->bytes, <=, mig_dest_counts(s.m->dest)->xbzrle * 15);
        g_assert_cmpuint(s.stats.ram.normal, ==, mig_dest_counts(s.m->dest)->normal);
    }
}

/* Two pages of each slot: one is pushed out only when it is two generations old. */
static void test_small_cache(void)
{
    g_auto(Simulated) large =
        simulated_run(NULL, SCENARIO, "10.0", "sequential", "counter", "true", 64);
    g_auto(Simulated) small =
        simulated_run(NULL, SCENARIO, "10.0", "sequential", "counter", "true", 16);
    simulated_expect_fine(&small);
    g_test_message("misses %d, syncs %d and %d", (int)small.stats.xbzrle.cache_miss,
                   (int)large.stats.ram.dirty_sync_count, (int)small.stats.ram.dirty_sync_count);
    g_assert_cmpuint(small.stats.xbzrle.cache_miss, >, 8192);
    g_assert_cmpuint(small.stats.ram.dirty_sync_count, >, large.stats.ram.dirty_sync_count);
    g_assert_cmpint(small.stats.total_time, >, large.stats.total_time);
}

/* Whole new pages can't be told as differences: each is an overflow, sent in full. */
static void test_overflow(void)
{
    g_auto(Simulated) s = simulated_run(NULL, SCENARIO, "10.0", "random", "page", "true", 64);
    const MigXbzrleStats *x = &s.stats.xbzrle;
    g_assert_cmpuint(x->overflow, >, 0);
    g_assert_cmpuint(x->bytes, >=, x->overflow * 4096);
}

/* Zero and full pages by turns, in eras and cache sizes: what arrives is what was there. */
static void test_memory_equal(void)
{
    static const char *const patterns[] = { "sequential", "random" };
    static const unsigned caches[] = { 1, 8, 64 };
    unsigned resized = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(caches) * 2; k++) {
            g_auto(Simulated) s = simulated_run(
                NULL,
                "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": %u, "
                "\"guest\": {\"dirty-tracking\": \"%s\", \"ram\": [{\"name\": \"a\", \"size\": "
                "\"8M\", \"content\": [{\"offset\": 0, \"length\": \"6M\", \"kind\": "
                "\"random\"}]}, {\"name\": \"b\", \"size\": \"4M\"}], \"workload\": "
                "[{\"block\": \"a\", \"length\": \"2M\", \"pattern\": \"%s\", \"rate\": 3000, "
                "\"write\": \"bytes:100\"}, {\"block\": \"a\", \"length\": \"1M\", \"pattern\": "
                "\"random\", \"rate\": 500, \"write\": \"zero\"}, {\"block\": \"b\", "
                "\"length\": \"1M\", \"pattern\": \"random\", \"rate\": 900, \"write\": "
                "\"page\"}]}, \"capabilities\": {\"xbzrle\": true}, \"parameters\": "
                "{\"max-bandwidth\": 7000000, \"downtime-limit\": 1, \"xbzrle-cache-size\": "
                "\"%uM\"}, \"events\": [{\"after-pass\": 3, \"do\": \"migrate-set-parameters\", "
                "\"arguments\": {\"downtime-limit\": 2000, \"xbzrle-cache-size\": \"2M\"}}], "
                "\"limit\": \"60s\"}",
                qemus[i], (unsigned)(7 * i + k), k % 2 ? "kvm-manual-clear" : "tcg",
                patterns[k % 2], caches[k / 2]);
            simulated_expect_fine(&s);
            g_assert_cmpuint(s.stats.xbzrle.pages, >, 0);
            resized += s.stats.xbzrle.cache_size == 2u << 20;
            g_assert_cmpuint(s.stats.ram.dirty_sync_count, >=, 3);
        }
    }
    g_assert_cmpuint(resized, >=, G_N_ELEMENTS(qemus) * 2);
}

/* What is written between a sync and the clear of its chunk is not lost (KVM, manual protect). */
static void test_late_clear(void)
{
    g_auto(Simulated) s = simulated_run(
        NULL,
        "{\"schema\": \"migbench-scenario-1\", \"guest\": {\"dirty-tracking\": "
        "\"kvm-manual-clear\", \"ram\": [{\"name\": \"a\", \"size\": \"8M\", \"content\": "
        "[{\"length\": \"8M\", \"kind\": \"random\"}]}, {\"name\": \"b\", \"size\": \"4M\"}], "
        "\"workload\": [{\"block\": \"b\", \"pattern\": \"random\", \"rate\": 900, \"write\": "
        "\"page\"}, {\"block\": \"a\", \"pattern\": \"random\", \"rate\": 900, \"write\": "
        "\"page\"}]}, \"parameters\": {\"max-bandwidth\": 8000000}}");
    simulated_expect_fine(&s);
    g_assert_cmpuint(s.stats.ram.dirty_sync_count, >, 2);
}

static void test_accounting(void)
{
    static const MigSimulateOptions accounting = { .accounting = true }, single = { .max_run = 1 };
    g_auto(Simulated) a = simulated_run(NULL, SCENARIO, "10.0", "random", "counter", "true", 16);
    g_auto(Simulated) b =
        simulated_run(&accounting, SCENARIO, "10.0", "random", "counter", "true", 16);
    g_auto(Simulated) c = simulated_run(&single, SCENARIO, "10.0", "random", "counter", "true", 16);
    g_assert_cmpstr(a.m->events_digest, ==, b.m->events_digest);
    g_assert_cmpstr(a.m->events_digest, ==, c.m->events_digest);
    g_assert_cmpstr(a.m->bytes_digest, ==, c.m->bytes_digest);
    g_assert_cmpuint(a.stats.xbzrle.bytes, ==, b.stats.xbzrle.bytes);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source/xbzrle/counts", test_counts);
    g_test_add_func("/source/xbzrle/small-cache", test_small_cache);
    g_test_add_func("/source/xbzrle/overflow", test_overflow);
    g_test_add_func("/source/xbzrle/memory-equal", test_memory_equal);
    g_test_add_func("/source/log/late-clear", test_late_clear);
    g_test_add_func("/source/xbzrle/accounting", test_accounting);
    return g_test_run();
}
