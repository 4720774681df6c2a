/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a run for reports: bounded, nothing lost, and told as others read it. */
#include <glib.h>
#include <string.h>

#include "sim/report/heat.h"
#include "sim/report/samples.h"
#include "sim/report/timeline.h"

static json_object *get(json_object *o, const char *key)
{
    json_object *v = NULL;
    g_assert_true(json_object_object_get_ex(o, key, &v));
    return v;
}

static int64_t number(json_object *o, const char *key)
{
    return json_object_get_int64(get(o, key));
}

static int64_t item(json_object *list, size_t i)
{
    return json_object_get_int64(json_object_array_get_idx(list, i));
}

/* Samples ----------------------------------------------------------------------------------- */

/* A run of |n| ms whose remaining bytes are the time. */
static json_object *sampled(int64_t n)
{
    MigSamples *s = mig_samples_new();
    for (int64_t at = 0; at < n * 1000000; at += 250000) {
        const MigStats stats = { .ram.remaining = (uint64_t)at };
        if (mig_samples_due(s, at)) {
            mig_samples_add(s, at, &stats);
        }
    }
    json_object *o = mig_samples_to_json(s);
    mig_samples_free(s);
    return o;
}

static void test_short_run(void)
{
    json_object *o = sampled(10);
    g_assert_cmpint(number(o, "period-ns"), ==, MIG_SAMPLES_PERIOD);
    g_assert_cmpuint(json_object_array_length(get(o, "time-ns")), ==, 10);
    json_object_put(o);
}

static void test_bounded(void)
{
    static const int64_t lengths[] = { 1023, 1024, 1025, 2048, 2049, 5000, 40000 };
    for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
        json_object *o = sampled(lengths[i]), *times = get(o, "time-ns");
        size_t n = json_object_array_length(times);
        g_assert_cmpuint(n, <=, MIG_SAMPLES);
        g_assert_cmpuint(n, >=, lengths[i] < MIG_SAMPLES ? lengths[i] : MIG_SAMPLES / 2);
        g_assert_cmpint(item(times, 0), ==, 0);
        for (size_t k = 0; k < n; k++) {
            g_assert_cmpint(item(get(o, "remaining"), k), ==, item(times, k)); /* of one moment */
            if (k > 0) {
                g_assert_cmpint(item(times, k) - item(times, k - 1), ==, number(o, "period-ns"));
            }
        }
        json_object_put(o);
    }
}

/* Heat -------------------------------------------------------------------------------------- */

static uint64_t sum(json_object *map)
{
    uint64_t all = 0;
    json_object *counts = get(map, "counts");
    size_t n = json_object_array_length(counts);
    g_assert_cmpuint(n, ==, (size_t)(number(map, "rows") * number(map, "columns")));
    for (size_t i = 0; i < n; i++) {
        all += (uint64_t)item(counts, i);
    }
    return all;
}

/* Page p is sent at p ms: a diagonal, however often columns are put together. */
static void test_diagonal(void)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 127, 128, 129, 1000, 65536 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        MigHeat *h = mig_heat_new("ram", sizes[i]);
        for (uint64_t p = 0; p < sizes[i]; p++) {
            mig_heat_add(h, (int64_t)p * 1000000, p, 1);
        }
        json_object *map = mig_heat_to_json(h);
        g_assert_cmpuint(sum(map), ==, sizes[i]);
        g_assert_cmpint(number(map, "rows"), <=, MIG_HEAT_ROWS);
        g_assert_cmpint(number(map, "columns"), <=, MIG_HEAT_COLUMNS);
        for (int64_t c = 0; c < number(map, "columns"); c++) {
            int64_t row = c * number(map, "column-ns") / 1000000 / number(map, "row-pages");
            int64_t there = row * number(map, "columns") + c;
            g_assert_cmpint(item(get(map, "counts"), (size_t)there), >, 0);
        }
        json_object_put(map);
        mig_heat_free(h);
    }
}

/* A mask gives what its pages give one by one. */
static void test_masks(void)
{
    static const uint64_t masks[] = { 0, 1, UINT64_MAX, 0x8000000000000001ull,
                                      0xf0f0f0f00f0f0f0full };
    for (size_t i = 0; i < G_N_ELEMENTS(masks); i++) {
        for (uint64_t first = 0; first < 300; first += 13) {
            MigHeat *one = mig_heat_new("ram", 1000), *other = mig_heat_new("ram", 1000);
            mig_heat_add(one, 5, first, masks[i]);
            for (unsigned bit = 0; bit < 64; bit++) {
                if (masks[i] >> bit & 1) {
                    mig_heat_add(other, 5, first + bit, 1);
                }
            }
            json_object *a = mig_heat_to_json(one), *b = mig_heat_to_json(other);
            g_assert_true(json_object_equal(a, b));
            json_object_put(a);
            json_object_put(b);
            mig_heat_free(one);
            mig_heat_free(other);
        }
    }
}

static void test_nothing(void)
{
    MigHeat *h = mig_heat_new("ram", 100);
    g_assert_null(mig_heat_to_json(h));
    mig_heat_free(h);
}

/* Timeline ---------------------------------------------------------------------------------- */

static json_object *told(const MigTimeline *t)
{
    json_object *result = json_object_new_object();
    json_object *o = mig_timeline_to_json(t, result);
    json_object_put(result);
    return o;
}

static guint slices(json_object *timeline, const char *name, double *duration)
{
    json_object *list = get(timeline, "traceEvents");
    guint n = 0;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *e = json_object_array_get_idx(list, i);
        bool slice = strcmp(json_object_get_string(get(e, "ph")), "X") == 0;
        if (slice && strcmp(json_object_get_string(get(e, "name")), name) == 0) {
            *duration += json_object_get_double(get(e, "dur"));
            n++;
        }
    }
    return n;
}

static void test_joined(void)
{
    const MigOp pages = { .kind = MIG_OP_SEND_PAGES }, sync = { .kind = MIG_OP_SYNC };
    MigTimeline *t = mig_timeline_new();
    mig_timeline_op(t, &pages, 0, 1000);
    mig_timeline_op(t, &pages, 1000, 3000);
    mig_timeline_op(t, &sync, 3000, 3000); /* took no time */
    mig_timeline_op(t, &pages, 3000, 4000);
    mig_timeline_op(t, &sync, 4000, 6000);
    mig_timeline_op(t, &pages, 6000, 7000);
    mig_timeline_op(t, &pages, 8000, 9000); /* a gap before it */
    json_object *o = told(t);
    double sent = 0, synced = 0;
    g_assert_cmpuint(slices(o, "pages", &sent), ==, 3);
    g_assert_cmpuint(slices(o, "sync", &synced), ==, 1);
    g_assert_cmpfloat_with_epsilon(sent, 6, 1e-9);
    g_assert_cmpfloat_with_epsilon(synced, 2, 1e-9);
    json_object_put(o);
    mig_timeline_free(t);
}

static void test_many(void)
{
    MigTimeline *t = mig_timeline_new();
    for (uint64_t i = 0; i < MIG_TIMELINE_SLICES + 5; i++) {
        mig_timeline_fault(t, 0, "ram", i, (int64_t)i * 10, (int64_t)i * 10 + 5);
    }
    json_object *o = told(t);
    g_assert_cmpint(number(get(o, "otherData"), "left-out"), ==, 5);
    json_object_put(o);
    mig_timeline_free(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/history/samples/short-run", test_short_run);
    g_test_add_func("/history/samples/bounded", test_bounded);
    g_test_add_func("/history/heat/diagonal", test_diagonal);
    g_test_add_func("/history/heat/masks", test_masks);
    g_test_add_func("/history/heat/nothing", test_nothing);
    g_test_add_func("/history/timeline/joined", test_joined);
    g_test_add_func("/history/timeline/many", test_many);
    return g_test_run();
}
