/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy whose line breaks: once to three times in each of many seeds, in all versions that can
 * recover, with and without the preempt channel, with small and large host pages, on slow and fast
 * links. MIGBENCH_SEEDS says how many (10000 is the promise; the default keeps CI short).
 *
 * At the end either everything is at the destination and equal, or the guest never ran there. What
 * may end how stands in `Ending`.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "sim/engine/source-postcopy.h"
#include "sim/world/prng.h"
#include "tests/unit/counts.h"
#include "tests/unit/simulated.h"

#define SEEDS 300

typedef enum Ending {
    PRECOPY,   /* the line broke, or all was over, before the package: the guest is ours */
    COMPLETED, /* both, equal */
    LAST_WORD, /* the destination is complete and equal; its SHUT was lost with the line */
    NOWHERE,   /* it broke between package and RUN: neither side runs the guest, as in QEMU */
    BOTH,      /* postcopy-device: PING 0x42's answer was lost, both run it, as in QEMU */
    ENDINGS,
} Ending;

static const char *const endings[] = { "precopy", "completed", "last word lost", "nowhere",
                                       "both" };

typedef struct Random {
    uint64_t key, n;
} Random;

static unsigned below(Random *r, unsigned bound)
{
    return (unsigned)(mig_prng_at(r->key, r->n++) % bound);
}

/* Postcopy begins; then cuts and the way back: each pair has its turn of 150 ms. */
static char *plan(Random *r, unsigned cuts)
{
    static const unsigned starts[] = { 1, 30, 90, 180 }; /* ms */
    unsigned base = starts[below(r, G_N_ELEMENTS(starts))];
    GString *text = g_string_new(NULL);
    g_string_printf(text, "{ \"at\": \"%ums\", \"do\": \"migrate-start-postcopy\" }", base);
    for (unsigned i = 0; i < cuts; i++) {
        unsigned at = base * 1000 + i * 150000 + below(r, 130000);
        g_string_append_printf(text, ", { \"at\": \"%uus\", \"do\": \"%s\" }", at,
                               below(r, 5) ? "x-cut-link" : "migrate-pause");
        g_string_append_printf(text,
                               ", { \"at\": \"%ums\", \"when\": \"status postcopy-paused\", "
                               "\"do\": \"migrate-recover\", "
                               "\"arguments\": { \"x-link-back\": \"%uus\" } }",
                               base + i * 150 + 140, below(r, 9000));
    }
    /* Where a cut came while the line was down. */
    g_string_append(text, ", { \"at\": \"2s\", \"when\": \"status postcopy-paused\", "
                          "\"do\": \"migrate-recover\" }");
    return g_string_free(text, FALSE);
}

static Simulated run_seed(unsigned seed, char **what)
{
    static const char *const versions[] = { "4.2",  "5.2",  "7.2",  "8.2", "9.2",
                                            "10.0", "10.2", "11.1", "3.0" };
    static const char *const links[] = { "200Mbit/s", "1Gbit/s", "10Gbit/s" };
    static const char *const hosts[] = { "4k", "4k", "64k", "2M" };
    static const char *const patterns[] = { "random", "sequential" };
    Random r = { .key = mig_prng_key(seed, "cuts", 0) };
    const char *version = versions[below(&r, G_N_ELEMENTS(versions))];
    bool preempt = below(&r, 2) && (strchr("789", version[0]) || version[1] != '.');
    const char *link = links[below(&r, 3)], *host = hosts[below(&r, 4)];
    const char *pattern = patterns[below(&r, 2)];
    unsigned limit = below(&r, 4) ? 5 + below(&r, 30) : 0;
    g_autofree char *events = plan(&r, 1 + below(&r, 3));
    *what = g_strdup_printf("seed %u, QEMU %s%s, %s, %s pages, %s, %u MB/s", seed, version,
                            preempt ? " with preempt" : "", link, host, pattern, limit);
    return simulated_run(
        NULL,
        "{ \"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": %u,"
        " \"guest\": { \"machine\": \"none\", \"device-state\": \"20k\","
        "  \"ram\": [ { \"name\": \"ram\", \"size\": \"4M\", \"page-size\": \"%s\","
        "   \"content\": [ { \"offset\": \"0\", \"length\": \"3M\", \"kind\": \"random\" } ] },"
        "   { \"name\": \"second\", \"size\": \"256k\" } ],"
        "  \"workload\": [ { \"block\": \"ram\", \"offset\": \"0\", \"length\": \"4M\","
        "   \"pattern\": \"%s\", \"rate\": 20000, \"pace\": \"cpu\" },"
        "   { \"block\": \"second\", \"offset\": \"0\", \"length\": \"64k\","
        "   \"pattern\": \"random\", \"rate\": 2000, \"pace\": \"cpu\" } ] },"
        " \"link\": { \"bandwidth\": \"%s\", \"latency\": \"%uus\" },"
        " \"capabilities\": { \"postcopy-ram\": true%s },"
        " \"parameters\": { \"max-bandwidth\": 16000000, \"downtime-limit\": 1,"
        "  \"max-postcopy-bandwidth\": %u },"
        " \"events\": [ %s ], \"x-poll\": \"5ms\", \"limit\": \"5s\" }",
        version, seed, host, pattern, link, below(&r, 500),
        preempt ? ", \"postcopy-preempt\": true" : "", limit * 1000000, events);
}

static bool equal(const MigSimulation *m)
{
    MigMemoryDifference difference;
    return mig_memory_equal(mig_guest_memory(m->guest), mig_buffer_memory(m->memory), &difference);
}

/* ENDINGS: none of those that may be. */
static Ending ending_of(const Simulated *s)
{
    const MigSimulation *m = s->m;
    bool there = mig_dest_state(m->dest) == MIG_DEST_COMPLETED;
    bool completed = strcmp(s->stats.status, "completed") == 0;
    bool here = mig_guest_running(m->guest);
    if (!mig_source_in_postcopy(m->source) && !m->incoming.ran) {
        return completed || here ? PRECOPY : ENDINGS;
    }
    if (completed) {
        return there && !here && equal(m) ? COMPLETED : ENDINGS;
    }
    if (there) {
        return !here && equal(m) ? LAST_WORD : ENDINGS;
    }
    if (here) {
        return m->incoming.ran ? BOTH : ENDINGS;
    }
    return m->incoming.ran ? ENDINGS : NOWHERE;
}

static unsigned seeds(void)
{
    return (unsigned)mig_test_count("MIGBENCH_SEEDS", SEEDS);
}

static void test_cuts(void)
{
    unsigned seen[ENDINGS] = { 0 }, pauses = 0;
    uint64_t requests = 0, resent = 0;
    for (unsigned seed = 1; seed <= seeds(); seed++) {
        g_autofree char *what = NULL;
        g_auto(Simulated) s = run_seed(seed, &what);
        const MigPostcopyCounts *counts = mig_source_postcopy(s.m->source);
        Ending ending = ending_of(&s);
        if (ending == ENDINGS) {
            g_test_message("%s: source %s (%s), destination %s (%s), missing %d", what,
                           s.stats.status, s.stats.error_desc, mig_dest_status(s.m->dest),
                           s.m->dest_error, (int)mig_dest_missing(s.m->dest));
        }
        g_assert_cmpint(ending, !=, ENDINGS);
        seen[ending]++;
        pauses += (unsigned)counts->pauses;
        requests += counts->requests;
        resent += counts->resent;
    }
    for (unsigned i = 0; i < ENDINGS; i++) {
        g_test_message("%s: %u", endings[i], seen[i]);
    }
    g_test_message("pauses: %u; requests: %u; pages sent again: %u", pauses, (unsigned)requests,
                   (unsigned)resent);
    g_assert_cmpuint(seen[COMPLETED], >, seeds() / 2);
    g_assert_cmpuint(pauses, >, seeds() / 3);
    g_assert_cmpuint(resent, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/postcopy/cuts", test_cuts);
    return g_test_run();
}
