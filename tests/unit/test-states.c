/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States and transitions: whole simulated migrations that are paused, continued, cancelled in every
 * state, and failed in every step of the switchover; the events each version gives, in its order.
 */
#include <glib.h>
#include <string.h>

#include "sim/engine/states.h"
#include "sim/simulate/result.h"
#include "sim/simulate/simulate.h"
#include "sim/world/clock.h"

static MigSimulation *simulate_with(const MigSimulateOptions *options, MigScenario **scenario,
                                    const char *qemu, const char *caps, const char *parameters,
                                    const char *events)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strdup_printf(
        "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {"
        "\"device-state\": \"64k\", \"ram\": [{\"name\": \"ram\", \"size\": \"24M\", \"content\": "
        "[{\"offset\": 0, \"length\": \"20M\", \"kind\": \"random\"}]}],"
        "\"workload\": [{\"block\": \"ram\", \"offset\": 0, \"length\": \"1M\", "
        "\"pattern\": \"sequential\", \"rate\": 2000, \"pace\": \"clock\", \"write\": \"page\"}]},"
        "\"capabilities\": {%s}, \"parameters\": {\"max-bandwidth\": 50000000%s}, "
        "\"events\": [%s], \"limit\": \"20s\"}",
        qemu, caps, parameters, events);
    json_object *root = mig_json_parse(text, strlen(text), "test", &error);
    g_assert_no_error(error);
    *scenario = mig_scenario_read(root, "test", ".", &error);
    json_object_put(root);
    g_assert_no_error(error);
    MigSimulation *m = mig_simulate(*scenario, options, &error);
    g_assert_no_error(error);
    return m;
}

static MigSimulation *simulate(MigScenario **scenario, const char *qemu, const char *caps,
                               const char *parameters, const char *events)
{
    static const MigSimulateOptions none;
    return simulate_with(&none, scenario, qemu, caps, parameters, events);
}

/* "setup P1 active STOP ..." without what the scenario did. */
static char *events_of(const MigSimulation *m)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < m->events->len; i++) {
        const MigSimulationEvent *e = &g_array_index(m->events, MigSimulationEvent, i);
        if (e->status) {
            g_string_append_printf(text, "%s ", e->status);
        } else if (e->pass) {
            g_string_append(text, "PASS ");
        } else if (g_ascii_isupper(e->name[0])) {
            g_string_append_printf(text, "%s ", e->name);
        }
    }
    return g_string_free(text, FALSE);
}

static int64_t time_of(const MigSimulation *m, const char *what)
{
    for (guint i = 0; i < m->events->len; i++) {
        const MigSimulationEvent *e = &g_array_index(m->events, MigSimulationEvent, i);
        if (strcmp(e->status ? e->status : e->name, what) == 0) {
            return e->at;
        }
    }
    return -1;
}

static void expect_end(const MigSimulation *m, const char *status, const char *tail)
{
    g_autofree char *events = events_of(m);
    g_test_message("%s", events);
    g_assert_null(m->outcome);
    g_assert_cmpstr(mig_source_status(m->source), ==, status);
    g_assert_true(g_str_has_suffix(events, tail));
}

static void expect_guest_runs(const MigSimulation *m)
{
    g_assert_true(mig_guest_running(m->guest));
}

static void test_pause_and_continue(void)
{
    static const struct {
        const char *qemu, *tail;
    } rows[] = {
        { "5.2", "STOP pre-switchover device PASS completed " },
        { "7.2", "STOP pre-switchover device PASS completed " },
        { "10.0", "STOP pre-switchover device PASS completed " },
        { "11.1", "STOP pre-switchover device completed " },
    };
    static const char *const go[] = {
        "{\"when\": \"status pre-switchover\", \"at\": \"2s\", \"do\": \"migrate-continue\"}",
        "{\"at\": \"100ms\", \"do\": \"migrate-continue\"}," /* too early: does nothing */
        "{\"at\": \"2s\", \"do\": \"migrate-continue\", \"arguments\": {\"state\": "
        "\"pre-switchover\"}}",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(go); k++) {
            g_autoptr(MigScenario) s = NULL;
            g_autoptr(MigSimulation) m =
                simulate(&s, rows[i].qemu, "\"pause-before-switchover\": true", "", go[k]);
            MigStats stats;
            expect_end(m, "completed", rows[i].tail);
            mig_source_query(m->source, m->now, &stats);
            g_assert_cmpint(m->verdict, ==, MIG_MEMORY_EQUAL);
            g_assert_cmpint(time_of(m, "device"), >=, 2000 * MIG_NS_PER_MS);
            /* The pause is in the downtime, and nothing is sent in it. */
            g_assert_cmpint(stats.downtime, >=,
                            2000 - time_of(m, "pre-switchover") / MIG_NS_PER_MS - 1);
        }
    }
}

/* Nobody continues: it waits, and can be cancelled; the guest goes on. */
static void test_cancel_in_pause(void)
{
    static const char *const qemus[] = { "5.2", "7.2", "10.0", "11.1" };
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        g_autoptr(MigScenario) s = NULL;
        g_autoptr(MigSimulation) m = simulate(&s, qemus[i], "\"pause-before-switchover\": true", "",
                                              "{\"at\": \"2s\", \"do\": \"migrate_cancel\"}");
        expect_end(m, "cancelled", "pre-switchover cancelling RESUME cancelled ");
        expect_guest_runs(m);
        g_assert_cmpint(time_of(m, "cancelling"), ==, 2000 * MIG_NS_PER_MS);
        g_assert_cmpint(m->now, <, 2001 * MIG_NS_PER_MS);
    }
}

/*
 * Every 5 ms of a migration, each fifth time with bytes: a cancel is done at once, its end at most
 * a window later.
 */
static void test_cancel_any_time(void)
{
    static const char *const qemus[] = { "5.2", "7.2", "10.0", "11.1" };
    unsigned seen[MIG_STATUS_NAMES] = { 0 };
    for (unsigned at = 0; at < 600; at += 5) {
        const MigSimulateOptions options = { .accounting = at % 25 != 0 };
        g_autoptr(MigScenario) s = NULL;
        g_autofree char *event =
            g_strdup_printf("{\"at\": \"%ums\", \"do\": \"migrate_cancel\"}", at);
        g_autoptr(MigSimulation) m = simulate_with(
            &options, &s, qemus[at / 5 % G_N_ELEMENTS(qemus)], "\"return-path\": true", "", event);
        if (time_of(m, "completed") >= 0) {
            g_assert_cmpint(time_of(m, "completed"), <=, at * MIG_NS_PER_MS);
            continue;
        }
        g_assert_cmpstr(mig_source_status(m->source), ==, "cancelled");
        g_assert_cmpint(time_of(m, "cancelling"), ==, at * MIG_NS_PER_MS);
        g_assert_cmpint(m->now, <=, (at + 100) * MIG_NS_PER_MS);
        expect_guest_runs(m);
        seen[time_of(m, "STOP") >= 0     ? MIG_STATUS_IS_DEVICE
             : time_of(m, "active") >= 0 ? MIG_STATUS_IS_ACTIVE
                                         : MIG_STATUS_IS_SETUP]++;
    }
    g_assert_cmpuint(seen[MIG_STATUS_IS_SETUP], >, 0);
    g_assert_cmpuint(seen[MIG_STATUS_IS_ACTIVE], >, 50);
}

/* A write that the link holds for seconds ends at once. */
static void test_cancel_blocked_write(void)
{
    static const char *const links[] = {
        "link={\"bandwidth\":\"80kbit/s\",\"send-buffer\":\"64k\"}", NULL
    };
    static const MigSimulateOptions none;
    g_autoptr(GError) error = NULL;
    const char *const sets[] = { links[0], "parameters={\"max-bandwidth\":0}",
                                 "events=[{\"at\":\"3s\",\"do\":\"migrate_cancel\"}]", NULL };
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "docs", "examples", "idle.json", NULL);
    g_autoptr(MigScenario) s = mig_scenario_load(path, sets, &error);
    g_assert_no_error(error);
    g_autoptr(MigSimulation) m = mig_simulate(s, &none, &error);
    g_assert_no_error(error);
    expect_end(m, "cancelled", "cancelling cancelled ");
    g_assert_cmpint(m->now, <=, 3000 * MIG_NS_PER_MS + MIG_NS_PER_MS);
}

/* Each step fails: the guest is resumed where it had been stopped, in the version's order. */
static void test_failing_steps(void)
{
    static const struct {
        const char *qemu;
        /* global-state, stop, inactivate, devices, package, final-write */
        const char *tail[MIG_STEP_COUNT];
    } rows[] = {
        { "5.2",
          { "PASS failed ", "PASS STOP failed RESUME ", "STOP PASS failed RESUME ",
            "STOP PASS failed RESUME ", NULL, "STOP PASS failed RESUME " } },
        { "7.2",
          { "PASS failed ", "PASS STOP failed RESUME ", "STOP PASS failed RESUME ",
            "STOP PASS failed RESUME ", NULL, "STOP PASS failed RESUME " } },
        { "10.0",
          { "PASS failed ", "PASS STOP failed RESUME ", "STOP device failed RESUME ",
            "STOP device PASS failed RESUME ", NULL, "STOP device PASS failed RESUME " } },
        { "11.1",
          { "PASS failing failed ", "PASS STOP failing RESUME failed ",
            "STOP device failing RESUME failed ", "STOP device failing RESUME failed ", NULL,
            "STOP device failing RESUME failed " } },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (MigStep step = 0; step < MIG_STEP_COUNT; step++) {
            if (step == MIG_STEP_PACKAGE) {
                continue; /* there is none in precopy */
            }
            g_autoptr(MigScenario) s = NULL;
            g_autofree char *event = g_strdup_printf(
                "{\"at\": \"50ms\", \"do\": \"x-fail\", \"arguments\": {\"step\": \"%s\"}}",
                mig_step_name(step));
            g_autoptr(MigSimulation) m = simulate(&s, rows[i].qemu, "", "", event);
            MigStats stats;
            g_test_message("%s %s", rows[i].qemu, mig_step_name(step));
            expect_end(m, "failed", rows[i].tail[step]);
            expect_guest_runs(m);
            mig_source_query(m->source, m->now, &stats);
            g_assert_nonnull(strstr(stats.error_desc, "failed, as the scenario wants"));
            g_assert_false(mig_simulation_fine(m));
        }
    }
}

/* Transitions that no version knows, and some that only some know. */
static void test_table(void)
{
    static const struct {
        MigStatusName from, to;
        const char *qemus; /* 1.4, 2.5, 5.2, 7.2, 10.0, 10.2, 11.1: y or n */
    } rows[] = {
        { MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_COMPLETED, "yyyyyyy" },
        { MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_DEVICE, "nnnnyyy" },
        { MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_PRE_SWITCHOVER, "nnyyyyy" },
        { MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_CANCELLED, "ynnnnnn" },
        { MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_CANCELLING, "nyyyyyy" },
        { MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_FAILING, "nnnnnny" },
        { MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_FAILED, "yyyyyyn" },
        { MIG_STATUS_IS_FAILING, MIG_STATUS_IS_FAILED, "nnnnnny" },
        { MIG_STATUS_IS_DEVICE, MIG_STATUS_IS_POSTCOPY_DEVICE, "nnnnnyy" },
        { MIG_STATUS_IS_POSTCOPY_ACTIVE, MIG_STATUS_IS_CANCELLING, "nyyynnn" },
        { MIG_STATUS_IS_POSTCOPY_PAUSED, MIG_STATUS_IS_POSTCOPY_RECOVER, "nnyynnn" },
        { MIG_STATUS_IS_COMPLETED, MIG_STATUS_IS_ACTIVE, "nnnnnnn" },
        { MIG_STATUS_IS_CANCELLED, MIG_STATUS_IS_FAILED, "nnnnnnn" },
        { MIG_STATUS_IS_CANCELLING, MIG_STATUS_IS_COMPLETED, "nnnnnnn" },
        { MIG_STATUS_IS_COMPLETED, MIG_STATUS_IS_CANCELLING, "nnnnnnn" },
        { MIG_STATUS_IS_NONE, MIG_STATUS_IS_CANCELLING, "nnnnnnn" },
        { MIG_STATUS_IS_ACTIVE, MIG_STATUS_IS_ACTIVE, "nnnnnnn" },
        { MIG_STATUS_IS_FAILED, MIG_STATUS_IS_SETUP, "yyyyyyy" },
    };
    static const char *const qemus[] = { "1.4", "2.5", "5.2", "7.2", "10.0", "10.2", "11.1" };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(qemus); k++) {
            MigVersion v;
            g_assert_true(mig_version_parse(qemus[k], &v));
            g_test_message("%s: %s to %s", qemus[k], mig_status_text(rows[i].from),
                           mig_status_text(rows[i].to));
            g_assert_cmpint(mig_status_may_follow(rows[i].from, rows[i].to, v), ==,
                            rows[i].qemus[k] == 'y');
        }
    }
}

static void test_names(void)
{
    for (MigStatusName status = 0; status < MIG_STATUS_NAMES; status++) {
        g_assert_cmpint(mig_status_find(mig_status_text(status)), ==, status);
    }
    g_assert_cmpint(mig_status_find("error"), ==, MIG_STATUS_NAMES);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/states/table", test_table);
    g_test_add_func("/states/names", test_names);
    g_test_add_func("/states/pause/continue", test_pause_and_continue);
    g_test_add_func("/states/pause/cancel", test_cancel_in_pause);
    g_test_add_func("/states/cancel/any-time", test_cancel_any_time);
    g_test_add_func("/states/cancel/blocked-write", test_cancel_blocked_write);
    g_test_add_func("/states/failure/every-step", test_failing_steps);
    return g_test_run();
}
