/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's newer words: calc-dirty-rate, the channels of migrate, what a destination may be
 * told before its guest has come.
 */
#include "tests/unit/fake-monitor.h"

#include <string.h>

#include "sim/monitor/monitor-internal.h"

#define CALC(a)       ARG("calc-dirty-rate", a)
#define RATE          CMD("query-dirty-rate")
#define MILLISECONDS  ARG("query-dirty-rate", "\"calc-time-unit\":\"millisecond\"")
#define UNSTARTED_5_2 "{\"return\":{\"status\":\"unstarted\",\"start-time\":0,\"calc-time\":0}}"

static void run_rows(const char *version, const FakeMonitorRow *rows, size_t count)
{
    FakeMonitor f;
    fake_monitor_begin(&f, version, false);
    fake_monitor_negotiate(&f);
    fake_monitor_rows(&f, rows, count);
    fake_monitor_end(&f);
}

/* Which arguments a version has, and their bounds. */
static void test_arguments(void)
{
    static const FakeMonitorRow rows_5_2[] = {
        { RATE, UNSTARTED_5_2 },
        { CMD("calc-dirty-rate"), GE },
        { CALC("\"calc-time\":0"), GE },
        { CALC("\"calc-time\":61"), GE },
        { CALC("\"calc-time\":-1"), GE },
        { CALC("\"calc-time\":\"1\""), GE },
        { CALC("\"calc-time\":1,\"sample-pages\":512"), GE },
        { CALC("\"calc-time\":1,\"mode\":\"page-sampling\""), GE },
        { MILLISECONDS, GE },
        { CALC("\"calc-time\":60"), OK },
        { CALC("\"calc-time\":60"), GE },
    };
    static const FakeMonitorRow rows_10_0[] = {
        { CALC("\"calc-time\":49,\"calc-time-unit\":\"millisecond\""), GE },
        { CALC("\"calc-time\":60001,\"calc-time-unit\":\"millisecond\""), GE },
        { CALC("\"calc-time\":9223372036854775807"), GE },
        { CALC("\"calc-time\":-9223372036854775808"), GE },
        { CALC("\"calc-time\":1,\"calc-time-unit\":\"hour\""), GE },
        { CALC("\"calc-time\":1,\"sample-pages\":127"), GE },
        { CALC("\"calc-time\":1,\"sample-pages\":16385"), GE },
        { CALC("\"calc-time\":1,\"sample-pages\":-1"), GE },
        { CALC("\"calc-time\":1,\"mode\":\"nope\""), GE },
        { CALC("\"calc-time\":1,\"mode\":\"dirty-ring\",\"sample-pages\":512"), GE },
        { CALC("\"calc-time\":50,\"calc-time-unit\":\"millisecond\""), OK },
    };
    run_rows("5.2", rows_5_2, G_N_ELEMENTS(rows_5_2));
    run_rows("10.0", rows_10_0, G_N_ELEMENTS(rows_10_0));
    static const FakeMonitorRow older[] = { { RATE, NF }, { CALC("\"calc-time\":1"), NF } };
    run_rows("5.1", older, G_N_ELEMENTS(older));
}

/* unstarted, measuring, measured; what each shows. */
static void test_statuses(void)
{
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", false);
    fake_monitor_negotiate(&f);
    static const FakeMonitorRow before[] = {
        { RATE, "{\"return\":{\"status\":\"unstarted\",\"sample-pages\":0,\"mode\":"
                "\"page-sampling\",\"calc-time-unit\":\"second\",\"start-time\":0,"
                "\"calc-time\":0}}" },
        { CALC("\"calc-time\":1500,\"calc-time-unit\":\"millisecond\",\"mode\":\"dirty-ring\""),
          OK },
        { RATE, "{\"return\":{\"status\":\"measuring\",\"sample-pages\":512,\"mode\":"
                "\"dirty-ring\",\"calc-time-unit\":\"second\",\"start-time\":3,"
                "\"calc-time\":1}}" },
    };
    fake_monitor_rows(&f, before, G_N_ELEMENTS(before));
    g_assert_cmpstr(f.calls->str, ==, "measure dirty-ring 1500 512;");
    int64_t rates[] = { 7, 0 };
    mig_monitor_measured(
        f.monitor, &(MigDirtyRateResult){ .rate = 7, .ms = 1501, .by_vcpu = rates, .vcpus = 2 });
    static const FakeMonitorRow after[] = {
        { MILLISECONDS,
          "{\"return\":{\"status\":\"measured\",\"sample-pages\":0,\"dirty-rate\":7,"
          "\"mode\":\"dirty-ring\",\"vcpu-dirty-rate\":[{\"dirty-rate\":7,\"id\":0},"
          "{\"dirty-rate\":0,\"id\":1}],\"calc-time-unit\":\"millisecond\",\"start-time\":3,"
          "\"calc-time\":1501}}" },
        { CALC("\"calc-time\":1,\"sample-pages\":128"), OK }, /* another one: nothing of it stays */
        { RATE, "{\"return\":{\"status\":\"measuring\",\"sample-pages\":128,\"mode\":"
                "\"page-sampling\",\"calc-time-unit\":\"second\",\"start-time\":3,"
                "\"calc-time\":1}}" },
    };
    fake_monitor_rows(&f, after, G_N_ELEMENTS(after));
    fake_monitor_end(&f);
}

/* A target that can't leaves everything as it was. */
static void test_refused(void)
{
    FakeMonitor f;
    fake_monitor_begin(&f, "5.2", false);
    fake_monitor_negotiate(&f);
    f.refuses = true;
    static const FakeMonitorRow rows[] = {
        { CALC("\"calc-time\":1"), GE },
        { RATE, UNSTARTED_5_2 },
    };
    fake_monitor_rows(&f, rows, G_N_ELEMENTS(rows));
    fake_monitor_end(&f);
}

/* Addresses ---------------------------------------------------------------------------------- */

static void test_addresses(void)
{
    static const struct {
        const char *address, *uri; /* the latter NULL: refused */
    } rows[] = {
        { "'transport':'socket','type':'inet','host':'h','port':'1'", "tcp:h:1" },
        { "'transport':'socket','type':'inet','host':'::1','port':'1'", "tcp:[::1]:1" },
        { "'transport':'socket','type':'inet','host':'','port':'0','ipv4':true,'ipv6':false",
          "tcp::0,ipv4=on,ipv6=off" },
        { "'transport':'socket','type':'unix','path':'/x'", "unix:/x" },
        { "'transport':'socket','type':'vsock','cid':'3','port':'4'", "vsock:3:4" },
        { "'transport':'socket','type':'fd','str':'7'", "fd:7" },
        { "'transport':'exec','args':['cat','a b']", "exec:exec 'cat' 'a b'" },
        { "'transport':'file','filename':'/x','offset':4096", "file:/x,offset=4096" },
        { "'transport':'rdma','host':'h','port':'1'", "rdma:h:1" },
        { "'transport':'socket','type':'inet','host':'h'", NULL },
        { "'transport':'socket','type':'inet','host':'h','port':1", NULL },
        { "'transport':'socket','type':'inet','host':'h','port':'1','x':1", NULL },
        { "'transport':'socket','type':'tcp','host':'h','port':'1'", NULL },
        { "'transport':'socket'", NULL },
        { "'transport':'file','filename':'/x'", NULL },
        { "'transport':'exec','args':[]", NULL },
        { "'transport':'exec','args':['cat',5]", NULL },
        { "'transport':5", NULL },
        { "'type':'unix','path':'/x'", NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup_printf("{%s}", rows[i].address);
        g_strdelimit(text, "'", '"');
        json_object *o = json_tokener_parse(text);
        g_autoptr(GError) error = NULL;
        g_autofree char *uri = mig_monitor_address_to_uri(o, &error);
        g_test_message("%s -> %s", rows[i].address, uri ? uri : error->message);
        g_assert_cmpstr(uri, ==, rows[i].uri);
        g_assert_true((uri == NULL) == (error != NULL));
        json_object_put(o);
    }
}

/* An incoming guest -------------------------------------------------------------------------- */

#define INCOMING ARG("migrate-incoming", "\"uri\":\"tcp:a:1\"")
#define SETUP                                                                              \
    "{\"timestamp\":{\"seconds\":3,\"microseconds\":7},\"event\":\"MIGRATION\",\"data\":{" \
    "\"status\":\"setup\"}}|"

/* stop and cont say what becomes of it; nobody is told of anything. */
static void test_autostart(void)
{
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", true);
    fake_monitor_negotiate(&f);
    static const FakeMonitorRow rows[] = { { CMD("stop"), OK }, { CMD("cont"), OK } };
    fake_monitor_rows(&f, rows, G_N_ELEMENTS(rows));
    g_assert_cmpstr(f.calls->str, ==, "no autostart;autostart;");
    fake_monitor_end(&f);
}

/* Up to 7.2 the event comes first, wanted or not; what decides who is let in could be set later. */
static void test_channels_too_late(void)
{
    static const struct {
        const char *version, *answer, *too_late;
    } rows[] = { { "7.2", SETUP OK, OK }, { "10.0", OK, GE } };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeMonitor f;
        fake_monitor_begin(&f, rows[i].version, true);
        fake_monitor_negotiate(&f);
        const FakeMonitorRow said[] = {
            { CAPS(CAP("multifd", "true")), OK },
            { CAPS(CAP("multifd", "false")), OK },
            { INCOMING, rows[i].answer },
            { CAPS(CAP("xbzrle", "true")), OK },
            { CAPS(CAP("xbzrle", "false")), OK },
            { CAPS(CAP("multifd", "true")), rows[i].too_late },
            { CAPS(CAP("multifd", "false")), OK },
        };
        fake_monitor_rows(&f, said, G_N_ELEMENTS(said));
        fake_monitor_end(&f);
    }
}

/* Its own migration has not begun, whatever the incoming one does. */
static void test_outgoing_status(void)
{
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", true);
    fake_monitor_negotiate(&f);
    f.status = "pre-switchover";
    static const FakeMonitorRow rows[] = {
        { GO_ON, GE },
        { CAPS(CAP("postcopy-ram", "true")), OK },
        { CMD("migrate-start-postcopy"), GE },
    };
    fake_monitor_rows(&f, rows, G_N_ELEMENTS(rows));
    fake_monitor_end(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sim/monitor/dirty-rate/arguments", test_arguments);
    g_test_add_func("/sim/monitor/dirty-rate/statuses", test_statuses);
    g_test_add_func("/sim/monitor/dirty-rate/refused", test_refused);
    g_test_add_func("/sim/monitor/channels/addresses", test_addresses);
    g_test_add_func("/sim/monitor/incoming/autostart", test_autostart);
    g_test_add_func("/sim/monitor/incoming/channels-too-late", test_channels_too_late);
    g_test_add_func("/sim/monitor/incoming/outgoing-status", test_outgoing_status);
    return g_test_run();
}
