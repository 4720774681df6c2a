/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration: what becomes of measurements, and that a scenario takes the profile. */
#include <glib.h>
#include <json-c/json.h>
#include <string.h>

#include "sim/calibrate/calibrate.h"
#include "sim/scenario/scenario.h"

static void test_median_and_noise(void)
{
    MigCalibration c = mig_calibration_new();
    gint64 values[] = { 1100, 900, 1000, 50000, 1000 }; /* one round was disturbed */
    mig_calibration_put(&c, "setup", values, G_N_ELEMENTS(values));
    g_assert_cmpint(c.costs.setup, ==, 1000);
    g_assert_cmpint(c.noise.setup, ==, 148); /* 1.483 times 100, of 1000 */
}

static void test_single_value(void)
{
    MigCalibration c = mig_calibration_new();
    gint64 one[] = { 7 }, threads[] = { 4, 4, 4 };
    gint64 noise = c.noise.wake;
    mig_calibration_put(&c, "wake", one, 1);
    mig_calibration_put(&c, "multifd_threads", threads, 3);
    g_assert_cmpint(c.costs.wake, ==, 7);
    g_assert_cmpint(c.noise.wake, ==, noise); /* nothing is known of it */
    g_assert_cmpint(c.costs.multifd_threads, ==, 4);
    g_assert_cmpint(c.noise.multifd_threads, ==, 0);
}

/* Every measure works here, and names a cost. */
static void test_measures(void)
{
    MigCosts c = mig_costs_default();
    for (const MigMeasure *m = mig_measures; m->name; m++) {
        g_test_message("%s", m->name);
        g_assert_nonnull(mig_costs_field(&c, m->name));
        g_assert_cmpint(m->once(false), >=, 0);
        g_assert_cmpint(m->once(true), >=, 0);
    }
}

static MigScenario *with_host(json_object *profile)
{
    g_autoptr(GError) error = NULL;
    json_object *v = json_tokener_parse("{ \"schema\": \"migbench-scenario-1\", \"guest\": { "
                                        "\"ram\": [ { \"name\": \"ram\", \"size\": \"1M\" } ] } }");
    json_object_object_add(v, "host", json_object_get(profile));
    MigScenario *s = mig_scenario_read(v, "test", ".", &error);
    g_assert_no_error(error);
    json_object_put(v);
    return s;
}

static void test_profile(void)
{
    MigCalibration c = mig_calibration_new();
    gint64 values[] = { 90, 100, 110 };
    mig_calibration_put(&c, "stop", values, 3);
    json_object *profile = mig_calibration_to_json(&c, mig_calibrate_this_host());
    json_object *costs = NULL;
    g_assert_true(json_object_object_get_ex(profile, "costs", &costs));
    g_assert_cmpint(json_object_object_length(costs), ==, 1);
    g_autoptr(MigScenario) s = with_host(profile);
    g_assert_cmpmem(&s->host, sizeof(s->host), &c.costs, sizeof(c.costs));
    g_assert_cmpmem(&s->noise, sizeof(s->noise), &c.noise, sizeof(c.noise));
    g_assert_cmpint(s->destination_host.stop, !=, 100); /* that is another host */
    json_object_put(profile);
}

static void test_interrupted(void)
{
    static const volatile sig_atomic_t interrupted = 1;
    const MigCalibrateOptions options = { .rounds = 1, .interrupted = &interrupted };
    MigCalibration c = mig_calibration_new();
    g_assert_false(mig_calibrate_host(&c, &options));
    g_assert_cmpuint(c.known, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/calibrate/median-and-noise", test_median_and_noise);
    g_test_add_func("/calibrate/single-value", test_single_value);
    g_test_add_func("/calibrate/every-measure-works", test_measures);
    g_test_add_func("/calibrate/profile-is-read-back", test_profile);
    g_test_add_func("/calibrate/interrupted", test_interrupted);
    return g_test_run();
}
