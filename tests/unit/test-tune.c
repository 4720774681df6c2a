/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning: one knob is found to within the ratio asked for, several give their front, and what
 * can't be met is said. */
#include <glib.h>
#include <string.h>

#include "sim/scenario/json-reader.h"
#include "sim/tune/tune.h"

#define GUEST                                                                                     \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"10.0\", \"guest\": {\"ram\": [{\"name\": " \
    "\"ram\", \"size\": \"32M\", \"content\": [{\"length\": \"32M\", \"kind\": \"random\"}]}], "  \
    "\"workload\": [{\"length\": \"8M\", \"pattern\": \"random\", \"rate\": 500}]}, \"link\": "   \
    "{\"bandwidth\": \"40Gbit/s\", \"framing\": \"none\"}, \"limit\": \"20s\"}"

static MigTune begin(void)
{
    MigTune t = {
        .name = "test", .folder = ".", .probability = 1, .runs = 3, .threads = 2, .close = 1.05
    };
    t.scenario = mig_json_parse(GUEST, strlen(GUEST), "test", NULL);
    t.knobs = g_ptr_array_new_with_free_func((GDestroyNotify)mig_knob_free);
    t.goals = g_ptr_array_new_with_free_func((GDestroyNotify)mig_goal_free);
    return t;
}

static void add(MigTune *t, const char *knob, const char *goal)
{
    g_autoptr(GError) error = NULL;
    if (knob) {
        g_ptr_array_add(t->knobs, mig_knob_parse(knob, 4, &error));
    }
    if (goal && !error) {
        g_ptr_array_add(t->goals, mig_goal_parse(goal, &error));
    }
    g_assert_no_error(error);
}

static GArray *finish(MigTune *t)
{
    g_autoptr(GError) error = NULL;
    GArray *points = mig_tune(t, &error);
    g_assert_no_error(error);
    return points;
}

static void end(MigTune *t)
{
    json_object_put(t->scenario);
    g_ptr_array_unref(t->knobs);
    g_ptr_array_unref(t->goals);
}

/* 32 MiB in 2 s: about 16 MiB/s; the last pages go faster, others again. */
static void test_one_knob(void)
{
    MigTune t = begin();
    add(&t, "parameters.max-bandwidth=4M..256M", "total-time<=2s");
    g_autoptr(GArray) points = finish(&t);
    uint64_t least = 0, below = 0;
    for (guint i = 0; i < points->len; i++) {
        const MigTunePoint *p = &g_array_index(points, MigTunePoint, i);
        g_assert_cmpuint(p->runs, ==, 3);
        least = p->front ? p->values[0] : least;
        below = p->enough ? below : MAX(below, p->values[0]);
    }
    g_assert_cmpuint(least, >, 14u << 20);
    g_assert_cmpuint(least, <, 22u << 20);
    g_assert_cmpuint(below, <, least);
    g_assert_cmpfloat((double)least, <=, (double)below * 1.05);
    end(&t);
}

static void test_front(void)
{
    MigTune t = begin();
    add(&t, "parameters.max-bandwidth=8M,16M,32M,64M", "total-time<=3s");
    add(&t, "parameters.downtime-limit=10,100,1000", NULL);
    g_autoptr(GArray) points = finish(&t);
    g_assert_cmpuint(points->len, ==, 12);
    guint front = 0;
    for (guint i = 0; i < points->len; i++) {
        const MigTunePoint *p = &g_array_index(points, MigTunePoint, i);
        front += p->front;
        for (guint k = 0; k < points->len && p->front; k++) {
            const MigTunePoint *o = &g_array_index(points, MigTunePoint, k);
            g_assert_false(o->enough && o != p && o->values[0] <= p->values[0] &&
                           o->values[1] <= p->values[1]);
        }
    }
    g_assert_cmpuint(front, >=, 1);
    end(&t);
}

static void test_nothing_is_enough(void)
{
    MigTune t = begin();
    add(&t, "parameters.max-bandwidth=1M,2M", "total-time<=1s");
    g_autoptr(GArray) points = finish(&t);
    for (guint i = 0; i < points->len; i++) {
        g_assert_false(g_array_index(points, MigTunePoint, i).front);
    }
    end(&t);
}

/* What a knob says to the scenario and to people, at its |steps| 3. */
static void test_units(void)
{
    static const struct {
        const char *knob, *json, *text;
    } rows[] = {
        { "a=4,2", "[2,4]", "2 4 " },
        { "a=1M..4M", "[1048576,2097152,4194304]",
          "1048576 (1.00 MiB) 2097152 (2.00 MiB) 4194304 (4.00 MiB) " },
        { "a=1Mbit/s,2Mbit/s", "[\"1000000bit/s\",\"2000000bit/s\"]", "1.00 Mbit/s 2.00 Mbit/s " },
        { "a=10ms..1s", "[\"10ms\",\"100ms\",\"1000ms\"]", "10ms 100ms 1000ms " },
        { "a=10ms..11ms", "[\"10ms\",\"11ms\"]", "10ms 11ms " },
        { "a=1ms,100us", "[\"100us\",\"1000us\"]", "100us 1000us " },
    };
    const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GString) text = g_string_new(NULL);
        json_object *list = json_object_new_array();
        MigKnob *k = mig_knob_parse(rows[i].knob, 3, &error);
        g_assert_no_error(error);
        for (guint j = 0; j < k->values->len; j++) {
            uint64_t value = g_array_index(k->values, uint64_t, j);
            g_autofree char *one = mig_knob_text(k, value);
            json_object_array_add(list, mig_knob_value(k, value));
            g_string_append_printf(text, "%s ", one);
        }
        g_assert_cmpstr(json_object_to_json_string_ext(list, flags), ==, rows[i].json);
        g_assert_cmpstr(text->str, ==, rows[i].text);
        json_object_put(list);
        mig_knob_free(k);
    }
}

static void test_goals(void)
{
    static const struct {
        const char *goal;
        double value;
        const char *text;
    } rows[] = {
        { "total-time<=2s", 1973, "1973 ms" },      { "query-migrate.downtime<=2s", 0, "0 ms" },
        { "transferred<=1G", 3 << 20, "3.00 MiB" }, { "downtime-ns.stop<=5", 7, "7 ns" },
        { "guest.stalled-ns<=5", 2500, "2.50 us" }, { "dirty-sync-count<=5", 7, "7" },
        { "mbps>=5", 7.5, "7.5 Mbit/s" },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        MigGoal *g = mig_goal_parse(rows[i].goal, NULL);
        g_autofree char *text = mig_goal_text(g, rows[i].value);
        g_assert_cmpstr(text, ==, rows[i].text);
        mig_goal_free(g);
    }
}

static void test_refuses(void)
{
    static const char *const knobs[] = {
        "x", "=1", "a=", "a=5..2", "a=0..4", "a=many", "a=4M..1Gbit/s", "a=1ms,2M", "a=300,1s"
    };
    static const char *const goals[] = { "downtime", "<=3", "downtime<=soon" };
    for (guint i = 0; i < G_N_ELEMENTS(knobs); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(mig_knob_parse(knobs[i], 4, &error));
        g_assert_nonnull(error);
    }
    for (guint i = 0; i < G_N_ELEMENTS(goals); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(mig_goal_parse(goals[i], &error));
        g_assert_nonnull(error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tune/one-knob", test_one_knob);
    g_test_add_func("/tune/front", test_front);
    g_test_add_func("/tune/nothing-is-enough", test_nothing_is_enough);
    g_test_add_func("/tune/units", test_units);
    g_test_add_func("/tune/goals", test_goals);
    g_test_add_func("/tune/refuses", test_refuses);
    return g_test_run();
}
