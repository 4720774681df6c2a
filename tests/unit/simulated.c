/* SPDX-License-Identifier: Apache-2.0 */
/* Simulations for tests, see simulated.h. */
#include "tests/unit/simulated.h"

#include <string.h>

static MigScenario *read_text(const char *text, GError **error)
{
    json_object *root = mig_json_parse(text, strlen(text), "test", error);
    g_assert_nonnull(root);
    MigScenario *s = mig_scenario_read(root, "test", ".", error);
    json_object_put(root);
    return s;
}

Simulated simulated_run(const MigSimulateOptions *options, const char *format, ...)
{
    static const MigSimulateOptions none;
    g_autoptr(GError) error = NULL;
    Simulated s = { 0 };
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    s.scenario = read_text(text, &error);
    g_assert_no_error(error);
    s.m = mig_simulate(s.scenario, options ? options : &none, &error);
    g_assert_no_error(error);
    mig_source_query(s.m->source, s.m->now, &s.stats);
    return s;
}

void simulated_clear(Simulated *s)
{
    g_clear_pointer(&s->m, mig_simulation_free);
    g_clear_pointer(&s->scenario, mig_scenario_free);
}

char *simulated_refusal(const char *format, ...)
{
    g_autoptr(GError) error = NULL;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_assert_null(read_text(text, &error));
    return g_strdup(error->message);
}

void simulated_expect_fine(const Simulated *s)
{
    if (s->m->dest_error || s->stats.error_desc) {
        g_test_message("source: %s; destination: %s", s->stats.error_desc, s->m->dest_error);
    }
    if (s->m->verdict == MIG_MEMORY_DIFFERS) {
        g_test_message("QEMU %s, seed %d: %d pages differ, the first is page %d of block %d",
                       s->scenario->qemu, (int)s->scenario->seed, (int)s->m->difference.pages,
                       (int)s->m->difference.page, (int)s->m->difference.block);
    }
    g_assert_null(s->m->outcome);
    g_assert_cmpstr(s->stats.status, ==, "completed");
    g_assert_cmpint(s->m->verdict, ==, MIG_MEMORY_EQUAL);
    g_assert_true(mig_simulation_fine(s->m));
}
