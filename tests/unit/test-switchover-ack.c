/* SPDX-License-Identifier: Apache-2.0 */
/* switchover-ack in whole simulated migrations: who waits for whom, and for how many. */
#include <glib.h>
#include <string.h>

#include "sim/engine/dest.h"
#include "sim/world/clock.h"
#include "tests/unit/simulated.h"

#define SCENARIO                                                                                \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {\"machine\": \"%s\", " \
    "%s \"ram\": [{\"name\": \"ram\", \"size\": \"8M\", \"content\": [{\"length\": \"6M\", "    \
    "\"kind\": \"random\"}]}], \"workload\": [{\"length\": \"1M\", \"rate\": 1000}], "          \
    "\"switchover-acks\": [%s]}, \"capabilities\": {\"return-path\": true, "                    \
    "\"switchover-ack\": true}, \"events\": [%s], \"limit\": \"20s\"}"

typedef struct Form {
    const char *qemu, *machine;
    bool counts; /* the source knows how many will come */
} Form;

static const Form forms[] = {
    { "8.1", "none", false },
    { "10.0", "none", false },
    { "11.1", "pc-i440fx-11.0", false },
    { "11.1", "none", true },
};

static int64_t time_of(const Simulated *s, const char *what)
{
    for (guint i = 0; i < s->m->events->len; i++) {
        const MigSimulationEvent *e = &g_array_index(s->m->events, MigSimulationEvent, i);
        if (strcmp(e->status ? e->status : e->name, what) == 0) {
            return e->at;
        }
    }
    return -1;
}

static unsigned count_of(const Simulated *s, const char *name)
{
    unsigned n = 0;
    for (guint i = 0; i < s->m->events->len; i++) {
        n += strcmp(g_array_index(s->m->events, MigSimulationEvent, i).name, name) == 0;
    }
    return n;
}

static void test_at_once(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        const Form *f = &forms[i];
        g_auto(Simulated) s = simulated_run(NULL, SCENARIO, f->qemu, f->machine, "", "", "");
        simulated_expect_fine(&s);
        g_assert_cmpuint(count_of(&s, "x-switchover-ack"), ==, f->counts ? 0 : 1);
        g_assert_cmpint(time_of(&s, "STOP"), <, 500 * MIG_NS_PER_MS);
    }
}

/* The last of them decides; until then it iterates, and syncs at each decision. */
static void test_late(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        const Form *f = &forms[i];
        g_auto(Simulated) s = simulated_run(
            NULL, SCENARIO, f->qemu, f->machine, "",
            "{\"device\": \"a\", \"at\": \"1500ms\"}, {\"device\": \"b\", \"at\": \"700ms\"}", "");
        simulated_expect_fine(&s);
        g_assert_cmpuint(count_of(&s, "x-switchover-ack"), ==, f->counts ? 2 : 1);
        g_assert_cmpint(time_of(&s, "STOP"), >=, 1500 * MIG_NS_PER_MS);
        g_assert_cmpint(time_of(&s, "STOP"), <, 1700 * MIG_NS_PER_MS);
        g_assert_cmpuint(s.stats.ram.dirty_sync_count, >, 100);
    }
}

/* Before the return path was opened: told as soon as it is. */
static void test_early(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        const Form *f = &forms[i];
        g_auto(Simulated) s = simulated_run(NULL, SCENARIO, f->qemu, f->machine, "",
                                            "{\"device\": \"a\", \"at\": \"1us\"}", "");
        simulated_expect_fine(&s);
        g_assert_cmpuint(count_of(&s, "x-switchover-ack"), ==, 1);
        g_assert_cmpint(time_of(&s, "STOP"), <, 500 * MIG_NS_PER_MS);
    }
}

static void test_never(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        const Form *f = &forms[i];
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, f->qemu, f->machine, "",
                          "{\"device\": \"a\", \"at\": \"10ms\"}, {\"device\": \"b\"}",
                          "{\"at\": \"2s\", \"do\": \"migrate_cancel\"}");
        g_assert_cmpstr(s.stats.status, ==, "cancelled");
        g_assert_cmpint(time_of(&s, "STOP"), ==, -1);
        g_assert_true(mig_guest_running(s.m->guest));
    }
}

/* A guest that stands still waits for nobody. */
static void test_paused_guest(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
        const Form *f = &forms[i];
        g_auto(Simulated) s =
            simulated_run(NULL, SCENARIO, f->qemu, f->machine, "\"run-state\": \"paused\",",
                          "{\"device\": \"a\"}", "");
        simulated_expect_fine(&s);
    }
}

static void test_accounting(void)
{
    static const MigSimulateOptions accounting = { .accounting = true };
    static const char *const acks[] = {
        "", "{\"device\": \"a\", \"at\": \"700ms\"}, {\"device\": \"b\", \"at\": \"800ms\"}"
    };
    for (size_t i = 0; i < G_N_ELEMENTS(forms) * G_N_ELEMENTS(acks); i++) {
        const Form *f = &forms[i / G_N_ELEMENTS(acks)];
        const char *a = acks[i % G_N_ELEMENTS(acks)];
        g_auto(Simulated) bytes = simulated_run(NULL, SCENARIO, f->qemu, f->machine, "", a, "");
        g_auto(Simulated) counted =
            simulated_run(&accounting, SCENARIO, f->qemu, f->machine, "", a, "");
        g_assert_cmpstr(bytes.m->events_digest, ==, counted.m->events_digest);
    }
}

static void test_refused(void)
{
    g_autofree char *old = simulated_refusal(SCENARIO, "7.2", "none", "", "", "");
    g_assert_nonnull(strstr(old, "switchover-ack"));
    g_autofree char *device =
        simulated_refusal(SCENARIO, "10.0", "none", "", "{\"at\": \"1s\"}", "");
    g_assert_nonnull(strstr(device, "device"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/switchover-ack/at-once", test_at_once);
    g_test_add_func("/switchover-ack/late", test_late);
    g_test_add_func("/switchover-ack/early", test_early);
    g_test_add_func("/switchover-ack/never", test_never);
    g_test_add_func("/switchover-ack/paused-guest", test_paused_guest);
    g_test_add_func("/switchover-ack/accounting", test_accounting);
    g_test_add_func("/switchover-ack/refused", test_refused);
    return g_test_run();
}
