/* SPDX-License-Identifier: Apache-2.0 */
/* Who is told what in the course of a migration, and the guest that is woken for its completion. */
#include <glib.h>
#include <string.h>

#include "sim/engine/source.h"
#include "sim/world/virtual.h"
#include "tests/unit/fake-memory.h"

typedef struct Told {
    GString *precopy, *state, *events;
} Told;

static void take_precopy(void *opaque, MigPrecopyReason reason)
{
    static const char letters[] = "SbaCc"; /* SETUP, before, after, COMPLETE, CLEANUP */
    g_string_append_c(((Told *)opaque)->precopy, letters[reason]);
}

static void take_state(void *opaque, const char *status)
{
    g_string_append_printf(((Told *)opaque)->state, "%s ", status);
}

static void take_event(void *opaque, int64_t at, const char *name, const char *status,
                       uint64_t pass)
{
    (void)at, (void)status, (void)pass;
    if (strcmp(name, "MIGRATION") != 0 && strcmp(name, "MIGRATION_PASS") != 0) {
        g_string_append_printf(((Told *)opaque)->events, "%s ", name);
    }
}

/* Migrates 16 idle pages; |fail|: the connection has been cut. Returns whether the guest was woken.
 */
static bool migrate(Told *told, unsigned minor, bool suspended, bool fail)
{
    const uint64_t pages[] = { 16, 0 };
    MigClock clock = { 0 };
    *told = (Told){ g_string_new(NULL), g_string_new(NULL), g_string_new(NULL) };
    FakeMemory *m = fake_memory_new(&clock, pages);
    MigSourceConfig source = { .machine = "none",
                               .memory = &m->memory,
                               .guest_running = !suspended,
                               .guest_suspended = suspended,
                               .observer = { take_precopy, take_state, told } };
    mig_era_resolve(MIG_VERSION_OF(minor, minor == 7 ? 2 : 0), "none", &source.era);
    source.parameters = mig_parameters_default(&source.era);
    MigVirtualConfig world = { .clock = &clock,
                               .memory = &m->memory,
                               .observer = { .opaque = told, .event = take_event } };
    MigSource *s = mig_source_new(&source);
    MigVirtual *v = mig_virtual_new(&world);
    MigOutcome outcome = { .now = 0 };
    const MigOp *op;
    if (fail) {
        mig_virtual_cut(v, "cut");
    }
    while ((op = mig_source_next(s, &outcome))->kind != MIG_OP_DONE) {
        outcome = mig_virtual_do(v, op);
    }
    bool woken = mig_source_woke_guest(s);
    mig_source_free(s);
    mig_virtual_free(v);
    fake_memory_free(m);
    return woken;
}

static void told_clear(Told *told)
{
    g_string_free(told->precopy, TRUE);
    g_string_free(told->state, TRUE);
    g_string_free(told->events, TRUE);
}

/* Setup, each sync from both sides, completion, and in the end the clean-up. */
static void test_precopy(void)
{
    Told told;
    migrate(&told, 7, false, false);
    g_assert_cmpstr(told.precopy->str, ==, "SbaCbac");
    g_assert_cmpstr(told.state->str, ==, "setup active completed ");
    told_clear(&told);
    migrate(&told, 10, false, false);
    g_assert_cmpstr(told.state->str, ==, "setup active device completed ");
    told_clear(&told);
}

/* A failure cleans up, too, and once. */
static void test_failure(void)
{
    Told told;
    migrate(&told, 7, false, true);
    g_assert_cmpstr(told.state->str, ==, "setup failed ");
    g_assert_cmpint(told.precopy->str[told.precopy->len - 1], ==, 'c');
    g_assert_null(strchr(strchr(told.precopy->str, 'c') + 1, 'c'));
    told_clear(&told);
}

/* Until 8.2 a suspended guest is woken, and stopped as a running one; later it sleeps on. */
static void test_wakeup(void)
{
    Told told;
    g_assert_true(migrate(&told, 7, true, false));
    g_assert_cmpstr(told.events->str, ==, "WAKEUP STOP ");
    told_clear(&told);
    g_assert_false(migrate(&told, 10, true, false));
    g_assert_cmpstr(told.events->str, ==, "");
    told_clear(&told);
    g_assert_false(migrate(&told, 7, false, false));
    g_assert_cmpstr(told.events->str, ==, "STOP ");
    told_clear(&told);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/notifiers/precopy/reasons-in-order", test_precopy);
    g_test_add_func("/notifiers/failure/cleans-up-once", test_failure);
    g_test_add_func("/notifiers/wakeup/until-8.2", test_wakeup);
    return g_test_run();
}
