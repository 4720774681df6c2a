/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's protocol: shapes, splits, bounds, events, and answers that come later. */
#include <glib.h>
#include <string.h>

#include "tests/unit/fake-monitor.h"

/* Before qmp_capabilities nothing else is done, and it is done once. */
static void test_negotiation(void)
{
    static const FakeMonitorRow rows[] = {
        { CMD("query-status"), NF },
        { CMD("no-such"), NF },
        { ARG("qmp_capabilities", "\"enable\":[\"oob\"]"), GE },
        { ARG("qmp_capabilities", "\"enable\":5"), GE },
        { ARG("qmp_capabilities", "\"x\":1"), GE },
        { ARG("qmp_capabilities", "\"enable\":[]"), OK },
        { CMD("qmp_capabilities"), NF },
        { CMD("query-status"), "{\"return\":{\"status\":\"running\",\"running\":true}}" },
    };
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0.13", false);
    g_autofree char *hello = fake_monitor_take(f.client);
    g_assert_cmpstr(hello, ==,
                    "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":13,\"minor\":0,\"major\":10},"
                    "\"package\":\"migbench\"},\"capabilities\":[]}}");
    fake_monitor_rows(&f, rows, G_N_ELEMENTS(rows));
    fake_monitor_end(&f);
}

/* What a client sends that is no command, and what comes behind it. */
static const FakeMonitorRow shapes[] = {
    { "", "" },
    { "  \t\r", "" },
    { "5", GE },
    { "\"x\"", GE },
    { "[1]", GE },
    { "null", GE },
    { "garbage", GE },
    { "]", GE },
    { "{\"execute\":\"query-status\",}", GE },
    { "{\"execute\":\"query-status\",\"execute\":\"query-status\"}", GE },
    { "{\"execute\":\"query-status\",\"id\":{\"a\":1,\"a\":2}}", GE },
    { "{\"execute\":5}", GE },
    { "{\"execute\":5,\"id\":7}", GE " 7" },
    { "{\"id\":[1,null,\"x\"]}", GE " [1,null,\"x\"]" },
    { "{\"execute\":\"query-status\",\"bad\":1}", GE },
    { "{\"execute\":\"query-status\",\"arguments\":[]}", GE },
    { "{\"execute\":\"query-status\",\"arguments\":{\"x\":1}}", GE },
    { "{\"exec-oob\":\"query-status\"}", GE },
    { "{\"execute\":\"nope\",\"id\":null}", NF " null" },
    { "{\"execute\":\"\"}", NF },
    { "{\"execute\":\"query-status\"", "" },
    { "}", STATUS "}" },
    { "{\"execute\":\"query-status\",\"id\":\"a\"}{\"execute\":\"query-status\",\"id\":2} ",
      STATUS ",\"id\":\"a\"}|" STATUS ",\"id\":2}" },
    { "{\"execute\":\"query-status\",\"id\":18446744073709551615}",
      STATUS ",\"id\":18446744073709551615}" },
    { "{\"execute\":\"query-status\",\"id\":-1.5}", STATUS ",\"id\":-1.5}" },
    { "\xff{\"execute\":\"query-status\"}", GE },
    { "{\"execute\":\"query-status\"}", STATUS "}" },
};

static void test_shapes(void)
{
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", false);
    fake_monitor_negotiate(&f);
    fake_monitor_rows(&f, shapes, G_N_ELEMENTS(shapes));
    fake_monitor_end(&f);
}

/* The same conversation in pieces of every size. */
static void test_splits(void)
{
    GString *all = g_string_new(NULL);
    g_autofree char *want = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_string_append_printf(all, "%s\n", shapes[i].in);
    }
    for (size_t piece = all->len; piece > 0; piece--) {
        FakeMonitor f;
        fake_monitor_begin(&f, "10.0", false);
        fake_monitor_negotiate(&f);
        for (size_t at = 0; at < all->len; at += piece) {
            mig_qmp_feed(f.client, all->str + at, MIN(piece, all->len - at));
        }
        g_autofree char *got = fake_monitor_take(f.client);
        if (want) {
            g_assert_cmpstr(got, ==, want);
        } else {
            want = g_steal_pointer(&got);
        }
        fake_monitor_end(&f);
    }
    g_string_free(all, TRUE);
}

/* Depth and length have bounds, and the next line is read again. */
static void test_bounds(void)
{
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", false);
    fake_monitor_negotiate(&f);
    for (size_t i = 0; i < 4 * MIG_QMP_MAX_DEPTH; i++) {
        fake_monitor_say(&f, "[");
    }
    g_autofree char *deep = fake_monitor_take(f.client);
    g_assert_cmpstr(deep, ==, GE);
    fake_monitor_say(&f, "\n" CMD("query-status") "\n");
    g_autofree char *after = fake_monitor_take(f.client);
    g_assert_cmpstr(after, ==, STATUS "}");
    g_autofree char *block = g_strnfill(4096, 'x');
    fake_monitor_say(&f, "{\"execute\":\"");
    for (size_t i = 0; i < 3 * MIG_QMP_MAX_COMMAND / 4096; i++) {
        fake_monitor_say(&f, block);
    }
    g_autofree char *wide = fake_monitor_take(f.client);
    g_assert_cmpstr(wide, ==, GE);
    fake_monitor_say(&f, "\n" CMD("query-status") "\n");
    g_autofree char *again = fake_monitor_take(f.client);
    g_assert_cmpstr(again, ==, STATUS "}");
    fake_monitor_end(&f);
}

/* A client that does not read holds nobody up and takes no memory without end. */
static void test_unread_output(void)
{
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", false);
    fake_monitor_negotiate(&f);
    size_t n = 0;
    for (size_t i = 0; i < 2 * MIG_QMP_MAX_OUTPUT / 64; i++) {
        mig_monitor_event(f.monitor, "STOP", NULL, 0);
    }
    mig_qmp_output(f.client, &n);
    g_assert_cmpuint(n, <, MIG_QMP_MAX_OUTPUT + 256);
    g_assert_false(mig_qmp_wants_input(f.client));
    mig_qmp_written(f.client, n);
    g_assert_true(mig_qmp_wants_input(f.client));
    fake_monitor_end(&f);
}

/* Events come before the answer to the command that caused them, and only when they are on. */
static void test_events(void)
{
#define AT "{\"timestamp\":{\"seconds\":3,\"microseconds\":7},\"event\":"
    static const FakeMonitorRow rows[] = {
        { MIGRATE, OK },
        { CMD("query-migrate"), "{\"return\":{\"status\":\"setup\"}}" },
    };
    static const FakeMonitorRow with_events[] = {
        { CAPS(CAP("events", "true")), OK },
        { MIGRATE, AT "\"MIGRATION\",\"data\":{\"status\":\"setup\"}}|" OK },
    };
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", false);
    mig_monitor_event(f.monitor, "STOP", NULL, 0); /* not negotiated yet: not told */
    fake_monitor_negotiate(&f);
    fake_monitor_rows(&f, rows, G_N_ELEMENTS(rows));
    f.status = "failed";
    fake_monitor_rows(&f, with_events, G_N_ELEMENTS(with_events));
    mig_monitor_event(f.monitor, "MIGRATION_PASS", NULL, 4);
    mig_monitor_event(f.monitor, "STOP", NULL, 0);
    MigQmp *late = mig_qmp_new(f.monitor, NULL, NULL);
    mig_monitor_event(f.monitor, "RESUME", NULL, 0);
    g_autofree char *got = fake_monitor_take(f.client);
    g_assert_cmpstr(
        got, ==, AT "\"MIGRATION_PASS\",\"data\":{\"pass\":4}}|" AT "\"STOP\"}|" AT "\"RESUME\"}");
    g_autofree char *hello = fake_monitor_take(late);
    g_assert_null(strchr(hello, '|'));
    mig_qmp_free(late);
    fake_monitor_end(&f);
}

/* It is answered when it is done; what comes behind it waits, and another client's doesn't. */
static void test_advance(void)
{
    FakeMonitor f;
    fake_monitor_begin(&f, "10.0", false);
    fake_monitor_negotiate(&f);
    MigQmp *other = mig_qmp_new(f.monitor, NULL, NULL);
    fake_monitor_say(
        &f, "{\"execute\":\"x-advance\",\"arguments\":{\"time\":\"2us\"},\"id\":1}" CMD("stop"));
    g_autofree char *nothing = fake_monitor_take(f.client);
    g_assert_cmpstr(nothing, ==, "");
    g_assert_false(mig_qmp_wants_input(f.client));
    static const char theirs[] =
        CMD("qmp_capabilities") ARG("x-advance", "\"time\":\"1us\"") CMD("query-status");
    g_free(fake_monitor_take(other));
    mig_qmp_feed(other, theirs, strlen(theirs));
    g_autofree char *meanwhile = fake_monitor_take(other);
    g_assert_cmpstr(meanwhile, ==, OK "|" GE "|" STATUS "}");
    mig_monitor_advanced(f.monitor, 2000);
    g_autofree char *got = fake_monitor_take(f.client);
    g_assert_cmpstr(got, ==, "{\"return\":{\"now-ns\":2000,\"status\":\"none\"},\"id\":1}|" OK);
    g_assert_cmpstr(f.calls->str, ==, "advance 2000;stop;");
    /* A client that goes away takes its request with it. */
    fake_monitor_say(&f, ARG("x-advance", "\"time\":\"1us\""));
    mig_qmp_free(f.client);
    mig_monitor_advanced(f.monitor, 3000);
    f.client = other;
    fake_monitor_end(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sim/monitor/negotiation", test_negotiation);
    g_test_add_func("/sim/monitor/shapes", test_shapes);
    g_test_add_func("/sim/monitor/every-split", test_splits);
    g_test_add_func("/sim/monitor/bounds", test_bounds);
    g_test_add_func("/sim/monitor/unread-output", test_unread_output);
    g_test_add_func("/sim/monitor/events", test_events);
    g_test_add_func("/sim/monitor/advance", test_advance);
    return g_test_run();
}
