/* SPDX-License-Identifier: Apache-2.0 */
/* COLO's initial migration: what is sent, where it ends, and that it says what does not follow. */
#include <glib.h>
#include <string.h>

#include "sim/engine/dest-postcopy.h"
#include "tests/unit/simulated.h"

#define SCENARIO                                                                              \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"destination-qemu\": \"%s\", "  \
    "\"guest\": {\"ram\": [{\"name\": \"ram\", \"size\": \"8M\", \"content\": [{\"length\": " \
    "\"6M\", \"kind\": \"random\"}]}], \"workload\": [{\"length\": \"1M\", \"rate\": 5000, "  \
    "\"write\": \"page\"}]}, \"capabilities\": {\"x-colo\": true%s}, \"events\": [%s], "      \
    "\"limit\": \"20s\"}"

static char *events_of(const Simulated *s)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < s->m->events->len; i++) {
        const MigSimulationEvent *e = &g_array_index(s->m->events, MigSimulationEvent, i);
        if (!e->pass && (e->status || g_ascii_isupper(e->name[0]))) {
            g_string_append_printf(text, "%s ", e->status ? e->status : e->name);
        }
    }
    return g_string_free(text, FALSE);
}

static const struct {
    const char *qemu, *caps, *events;
    bool command; /* ENABLE_COLO is sent */
} rows[] = {
    { "2.8", "", "setup active STOP colo RESUME COLO_EXIT completed ", false },
    { "5.2", "", "setup active STOP colo RESUME COLO_EXIT completed ", true },
    { "7.2", "", "setup active STOP colo RESUME COLO_EXIT completed ", true },
    { "10.0", "", "setup active STOP device colo RESUME COLO_EXIT completed ", true },
    { "11.1", ", \"return-path\": true",
      "setup active STOP device colo RESUME COLO_EXIT completed ", false },
};

/* Both have the same memory when the status is colo; then the guest runs on here. */
static void test_states(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, rows[i].qemu, rows[i].qemu, rows[i].caps, "");
        g_autofree char *events = events_of(&s);
        g_assert_cmpstr(events, ==, rows[i].events);
        g_assert_cmpint(s.m->verdict, ==, MIG_MEMORY_EQUAL);
        g_assert_null(s.m->dest_error);
        g_assert_true(mig_guest_running(s.m->guest));
        g_assert_nonnull(strstr(s.stats.error_desc, "checkpoints are not made"));
        g_assert_cmpint(mig_dest_state(s.m->dest), ==, MIG_DEST_COMPLETED);
        g_assert_cmpint(mig_dest_counts(s.m->dest)->colo, ==, rows[i].command);
        g_assert_cmpstr(mig_dest_status(s.m->dest), ==, "colo");
    }
}

/* Disks stay active: both sides write to them. The other steps fail as ever. */
static void test_steps(void)
{
    static const char *const steps[] = { "inactivate", "devices" };
    for (size_t i = 1; i < G_N_ELEMENTS(rows); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(steps); k++) {
            g_autofree char *event = g_strdup_printf(
                "{\"at\": \"1ms\", \"do\": \"x-fail\", \"arguments\": {\"step\": \"%s\"}}",
                steps[k]);
            g_auto(Simulated) s =
                simulated_run(NULL, SCENARIO, rows[i].qemu, rows[i].qemu, rows[i].caps, event);
            g_assert_cmpstr(s.stats.status, ==, k ? "failed" : "completed");
            g_assert_true(mig_guest_running(s.m->guest));
        }
    }
}

static void test_cancel(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, rows[i].qemu, rows[i].qemu, rows[i].caps,
                          "{\"at\": \"20ms\", \"do\": \"migrate_cancel\"}");
        g_assert_cmpstr(s.stats.status, ==, "cancelled");
        g_assert_true(mig_guest_running(s.m->guest));
    }
}

/* 11.1 has no such command any more. */
static void test_destination_refuses(void)
{
    g_auto(Simulated) s =
        simulated_run(NULL, SCENARIO, "10.0", "11.1", ", \"return-path\": true", "");
    g_assert_cmpstr(s.stats.status, ==, "failed");
    g_assert_nonnull(strstr(s.m->dest_error, "enable-colo"));
    g_assert_true(mig_guest_running(s.m->guest));
}

static void test_refused(void)
{
    g_autofree char *alone = simulated_refusal(SCENARIO, "11.1", "11.1", "", "");
    g_assert_nonnull(strstr(alone, "return-path"));
    g_autofree char *old = simulated_refusal(SCENARIO, "2.7", "2.7", "", "");
    g_assert_nonnull(strstr(old, "x-colo came with 2.8"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/colo/states", test_states);
    g_test_add_func("/colo/steps", test_steps);
    g_test_add_func("/colo/cancel", test_cancel);
    g_test_add_func("/colo/destination-refuses", test_destination_refuses);
    g_test_add_func("/colo/refused", test_refused);
    return g_test_run();
}
