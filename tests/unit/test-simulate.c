/* SPDX-License-Identifier: Apache-2.0 */
/* Whole simulated migrations: determinism, equality of memory, and how runs end. */
#include <glib.h>

#include "sim/simulate/result.h"
#include "sim/simulate/simulate.h"

static MigScenario *example(const char *name, const char *const *sets)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "docs", "examples", name, NULL);
    MigScenario *s = mig_scenario_load(path, sets, &error);
    g_assert_no_error(error);
    return s;
}

static MigSimulation *simulate(const MigScenario *s, const MigSimulateOptions *options)
{
    static const MigSimulateOptions none;
    g_autoptr(GError) error = NULL;
    MigSimulation *m = mig_simulate(s, options ? options : &none, &error);
    g_assert_no_error(error);
    return m;
}

static const char *const converging[] = { "demo.json", "idle.json", "two-blocks.json",
                                          "hot-cold.json" };

static void test_memory_equal(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(converging); i++) {
        g_autoptr(MigScenario) s = example(converging[i], NULL);
        g_autoptr(MigSimulation) m = simulate(s, NULL);
        size_t passes;
        mig_source_passes(m->source, &passes);
        g_assert_cmpstr(mig_source_status(m->source), ==, "completed");
        g_assert_cmpint(m->verdict, ==, MIG_MEMORY_EQUAL);
        g_assert_true(mig_simulation_fine(m));
        g_assert_cmpuint(passes, >=, 3);
    }
}

/* A memory that differs is found: the comparison is worth something. */
static void test_comparison_finds(void)
{
    g_autoptr(MigScenario) s = example("two-blocks.json", NULL);
    g_autoptr(MigSimulation) m = simulate(s, NULL);
    MigMemory *to = mig_buffer_memory(m->memory);
    MigMemoryDifference d;
    to->ops->map(to, 1, 1234)[77] ^= 1;
    g_assert_false(mig_memory_equal(mig_guest_memory(m->guest), to, &d));
    g_assert_cmpuint(d.block, ==, 1);
    g_assert_cmpuint(d.page, ==, 1234);
    g_assert_cmpuint(d.pages, ==, 1);
}

static void test_deterministic(void)
{
    static const char *const other_seed[] = { "seed=999", NULL };
    g_autoptr(MigScenario) s = example("two-blocks.json", NULL);
    g_autoptr(MigScenario) t = example("two-blocks.json", other_seed);
    g_autoptr(MigSimulation) a = simulate(s, NULL), b = simulate(s, NULL), c = simulate(t, NULL);
    g_assert_cmpstr(a->events_digest, ==, b->events_digest);
    g_assert_cmpstr(a->bytes_digest, ==, b->bytes_digest);
    g_assert_cmpstr(a->events_digest, !=, c->events_digest);
    g_assert_cmpstr(a->bytes_digest, !=, c->bytes_digest);
}

/* 64 pages at a time or one by one: the same bytes. Without bytes: the same statistics. */
static void test_batches_and_accounting(void)
{
    static const MigSimulateOptions one_by_one = { .max_run = 1 }, accounting = { .accounting = 1 };
    for (size_t i = 0; i < G_N_ELEMENTS(converging); i++) {
        g_autoptr(MigScenario) s = example(converging[i], NULL);
        g_autoptr(MigSimulation) a = simulate(s, NULL), b = simulate(s, &one_by_one);
        g_autoptr(MigSimulation) c = simulate(s, &accounting);
        g_assert_cmpstr(a->bytes_digest, ==, b->bytes_digest);
        g_assert_cmpint(a->now, ==, b->now);
        g_assert_cmpstr(a->events_digest, ==, c->events_digest);
        g_assert_null(c->bytes_digest);
        g_assert_cmpint(a->now, ==, c->now);
        g_assert_cmpint(c->verdict, ==, MIG_MEMORY_NOT_COMPARED);
        g_assert_true(mig_simulation_fine(c));
    }
}

static void test_limit(void)
{
    g_autoptr(MigScenario) s = example("never-converges.json", NULL);
    g_autoptr(MigSimulation) m = simulate(s, NULL);
    g_assert_cmpstr(m->outcome, ==, "limit");
    g_assert_cmpstr(mig_source_status(m->source), ==, "active");
    g_assert_false(mig_simulation_fine(m));
    g_assert_cmpint(m->now, >=, s->limit);
}

/* Whoever decides and however it counts: what can't converge ends when its time is up, in short
 * time, with bytes or without, and says so. */
static void test_limit_of_all_eras(void)
{
    static const char *const eras[] = { "1.4", "1.6", "2.5", "4.1",  "5.2",
                                        "7.2", "8.1", "9.2", "10.0", "11.1" };
    static const MigSimulateOptions modes[] = { { .accounting = true }, { 0 } };
    for (size_t i = 0; i < G_N_ELEMENTS(eras) * G_N_ELEMENTS(modes); i++) {
        g_autofree char *qemu = g_strdup_printf("qemu=%s", eras[i / G_N_ELEMENTS(modes)]);
        const char *const sets[] = { qemu, "limit=4s", "parameters.max-bandwidth=16777216", NULL };
        g_autoptr(MigScenario) s = example("never-converges.json", sets);
        g_autoptr(MigSimulation) m = simulate(s, &modes[i % G_N_ELEMENTS(modes)]);
        g_assert_cmpstr(m->outcome, ==, "limit");
        g_assert_cmpstr(mig_source_status(m->source), ==, "active");
        g_assert_false(mig_simulation_fine(m));
        g_assert_cmpint(m->now, >, s->limit);
        g_assert_cmpint(m->now, <, s->limit + 1000000000); /* one operation behind it */
    }
}

static void test_cancel_and_parameters(void)
{
    g_autoptr(MigScenario) s = example("cancelled.json", NULL);
    g_autoptr(MigSimulation) m = simulate(s, NULL);
    g_assert_cmpstr(mig_source_status(m->source), ==, "cancelled");
    g_assert_cmpuint(mig_source_parameters(m->source)->max_bandwidth, ==, 67108864);
    g_assert_cmpuint(mig_source_parameters(m->source)->downtime_limit, ==, 1);
    g_assert_false(mig_simulation_fine(m));
    g_assert_true(mig_guest_running(m->guest));
}

static void test_cut_link(void)
{
    static const char *const sets[] = { "events=[{\"at\":\"100ms\",\"do\":\"x-cut-link\"}]", NULL };
    g_autoptr(MigScenario) s = example("idle.json", sets);
    g_autoptr(MigSimulation) m = simulate(s, NULL);
    MigStats stats;
    mig_source_query(m->source, m->now, &stats);
    g_assert_cmpstr(stats.status, ==, "failed");
    g_assert_nonnull(stats.error_desc);
    g_assert_false(mig_simulation_fine(m));
}

static void test_interrupted(void)
{
    static const volatile sig_atomic_t now = 1;
    MigSimulateOptions options = { .interrupted = &now };
    g_autoptr(MigScenario) s = example("idle.json", NULL);
    g_autoptr(MigSimulation) m = simulate(s, &options);
    g_assert_cmpstr(m->outcome, ==, "interrupted");
    json_object *o = mig_result_to_json(m), *v;
    g_assert_true(json_object_object_get_ex(o, "x-outcome", &v));
    g_assert_cmpstr(json_object_get_string(v), ==, "interrupted");
    json_object_put(o);
}

/* A page written by the script behind the first pass is what arrives. */
static void test_scripted_write(void)
{
    static const char *const sets[] = {
        "parameters={\"max-bandwidth\":16777216,\"downtime-limit\":1}",
        "events=[{\"after-pass\":0,\"when\":\"remaining-below "
        "60M\",\"do\":\"x-write\",\"arguments\":"
        "{\"block\":\"ram\",\"first-page\":3,\"pages\":2,\"byte\":77}}]",
        NULL
    };
    g_autoptr(MigScenario) s = example("idle.json", sets);
    g_autoptr(MigSimulation) m = simulate(s, NULL);
    MigMemory *to = mig_buffer_memory(m->memory);
    g_assert_true(mig_simulation_fine(m));
    g_assert_cmpuint(to->ops->map(to, 0, 3)[0], ==, 77);
    g_assert_cmpuint(to->ops->map(to, 0, 4)[4095], ==, 77);
    g_assert_cmpuint(mig_dest_counts(m->dest)->normal, ==, 8192 + 2);
}

static bool refuse(void *opaque, const void *data, size_t n, GError **error)
{
    (void)opaque, (void)data, (void)n;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "full");
    return false;
}

static void test_stream_fails(void)
{
    g_autoptr(GError) error = NULL;
    MigSimulateOptions options = { .stream = refuse };
    g_autoptr(MigScenario) s = example("idle.json", NULL);
    g_assert_null(mig_simulate(s, &options, &error));
    g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/simulate/memory-equal", test_memory_equal);
    g_test_add_func("/simulate/comparison-finds", test_comparison_finds);
    g_test_add_func("/simulate/deterministic", test_deterministic);
    g_test_add_func("/simulate/batches-and-accounting", test_batches_and_accounting);
    g_test_add_func("/simulate/limit", test_limit);
    g_test_add_func("/simulate/limit-of-all-eras", test_limit_of_all_eras);
    g_test_add_func("/simulate/cancel-and-parameters", test_cancel_and_parameters);
    g_test_add_func("/simulate/cut-link", test_cut_link);
    g_test_add_func("/simulate/interrupted", test_interrupted);
    g_test_add_func("/simulate/scripted-write", test_scripted_write);
    g_test_add_func("/simulate/stream-fails", test_stream_fails);
    return g_test_run();
}
