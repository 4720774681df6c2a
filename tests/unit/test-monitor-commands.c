/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's commands: what each wants, when it is refused, and which version has it. */
#include <glib.h>
#include <string.h>

#include "tests/unit/fake-monitor.h"

static void test_settings(void)
{
    static const FakeMonitorRow rows[] = {
        { CMD("migrate-set-capabilities"), GE },
        { ARG("migrate-set-capabilities", "\"capabilities\":{}"), GE },
        { CAPS(""), OK },
        { CAPS("5"), GE },
        { CAPS(CAP("foo", "true")), GE },
        { CAPS("{\"capability\":\"events\"}"), GE },
        { CAPS("{\"state\":true}"), GE },
        { CAPS(CAP("events", "1")), GE },
        { CAPS(CAP("events", "true") "," CAP("compress", "true")), GE }, /* gone in 9.1 */
        { CAPS(CAP("mapped-ram", "true") "," CAP("xbzrle", "true")), GE },
        { CAPS(CAP("switchover-ack", "true")), GE }, /* needs return-path */
        { CAPS(CAP("events", "true") "," CAP("return-path", "true")), OK },
        { PARAM("\"downtime-limit\":2000001"), GE },
        { PARAM("\"downtime-limit\":-1"), GE },
        { PARAM("\"downtime-limit\":1.5"), GE },
        { PARAM("\"downtime-limit\":1e2"), GE },
        { PARAM("\"downtime-limit\":\"5\""), GE },
        { PARAM("\"max-bandwidth\":18446744073709551615"), OK },
        { PARAM("\"max-bandwidth\":-1"), OK },
        { PARAM("\"multifd-channels\":256"), GE },
        { PARAM("\"multifd-channels\":0"), GE },
        { PARAM("\"multifd-compression\":\"foo\""), GE },
        { PARAM("\"multifd-compression\":5"), GE },
        { PARAM("\"multifd-compression\":\"zstd\""), OK },
        { PARAM("\"tls-creds\":null"), OK },
        { PARAM("\"tls-creds\":5"), GE },
        { PARAM("\"xbzrle-cache-size\":5000"), GE },
        { PARAM("\"xbzrle-cache-size\":2048"), GE },
        { PARAM("\"max-cpu-throttle\":5"), GE },
        { PARAM("\"cpu-throttle-tailslow\":1"), GE },
        { PARAM("\"compress-level\":1"), GE }, /* gone in 9.1 */
        { PARAM("\"bogus\":5"), GE },
        { PARAM("\"downtime-limit\":7,\"bogus\":5"), GE },
        { PARAM("\"downtime-limit\":7,\"multifd-channels\":0"), GE },
        { PARAM(""), OK },
        { CMD("migrate-set-parameters"), OK },
    };
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", false);
    fake_monitor_negotiate(&f);
    fake_monitor_rows(&f, rows, G_N_ELEMENTS(rows));
    g_assert_cmpuint(mig_monitor_parameters(f.monitor)->downtime_limit, ==, 300);
    g_assert_cmpuint(mig_monitor_parameters(f.monitor)->max_bandwidth, ==, UINT64_MAX);
    g_assert_cmpuint(f.parameters.multifd_compression, ==, MIG_MULTIFD_COMPRESSION_ZSTD);
    g_assert_cmpuint(mig_monitor_capabilities(f.monitor), ==,
                     MIG_CAP_BIT(MIG_CAP_EVENTS) | MIG_CAP_BIT(MIG_CAP_RETURN_PATH));
    fake_monitor_end(&f);
}

/* What the target refuses does not stick. */
static void test_target_refuses(void)
{
    static const FakeMonitorRow rows[] = {
        { CAPS(CAP("events", "true")), GE },
        { PARAM("\"downtime-limit\":5"), GE },
        { CMD("stop"), GE },
        { ARG("migrate", "\"uri\":\"tcp:a:1\""), GE },
    };
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", false);
    fake_monitor_negotiate(&f);
    f.refuses = true;
    fake_monitor_rows(&f, rows, G_N_ELEMENTS(rows));
    g_assert_cmpuint(mig_monitor_capabilities(f.monitor), ==, 0);
    g_assert_cmpuint(mig_monitor_parameters(f.monitor)->downtime_limit, ==, 300);
    fake_monitor_end(&f);
}

/* Which statuses and run states let a command through. */
static void test_preconditions(void)
{
    static const struct {
        const char *version, *status, *run_state, *command, *calls; /* calls NULL: an error */
    } rows[] = {
        { "10.0", "none", "running", MIGRATE, "migrate tcp:a:1;" },
        { "10.0", "failed", "running", MIGRATE, "migrate tcp:a:1;" },
        { "10.0", "active", "running", MIGRATE, NULL },
        { "10.0", "cancelling", "running", MIGRATE, NULL },
        { "10.0", "none", "inmigrate", MIGRATE, NULL },
        { "10.0", "completed", "postmigrate", MIGRATE, NULL },
        { "5.2", "completed", "postmigrate", MIGRATE, "migrate tcp:a:1;" },
        { "10.0", "active", "running", RESUME, NULL },
        { "10.0", "postcopy-paused", "postmigrate", RESUME, "migrate tcp:a:1 resume;" },
        { "10.0", "none", "running", ARG("migrate", ""), NULL },
        { "10.0", "none", "running", ARG("migrate", "\"uri\":5"), NULL },
        { "10.0", "none", "running", ARG("migrate", "\"uri\":\"foo:1\""), NULL },
        { "10.0", "none", "running", ARG("migrate", "\"uri\":\"tcp:a:1\",\"channels\":[]"),
          "migrate tcp:a:1;" },
        { "10.0", "none", "running",
          ARG("migrate", "\"channels\":[{\"channel-type\":\"main\",\"addr\":"
                         "{\"transport\":\"file\",\"filename\":\"x\"}}]"),
          "migrate by channels;" },
        { "10.0", "none", "running",
          ARG("migrate", "\"channels\":[{\"channel-type\":\"main\",\"addr\":"
                         "{\"transport\":\"nope\"}}]"),
          NULL },
        { "10.0", "none", "running", ARG("migrate", "\"channels\":[5]"), NULL },
        { "7.2", "none", "running", ARG("migrate", "\"uri\":\"tcp:a:1\",\"channels\":[]"), NULL },
        { "7.2", "none", "running", ARG("migrate", "\"uri\":\"file:x\""), NULL },
        { "10.0", "none", "running", ARG("migrate", "\"uri\":\"file:x\",\"blk\":true"), NULL },
        { "10.0", "none", "running", CMD("migrate_cancel"), "" },
        { "10.0", "active", "running", CMD("migrate_cancel"), "cancel;" },
        { "10.0", "postcopy-active", "finish-migrate", CMD("migrate_cancel"), NULL },
        { "7.2", "postcopy-active", "finish-migrate", CMD("migrate_cancel"), "cancel;" },
        { "10.0", "pre-switchover", "finish-migrate", GO_ON, "proceed;" },
        { "10.0", "active", "running", GO_ON, NULL },
        { "10.0", "active", "running", ARG("migrate-continue", "\"state\":\"bogus\""), NULL },
        { "10.0", "active", "running", ARG("migrate-continue", "\"state\":\"failing\""), NULL },
        { "10.0", "active", "running", CMD("migrate-start-postcopy"), NULL },
        { "10.0", "active", "running", CMD("migrate-pause"), NULL },
        { "10.0", "postcopy-active", "finish-migrate", CMD("migrate-pause"), "pause;" },
        { "10.0", "postcopy-recover", "finish-migrate", CMD("migrate-pause"), "pause;" },
        { "7.2", "postcopy-recover", "finish-migrate", CMD("migrate-pause"), NULL },
        { "10.0", "active", "running", RECOVER, NULL },
        { "10.0", "postcopy-paused", "running", RECOVER, "recover tcp:a:1;" },
        { "10.0", "none", "running", ARG("migrate-incoming", "\"uri\":\"tcp:a:1\""), NULL },
        { "10.0", "none", "running", CMD("stop"), "stop;" },
        { "10.0", "none", "paused", CMD("stop"), "" },
        { "10.0", "none", "running", CMD("cont"), "" },
        { "10.0", "none", "paused", CMD("cont"), "cont;" },
        { "10.0", "completed", "postmigrate", CMD("cont"), "cont;" },
        { "10.0", "device", "finish-migrate", CMD("cont"), NULL },
        { "10.0", "active", "running", CAPS(CAP("events", "true")), NULL },
        { "10.0", "active", "running", PARAM("\"downtime-limit\":9"), "parameters;" },
        { "10.0", "none", "running", ARG("pmemsave", "\"val\":4096,\"size\":8,\"filename\":\"x\""),
          "pmemsave 4096 8 x;" },
        { "10.0", "none", "running", ARG("pmemsave", "\"val\":4096,\"size\":8"), NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeMonitor f;
        fake_monitor_begin(&f, rows[i].version, false);
        fake_monitor_negotiate(&f);
        f.status = rows[i].status;
        f.run_state = rows[i].run_state;
        fake_monitor_say(&f, rows[i].command);
        fake_monitor_say(&f, "\n");
        g_autofree char *got = fake_monitor_take(f.client);
        g_test_message("%s %s: %s", rows[i].version, rows[i].status, rows[i].command);
        g_assert_cmpstr(got, ==, rows[i].calls ? OK : GE);
        g_assert_cmpstr(f.calls->str, ==, rows[i].calls ? rows[i].calls : "");
        fake_monitor_end(&f);
    }
}

static void test_incoming(void)
{
    static const FakeMonitorRow rows[] = {
        { ARG("migrate-incoming", "\"uri\":\"foo:1\""), GE },
        { ARG("migrate-incoming", "\"uri\":\"tcp:a:1\",\"exit-on-error\":false"), OK },
        { ARG("migrate-incoming", "\"uri\":\"tcp:a:1\""), GE },
        { ARG("migrate", "\"uri\":\"tcp:a:1\""), GE },
        { CAPS(CAP("return-path", "true")), OK }, /* also while it loads */
    };
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", true);
    fake_monitor_negotiate(&f);
    f.status = "active";
    fake_monitor_rows(&f, rows, G_N_ELEMENTS(rows));
    g_assert_true(g_str_has_prefix(f.calls->str, "incoming tcp:a:1 0;"));
    fake_monitor_end(&f);
}

static void expect_names(FakeMonitor *f, const char *command, const char *key, const char *there,
                         const char *absent)
{
    json_object *list = mig_monitor_execute(f->monitor, command, NULL, NULL);
    GString *all = g_string_new(";");
    if (json_object_is_type(list, json_type_object)) {
        json_object_object_foreach(list, name, v)
        {
            (void)v;
            g_string_append_printf(all, "%s;", name);
        }
    } else {
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            json_object *o = json_object_array_get_idx(list, i);
            g_string_append_printf(all, "%s;",
                                   json_object_get_string(json_object_object_get(o, key)));
        }
    }
    g_autofree char *want = g_strdup_printf(";%s;", there);
    g_assert_nonnull(strstr(all->str, want));
    if (absent) {
        g_autofree char *not_want = g_strdup_printf(";%s;", absent);
        g_assert_null(strstr(all->str, not_want));
    }
    json_object_put(list);
    g_string_free(all, TRUE);
}

/* A version has its own names, and no others. */
static void test_versions(void)
{
    static const struct {
        const char *version, *command, *key, *there, *absent;
    } rows[] = {
        { "5.2", "query-commands", "name", "migrate_set_speed", NULL },
        { "7.2", "query-commands", "name", "migrate-pause", "migrate_set_speed" },
        { "2.4", "query-commands", "name", "migrate-incoming", "migrate-start-postcopy" },
        { "7.2", "query-migrate-capabilities", "capability", "compress", "mapped-ram" },
        { "10.0", "query-migrate-capabilities", "capability", "mapped-ram", "compress" },
        { "3.1", "query-migrate-capabilities", "capability", "x-multifd", "multifd" },
        { "7.2", "query-migrate-parameters", NULL, "block-incremental", "direct-io" },
        { "10.0", "query-migrate-parameters", NULL, "direct-io", "cpr-exec-command" },
        { "11.1", "query-migrate-parameters", NULL, "cpr-exec-command", "block-bitmap-mapping" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeMonitor f;
        fake_monitor_begin(&f, rows[i].version, false);
        expect_names(&f, rows[i].command, rows[i].key, rows[i].there, rows[i].absent);
        fake_monitor_end(&f);
    }
    FakeMonitor f;
    fake_monitor_begin(&f, "7.2", false);
    fake_monitor_negotiate(&f);
    fake_monitor_say(&f, CMD("migrate_set_speed") CMD("query-status"));
    g_autofree char *got = fake_monitor_take(f.client);
    g_assert_cmpstr(got, ==,
                    NF "|{\"return\":{\"status\":\"running\",\"singlestep\":false,"
                       "\"running\":true}}");
    fake_monitor_end(&f);
}

static void test_hmp(void)
{
    static const struct {
        const char *version, *line, *calls, *out; /* what |out| contains; "": nothing comes */
    } rows[] = {
        { "10.0", "migrate -d tcp:a:1", "migrate tcp:a:1;", "" },
        { "10.0", "migrate tcp:a:1", "migrate tcp:a:1;", "can't wait" },
        { "11.1", "migrate tcp:a:1", "migrate tcp:a:1;", "" },
        { "10.0", "migrate -d \\\"exec:cat >x y\\\"", "migrate exec:cat >x y;", "" },
        { "10.0", "migrate -d exec:cat >x y", "migrate exec:cat >x y;", "" },
        { "10.0", "migrate", "", "missing" },
        { "10.0", "migrate -z tcp:a:1", "", "-z" },
        { "10.0", "migrate -d foo:1", "", "Error: " },
        { "10.0", "migrate_set_capability return-path on", "capabilities 400;", "" },
        { "10.0", "migrate_set_capability foo on", "", "Error: " },
        { "10.0", "migrate_set_capability xbzrle maybe", "", "on or off" },
        { "10.0", "migrate_set_capability xbzrle on extra", "", "too many" },
        { "10.0", "migrate_set_parameter downtime-limit 5", "parameters;", "" },
        { "10.0", "migrate_set_parameter downtime-limit foo", "", "Error: " },
        { "10.0", "migrate_set_parameter downtime-limit -5", "", "Error: " },
        { "10.0", "migrate_set_parameter cpu-throttle-tailslow on", "parameters;", "" },
        { "10.0", "migrate_set_parameter multifd-compression zlib", "parameters;", "" },
        { "10.0", "migrate_set_parameter bogus 5", "", "Error: " },
        { "10.0", "migrate_set_speed 32", "", "unknown command" },
        { "5.2", "migrate_set_speed 32", "parameters;", "" },
        { "5.2", "migrate_set_downtime 0.5", "parameters;", "" },
        { "5.2", "migrate_set_downtime x", "", "Error: " },
        { "10.0", "migrate_cancel", "", "" },
        { "10.0", "migrate_continue pre-switchover", "", "Error: " },
        { "10.0", "migrate_continue bogus", "", "Error: " },
        { "10.0", "migrate_pause", "", "Error: " },
        { "10.0", "migrate_recover tcp:a:1", "", "Error: " },
        { "10.0", "migrate_incoming tcp:a:1", "", "Error: " },
        { "10.0", "migrate_start_postcopy", "", "Error: " },
        { "10.0", "stop", "stop;", "" },
        { "10.0", "info migrate", "", "status: none\r\n" },
        { "10.0", "info status", "", "running" },
        { "10.0", "info migrate_capabilities", "", "xbzrle: off\r\n" },
        { "10.0", "info migrate_parameters", "", "max-bandwidth: 134217728\r\n" },
        { "10.0", "info nope", "", "unknown command" },
        { "10.0", "nope", "", "unknown command" },
        { "10.0", "", "", "" },
        { "10.0", "  ", "", "" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeMonitor f;
        fake_monitor_begin(&f, rows[i].version, false);
        json_object *arguments = json_object_new_object();
        g_autofree char *line = g_strcompress(rows[i].line);
        json_object_object_add(arguments, "command-line", json_object_new_string(line));
        json_object *v = mig_monitor_execute(f.monitor, "human-monitor-command", arguments, NULL);
        const char *out = json_object_get_string(v);
        g_test_message("%s: %s -> %s", rows[i].version, rows[i].line, out);
        g_assert_cmpstr(f.calls->str, ==, rows[i].calls);
        g_assert_true(rows[i].out[0] ? strstr(out, rows[i].out) != NULL : out[0] == '\0');
        json_object_put(v);
        json_object_put(arguments);
        fake_monitor_end(&f);
    }
}

static void test_hmp_values(void)
{
    static const struct {
        const char *line;
        uint64_t bandwidth, downtime;
    } rows[] = {
        { "migrate_set_speed 32", 32u << 20, 300 },
        { "migrate_set_speed 64k", 64u << 10, 300 },
        { "migrate_set_parameter max-bandwidth 16", 16u << 20, 300 },
        { "migrate_set_parameter max-bandwidth 1G", 1u << 30, 300 },
        { "migrate_set_parameter downtime-limit 25", 128u << 20, 25 },
        { "migrate_set_downtime 0.5", 128u << 20, 500 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeMonitor f;
        fake_monitor_begin(&f, "5.2", false);
        json_object *arguments = json_object_new_object();
        json_object_object_add(arguments, "command-line", json_object_new_string(rows[i].line));
        json_object_put(mig_monitor_execute(f.monitor, "human-monitor-command", arguments, NULL));
        json_object_put(arguments);
        g_assert_cmpuint(f.parameters.max_bandwidth, ==, rows[i].bandwidth);
        g_assert_cmpuint(f.parameters.downtime_limit, ==, rows[i].downtime);
        fake_monitor_end(&f);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sim/monitor/settings", test_settings);
    g_test_add_func("/sim/monitor/target-refuses", test_target_refuses);
    g_test_add_func("/sim/monitor/preconditions", test_preconditions);
    g_test_add_func("/sim/monitor/incoming", test_incoming);
    g_test_add_func("/sim/monitor/versions", test_versions);
    g_test_add_func("/sim/monitor/hmp", test_hmp);
    g_test_add_func("/sim/monitor/hmp-values", test_hmp_values);
    return g_test_run();
}
