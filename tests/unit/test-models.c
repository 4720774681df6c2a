/* SPDX-License-Identifier: Apache-2.0 */
/* The comparison models against what their authors published, and against sums done by hand. */
#include <glib.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "sim/models/models.h"

#define HOUR_MS    3600000.0
#define BINARY_MIB 1048576.0

/* Gudkov's table -------------------------------------------------------------------------- */

typedef struct Table {
    json_object *json;
    MigDirtyPoint points[64];
    MigModelGuest guest;
} Table;

static json_object *get(json_object *o, const char *key)
{
    json_object *value = NULL;
    g_assert_true(json_object_object_get_ex(o, key, &value));
    return value;
}

static void load(Table *t)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "tests/data/gudkov-2023.json", NULL);
    t->json = json_object_from_file(path);
    g_assert_nonnull(t->json);
    double pages = json_object_get_double(get(t->json, "guest_pages"));
    double scale = pages / json_object_get_double(get(t->json, "sampled_pages"));
    json_object *periods = get(t->json, "periods_ms"), *dirty = get(t->json, "dirty_sampled");
    size_t count = json_object_array_length(periods);
    g_assert_cmpuint(count, <=, G_N_ELEMENTS(t->points));
    for (size_t i = 0; i < count; i++) {
        t->points[i].ms = json_object_get_double(json_object_array_get_idx(periods, i));
        t->points[i].pages = scale * json_object_get_double(json_object_array_get_idx(dirty, i));
    }
    t->guest = (MigModelGuest){
        .page_size = 4096,
        .pages = pages,
        .zero_pages = scale * json_object_get_double(get(t->json, "sampled_zero_pages")),
        .dirty = t->points,
        .dirty_count = count,
    };
}

/* "2.5" gigabits of 2^30; what is below one is in megabits of 2^20. */
static double bandwidth(const char *row)
{
    double number = g_ascii_strtod(row, NULL);
    return (number < 1 ? number * 1000 * BINARY_MIB : number * 1024 * BINARY_MIB) / 8;
}

static unsigned compare_row(const Table *t, const char *name, json_object *row)
{
    json_object *limits = get(t->json, "downtime_limits_ms");
    size_t count = json_object_array_length(limits);
    g_assert_cmpuint(json_object_array_length(row), ==, count);
    for (size_t i = 0; i < count; i++) {
        json_object *limit = json_object_array_get_idx(limits, i);
        json_object *want = json_object_array_get_idx(row, i);
        MigModelPlan plan = { bandwidth(name), limit ? json_object_get_double(limit) : INFINITY,
                              HOUR_MS };
        MigForecast f = mig_model_find("gudkov")->forecast(&t->guest, &plan);
        g_test_message("%s Gbit/s, limit %g ms", name, plan.limit_ms);
        g_assert_cmpint(f.converges, ==, want != NULL);
        if (want) {
            int64_t seconds = (int64_t)(f.total_ms / 1000);
            seconds += f.total_ms > (double)(seconds * 1000); /* it rounds up */
            g_assert_cmpint(seconds, ==, json_object_get_int64(want));
        }
    }
    return (unsigned)count;
}

static void test_gudkov(void)
{
    Table t;
    unsigned cells = 0;
    load(&t);
    json_object_object_foreach(get(t.json, "predicted_seconds_rounded_up"), name, row)
    {
        cells += compare_row(&t, name, row);
    }
    g_assert_cmpuint(cells, ==, 48);
    json_object_put(t.json);
}

/* Sums done by hand: 1000 pages of 1000 bytes, 100 of them written anew every second. */

static const MigDirtyPoint line[] = { { 1000, 100 }, { 2000, 200 } };
static const MigModelGuest small = { 1000, 1000, 0, line, G_N_ELEMENTS(line) };

static const struct {
    const char *name, *model;
    MigModelPlan plan;
    bool converges;
    double total_ms, bytes;
    unsigned passes;
} sums[] = {
    { "series", "constant-rate", { 1e6, 10, HOUR_MS }, true, 1110, 1.11e6, 3 },
    { "at-once", "constant-rate", { 1e6, 1000, HOUR_MS }, true, 1000, 1e6, 1 },
    { "too-slow", "constant-rate", { 1e5, 10, HOUR_MS }, false, 0, 0, 0 },
    { "capped", "simgrid", { 1e5, 8999, HOUR_MS }, false, 0, 0, 0 },
    { "cap-fits", "simgrid", { 1e5, 9000, HOUR_MS }, true, 19000, 1.9e6, 2 },
    { "bytes", "bytes", { 1e6, 10, HOUR_MS }, true, 1000, 1e6, 1 },
};

static void test_sums(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sums); i++) {
        MigForecast f = mig_model_find(sums[i].model)->forecast(&small, &sums[i].plan);
        g_test_message("%s", sums[i].name);
        g_assert_cmpint(f.converges, ==, sums[i].converges);
        if (f.converges) {
            g_assert_cmpfloat_with_epsilon(f.total_ms, sums[i].total_ms, 1e-6);
            g_assert_cmpfloat_with_epsilon(f.bytes, sums[i].bytes, 1e-3);
            g_assert_cmpuint(f.passes, ==, sums[i].passes);
        }
    }
}

static const struct {
    double ms, pages;
} readings[] = {
    { 0, 0 }, { 500, 50 }, { 1000, 100 }, { 1500, 150 }, { 4000, 400 }, { 99999, 1000 }
};

static void test_curve(void)
{
    static const MigDirtyPoint steep[] = { { 100, 10 }, { 200, 90 } };
    MigModelGuest guest = { 1000, 1000, 0, steep, G_N_ELEMENTS(steep) };
    for (size_t i = 0; i < G_N_ELEMENTS(readings); i++) {
        g_assert_cmpfloat(mig_model_dirty(&small, readings[i].ms), ==, readings[i].pages);
    }
    g_assert_cmpfloat(mig_model_dirty(&guest, 1), ==, 0); /* not negative */
}

static void test_unknown(void)
{
    g_assert_null(mig_model_find("crystal-ball"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/models/gudkov/48-published-cells", test_gudkov);
    g_test_add_func("/models/sums-by-hand", test_sums);
    g_test_add_func("/models/curve-between-and-beyond-its-points", test_curve);
    g_test_add_func("/models/unknown-name", test_unknown);
    return g_test_run();
}
