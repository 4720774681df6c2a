/* SPDX-License-Identifier: Apache-2.0 */
/* Repeated runs: quantiles, probabilities, and that they come out the same again. */
#include <glib.h>
#include <json-c/json.h>
#include <string.h>

#include "sim/scenario/scenario.h"
#include "sim/simulate/repeat.h"

/* |limit| of virtual time, and a host; the guest dirties more than the link takes if |busy|. */
static MigScenario *scenario(bool busy, const char *downtime_limit, const char *host)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strdup_printf(
        "{ \"schema\": \"migbench-scenario-1\", \"limit\": \"2s\", \"guest\": { \"ran\": "
        "\"100ms\", "
        "\"ram\": [ { \"name\": \"ram\", \"size\": \"16M\", \"content\": [ { \"kind\": \"random\" "
        "} "
        "] } ], \"workload\": [ { \"rate\": %u, \"length\": \"8M\" } ] }, \"link\": { "
        "\"bandwidth\": "
        "\"400Mbit/s\", \"send-buffer\": \"256k\" }, \"host\": %s, \"parameters\": { "
        "\"downtime-limit\": %s } }",
        busy ? 100000 : 2000, host, downtime_limit);
    json_object *v = mig_json_parse(text, strlen(text), "test", &error);
    g_assert_no_error(error);
    MigScenario *s = mig_scenario_read(v, "test", ".", &error);
    g_assert_no_error(error);
    json_object_put(v);
    return s;
}

static char *result(const MigScenario *s, unsigned count)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRepeats) r = mig_repeat(s, count, NULL, &error);
    g_assert_no_error(error);
    json_object *o = mig_repeats_to_json(r);
    char *text = g_strdup(json_object_to_json_string(o));
    json_object_put(o);
    return text;
}

static void test_same_again(void)
{
    g_autoptr(MigScenario) s = scenario(false, "300", "{}");
    g_autofree char *first = result(s, 10), *again = result(s, 10);
    g_assert_cmpstr(first, ==, again);
    s->seed++;
    g_autofree char *other = result(s, 10);
    g_assert_cmpstr(first, !=, other);
}

static double number(json_object *o, const char *key, const char *inner)
{
    json_object *v = NULL;
    g_assert_true(json_object_object_get_ex(o, key, &v));
    g_assert_true(!inner || json_object_object_get_ex(v, inner, &v));
    return json_object_get_double(v);
}

static json_object *parsed(const MigScenario *s, unsigned count)
{
    g_autofree char *text = result(s, count);
    return json_tokener_parse(text);
}

static void test_spread(void)
{
    g_autoptr(MigScenario) s = scenario(false, "300", "{}");
    json_object *o = parsed(s, 40);
    g_assert_cmpfloat(number(o, "completed", NULL), ==, 40);
    g_assert_cmpfloat(number(o, "p-exceeds-downtime-limit", NULL), ==, 0);
    g_assert_cmpfloat(number(o, "total-time", "p5"), <, number(o, "total-time", "p95"));
    g_assert_cmpfloat(number(o, "transferred", "p5"), <, number(o, "transferred", "p95"));
    json_object_put(o);
}

/* A profile without noise, and a workload whose pages don't depend on the seed: one result. */
static void test_without_noise(void)
{
    g_autoptr(GString) host = g_string_new("{ \"schema\": \"migbench-host-1\", \"costs\": {}, "
                                           "\"noise\": { ");
    for (unsigned i = 0; mig_costs_name(i); i++) {
        g_string_append_printf(host, "%s\"%s\": 0", i ? ", " : "", mig_costs_name(i));
    }
    g_string_append(host, " } }");
    g_autoptr(MigScenario) s = scenario(false, "300", host->str);
    s->destination_noise = s->noise;
    g_array_set_size(s->workloads, 0);
    json_object *o = parsed(s, 5);
    g_assert_cmpfloat(number(o, "total-time", "p5"), ==, number(o, "total-time", "p95"));
    json_object_put(o);
}

static void test_late(void)
{
    g_autoptr(MigScenario) s = scenario(false, "0", "{}"); /* devices alone take longer than that */
    json_object *o = parsed(s, 5);
    g_assert_cmpfloat(number(o, "completed", NULL), ==, 5);
    g_assert_cmpfloat(number(o, "p-exceeds-downtime-limit", NULL), ==, 1);
    json_object_put(o);
}

static void test_no_end(void)
{
    g_autoptr(MigScenario) s = scenario(true, "20", "{}");
    json_object *o = parsed(s, 3);
    g_assert_cmpfloat(number(o, "completed", NULL), ==, 0);
    g_assert_cmpfloat(number(o, "p-not-converging", NULL), ==, 1);
    json_object_put(o);
}

static void test_quantile(void)
{
    const int64_t values[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    g_assert_cmpint(mig_quantile(values, 10, 0), ==, 1);
    g_assert_cmpint(mig_quantile(values, 10, 5), ==, 1);
    g_assert_cmpint(mig_quantile(values, 10, 50), ==, 5);
    g_assert_cmpint(mig_quantile(values, 10, 95), ==, 10);
    g_assert_cmpint(mig_quantile(values, 1, 50), ==, 1);
}

static void test_profile_refused(void)
{
    static const struct {
        const char *host, *message;
    } rows[] = {
        { "{ \"schema\": \"migbench-host-2\", \"costs\": {} }", "migbench-host-1" },
        { "{ \"schema\": \"migbench-host-1\" }", "costs" },
        { "{ \"schema\": \"migbench-host-1\", \"costs\": { \"zero-page\": 1 } }", "zero_page" },
        { "{ \"schema\": \"migbench-host-1\", \"costs\": {}, \"noise\": { \"x\": 1 } }", "noise" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = g_strdup_printf(
            "{ \"schema\": \"migbench-scenario-1\", \"guest\": { \"ram\": [ { \"name\": \"ram\", "
            "\"size\": \"1M\" } ] }, \"host\": %s }",
            rows[i].host);
        json_object *v = json_tokener_parse(text);
        g_assert_null(mig_scenario_read(v, "test", ".", &error));
        g_assert_nonnull(strstr(error->message, rows[i].message));
        json_object_put(v);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/repeat/same-again", test_same_again);
    g_test_add_func("/repeat/results-spread", test_spread);
    g_test_add_func("/repeat/no-noise-no-spread", test_without_noise);
    g_test_add_func("/repeat/downtime-above-the-limit", test_late);
    g_test_add_func("/repeat/not-converging", test_no_end);
    g_test_add_func("/repeat/quantiles", test_quantile);
    g_test_add_func("/repeat/profile-refused", test_profile_refused);
    return g_test_run();
}
