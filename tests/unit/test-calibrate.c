/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration: what becomes of measurements, and that a scenario takes the profile. */
#include <glib.h>
#include <json-c/json.h>
#include <string.h>

#include "conformance/qemu-trace.h"
#include "sim/calibrate/calibrate.h"
#include "sim/scenario/scenario.h"

static void test_median_and_noise(void)
{
    MigCalibration c = mig_calibration_new();
    gint64 values[] = { 1100, 900, 1000, 50000, 1000 }; /* one round was disturbed */
    mig_calibration_put(&c, "setup", "by hand", values, G_N_ELEMENTS(values));
    g_assert_cmpint(c.costs.setup, ==, 1000);
    g_assert_cmpint(c.noise.setup, ==, 148); /* 1.483 times 100, of 1000 */
}

static void test_single_value(void)
{
    MigCalibration c = mig_calibration_new();
    gint64 one[] = { 7 }, threads[] = { 4, 4, 4 };
    gint64 noise = c.noise.wake;
    mig_calibration_put(&c, "wake", "by hand", one, 1);
    mig_calibration_put(&c, "multifd_threads", "by hand", threads, 3);
    g_assert_cmpint(c.costs.wake, ==, 7);
    g_assert_cmpint(c.noise.wake, ==, noise); /* nothing is known of it */
    g_assert_cmpint(c.costs.multifd_threads, ==, 4);
    g_assert_cmpint(c.noise.multifd_threads, ==, 0);
}

/* A second measure of a cost is not mixed with the first one's noise. */
static void test_measured_again(void)
{
    MigCalibration c = mig_calibration_new();
    gint64 rounds[] = { 100, 150, 200 }, one[] = { 7 };
    gint64 unknown = c.noise.sync_gib;
    mig_calibration_put(&c, "sync_gib", "first", rounds, 3);
    g_assert_cmpint(c.noise.sync_gib, !=, unknown);
    mig_calibration_put(&c, "sync_gib", "second", one, 1);
    g_assert_cmpint(c.costs.sync_gib, ==, 7);
    g_assert_cmpint(c.noise.sync_gib, ==, unknown);
    json_object *profile = mig_calibration_to_json(&c, json_object_new_object()), *v = profile;
    g_assert_true(json_object_object_get_ex(v, "host", &v));
    g_assert_true(json_object_object_get_ex(v, "measured", &v));
    g_assert_true(json_object_object_get_ex(v, "sync_gib", &v));
    g_assert_cmpstr(json_object_get_string(v), ==, "second, 1 time");
    json_object_put(profile);
}

/* What needs a kernel that lets us: faults, KVM. */
static bool may_be_refused(const char *name)
{
    static const char *const names[] = { "fault",       "place_page", "protect_gib", "sync_gib",
                                         "clear_chunk", "stop",       NULL };
    return g_strv_contains(names, name);
}

/* Every measure names a cost, and works here; or says that it can't. */
static void test_measures(void)
{
    MigCosts c = mig_costs_default();
    for (const MigMeasure *m = mig_measures; m->name; m++) {
        gint64 private = m->once(false), shared = m->once(true);
        g_test_message("%s: %" G_GINT64_FORMAT ", %" G_GINT64_FORMAT, m->name, private, shared);
        g_assert_nonnull(mig_costs_field(&c, m->name));
        g_assert_nonnull(m->how);
        g_assert_cmpint(private, >=, may_be_refused(m->name) ? -1 : 0);
        g_assert_cmpint(shared, >=, may_be_refused(m->name) ? -1 : 0);
    }
}

/* Lines as 7.2 and 10.0 write them, with others between them. */
static void test_trace(void)
{
    static const char *const source =
        "char device redirected to /dev/pts/3 (label serial0)\n"
        "7@100.000010:migration_bitmap_sync_start \n"
        "7@100.000900:migration_bitmap_sync_end dirty_pages 99\n"
        "7@100.100000:migration_bitmap_sync_start \n"
        "7@100.100040:migration_bitmap_sync_end dirty_pages 1\n"
        "7@101.999990:migration_bitmap_sync_start \n"
        "7@102.000050:migration_bitmap_sync_end dirty_pages 0\n"
        "7@102.000100:vmstate_downtime_checkpoint src-downtime-start\n"
        "7@102.000200:vmstate_downtime_checkpoint src-iterable-saved\n"
        "7@102.000700:vmstate_downtime_checkpoint src-non-iterable-saved\n";
    static const char *const dest =
        "8@102.000300:vmstate_downtime_load type=iterable idstr=ram instance_id=0 downtime=50\n"
        "8@102.000400:vmstate_downtime_load type=non-iterable idstr=cpu instance_id=0 downtime=30\n"
        "8@102.000500:vmstate_downtime_load type=non-iterable idstr=a instance_id=1 downtime=12\n"
        "8@102.000600:vmstate_downtime_checkpoint dst-precopy-loadvm-completed\n"
        "8@102.000650:vmstate_downtime_checkpoint dst-precopy-bh-enter\n"
        "8@102.000800:vmstate_downtime_checkpoint dst-precopy-bh-vm-started\n";
    MigQemuTrace t = mig_qemu_trace_nothing();
    mig_qemu_trace_read(&t, source);
    g_assert_cmpint(t.sync, ==, 50000); /* between 40 and 60 us; the first one is the setup's */
    g_assert_cmpint(t.devices, ==, 500000);
    g_assert_cmpint(t.load, ==, -1);
    mig_qemu_trace_read(&t, dest);
    g_assert_cmpint(t.load, ==, 242000);
    g_assert_cmpint(t.sync, ==, 50000);
}

static void test_trace_of_nothing(void)
{
    static const char *const logs[] = {
        "",
        "qemu-system-x86_64: -trace: warning: no such event\n",
        "migration_bitmap_sync_start\nmigration_bitmap_sync_end\n", /* without times */
        "1@5.000001:migration_bitmap_sync_start\n1@5.000002:migration_bitmap_sync_end\n",
        "1@5.000001:vmstate_downtime_checkpoint src-non-iterable-saved\n",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(logs); i++) {
        MigQemuTrace t = mig_qemu_trace_nothing();
        mig_qemu_trace_read(&t, logs[i]);
        g_assert_cmpint(t.sync, ==, -1);
        g_assert_cmpint(t.devices, ==, -1);
        g_assert_cmpint(t.load, ==, -1);
    }
}

static void test_trace_iso(void)
{
    MigQemuTrace t = mig_qemu_trace_nothing();
    mig_qemu_trace_read(
        &t, "2026-01-02T03:04:05.999999Z vmstate_downtime_checkpoint src-iterable-saved\n"
            "2026-01-02T03:04:06.000002Z vmstate_downtime_checkpoint "
            "src-non-iterable-saved\n");
    g_assert_cmpint(t.devices, ==, 3000);
}

static MigScenario *with_host(json_object *profile)
{
    g_autoptr(GError) error = NULL;
    json_object *v = json_tokener_parse("{ \"schema\": \"migbench-scenario-1\", \"guest\": { "
                                        "\"ram\": [ { \"name\": \"ram\", \"size\": \"1M\" } ] } }");
    json_object_object_add(v, "host", json_object_get(profile));
    MigScenario *s = mig_scenario_read(v, "test", ".", &error);
    g_assert_no_error(error);
    json_object_put(v);
    return s;
}

static void test_profile(void)
{
    MigCalibration c = mig_calibration_new();
    gint64 values[] = { 90, 100, 110 };
    mig_calibration_put(&c, "stop", "by hand", values, 3);
    json_object *profile = mig_calibration_to_json(&c, mig_calibrate_this_host());
    json_object *costs = NULL;
    g_assert_true(json_object_object_get_ex(profile, "costs", &costs));
    g_assert_cmpint(json_object_object_length(costs), ==, 1);
    g_autoptr(MigScenario) s = with_host(profile);
    g_assert_cmpmem(&s->host, sizeof(s->host), &c.costs, sizeof(c.costs));
    g_assert_cmpmem(&s->noise, sizeof(s->noise), &c.noise, sizeof(c.noise));
    g_assert_cmpint(s->destination_host.stop, !=, 100); /* that is another host */
    json_object_put(profile);
}

static void test_interrupted(void)
{
    static const volatile sig_atomic_t interrupted = 1;
    const MigCalibrateOptions options = { .rounds = 1, .interrupted = &interrupted };
    MigCalibration c = mig_calibration_new();
    g_assert_false(mig_calibrate_host(&c, &options));
    g_assert_cmpuint(c.known, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/calibrate/median-and-noise", test_median_and_noise);
    g_test_add_func("/calibrate/single-value", test_single_value);
    g_test_add_func("/calibrate/measured-again", test_measured_again);
    g_test_add_func("/calibrate/every-measure-works", test_measures);
    g_test_add_func("/calibrate/trace", test_trace);
    g_test_add_func("/calibrate/trace-without-an-answer", test_trace_of_nothing);
    g_test_add_func("/calibrate/trace-with-iso-times", test_trace_iso);
    g_test_add_func("/calibrate/profile-is-read-back", test_profile);
    g_test_add_func("/calibrate/interrupted", test_interrupted);
    return g_test_run();
}
