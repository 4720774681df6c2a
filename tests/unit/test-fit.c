/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitting: guests are simulated and recorded, fitted scenarios are made of the recordings alone,
 * and what those predict for other bandwidths is compared with what the guests do there.
 */
#include <glib.h>
#include <glib/gstdio.h>

#include "sim/fit/fit.h"
#include "sim/fit/passes.h"
#include "sim/fit/regions.h"
#include "sim/world/capture-writer.h"
#include "tests/unit/simulated.h"

#define GUEST                                                                                    \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"10.0\", \"guest\": {\"dirty-tracking\": " \
    "\"kvm-manual-clear\", \"ram\": [{\"name\": \"ram\", \"size\": \"128M\", \"content\": "      \
    "[{\"offset\": "                                                                             \
    "\"4M\", \"length\": \"90M\", \"kind\": \"random\"}]}], \"workload\": [%s]}, \"link\": "     \
    "{\"bandwidth\": "                                                                           \
    "\"40Gbit/s\", \"latency\": \"20us\", \"framing\": \"none\"}, \"parameters\": "              \
    "{\"max-bandwidth\": "                                                                       \
    "%u, \"downtime-limit\": 100}, \"limit\": \"60s\"}"

typedef struct Case {
    const char *name, *workload;
    unsigned bandwidth; /* B/s that it is recorded at */
    unsigned regions;
    MigPattern pattern; /* of the largest */
    double rate;        /* of it */
} Case;

static const Case cases[] = {
    { "random",
      "{\"offset\": \"32M\", \"length\": \"16M\", \"pattern\": \"random\", \"rate\": 4000, "
      "\"write\": \"counter\"}",
      32000000, 1, MIG_PATTERN_RANDOM, 4000 },
    { "sequential",
      "{\"offset\": \"32M\", \"length\": \"32M\", \"pattern\": \"sequential\", \"rate\": 3500, "
      "\"write\": \"page\"}",
      32000000, 1, MIG_PATTERN_SEQUENTIAL, 3500 },
    { "two",
      "{\"offset\": \"16M\", \"length\": \"4M\", \"pattern\": \"random\", \"rate\": 2000},"
      "{\"offset\": \"48M\", \"length\": \"32M\", \"pattern\": \"random\", \"rate\": 1500}",
      32000000, 2, MIG_PATTERN_RANDOM, 1500 },
};

static bool put_chunk(void *opaque, uint32_t channel, int64_t at, const void *data, size_t n,
                      GError **error)
{
    return mig_capture_write_chunk(opaque, channel, (uint64_t)at + 1, data, n);
}

/* A recording of |c|, read. */
static MigSends *record(const Case *c)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("fit-XXXXXX", &path, &error);
    FILE *file = fdopen(fd, "wb");
    g_assert_true(mig_capture_write_head(file) && mig_capture_write_channel(file, "main"));
    const MigSimulateOptions options = { .record = put_chunk, .opaque = file };
    g_auto(Simulated) s = simulated_run(&options, GUEST, c->workload, c->bandwidth);
    simulated_expect_fine(&s);
    fclose(file);
    g_autoptr(MigRecording) recording = mig_recording_open(path, &error);
    g_assert_no_error(error);
    MigSends *sends = mig_sends_read(recording, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(s.stats.ram.normal + s.stats.ram.duplicate, ==, sends->sends->len);
    g_unlink(path);
    return sends;
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
    g_assert_cmpuint(f->regions->len, ==, c->regions);
    g_assert_cmpint(largest->pattern, ==, c->pattern);
    g_assert_cmpfloat_with_epsilon(largest->rate * f->scale, c->rate, c->rate * 0.1);
}

/* Within 5 % of the guest itself, at half and at double the bandwidth. */
static void test_predicts(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(MigSends) sends = record(c);
    g_autoptr(MigFit) f = fit(sends);
    for (unsigned bandwidth = c->bandwidth / 2; bandwidth <= c->bandwidth * 2; bandwidth *= 4) {
        g_auto(Simulated) s = simulated_run(NULL, GUEST, c->workload, bandwidth);
        int64_t truth = s.m->outcome ? 0 : s.stats.total_time;
        int64_t said = time_of(f->scenario, bandwidth);
        g_test_message("%u B/s: %" G_GINT64_FORMAT " ms, predicted %" G_GINT64_FORMAT, bandwidth,
                       truth, said);
        g_assert_cmpint(ABS(said - truth), <=, truth / 20);
    }
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
    return g_test_run();
}
