/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitting: guests are simulated and recorded, fitted scenarios are made of the recordings alone,
 * and what those predict for other bandwidths is compared with what the guests do there.
 */
#include <glib.h>

#include "sim/fit/fit.h"
#include "sim/fit/host.h"
#include "sim/fit/passes.h"
#include "sim/fit/regions.h"
#include "tests/unit/recorded.h"
#include "tests/unit/simulated.h"

/* Costs of the host, workloads, bandwidth. */
#define GUEST                                                                                \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"10.0\", \"host\": {%s}, \"guest\": {" \
    "\"dirty-tracking\": \"kvm-manual-clear\", \"ram\": [{\"name\": \"ram\","                \
    "\"size\": \"128M\", \"content\": [{\"offset\": \"4M\", \"length\": \"90M\","            \
    "\"kind\": \"random\"}]}], \"workload\": [%s]}, \"link\": {\"bandwidth\": \"40Gbit/s\"," \
    "\"latency\": \"20us\", \"framing\": \"none\"}, \"parameters\": {\"max-bandwidth\": %u," \
    "\"downtime-limit\": 100}, \"limit\": \"60s\"}"

/* Zero pages of a memfd that nobody touched, and late timers. */
#define SLOW "\"zero_page\": 9300000, \"normal_page\": 4000000, \"wake\": 700000"

typedef struct Case {
    const char *name, *host, *workload;
    unsigned bandwidth; /* B/s that it is recorded at */
    unsigned regions;
    MigPattern pattern; /* of the largest */
    double rate;        /* of it */
} Case;

static const Case cases[] = {
    { "random", "",
      "{\"offset\": \"32M\", \"length\": \"16M\", \"pattern\": \"random\", \"rate\": 4000, "
      "\"write\": \"counter\"}",
      32000000, 1, MIG_PATTERN_RANDOM, 4000 },
    { "sequential", "",
      "{\"offset\": \"32M\", \"length\": \"32M\", \"pattern\": \"sequential\", \"rate\": 3500, "
      "\"write\": \"page\"}",
      32000000, 1, MIG_PATTERN_SEQUENTIAL, 3500 },
    { "two", "",
      "{\"offset\": \"16M\", \"length\": \"4M\", \"pattern\": \"random\", \"rate\": 2000},"
      "{\"offset\": \"48M\", \"length\": \"32M\", \"pattern\": \"random\", \"rate\": 1500}",
      32000000, 2, MIG_PATTERN_RANDOM, 1500 },
    { "hot-cold", "",
      "{\"offset\": \"32M\", \"length\": \"32M\", \"pattern\": \"hot-cold\", \"rate\": 5000, "
      "\"hot\": {\"share\": 80, \"size\": 25}}",
      32000000, 2, MIG_PATTERN_RANDOM, 750 },
    { "slow-host", SLOW,
      "{\"offset\": \"32M\", \"length\": \"16M\", \"pattern\": \"random\", \"rate\": 4000, "
      "\"write\": \"counter\"}",
      32000000, 1, MIG_PATTERN_RANDOM, 4000 },
};

/* The scenario of |c| at |bandwidth|; to be freed. */
static char *guest_of(const Case *c, unsigned bandwidth)
{
    return g_strdup_printf(GUEST, c->host, c->workload, bandwidth);
}

/* A recording of |c|, read. */
static MigSends *record(const Case *c)
{
    g_autofree char *text = guest_of(c, c->bandwidth);
    return recorded_sends(text);
}

/* ms; 0: it didn't end. */
static int64_t time_of(json_object *fitted, unsigned bandwidth)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *set = g_strdup_printf("parameters.max-bandwidth=%u", bandwidth);
    g_assert_true(mig_scenario_set(fitted, set, &error));
    g_assert_true(mig_scenario_set(fitted, "limit=60s", &error));
    g_autoptr(MigScenario) s = mig_scenario_read(fitted, "fitted", ".", &error);
    g_assert_no_error(error);
    const MigSimulateOptions options = { .accounting = true };
    g_autoptr(MigSimulation) m = mig_simulate(s, &options, &error);
    MigStats stats;
    mig_source_query(m->source, m->now, &stats);
    return m->outcome ? 0 : stats.total_time;
}

static MigFit *fit(const MigSends *sends)
{
    static const char *const recorded[] = { "parameters.downtime-limit=100", NULL };
    g_autoptr(GError) error = NULL;
    MigFit *f = mig_fit(sends, recorded, &error);
    g_assert_no_error(error);
    g_autoptr(GString) text = g_string_new(NULL);
    mig_fit_to_text(f, sends, text);
    g_test_message("%s", text->str);
    return f;
}

static void test_finds(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(MigSends) sends = record(c);
    g_autoptr(MigFit) f = fit(sends);
    const MigFitRegion *largest = &g_array_index(f->regions, MigFitRegion, 0);
    for (guint i = 1; i < f->regions->len; i++) {
        const MigFitRegion *r = &g_array_index(f->regions, MigFitRegion, i);
        largest = r->pages > largest->pages ? r : largest;
    }
    double limit = (double)mig_fit_max_bandwidth(sends);
    g_assert_cmpfloat_with_epsilon(limit, c->bandwidth, c->bandwidth * 0.025);
    g_assert_cmpuint(f->regions->len, ==, c->regions);
    g_assert_cmpint(largest->pattern, ==, c->pattern);
    g_assert_cmpfloat_with_epsilon(largest->rate * f->scale, c->rate, c->rate * 0.1);
}

/* Within 5 % of the guest itself, at half and at double the bandwidth. */
static void test_predicts(gconstpointer data)
{
    const Case *c = data;
    const MigSimulateOptions options = { .accounting = true };
    g_autoptr(MigSends) sends = record(c);
    g_autoptr(MigFit) f = fit(sends);
    for (unsigned bandwidth = c->bandwidth / 2; bandwidth <= c->bandwidth * 2; bandwidth *= 4) {
        g_autofree char *text = guest_of(c, bandwidth);
        g_auto(Simulated) s = simulated_run(&options, "%s", text);
        int64_t truth = s.m->outcome ? 0 : s.stats.total_time;
        int64_t said = time_of(f->scenario, bandwidth);
        g_test_message("%u B/s: %" G_GINT64_FORMAT " ms, predicted %" G_GINT64_FORMAT, bandwidth,
                       truth, said);
        g_assert_cmpint(ABS(said - truth), <=, truth / 20);
    }
}

static double cost_of(const MigFit *f, const char *name)
{
    for (guint i = 0; i < f->costs->len; i++) {
        const MigFitCost *cost = &g_array_index(f->costs, MigFitCost, i);
        if (g_str_equal(cost->name, name)) {
            return cost->ns;
        }
    }
    g_error("no %s was found", name);
}

/* What the recorded host was told to cost comes back out of the times. */
static void test_host(void)
{
    const Case *c = &cases[G_N_ELEMENTS(cases) - 1];
    g_autoptr(MigSends) sends = record(c);
    g_autoptr(MigFit) f = fit(sends);
    g_assert_cmpfloat_with_epsilon(cost_of(f, "zero_page"), 9300, 300);
    g_assert_cmpfloat_with_epsilon(cost_of(f, "normal_page"), 4000, 300);
    g_assert_cmpfloat_with_epsilon(cost_of(f, "wake"), 700000, 150000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *finds = g_strdup_printf("/fit/finds/%s", cases[i].name);
        g_autofree char *predicts = g_strdup_printf("/fit/predicts/%s", cases[i].name);
        g_test_add_data_func(finds, &cases[i], test_finds);
        g_test_add_data_func(predicts, &cases[i], test_predicts);
    }
    g_test_add_func("/fit/host", test_host);
    return g_test_run();
}
