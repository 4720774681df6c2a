/* SPDX-License-Identifier: Apache-2.0 */
/* Compress threads in whole migrations: what they send, what is counted, and that memory is equal.
 */
#include <string.h>

#include "tests/unit/simulated.h"

/* Two blocks, text and zeros; pages turn random, zero and back. |threads|, |wait|, era. */
#define SCENARIO                                                                                \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": %u, \"guest\": "         \
    "{\"dirty-tracking\": \"%s\", \"ram\": [{\"name\": \"a\", \"size\": \"8M\", \"content\": "  \
    "[{\"length\": \"6M\", \"kind\": \"text\"}]}, {\"name\": \"b\", \"size\": \"4M\"}], "       \
    "\"workload\": [{\"block\": \"a\", \"length\": \"2M\", \"pattern\": \"random\", \"rate\": " \
    "3000, \"write\": \"bytes:100\"}, {\"block\": \"a\", \"length\": \"1M\", \"pattern\": "     \
    "\"random\", \"rate\": 500, \"write\": \"zero\"}, {\"block\": \"b\", \"length\": \"1M\", "  \
    "\"pattern\": \"random\", \"rate\": 900, \"write\": \"page\"}]}, \"capabilities\": "        \
    "{\"compress\": true%s}, \"parameters\": {\"max-bandwidth\": 6000000, \"downtime-limit\": " \
    "1, \"compress-threads\": %u%s}, \"events\": [{\"after-pass\": 4, \"do\": "                 \
    "\"migrate-set-parameters\", \"arguments\": {\"downtime-limit\": 2000}}], \"limit\": "      \
    "\"60s\"}"

#define IDLE                                                                                    \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"ram\": [{\"name\": " \
    "\"ram\", \"size\": \"16M\", \"content\": [{\"length\": \"%u\", \"kind\": \"text\"}]}]}, "  \
    "\"capabilities\": {\"compress\": true}, \"parameters\": {\"max-bandwidth\": 20000000, "    \
    "\"compress-threads\": %u%s}}"

static const char *const qemus[] = { "2.5", "3.1", "5.2", "7.2", "8.2", "9.0" };

static const char *waits(const char *qemu, bool on)
{
    return on || strcmp(qemu, "2.5") == 0 ? "" : ", \"compress-wait-thread\": false";
}

static void test_memory_equal(void)
{
    static const unsigned threads[] = { 1, 8 };
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(threads) * 2; k++) {
            g_auto(Simulated) s =
                simulated_run(NULL, SCENARIO, qemus[i], k, k % 2 ? "kvm-manual-clear" : "tcg", "",
                              threads[k / 2], waits(qemus[i], k % 2));
            simulated_expect_fine(&s);
            g_assert_cmpuint(mig_dest_counts(s.m->dest)->compressed, >, 0);
            g_assert_cmpuint(s.stats.ram.dirty_sync_count, >=, 4);
        }
    }
}

/* With XBZRLE on, threads work in the first round only. */
static void test_xbzrle_takes_over(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, qemus[i], 1, "tcg", ", \"xbzrle\": true", 4, "");
        simulated_expect_fine(&s);
        g_assert_cmpuint(mig_dest_counts(s.m->dest)->compressed, >, 0);
        g_assert_cmpuint(mig_dest_counts(s.m->dest)->compressed, <=, 3072);
        g_assert_cmpuint(mig_dest_counts(s.m->dest)->xbzrle, >, 0);
    }
}

/*
 * What real QEMU 5.2 and 7.2 counted for 2000 compressible pages and 2096 zero ones, idle: threads
 * without anything new count again what they handed in last.
 */
static void test_counts(void)
{
    static const struct {
        const char *qemu;
        unsigned threads;
        uint64_t pages, duplicate, records;
    } rows[] = {
        { "5.2", 1, 2001, 2098, 1999 }, { "7.2", 1, 2001, 2098, 1999 },
        { "5.2", 8, 2015, 2112, 1999 }, { "7.2", 8, 2015, 2112, 1999 },
        { "8.2", 8, 1999, 2096, 1999 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s =
            simulated_run(NULL, IDLE, rows[i].qemu, 2000 * 4096, rows[i].threads, "");
        const MigCompressionStats *c = &s.stats.compression;
        simulated_expect_fine(&s);
        g_assert_true(s.stats.has_compression);
        g_assert_cmpuint(c->pages, ==, rows[i].pages);
        g_assert_cmpuint(c->busy, ==, 0);
        g_assert_cmpuint(s.stats.ram.normal, ==, 1); /* the block's first page */
        g_assert_cmpuint(s.stats.ram.duplicate, ==, rows[i].duplicate);
        g_assert_cmpuint(mig_dest_counts(s.m->dest)->compressed, ==, rows[i].records);
        g_assert_cmpuint(mig_dest_counts(s.m->dest)->zero, ==, 2096);
    }
}

/* Before 3.1 the first page is compressed with its name, and compressed pages are normal ones. */
static void test_early(void)
{
    g_auto(Simulated) s = simulated_run(NULL, IDLE, "2.5", 2000 * 4096, 8, "");
    simulated_expect_fine(&s);
    g_assert_false(s.stats.has_compression);
    g_assert_cmpuint(s.stats.ram.normal, ==, 2000);
    g_assert_cmpuint(s.stats.ram.duplicate, ==, 2096);
    g_assert_cmpuint(mig_dest_counts(s.m->dest)->compressed, ==, 2000);
}

/* Without waiting, pages that find no thread go as they are; with it, none does. */
static void test_busy(void)
{
    g_auto(Simulated) s = simulated_run(NULL, IDLE, "7.2", 2000 * 4096, 2, waits("7.2", false));
    const MigDestCounts *d = mig_dest_counts(s.m->dest);
    simulated_expect_fine(&s);
    g_assert_cmpuint(s.stats.compression.busy, >, 0);
    g_assert_cmpuint(d->normal, >, 1);
    g_assert_cmpuint(d->compressed, >, 0);
    g_assert_cmpuint(d->normal + d->compressed, ==, 2000);
    g_assert_cmpuint(d->zero, ==, 2096);
    g_assert_cmpuint(s.stats.compression.busy, >=, d->normal - 1); /* zero pages were, too */
}

/* More processors, or none needed: the time that compression takes is in it. */
static void test_time(void)
{
    static const char *const host =
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"7.2\", \"guest\": {\"ram\": "
        "[{\"name\": \"ram\", \"size\": \"16M\", \"content\": [{\"length\": \"16M\", \"kind\": "
        "\"text\"}]}]}, \"capabilities\": {\"compress\": %s}, \"parameters\": "
        "{\"max-bandwidth\": 0, \"compress-threads\": %u}, \"link\": {\"bandwidth\": "
        "\"10Gbit/s\"}}";
    g_auto(Simulated) plain = simulated_run(NULL, host, "false", 8);
    g_auto(Simulated) packed = simulated_run(NULL, host, "true", 8);
    simulated_expect_fine(&packed);
    /* 4095 pages at 40 us on one processor. */
    g_assert_cmpint(packed.m->now - plain.m->now, >, 4095 * 40000ll * 9 / 10);
    g_assert_cmpuint(packed.stats.ram.transferred, <, plain.stats.ram.transferred * 3 / 4);
}

/* A record names its block once, with postcopy-ram as well: then no page is ahead of its thread. */
static void test_named_once(void)
{
    static const char *const text =
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"2.9\", \"guest\": {\"ram\": "
        "[{\"name\": \"%s\", \"size\": \"1M\", \"content\": [{\"length\": \"1M\", \"kind\": "
        "\"text\"}]}]}, \"capabilities\": {\"compress\": true, \"postcopy-ram\": true}}";
    g_auto(Simulated) one = simulated_run(NULL, text, "r");
    g_auto(Simulated) other = simulated_run(NULL, text, "ramramramramr");
    simulated_expect_fine(&one);
    g_assert_cmpuint(other.stats.ram.transferred - one.stats.ram.transferred, ==, 12);
}

/* 9.0 alone has both: pages that find no thread are zero or not for nobody. */
static void test_no_detection(void)
{
    static const char *const text =
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"9.0\", \"guest\": {\"ram\": "
        "[{\"name\": \"ram\", \"size\": \"1M\"}]}, \"capabilities\": {\"compress\": true}, "
        "\"parameters\": {\"compress-threads\": 1, \"compress-wait-thread\": false, "
        "\"zero-page-detection\": \"%s\"}, \"host\": {\"zero_page\": 9000000}}";
    g_auto(Simulated) legacy = simulated_run(NULL, text, "legacy");
    g_auto(Simulated) none = simulated_run(NULL, text, "none");
    simulated_expect_fine(&none);
    g_assert_cmpuint(legacy.stats.ram.normal, <=, 1);
    g_assert_cmpuint(none.stats.ram.normal, >, 1);
    g_assert_cmpuint(none.stats.ram.duplicate, >, 0); /* by the thread */
}

static void test_accounting(void)
{
    static const MigSimulateOptions accounting = { .accounting = true }, single = { .max_run = 1 };
    for (unsigned wait = 0; wait < 2; wait++) {
        const char *more = waits("7.2", wait);
        g_auto(Simulated) a = simulated_run(NULL, SCENARIO, "7.2", 1, "tcg", "", 3, more);
        g_auto(Simulated) b = simulated_run(&accounting, SCENARIO, "7.2", 1, "tcg", "", 3, more);
        g_auto(Simulated) c = simulated_run(&single, SCENARIO, "7.2", 1, "tcg", "", 3, more);
        g_assert_cmpstr(a.m->events_digest, ==, b.m->events_digest);
        g_assert_cmpstr(a.m->events_digest, ==, c.m->events_digest);
        g_assert_cmpstr(a.m->bytes_digest, ==, c.m->bytes_digest);
        g_assert_cmpuint(a.stats.compression.pages, ==, b.stats.compression.pages);
    }
}

/*
 * What the threads hand in at the end of a round can use the window's quota up: one more page goes
 * then, in runs as one by one, though it queues nothing.
 */
static void test_round_ends_at_quota(void)
{
    static const MigSimulateOptions single = { .accounting = true, .max_run = 1 };
    static const MigSimulateOptions runs = { .accounting = true };
    for (unsigned pages = 8; pages <= 40; pages++) {
        g_autofree char *text = g_strdup_printf(
            "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"2.4\", \"guest\": {\"ram\": "
            "[{\"name\": "
            "\"ram\", \"size\": %u, \"content\": [{\"kind\": \"random\"}]}], \"workload\": "
            "[{\"block\": \"ram\", \"pattern\": \"random\", \"rate\": 5000, \"write\": "
            "\"page\"}]}, \"capabilities\": {\"compress\": true}, \"parameters\": "
            "{\"max-bandwidth\": 1000000, \"downtime-limit\": 10}, \"limit\": \"1s\"}",
            pages * 4096);
        g_auto(Simulated) a = simulated_run(&single, "%s", text);
        g_auto(Simulated) b = simulated_run(&runs, "%s", text);
        g_assert_cmpstr(a.m->events_digest, ==, b.m->events_digest);
    }
}

static void test_refused(void)
{
    g_autofree char *gone = simulated_refusal(IDLE, "9.1", 4096, 8, "");
    g_assert_nonnull(strstr(gone, "compress"));
    g_assert_nonnull(strstr(gone, "9.1"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source/compress/memory-equal", test_memory_equal);
    g_test_add_func("/source/compress/xbzrle-takes-over", test_xbzrle_takes_over);
    g_test_add_func("/source/compress/counts", test_counts);
    g_test_add_func("/source/compress/early", test_early);
    g_test_add_func("/source/compress/busy", test_busy);
    g_test_add_func("/source/compress/time", test_time);
    g_test_add_func("/source/compress/named-once", test_named_once);
    g_test_add_func("/source/compress/no-detection", test_no_detection);
    g_test_add_func("/source/compress/accounting", test_accounting);
    g_test_add_func("/source/compress/round-ends-at-quota", test_round_ends_at_quota);
    g_test_add_func("/source/compress/refused", test_refused);
    return g_test_run();
}
