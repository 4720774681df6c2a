/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Auto-converge: when each version strikes, by how much it throttles, and runs that were measured
 * on real QEMUs.
 */
#include "tests/unit/simulated.h"

/* A set that is written faster than it can be sent. */
#define SCENARIO                                                                                \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"ram\": [{\"name\": " \
    "\"ram\", \"size\": \"%s\", \"content\": [{\"offset\": 0, \"length\": \"%s\", \"kind\": "   \
    "\"random\"}]}], \"workload\": [{\"block\": \"ram\", \"offset\": 0, \"length\": \"%s\", "   \
    "\"pattern\": \"sequential\", \"rate\": %u, \"pace\": \"%s\", \"write-cost\": \"%s\", "     \
    "\"write\": \"counter\"}]}, \"link\": {\"bandwidth\": \"40Gbit/s\"}, "                      \
    "\"capabilities\": {\"auto-converge\": true}, \"parameters\": {\"max-bandwidth\": 50000000" \
    "%s}, \"limit\": \"200s\"}"

static Simulated small(const char *qemu, const char *parameters)
{
    static const MigSimulateOptions accounting = { .accounting = true };
    return simulated_run(&accounting, SCENARIO, qemu, "128M", "96M", "96M", 25000, "cpu", "1us",
                         parameters);
}

/* The pass (from 1) whose sync first set a throttle, or raised it to |percent|. */
static size_t pass_of(const Simulated *s, unsigned percent)
{
    size_t count;
    const MigPass *passes = mig_source_passes(s->m->source, &count);
    for (size_t i = 0; i < count; i++) {
        if (passes[i].throttle >= percent) {
            return i + 1;
        }
    }
    return 0;
}

/* Periods end at syncs 2, 3, ...: the second strike falls at sync 3, the third at 4 (and 2.5 has no
 * rate to go by in the first period: at 5), the sixth at 7. */
static void test_strikes(void)
{
    static const struct {
        const char *qemu;
        size_t pass;
        unsigned initial;
    } rows[] = {
        { "2.0", 7, 75 }, { "2.5", 5, 20 },  { "4.2", 3, 20 },  { "5.2", 3, 20 },
        { "7.2", 3, 20 }, { "10.0", 3, 20 }, { "11.1", 3, 20 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s = small(rows[i].qemu, ",\"downtime-limit\":100");
        size_t count;
        const MigPass *passes = mig_source_passes(s.m->source, &count);
        g_test_message("%s: throttled at pass %d", rows[i].qemu, (int)pass_of(&s, 1));
        g_assert_cmpuint(pass_of(&s, 1), ==, rows[i].pass);
        g_assert_cmpuint(passes[rows[i].pass - 1].throttle, ==, rows[i].initial);
        g_assert_false(s.stats.has_cpu_throttle); /* it has ended */
        g_assert_cmpint(s.m->guest_stats.stalled, >, 0);
    }
    g_auto(Simulated) none =
        simulated_run(NULL, "{\"schema\":\"migbench-scenario-1\",\"guest\":{\"ram\":"
                            "[{\"name\":\"ram\",\"size\":\"1M\"}]},\"capabilities\":"
                            "{\"auto-converge\":true}}");
    g_assert_cmpuint(pass_of(&none, 1), ==, 0);
}

static void test_steps(void)
{
    static const struct {
        const char *parameters;
        unsigned steps[4]; /* percentages in the order of their coming */
    } rows[] = {
        { "", { 20, 30, 40, 50 } },
        { ",\"cpu-throttle-initial\":35,\"cpu-throttle-increment\":25", { 35, 60, 85 } },
        { ",\"cpu-throttle-initial\":40,\"max-cpu-throttle\":45", { 40, 45 } },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s = small("7.2", rows[i].parameters);
        unsigned found = 0, last = 0;
        size_t count;
        const MigPass *passes = mig_source_passes(s.m->source, &count);
        for (size_t k = 0; k + 1 < count; k++) {
            g_assert_cmpuint(passes[k].throttle, >=, last); /* never falls */
            if (passes[k].throttle != last && found < 4 && rows[i].steps[found]) {
                g_assert_cmpuint(passes[k].throttle, ==, rows[i].steps[found]);
                found++;
            }
            last = passes[k].throttle;
        }
        g_assert_cmpuint(found, >=, 2);
    }
}

/* A step is never larger than the increment, and smaller when that is enough. */
static void test_tailslow(void)
{
    g_auto(Simulated) plain = small("7.2", ",\"cpu-throttle-increment\":40");
    g_auto(Simulated) slow =
        small("7.2", ",\"cpu-throttle-increment\":40,\"cpu-throttle-tailslow\":true");
    unsigned last = 0;
    size_t count;
    bool smaller = false;
    const MigPass *passes = mig_source_passes(slow.m->source, &count);
    for (size_t k = 0; k < count; k++) {
        unsigned step = passes[k].throttle > last ? passes[k].throttle - last : 0;
        smaller |= last > 0 && step > 0 && step < 40;
        g_assert_cmpuint(step, <=, 40);
        last = passes[k].throttle;
    }
    g_assert_true(smaller);
    g_assert_cmpuint(pass_of(&plain, 60), >, 0);
}

/* Since 10.0 a sync comes at most 5 s (and a window) after the last, the first round apart. */
static void test_forced_sync(void)
{
    for (unsigned i = 0; i < 2; i++) {
        static const MigSimulateOptions accounting = { .accounting = true };
        g_auto(Simulated) s =
            simulated_run(&accounting, SCENARIO, i ? "10.0" : "7.2", "768M", "768M", "760M", 25000,
                          "clock", "100ns", ",\"downtime-limit\":2000");
        size_t count;
        int64_t longest = 0;
        const MigPass *passes = mig_source_passes(s.m->source, &count);
        for (size_t k = 2; k < count; k++) {
            longest = MAX(longest, passes[k].at - passes[k - 1].at);
        }
        g_test_message("longest time between syncs: %d ms", (int)(longest / 1000000));
        if (i) {
            g_assert_cmpint(longest, <=, 10100000000); /* two ticks: it fires at the second */
        } else {
            g_assert_cmpint(longest, >, 10100000000);
        }
    }
}

/*
 * A 1 GiB guest that writes 256 MiB over and over at 100 MiB/s, max-bandwidth 50 MB/s, as measured
 * on real QEMUs. Tolerance: 2.5 % of the time, one sync more or less.
 */
static void test_measured(void)
{
    static const struct {
        const char *qemu;
        int64_t total; /* ms */
        int64_t syncs;
        int64_t step; /* ms: when the throttle was first raised, to 20 %; 0: not measured */
    } rows[] = {
        { "5.2", 68700, 21, 0 },
        { "10.0", 66470, 20, 10310 },
        { "11.1", 66470, 19, 0 },
    };
    static const MigSimulateOptions accounting = { .accounting = true };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s = simulated_run(&accounting, SCENARIO, rows[i].qemu, "1G", "256M",
                                            "256M", 25600, "cpu", "1us", "");
        size_t count;
        const MigPass *passes = mig_source_passes(s.m->source, &count);
        int64_t step = passes[pass_of(&s, 20) - 1].at / 1000000;
        g_test_message("%s: %d ms (measured %d), %d syncs (%d), throttled at %d ms", rows[i].qemu,
                       (int)s.stats.total_time, (int)rows[i].total,
                       (int)s.stats.ram.dirty_sync_count, (int)rows[i].syncs, (int)step);
        g_assert_cmpstr(s.stats.status, ==, "completed");
        g_assert_cmpint(ABS(s.stats.total_time - rows[i].total) * 1000, <=, rows[i].total * 25);
        g_assert_cmpint(ABS((int64_t)s.stats.ram.dirty_sync_count - rows[i].syncs), <=, 1);
        g_assert_true(!rows[i].step || ABS(step - rows[i].step) * 100 <= rows[i].step);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/source/converge/strikes", test_strikes);
    g_test_add_func("/source/converge/steps", test_steps);
    g_test_add_func("/source/converge/tailslow", test_tailslow);
    g_test_add_func("/source/converge/forced-sync", test_forced_sync);
    g_test_add_func("/source/converge/measured", test_measured);
    return g_test_run();
}
