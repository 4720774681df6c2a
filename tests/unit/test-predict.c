/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predicting: writers fitted to what calc-dirty-rate would say of known ones dirty as those do, and
 * facts give the scenario that they describe.
 */
#include <glib.h>
#include <math.h>

#include "sim/predict/curve.h"
#include "sim/predict/facts.h"
#include "sim/predict/predict.h"
#include "sim/scenario/scenario.h"

#define MIB (1 << 20)

typedef struct Case {
    const char *name;
    MigCurveWriter writers[2];
} Case;

static const Case cases[] = {
    { "random", { { MIG_PATTERN_RANDOM, 6144, 6000 } } },
    { "hot-cold", { { MIG_PATTERN_RANDOM, 2000, 8000 }, { MIG_PATTERN_RANDOM, 20000, 2000 } } },
    { "sequential", { { MIG_PATTERN_SEQUENTIAL, 8192, 5000 } } },
};

static double truth(const Case *c, double time)
{
    GArray *writers = g_array_new(FALSE, FALSE, sizeof(MigCurveWriter));
    for (guint i = 0; i < 2 && c->writers[i].pages > 0; i++) {
        g_array_append_val(writers, c->writers[i]);
    }
    double pages = mig_curve_at(writers, time);
    g_array_unref(writers);
    return pages;
}

/* As QEMU answers: whole MiB per second. */
static json_object *facts_of(const Case *c)
{
    static const int periods[] = {
        150, 250, 350, 500, 700, 900, 1100, 1400, 1700, 2000, 2500, 3000
    };
    json_object *facts = json_object_new_object(), *rates = json_object_new_array();
    for (guint i = 0; i < G_N_ELEMENTS(periods); i++) {
        json_object *o = json_object_new_object();
        double mib = truth(c, periods[i] / 1000.0) * 4096 / MIB;
        json_object_object_add(o, "status", json_object_new_string("measured"));
        json_object_object_add(o, "calc-time", json_object_new_int(periods[i]));
        json_object_object_add(o, "calc-time-unit", json_object_new_string("millisecond"));
        json_object_object_add(o, "mode", json_object_new_string("dirty-bitmap"));
        json_object_object_add(o, "dirty-rate",
                               json_object_new_int((int)(mib * 1000 / periods[i])));
        json_object_array_add(rates, o);
    }
    json_object_object_add(facts, "qemu", json_object_new_string("10.0"));
    json_object_object_add(facts, "ram", json_object_new_int64(256 * MIB));
    json_object_object_add(facts, "filled", json_object_new_int64(96 * MIB));
    json_object_object_add(facts, "dirty-rates", rates);
    return facts;
}

static void test_curve(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(GError) error = NULL;
    json_object *facts = facts_of(c);
    g_autoptr(GArray) points = mig_facts_points(facts, &error);
    g_assert_no_error(error);
    g_autoptr(GArray) writers = mig_curve_fit(points);
    for (double time = 0.15; time < 3; time *= 1.3) {
        double want = truth(c, time), got = mig_curve_at(writers, time);
        g_test_message("%.2f s: %.0f pages, fitted %.0f", time, want, got);
        g_assert_cmpfloat_with_epsilon(got, want, want * 0.06);
    }
    json_object_put(facts);
}

static void test_predicts(void)
{
    g_autoptr(GError) error = NULL;
    json_object *facts = facts_of(&cases[0]);
    g_autoptr(GArray) points = mig_facts_points(facts, &error);
    g_autoptr(GArray) writers = mig_curve_fit(points);
    json_object *scenario = mig_facts_scenario(facts, writers, &error);
    g_assert_no_error(error);
    g_autoptr(GArray) bandwidths = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_autoptr(GArray) downtimes = g_array_new(FALSE, FALSE, sizeof(int64_t));
    uint64_t slow = 16 * MIB, fast = 64 * MIB;
    int64_t limit = 100;
    g_array_append_val(bandwidths, slow);
    g_array_append_val(bandwidths, fast);
    g_array_append_val(downtimes, limit);
    const MigPredictGrid grid = { bandwidths, downtimes, "30s" };
    g_autoptr(GArray) rows = mig_predict(scenario, &grid, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(rows->len, ==, 2);
    g_assert_false(g_array_index(rows, MigPrediction, 0).completes);
    const MigPrediction *p = &g_array_index(rows, MigPrediction, 1);
    g_assert_true(p->completes);
    /* 96 MiB take 1.5 s at that rate, and the guest dirties some of them meanwhile. */
    g_assert_cmpint(p->total_time, >, 1500);
    g_assert_cmpint(p->total_time, <, 2500);
    json_object_put(scenario);
    json_object_put(facts);
}

static void test_lacks(void)
{
    g_autoptr(GError) error = NULL;
    json_object *facts = json_object_new_object();
    g_assert_null(mig_facts_points(facts, &error));
    g_assert_error(error, MIG_FACTS_ERROR, 0);
    g_clear_error(&error);
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(MigCurveWriter));
    g_assert_null(mig_facts_scenario(facts, none, &error));
    g_assert_error(error, MIG_FACTS_ERROR, 0);
    json_object_put(facts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = g_strdup_printf("/predict/curve/%s", cases[i].name);
        g_test_add_data_func(name, &cases[i], test_curve);
    }
    g_test_add_func("/predict/converges-or-not", test_predicts);
    g_test_add_func("/predict/facts-missing", test_lacks);
    return g_test_run();
}
