/* SPDX-License-Identifier: Apache-2.0 */
/* Multifd in whole migrations: what goes where, what is counted, windows, and that memory is equal.
 */
#include "tests/unit/simulated.h"

#define SCENARIO                                                                                 \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": %u, \"guest\": "          \
    "{\"dirty-tracking\": \"%s\", \"ram\": [{\"name\": \"a\", \"size\": \"24M\", \"content\": "  \
    "[{\"length\": \"16M\", \"kind\": \"random\"}, {\"offset\": \"16M\", \"length\": \"2M\", "   \
    "\"kind\": \"text\"}]}, {\"name\": \"b\", \"size\": \"4M\"}], \"workload\": [{\"block\": "   \
    "\"a\", \"length\": \"6M\", \"pattern\": \"sequential\", \"rate\": 3000, \"write\": "        \
    "\"page\"}, {\"block\": \"a\", \"length\": \"2M\", \"pattern\": \"random\", \"rate\": 900, " \
    "\"write\": \"zero\"}, {\"block\": \"b\", \"length\": \"1M\", \"pattern\": \"random\", "     \
    "\"rate\": 900, \"write\": \"counter\"}]}, \"capabilities\": {\"multifd\": true%s}, "        \
    "\"parameters\": {\"max-bandwidth\": 18000000, \"downtime-limit\": 60%s}, \"limit\": "       \
    "\"60s\"}"

static const char *const qemus[] = { "4.2", "5.2", "7.2", "8.1", "9.0", "10.0", "11.1" };

static void expect_counts(const Simulated *s)
{
    const MigDestMultifdCounts *got = mig_dest_multifd(s->m->dest);
    const MigDestCounts *main = mig_dest_counts(s->m->dest);
    simulated_expect_fine(s);
    g_assert_cmpuint(s->stats.ram.normal, ==, got->normal + main->normal);
    g_assert_cmpuint(s->stats.ram.duplicate, ==, got->zero + main->zero);
    g_assert_cmpuint(main->normal, ==, 0);
    g_assert_cmpuint(s->stats.ram.dirty_sync_count, >=, 3);
}

static void test_every_version(void)
{
    static const unsigned channels[] = { 1, 2, 3, 8 };
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(channels); k++) {
            g_autofree char *n = g_strdup_printf(",\"multifd-channels\":%u", channels[k]);
            g_auto(Simulated) s = simulated_run(NULL, SCENARIO, qemus[i], (unsigned)(i * 9 + k),
                                                k % 2 ? "kvm-manual-clear" : "tcg",
                                                k & 1 ? "" : ",\"return-path\":true", n);
            const MigDestMultifdCounts *got = mig_dest_multifd(s.m->dest);
            expect_counts(&s);
            g_assert_cmpuint(got->syncs % channels[k], ==, 0);
            /* Wire total: pages, headers of all packets, and the initial ones. */
            g_assert_cmpuint(s.stats.ram.multifd_bytes, ==,
                             got->normal * 4096 + (got->packets + got->syncs) * 1344 +
                                 64 * channels[k]);
        }
    }
}

static void test_zero_pages(void)
{
    static const struct {
        const char *qemu, *parameter;
        bool on_main, in_packets;
    } rows[] = {
        { "7.2", "", true, false },
        { "10.0", "", false, true },
        { "10.0", ",\"zero-page-detection\":\"legacy\"", true, false },
        { "10.0", ",\"zero-page-detection\":\"none\"", false, false },
        { "11.1", ",\"zero-page-detection\":\"multifd\"", false, true },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, rows[i].qemu, 3, "tcg", "", rows[i].parameter);
        expect_counts(&s);
        g_assert_cmpint(mig_dest_counts(s.m->dest)->zero > 0, ==, rows[i].on_main);
        g_assert_cmpint(mig_dest_multifd(s.m->dest)->zero > 0, ==, rows[i].in_packets);
    }
}

static void test_compression(void)
{
    static const char *const methods[] = {
        ",\"multifd-compression\":\"zlib\"",
        ",\"multifd-compression\":\"zlib\",\"multifd-zlib-level\":5",
        ",\"multifd-compression\":\"zstd\"",
        ",\"multifd-compression\":\"zstd\",\"multifd-zstd-level\":6",
    };
    g_auto(Simulated) plain = simulated_run(NULL, SCENARIO, "10.0", 3, "tcg", "", "");
    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
        /* Other levels with one version. */
        for (size_t k = 1; k < G_N_ELEMENTS(qemus); k += i % 2 ? G_N_ELEMENTS(qemus) : 2) {
            g_auto(Simulated) s = simulated_run(NULL, SCENARIO, qemus[k], 3, "tcg", "", methods[i]);
            expect_counts(&s);
            g_assert_cmpuint(s.stats.ram.multifd_bytes, <, s.stats.ram.normal * 4096);
        }
    }
    simulated_expect_fine(&plain);
}

/* Pages one by one, and without bytes: the same. */
static void test_accounting(void)
{
    static const MigSimulateOptions accounting = { .accounting = true }, single = { .max_run = 1 };
    static const char *const zlib[] = { "", ",\"multifd-compression\":\"zlib\"" };
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        const char *p = i > 1 ? zlib[i % 2] : "";
        g_auto(Simulated) a = simulated_run(NULL, SCENARIO, qemus[i], 5, "tcg", "", p);
        g_auto(Simulated) b = simulated_run(&accounting, SCENARIO, qemus[i], 5, "tcg", "", p);
        g_auto(Simulated) c = simulated_run(&single, SCENARIO, qemus[i], 5, "tcg", "", p);
        g_assert_cmpstr(a.m->events_digest, ==, b.m->events_digest);
        g_assert_cmpstr(a.m->events_digest, ==, c.m->events_digest);
        g_assert_cmpstr(a.m->bytes_digest, ==, c.m->bytes_digest);
        g_assert_cmpuint(a.stats.ram.multifd_bytes, ==, b.stats.ram.multifd_bytes);
    }
}

/*
 * An idle guest of 1 GiB, half of it not zero, 100 MB/s, as measured: total time within 2.5 %, the
 * bytes of the channels exactly (540 113 472 with two channels of 10.0).
 */
static void test_measured(void)
{
    static const struct {
        const char *qemu;
        unsigned channels;
        int64_t total;
    } rows[] = { { "5.2", 2, 5153 }, { "7.2", 2, 5136 }, { "10.0", 2, 4737 }, { "11.1", 2, 4737 } };
    static const MigSimulateOptions accounting = { .accounting = true };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s = simulated_run(
            &accounting,
            "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"ram\": "
            "[{\"name\": \"ram\", \"size\": \"1G\", \"content\": [{\"length\": \"512M\", "
            "\"kind\": \"random\"}]}]}, \"link\": {\"bandwidth\": \"40Gbit/s\"}, "
            "\"capabilities\": {\"multifd\": true}, \"parameters\": {\"max-bandwidth\": "
            "100000000, \"multifd-channels\": %u}}",
            rows[i].qemu, rows[i].channels);
        g_test_message("%s: %d ms (measured %d), multifd-bytes %d", rows[i].qemu,
                       (int)s.stats.total_time, (int)rows[i].total, (int)s.stats.ram.multifd_bytes);
        g_assert_cmpstr(s.stats.status, ==, "completed");
        g_assert_cmpint(ABS(s.stats.total_time - rows[i].total) * 1000, <=, rows[i].total * 25);
    }
}

/* Each third time with bytes. */
static void test_cancel_and_cut(void)
{
    static const char *const does[] = { "migrate_cancel", "x-cut-link" };
    for (unsigned at = 5; at < 700; at += 17) {
        const MigSimulateOptions options = { .accounting = at % 3 != 0 };
        g_auto(Simulated) s = simulated_run(
            &options,
            "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"ram\": "
            "[{\"name\": \"ram\", \"size\": \"24M\", \"content\": [{\"length\": \"24M\", "
            "\"kind\": \"random\"}]}]}, \"link\": {\"bandwidth\": \"300Mbit/s\", \"send-buffer\": "
            "\"64k\"}, \"capabilities\": {\"multifd\": true}, \"events\": [{\"at\": \"%ums\", "
            "\"do\": \"%s\"}]}",
            qemus[at % G_N_ELEMENTS(qemus)], at, does[at % 2]);
        if (at > 650) {
            continue;
        }
        g_assert_cmpstr(s.stats.status, ==, at % 2 ? "failed" : "cancelled");
        g_assert_true(mig_guest_running(s.m->guest));
        g_assert_cmpint(s.m->now, <=, (at + 101) * 1000000);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source/multifd/every-version", test_every_version);
    g_test_add_func("/source/multifd/zero-pages", test_zero_pages);
    g_test_add_func("/source/multifd/compression", test_compression);
    g_test_add_func("/source/multifd/accounting", test_accounting);
    g_test_add_func("/source/multifd/measured", test_measured);
    g_test_add_func("/source/multifd/cancel-and-cut", test_cancel_and_cut);
    return g_test_run();
}
