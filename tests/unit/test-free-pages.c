/* SPDX-License-Identifier: Apache-2.0 */
/* Free page hints: what need not go, when hints are welcome, and that no later write is lost. */
#include <glib.h>
#include <string.h>

#include "sim/world/clock.h"
#include "tests/unit/simulated.h"

/* 32 MiB that are not zero; half of them are free for a while. */
#define SCENARIO                                                                                 \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": %d, \"guest\": {"         \
    "\"dirty-tracking\": \"%s\", \"run-state\": \"%s\", "                                        \
    "\"ram\": [{\"name\": \"ram\", \"size\": \"32M\", \"content\": [{\"kind\": \"random\"}]}], " \
    "\"workload\": [{\"offset\": \"%s\", \"length\": \"4M\", \"rate\": 3000, \"write\": "        \
    "\"page\"}]%s}, \"capabilities\": {%s}, \"parameters\": {\"max-bandwidth\": 40000000}, "     \
    "\"limit\": \"20s\"}"

#define FREE(more) ", \"free-pages\": [{\"offset\": \"16M\"" more "}]"

static const char *const qemus[] = { "4.2", "5.2", "7.2", "10.0", "11.1" };
static const char *const trackings[] = { "tcg", "kvm-manual-clear", "kvm-ring" };

/* Half of the guest stays at home, and the other half is equal. */
static void test_left_out(void)
{
    static const MigSimulateOptions accounting = { .accounting = true };
    for (size_t i = 0; i < G_N_ELEMENTS(qemus) * G_N_ELEMENTS(trackings); i++) {
        const char *qemu = qemus[i % G_N_ELEMENTS(qemus)];
        const char *tracking = trackings[i / G_N_ELEMENTS(qemus)];
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, qemu, 1, tracking, "running", "0", FREE(""), "");
        g_auto(Simulated) all =
            simulated_run(&accounting, SCENARIO, qemu, 1, tracking, "running", "0", "", "");
        simulated_expect_fine(&s);
        g_assert_cmpstr(all.stats.status, ==, "completed");
        g_assert_cmpuint(s.m->difference.left_out, ==, 4096);
        g_assert_cmpuint(mig_source_hinted(s.m->source), ==, 4096);
        g_assert_cmpuint(mig_source_hinted(all.m->source), ==, 0);
        g_assert_cmpuint(s.stats.ram.normal + 3000, <, all.stats.ram.normal);
        g_assert_cmpint(s.stats.total_time + 300, <, all.stats.total_time);
    }
}

/* The guest takes free pages into use again and writes to them: everything that it wrote arrives.
 */
static void test_written_again(void)
{
    for (int seed = 1; seed <= 6; seed++) {
        for (size_t i = 0; i < G_N_ELEMENTS(trackings); i++) {
            g_auto(Simulated) s =
                simulated_run(NULL, SCENARIO, seed % 2 ? "5.2" : "10.0", seed, trackings[i],
                              "running", "18M", FREE(", \"until\": \"30ms\""), "");
            simulated_expect_fine(&s);
            g_assert_cmpuint(mig_source_hinted(s.m->source), ==, 4096);
            g_assert_cmpuint(s.m->difference.left_out, <, 4096);
            g_assert_cmpuint(s.m->difference.left_out, >=, 3072);
        }
    }
}

/*
 * Hints about a chunk of the log that waits to be cleared. Its pages were written before the sync,
 * and again between the hint and the first page of the chunk: that write must be seen.
 */
static void test_uncleared_chunk(void)
{
    g_auto(Simulated) s = simulated_run(
        NULL,
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"10.0\", \"guest\": {\"dirty-tracking\": "
        "\"kvm-manual-clear\", \"ram\": [{\"name\": \"ram\", \"size\": \"1025M\", \"content\": "
        "[{\"length\": \"8M\", \"kind\": \"random\"}]}], \"workload\": [{\"length\": \"8M\", "
        "\"rate\": 20000, \"write\": \"page\"}], \"free-pages\": [{\"offset\": \"1G\", \"length\": "
        "\"512k\", \"from\": \"100ms\", \"until\": \"300ms\"}]}, \"parameters\": "
        "{\"max-bandwidth\": 40000000, \"downtime-limit\": 50}, \"events\": [{\"at\": \"100ms\", "
        "\"do\": \"x-write\", \"arguments\": {\"block\": \"ram\", \"first-page\": 262144, "
        "\"pages\": 256, \"byte\": 1}}, {\"after-pass\": 1, \"do\": \"x-write\", \"arguments\": "
        "{\"block\": \"ram\", \"first-page\": 262144, \"pages\": 256, \"byte\": 2}}, {\"at\": "
        "\"2s\", \"do\": \"migrate-set-parameters\", \"arguments\": {\"downtime-limit\": 1000}}], "
        "\"x-poll\": \"60ms\", \"limit\": \"20s\"}");
    simulated_expect_fine(&s);
    g_assert_cmpuint(mig_source_hinted(s.m->source), ==, 128);
    g_assert_cmpuint(s.m->difference.left_out, ==, 0);
}

/* Only what is free when the balloon is asked: here never, or only while nobody asks. */
static void test_not_free(void)
{
    static const char *const when[] = { FREE(", \"from\": \"19s\""), FREE(", \"until\": \"1us\""),
                                        ", \"free-pages\": []" };
    for (size_t i = 0; i < G_N_ELEMENTS(when); i++) {
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, "10.0", 1, "tcg", "running", "0", when[i], "");
        simulated_expect_fine(&s);
        g_assert_cmpuint(mig_source_hinted(s.m->source), ==, 0);
        g_assert_cmpuint(s.m->difference.left_out, ==, 0);
    }
}

/* A guest that stands still has no driver, and with postcopy nobody asks. */
static void test_not_asked(void)
{
    g_auto(Simulated) still =
        simulated_run(NULL, SCENARIO, "10.0", 1, "tcg", "paused", "0", FREE(""), "");
    g_auto(Simulated) postcopy = simulated_run(NULL, SCENARIO, "10.0", 1, "tcg", "running", "0",
                                               FREE(""), "\"postcopy-ram\": true");
    simulated_expect_fine(&still);
    simulated_expect_fine(&postcopy);
    g_assert_cmpuint(mig_source_hinted(still.m->source), ==, 0);
    g_assert_cmpuint(mig_source_hinted(postcopy.m->source), ==, 0);
}

/* With everything that sends pages in another way. */
static void test_other_ways(void)
{
    static const char *const caps[] = { "\"xbzrle\": true", "\"multifd\": true",
                                        "\"return-path\": true, \"auto-converge\": true" };
    for (size_t i = 0; i < G_N_ELEMENTS(caps); i++) {
        g_auto(Simulated) s = simulated_run(NULL, SCENARIO, "7.2", 1, "kvm-manual-clear", "running",
                                            "18M", FREE(""), caps[i]);
        simulated_expect_fine(&s);
        g_assert_cmpuint(mig_source_hinted(s.m->source), >=, 4096);
    }
}

static void test_deterministic(void)
{
    MigSimulateOptions options[] = { { .max_run = 64 }, { .max_run = 1 }, { .accounting = true } };
    g_autofree char *digest = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        g_auto(Simulated) s = simulated_run(&options[i], SCENARIO, "10.0", 3, "kvm-manual-clear",
                                            "running", "18M", FREE(", \"until\": \"200ms\""), "");
        digest = digest ? digest : g_strdup(s.m->events_digest);
        g_assert_cmpstr(digest, ==, s.m->events_digest);
    }
}

static void test_refused(void)
{
    g_autofree char *why = simulated_refusal(SCENARIO, "10.0", 1, "tcg", "running", "0",
                                             ", \"free-pages\": [{\"block\": \"rom\"}]", "");
    g_assert_nonnull(strstr(why, "guest.free-pages[0]"));
    g_autofree char *beyond =
        simulated_refusal(SCENARIO, "10.0", 1, "tcg", "running", "0",
                          ", \"free-pages\": [{\"offset\": \"30M\", \"length\": \"4M\"}]", "");
    g_assert_nonnull(strstr(beyond, "not inside block"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/free-pages/left-out", test_left_out);
    g_test_add_func("/free-pages/written-again", test_written_again);
    g_test_add_func("/free-pages/uncleared-chunk", test_uncleared_chunk);
    g_test_add_func("/free-pages/not-free", test_not_free);
    g_test_add_func("/free-pages/not-asked", test_not_asked);
    g_test_add_func("/free-pages/other-ways", test_other_ways);
    g_test_add_func("/free-pages/deterministic", test_deterministic);
    g_test_add_func("/free-pages/refused", test_refused);
    return g_test_run();
}
