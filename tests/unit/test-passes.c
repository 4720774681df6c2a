/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heat map of a recording: a guest that is known is recorded, and where it is hot, where it
 * sweeps and where it is idle must show.
 *
 *     MiB  4        16    20        32          94   104        128
 *          | filled | hot | filled  | sweep ...  |    | scattered |
 *
 * A row of the map is 2 MiB. The sweep takes longer than the migration.
 */
#include <glib.h>
#include <math.h>

#include "sim/fit/passes.h"
#include "tests/unit/recorded.h"

#define MIB_ROWS 2 /* MiB in a row */

static const char guest[] =
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"10.0\", \"guest\": {"
    "\"dirty-tracking\": \"kvm-manual-clear\", \"ram\": [{\"name\": \"ram\", \"size\": \"128M\","
    "\"content\": [{\"offset\": \"4M\", \"length\": \"90M\", \"kind\": \"random\"}]}],"
    "\"workload\": [{\"offset\": \"16M\", \"length\": \"4M\", \"pattern\": \"random\","
    "  \"rate\": 4000},"
    " {\"offset\": \"32M\", \"length\": \"62M\", \"pattern\": \"sequential\", \"rate\": 1800},"
    " {\"offset\": \"104M\", \"length\": \"24M\", \"pattern\": \"random\", \"rate\": 700}]},"
    "\"link\": {\"bandwidth\": \"40Gbit/s\", \"latency\": \"20us\", \"framing\": \"none\"},"
    "\"parameters\": {\"max-bandwidth\": 32000000, \"downtime-limit\": 100}, \"limit\": \"60s\"}";

typedef struct Map {
    json_object *passes, *counts;
    int64_t rows, columns, row_pages, column_ns;
    int64_t again_ns; /* where the second round begins */
} Map;

static int64_t number(json_object *o, const char *key)
{
    json_object *v = NULL;
    g_assert_true(json_object_object_get_ex(o, key, &v));
    return json_object_get_int64(v);
}

static json_object *item(json_object *o, const char *key, size_t i)
{
    json_object *list = NULL;
    g_assert_true(json_object_object_get_ex(o, key, &list));
    g_assert_cmpuint(json_object_array_length(list), >, i);
    return json_object_array_get_idx(list, i);
}

static Map map_new(void)
{
    g_autoptr(MigSends) sends = recorded_sends(guest);
    Map m = { .passes = mig_passes_to_json(sends) };
    json_object *heat = item(m.passes, "heat-map", 0);
    m.rows = number(heat, "rows");
    m.columns = number(heat, "columns");
    m.row_pages = number(heat, "row-pages");
    m.column_ns = number(heat, "column-ns");
    m.again_ns = number(item(m.passes, "rounds", 1), "time-ns");
    json_object_object_get_ex(heat, "counts", &m.counts);
    g_assert_cmpint(m.row_pages * 4096, ==, MIB_ROWS << 20);
    return m;
}

static int64_t count_at(const Map *m, int64_t row, int64_t column)
{
    size_t i = (size_t)(row * m->columns + column);
    return json_object_get_int64(json_object_array_get_idx(m->counts, i));
}

/* Pages of the row that were sent, by how often it has pages. */
static double warmth(const Map *m, int64_t row)
{
    int64_t sum = 0;
    for (int64_t c = 0; c < m->columns; c++) {
        sum += count_at(m, row, c);
    }
    return (double)sum / (double)m->row_pages;
}

/* Of time and place of what was sent from the second round on, in rows |from| to |to| - 1. */
static double correlation(const Map *m, int64_t from, int64_t to)
{
    double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t c = m->again_ns / m->column_ns + 1; c < m->columns; c++) {
        for (int64_t r = from; r < to; r++) {
            double k = (double)count_at(m, r, c), t = (double)c, row = (double)r;
            n += k, x += k * t, y += k * row;
            xx += k * t * t, yy += k * row * row, xy += k * t * row;
        }
    }
    return (n * xy - x * y) / sqrt((n * xx - x * x) * (n * yy - y * y));
}

static void test_hot_and_idle(void)
{
    Map m = map_new();
    for (int64_t row = 16 / MIB_ROWS; row < 20 / MIB_ROWS; row++) {
        g_assert_cmpfloat(warmth(&m, row), >, 3);
    }
    g_assert_cmpfloat(warmth(&m, 0), ==, 0); /* nobody has touched it */
    for (int64_t row = 4 / MIB_ROWS; row < 16 / MIB_ROWS; row++) {
        g_assert_cmpfloat(warmth(&m, row), ==, 1);
    }
    for (int64_t row = 20 / MIB_ROWS; row < 32 / MIB_ROWS; row++) {
        g_assert_cmpfloat(warmth(&m, row), ==, 1);
    }
    json_object_put(m.passes);
}

static void test_sweep(void)
{
    Map m = map_new();
    double sweep = correlation(&m, 32 / MIB_ROWS, 94 / MIB_ROWS);
    double scattered = correlation(&m, 104 / MIB_ROWS, 128 / MIB_ROWS);
    g_test_message("time and place: sweep %.3f, scattered %.3f", sweep, scattered);
    g_assert_cmpfloat(sweep, >, 0.9);
    g_assert_cmpfloat(fabs(scattered), <, 0.5);
    json_object_put(m.passes);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passes/heat-map/hot-and-idle", test_hot_and_idle);
    g_test_add_func("/passes/heat-map/sweep", test_sweep);
    return g_test_run();
}
