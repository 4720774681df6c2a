/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps a guest from being migrated: who names it when, and that nothing happens then. */
#include <glib.h>
#include <string.h>

#include "sim/engine/blockers.h"
#include "sim/monitor/monitor.h"
#include "sim/simulate/result.h"
#include "tests/unit/simulated.h"

#define V MIG_VERSION_OF

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigBlockers, mig_blockers_free)

static const MigParameters defaults;

static MigBlockers *with_all(void)
{
    MigBlockers *b = mig_blockers_new();
    g_assert_null(mig_blockers_add(b, "disk one is a qcow", MIG_STATUS_IS_NONE));
    g_assert_null(mig_blockers_add(b, "disk two is a qcow", MIG_STATUS_IS_FAILED));
    g_assert_null(mig_blockers_add_device(b, "02.0/nvme"));
    g_assert_null(mig_blockers_add_device(b, "03.0/nvme"));
    return b;
}

/* QEMU would name one of them. */
static void test_names_all(void)
{
    g_autoptr(MigBlockers) b = with_all();
    g_autofree char *why = mig_migrate_refused(b, 0, &defaults, V(10, 0));
    g_assert_nonnull(strstr(why, "disk one is a qcow"));
    g_assert_nonnull(strstr(why, "disk two is a qcow"));
    g_assert_nonnull(strstr(why, "02.0/nvme"));
    g_assert_nonnull(strstr(why, "03.0/nvme"));
}

static void test_nothing_blocks(void)
{
    g_autoptr(MigBlockers) b = mig_blockers_new();
    g_assert_null(mig_migrate_refused(b, 0, &defaults, V(10, 0)));
    g_assert_null(mig_migrate_refused(NULL, 0, &defaults, V(10, 0)));
    g_assert_null(mig_blockers_reasons(b, V(10, 0)));
}

/* Seen in 7.2 and 10.0: reasons from the oldest, then devices from the last; 5.2 tells nothing. */
static void test_reasons_by_version(void)
{
    g_autoptr(MigBlockers) b = with_all();
    g_assert_null(mig_blockers_reasons(b, V(5, 2)));
    const char *const *r = mig_blockers_reasons(b, V(6, 0));
    g_assert_cmpuint(g_strv_length((char **)r), ==, 4);
    g_assert_cmpstr(r[0], ==, "disk one is a qcow");
    g_assert_cmpstr(r[1], ==, "disk two is a qcow");
    g_assert_nonnull(strstr(r[2], "03.0/nvme"));
    g_assert_nonnull(strstr(r[3], "02.0/nvme"));
    mig_blockers_remove(b, "disk one is a qcow");
    mig_blockers_remove(b, "nobody said so");
    r = mig_blockers_reasons(b, V(11, 1));
    g_assert_cmpuint(g_strv_length((char **)r), ==, 3);
    g_assert_cmpstr(r[0], ==, "disk two is a qcow");
}

/* Nobody can block what is under way: all statuses. */
static void test_while_running(void)
{
    for (MigStatusName status = 0; status < MIG_STATUS_NAMES; status++) {
        g_autoptr(MigBlockers) b = mig_blockers_new();
        g_autofree char *why = mig_blockers_add(b, "late", status);
        g_assert_cmpint(why != NULL, ==, mig_status_running(status));
        g_assert_cmpint(mig_blockers_reasons(b, V(10, 0)) == NULL, ==, why != NULL);
    }
}

static void test_only_migratable(void)
{
    g_autoptr(MigBlockers) b = mig_blockers_new();
    g_assert_null(mig_blockers_only_migratable(b));
    g_autofree char *device = mig_blockers_add_device(b, "nvme");
    g_autofree char *reason = mig_blockers_add(b, "a disk", MIG_STATUS_IS_NONE);
    g_assert_nonnull(strstr(device, "nvme"));
    g_assert_nonnull(strstr(reason, "a disk"));
    g_assert_null(mig_migrate_refused(b, 0, &defaults, V(10, 0)));
    g_autoptr(MigBlockers) late = with_all();
    g_autofree char *names = mig_blockers_only_migratable(late);
    g_assert_nonnull(strstr(names, "03.0/nvme"));
}

/* Seen in 10.0 and 11.1: looked at by `migrate`, not when it is set. */
static void test_mapped_compression(void)
{
    MigParameters p = { .multifd_compression = MIG_MULTIFD_COMPRESSION_ZLIB };
    MigCapabilitySet mapped = MIG_CAP_BIT(MIG_CAP_MAPPED_RAM);
    MigCapabilitySet multifd = MIG_CAP_BIT(MIG_CAP_MULTIFD);
    g_autofree char *why = mig_migrate_refused(NULL, mapped | multifd, &p, V(10, 0));
    g_assert_nonnull(strstr(why, "compression"));
    g_assert_null(mig_migrate_refused(NULL, multifd, &p, V(10, 0)));
    g_assert_null(mig_migrate_refused(NULL, mapped | multifd, &defaults, V(10, 0)));
}

#define GUEST "\"ram\": [{\"name\": \"ram\", \"size\": \"4M\"}]"

/* The simulation: no operation was done, the status stays, the guest runs on. */
static void test_scenario(void)
{
    static const char *const qemus[] = { "5.2", "7.2", "10.0", "11.1" };
    for (size_t i = 0; i < G_N_ELEMENTS(qemus); i++) {
        g_auto(Simulated) s = simulated_run(
            NULL,
            "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {" GUEST ","
            "\"blockers\": [\"a disk\"], \"unmigratable\": [\"nvme\"]}}",
            qemus[i]);
        g_assert_nonnull(strstr(s.m->refused, "a disk"));
        g_assert_nonnull(strstr(s.m->refused, "nvme"));
        g_assert_cmpstr(s.stats.status, ==, "none");
        g_assert_cmpint(s.m->now, ==, 0);
        g_assert_cmpuint(s.m->events->len, ==, 0);
        g_assert_true(mig_guest_running(s.m->guest));
        g_assert_false(mig_simulation_fine(s.m));
        g_assert_cmpint(s.stats.blocked_reasons != NULL, ==, i > 0);
        json_object *result = mig_result_to_json(s.m), *query, *reasons;
        g_assert_true(json_object_object_get_ex(result, "query-migrate", &query));
        g_assert_false(json_object_object_get_ex(query, "status", NULL));
        g_assert_cmpint(json_object_object_get_ex(query, "blocked-reasons", &reasons), ==, i > 0);
        json_object_put(result);
    }
}

static void test_scenario_only_migratable(void)
{
    static const struct {
        const char *more, *word;
    } rows[] = {
        { "\"only-migratable\": true, \"unmigratable\": [\"nvme\"]", "nvme" },
        { "\"unmigratable\": [\"nvme\"], \"only-migratable\": true", "nvme" },
        { "\"only-migratable\": true, \"blockers\": [\"a disk\"]", "a disk" },
        { "\"blockers\": [5]", "blockers" },
        { "\"blockers\": \"a disk\"", "blockers" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *why = simulated_refusal("{\"schema\": \"migbench-scenario-1\", "
                                                 "\"guest\": {" GUEST ", %s}}",
                                                 rows[i].more);
        g_test_message("%s", why);
        g_assert_nonnull(strstr(why, rows[i].word));
    }
    g_auto(Simulated) fine = simulated_run(
        NULL, "{\"schema\": \"migbench-scenario-1\", \"guest\": {" GUEST
              ", \"only-migratable\": true, \"blockers\": [], \"unmigratable\": []}}");
    simulated_expect_fine(&fine);
}

/* The monitor -------------------------------------------------------------------------------- */

typedef struct Target {
    const char *status, *run_state;
    MigBlockers *blockers;
    unsigned migrations;
} Target;

static const char *target_status(void *opaque)
{
    return ((Target *)opaque)->status;
}

static const char *target_run_state(void *opaque)
{
    return ((Target *)opaque)->run_state;
}

static json_object *target_query(void *opaque)
{
    (void)opaque;
    return json_object_new_object();
}

static char *target_refused(void *opaque, MigCapabilitySet set, const MigParameters *p)
{
    return mig_migrate_refused(((Target *)opaque)->blockers, set, p, V(10, 0));
}

static bool target_migrate(void *opaque, const MigMonitorMigrate *how, GError **error)
{
    (void)how, (void)error;
    ((Target *)opaque)->migrations++;
    return true;
}

/* Blockers come behind status and run state; the class is QEMU's. */
static void test_monitor(void)
{
    static const struct {
        const char *status, *run_state, *word; /* NULL: it migrates */
        bool blocked;
    } rows[] = {
        { "none", "running", "a qcow", true },        { "failed", "running", "a qcow", true },
        { "active", "running", "under way", true },   { "none", "inmigrate", "waits", true },
        { "completed", "postmigrate", "away", true }, { "none", "running", NULL, false },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(MigBlockers) b = rows[i].blocked ? with_all() : mig_blockers_new();
        Target t = { rows[i].status, rows[i].run_state, b, 0 };
        MigMonitorTarget target = {
            .opaque = &t,
            .version = "10.0",
            .run_state = target_run_state,
            .status = target_status,
            .query_migrate = target_query,
            .refused = target_refused,
            .migrate = target_migrate,
        };
        g_autoptr(GError) error = NULL;
        g_assert_cmpint(mig_era_resolve(V(10, 0), NULL, &target.era), ==, MIG_ERA_OK);
        MigMonitor *m = mig_monitor_new(&target, 0, &defaults);
        json_object *where = json_object_new_object();
        json_object_object_add(where, "uri", json_object_new_string("tcp:h:1"));
        json_object *answer = mig_monitor_execute(m, "migrate", where, &error);
        g_assert_cmpint(answer != NULL, ==, rows[i].word == NULL);
        g_assert_cmpuint(t.migrations, ==, rows[i].word == NULL);
        if (rows[i].word) {
            g_test_message("%s", error->message);
            g_assert_error(error, MIG_MONITOR_ERROR, MIG_MONITOR_GENERIC);
            g_assert_nonnull(strstr(error->message, rows[i].word));
        }
        json_object_put(answer);
        json_object_put(where);
        mig_monitor_free(m);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/blockers/names-all", test_names_all);
    g_test_add_func("/blockers/nothing-blocks", test_nothing_blocks);
    g_test_add_func("/blockers/reasons-by-version", test_reasons_by_version);
    g_test_add_func("/blockers/while-running", test_while_running);
    g_test_add_func("/blockers/only-migratable", test_only_migratable);
    g_test_add_func("/blockers/mapped-ram-compression", test_mapped_compression);
    g_test_add_func("/blockers/scenario/refused", test_scenario);
    g_test_add_func("/blockers/scenario/only-migratable", test_scenario_only_migratable);
    g_test_add_func("/blockers/monitor", test_monitor);
    return g_test_run();
}
