/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links whose rate varies, from outside: whole migrations over them, with and without bytes, and
 * the scenario's words for them. What such a link does byte by byte is test-wire.c's.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/world/clock.h"
#include "tests/unit/simulated.h"

/* Whole migrations ------------------------------------------------------------------------- */

#define MORE(text) ", " text

static const struct {
    const char *qemu, *capabilities, *link, *events;
} runs[] = {
    { "10.0", "", "", "" },
    { "1.4", "", "", "" },
    { "11.1", "\"multifd\": true", "", "" },
    { "7.2", "\"multifd\": true", "", "" },
    { "8.1", "\"xbzrle\": true", "", "" },
    { "9.2", "\"multifd\": true, \"mapped-ram\": true", "", "" },
    { "10.0", "", MORE("\"transport\": \"rdma\""), "" },
    { "10.0", "\"postcopy-ram\": true", "",
      "{ \"at\": \"30ms\", \"do\": \"migrate-start-postcopy\" }" },
    { "11.1", "\"postcopy-ram\": true, \"postcopy-preempt\": true", "",
      "{ \"at\": \"30ms\", \"do\": \"migrate-start-postcopy\" }" },
};

static const char *const wires[] = {
    MORE("\"bandwidth-trace\": [ [ \"0\", \"1Gbit/s\" ], [ \"20ms\", \"200Mbit/s\" ] ]"),
    MORE("\"bandwidth-trace\": { \"points\": [ [ \"0\", \"1Gbit/s\" ], [ \"7ms\", \"0\" ] ], "
         "\"end\": \"repeat\", \"period\": \"9ms\" }"),
    MORE("\"token-bucket\": { \"rate\": \"300Mbit/s\", \"burst\": \"1M\" }"),
    MORE("\"bandwidth-trace\": [ [ \"0\", \"300Mbit/s\" ] ], \"send-wake\": 20000, "
         "\"segment\": 9000, \"queue\": { \"main\": 10000, \"preempt\": 3000 }"),
    MORE("\"background\": { \"forward\": { \"rate\": \"900Mbit/s\", \"on\": \"3ms\", \"off\": "
         "\"5ms\", \"start\": \"1ms\", \"flows\": 2 }, \"reverse\": { \"rate\": \"1Gbit/s\" } }"),
};

static Simulated simulate(size_t run, const char *wire, bool accounting)
{
    const MigSimulateOptions options = { .accounting = accounting };
    return simulated_run(
        &options,
        "{ \"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": 5, \"guest\": { "
        "\"machine\": \"none\", \"device-state\": \"20k\", \"ram\": [ { \"name\": \"ram\", "
        "\"size\": \"8M\", \"content\": [ { \"length\": \"6M\", \"kind\": \"random\", \"zeros\": "
        "30 } ] } ], \"workload\": [ { \"block\": \"ram\", \"length\": \"4M\", \"rate\": 4000 } ] "
        "}, \"link\": { \"bandwidth\": \"1Gbit/s\", \"latency\": \"50us\", \"send-buffer\": "
        "\"64k\", \"receive-buffer\": \"64k\"%s%s }, \"capabilities\": { %s }, \"parameters\": { "
        "\"max-bandwidth\": 90000000, \"downtime-limit\": 20 }, \"events\": [ %s ], \"limit\": "
        "\"20s\" }",
        runs[run].qemu, runs[run].link, wire, runs[run].capabilities, runs[run].events);
}

static void test_modes(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(runs); i++) {
        g_auto(Simulated) plain = simulate(i, "", true);
        for (size_t w = 0; w < G_N_ELEMENTS(wires); w++) {
            g_auto(Simulated) bytes = simulate(i, wires[w], false);
            g_auto(Simulated) sizes = simulate(i, wires[w], true);
            g_test_message("%s %s %s", runs[i].qemu, runs[i].capabilities, wires[w]);
            simulated_expect_fine(&bytes);
            g_assert_cmpstr(bytes.m->events_digest, ==, sizes.m->events_digest);
            g_assert_cmpint(bytes.m->now, ==, sizes.m->now);
            g_assert_cmpuint(bytes.stats.ram.transferred, ==, sizes.stats.ram.transferred);
            g_assert_cmpint(bytes.m->now, >, plain.m->now);
        }
    }
}

/* With more channels more of a wire is ours that somebody else would take for himself. */
static void test_flows(void)
{
    int64_t times[2];
    for (unsigned i = 0; i < 2; i++) {
        g_auto(Simulated) s = simulated_run(
            NULL,
            "{ \"schema\": \"migbench-scenario-1\", \"qemu\": \"10.0\", \"guest\": { \"ram\": [ { "
            "\"name\": \"ram\", \"size\": \"32M\", \"content\": [ { \"kind\": \"random\" } ] } ] "
            "}, "
            "\"link\": { \"bandwidth\": \"400Mbit/s\", \"send-buffer\": \"64k\", \"background\": { "
            "\"forward\": { \"rate\": "
            "\"1Gbit/s\" } } }, \"capabilities\": { \"multifd\": true }, \"parameters\": { "
            "\"multifd-channels\": %u, \"max-bandwidth\": 0 } }",
            i ? 3 : 1);
        simulated_expect_fine(&s);
        times[i] = s.stats.total_time;
    }
    /* 32 MiB over 200 and over 300 Mbit/s: 1342 and 895 ms, and what else there is. */
    g_assert_cmpint(times[0], >, 1342);
    g_assert_cmpint(times[0], <, 1342 + 60);
    g_assert_cmpint(times[1], >, 895);
    g_assert_cmpint(times[1], <, 895 + 60);
}

/* What may be sent in ten seconds of outage is nothing, and the run ends at its limit. */
static void test_outage(void)
{
    g_auto(Simulated) s = simulate(0, MORE("\"bandwidth-trace\": [ [ \"10ms\", \"0\" ] ]"), true);
    g_assert_cmpstr(s.m->outcome, ==, "limit");
    g_assert_cmpint(s.m->now, <=, 20 * MIG_NS_PER_S + 200 * MIG_NS_PER_MS);
}

/* The scenario's words --------------------------------------------------------------------- */

#define SCENARIO                                                                           \
    "{ \"schema\": \"migbench-scenario-1\", \"guest\": { \"ram\": [ { \"name\": \"ram\", " \
    "\"size\": \"1M\" } ] }, \"link\": { \"bandwidth\": \"1Gbit/s\", %s } }"

static MigScenario *read_link(const char *link)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = g_strdup_printf(SCENARIO, link);
    json_object *v = mig_json_parse(text, strlen(text), "s", &error);
    g_assert_no_error(error);
    MigScenario *s = mig_scenario_read(v, "s", ".", &error);
    g_assert_no_error(error);
    json_object_put(v);
    return s;
}

static char *text_of(const MigRates *c)
{
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < c->count; i++) {
        g_string_append_printf(text, "%d:%d ", (int)(c->points[i].at / 1000),
                               (int)(c->points[i].rate / 1000000));
    }
    g_string_append_printf(text, "/%d", (int)(c->period / 1000));
    return g_string_free(text, FALSE);
}

static void test_read_trace(void)
{
    static const struct {
        const char *link, *rates; /* us:Mbit/s, and the period */
        uint64_t bandwidth;       /* Mbit/s */
    } rows[] = {
        { "\"bandwidth-trace\": [ [ \"0\", \"3Mbit/s\" ], [ \"2us\", \"0\" ] ]", "0:3 2:0 /0", 3 },
        { "\"bandwidth-trace\": [ [ \"2us\", \"2Gbit/s\" ] ]", "0:1000 2:2000 /0", 2000 },
        { "\"bandwidth-trace\": { \"points\": [ [ \"2us\", \"0\" ] ], \"end\": \"repeat\", "
          "\"period\": \"5us\" }",
          "0:1000 2:0 /5", 1000 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(MigScenario) s = read_link(rows[i].link);
        g_autofree char *rates = text_of(&s->link.trace);
        g_assert_cmpstr(rates, ==, rows[i].rates);
        g_assert_cmpuint(s->link.bandwidth, ==, rows[i].bandwidth * 1000000);
    }
}

static void test_read_background(void)
{
#define BURSTS(start) "\"rate\": \"7Mbit/s\", \"on\": \"3us\", \"off\": \"5us\", \"start\": " start
    static const struct {
        const char *load, *rates;
    } rows[] = {
        { "\"rate\": \"7Mbit/s\"", "0:7 /0" },
        { BURSTS("\"0\""), "0:7 3:0 /8" },
        { BURSTS("\"2us\""), "0:0 2:7 5:0 /8" },
        { BURSTS("\"5us\""), "0:0 5:7 /8" },
        { BURSTS("\"7us\""), "0:7 2:0 7:7 /8" },
        { "\"trace\": [ [ \"4us\", \"9Mbit/s\" ] ]", "0:0 4:9 /0" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *link = g_strdup_printf(
            "\"background\": { \"forward\": { %s }, \"reverse\": { %s, \"flows\": 9 } }",
            rows[i].load, rows[i].load);
        g_autoptr(MigScenario) s = read_link(link);
        g_autofree char *forward = text_of(&s->link.background.load);
        g_autofree char *reverse = text_of(&s->link.reverse.load);
        g_test_message("%s", rows[i].load);
        g_assert_cmpstr(forward, ==, rows[i].rates);
        g_assert_cmpstr(reverse, ==, rows[i].rates);
        g_assert_cmpuint(s->link.background.flows, ==, 1);
        g_assert_cmpuint(s->link.reverse.flows, ==, 9);
    }
}

static void test_read_bucket(void)
{
    g_autoptr(MigScenario) s = read_link(
        "\"token-bucket\": { \"rate\": \"8Mbit/s\", \"burst\": \"1k\", \"peak\": \"1Gbit/s\" }");
    g_assert_cmpuint(s->link.bucket.rate, ==, 8000000);
    g_assert_cmpuint(s->link.bucket.burst, ==, 1024);
    g_assert_cmpuint(s->link.bucket.peak, ==, 1000000000);
}

static char *write_file(const char *text)
{
    char *path = g_build_filename(g_get_tmp_dir(), "migbench-line-XXXXXX", NULL);
    g_autoptr(GError) error = NULL;
    close(g_mkstemp(path));
    g_file_set_contents(path, text, -1, &error);
    g_assert_no_error(error);
    return path;
}

static void test_file(void)
{
    g_autofree char *path = write_file("# a line\n0 1Gbit/s\n\n  1.5us\t20 MB/s\n3us 0\n");
    g_autofree char *link = g_strdup_printf("\"bandwidth-trace\": \"%s\"", path);
    g_autoptr(MigScenario) s = read_link(link);
    g_autofree char *rates = text_of(&s->link.trace);
    g_assert_cmpstr(rates, ==, "0:1000 1:160 3:0 /0");
    g_remove(path);
}

static void test_file_complaints(void)
{
    static const char *const rows[][2] = {
        { "0 1Gbit/s\n5 20MB/s\n", "line 2: \"5 20MB/s\": expected a time and a rate" },
        { "0 unlimited\n", "line 1: \"0 unlimited\": expected a time and a rate" },
        { "0 1Gbit/s\n\n0 1Gbit/s\n", "line 3: a time is at least 1us behind" },
        { "# nothing\n", "it has no points" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = write_file(rows[i][0]);
        g_autofree char *link = g_strdup_printf("\"bandwidth-trace\": { \"file\": \"%s\" }", path);
        g_autofree char *said = simulated_refusal(SCENARIO, link);
        g_test_message("%s", said);
        g_assert_nonnull(strstr(said, rows[i][1]));
        g_assert_nonnull(strstr(said, "link.bandwidth-trace"));
        g_remove(path);
    }
}

static void test_complaints(void)
{
    static const char *const rows[][2] = {
        { "\"bandwidth-trace\": []", "link.bandwidth-trace: it has no points" },
        { "\"bandwidth-trace\": [ [ \"1s\" ] ]", "[0]: expected a time and a rate, such as" },
        { "\"bandwidth-trace\": [ [ \"0\", \"unlimited\" ] ]", "is no rate here" },
        { "\"bandwidth-trace\": [ [ \"0\", \"0\" ] ]", "nothing would ever be sent" },
        { "\"bandwidth-trace\": \"/no/such\"", "link.bandwidth-trace: Failed to open" },
        { "\"bandwidth-trace\": 7", "expected a list of points, the name of" },
        { "\"bandwidth-trace\": { \"points\": [ [ \"0\", \"1B/s\" ] ], \"end\": \"repeat\" }",
          "\"repeat\" needs a \"period\"" },
        { "\"bandwidth-trace\": { \"points\": [ [ \"0\", \"1B/s\" ] ], \"period\": \"1s\" }",
          "a \"period\" goes with" },
        { "\"bandwidth-trace\": { \"points\": [ [ \"2s\", \"1B/s\" ] ], \"end\": \"repeat\", "
          "\"period\": \"2s\" }",
          "behind the last point" },
        { "\"bandwidth-trace\": { \"points\": [ [ \"0\", \"1B/s\" ] ], \"file\": \"x\" }",
          "not both" },
        { "\"bandwidth-trace\": { \"end\": \"loop\" }", "unknown value \"loop\"" },
        { "\"token-bucket\": { \"rate\": \"1Mbit/s\" }", "the key \"burst\" is missing" },
        { "\"token-bucket\": { \"rate\": \"0\", \"burst\": 1 }", "above 0" },
        { "\"token-bucket\": { \"rate\": \"9B/s\", \"burst\": 1, \"peak\": \"8B/s\" }",
          "its peak is below its rate" },
        { "\"send-buffer\": \"64k\", \"send-wake\": 65537", "more than \"send-buffer\" holds" },
        { "\"queue\": { \"preempt\": \"1k\" }", "the key \"main\" is missing" },
        { "\"send-wake\": \"5M\"", "more than \"send-buffer\" holds" },
        { "\"background\": { \"forwards\": {} }", "did you mean \"forward\"" },
        { "\"background\": { \"forward\": {} }", "expected a \"rate\" or a \"trace\"" },
        { "\"background\": { \"forward\": { \"rate\": \"1B/s\", \"trace\": [ [ \"0\", \"0\" ] ] } "
          "}",
          "expected a \"rate\" or a \"trace\"" },
        { "\"background\": { \"reverse\": { \"rate\": \"1B/s\", \"on\": \"1s\" } }",
          "link.background.reverse: \"on\" and \"off\" go together" },
        { "\"background\": { \"forward\": { \"rate\": \"1B/s\", \"on\": \"1s\", \"off\": \"1s\", "
          "\"start\": \"2s\" } }",
          "\"start\" has to be below" },
        { "\"background\": { \"forward\": { \"rate\": \"1B/s\", \"on\": \"1ns\" } }",
          "expected 1us or more" },
        { "\"background\": { \"forward\": { \"rate\": \"1B/s\", \"flows\": 0 } }",
          "link.background.forward.flows: expected 1 to 65535" },
        { "\"send-buffer\": 1, \"token-bucket\": { \"rate\": \"20000Tbit/s\", \"burst\": 1 }",
          "at most 10000Tbit/s" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *said = simulated_refusal(SCENARIO, rows[i][0]);
        g_test_message("%s", said);
        g_assert_nonnull(strstr(said, rows[i][1]));
    }
}

static void test_unlimited(void)
{
    static const char *const rows[] = {
        "\"bandwidth-trace\": [ [ \"1s\", \"1Gbit/s\" ] ]",
        "\"token-bucket\": { \"rate\": \"1Gbit/s\", \"burst\": \"1M\" }",
        "\"background\": { \"reverse\": { \"rate\": \"1Gbit/s\" } }",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *said = simulated_refusal(
            "{ \"schema\": \"migbench-scenario-1\", \"guest\": { \"ram\": [ { \"name\": \"ram\", "
            "\"size\": \"1M\" } ] }, \"link\": { \"bandwidth\": \"unlimited\", %s } }",
            rows[i]);
        g_assert_nonnull(strstr(said, "need a \"bandwidth\" that is not unlimited"));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/link/with-and-without-bytes", test_modes);
    g_test_add_func("/link/shares-by-flows", test_flows);
    g_test_add_func("/link/outage-ends-at-the-limit", test_outage);
    g_test_add_func("/link/read/bandwidth-trace", test_read_trace);
    g_test_add_func("/link/read/background", test_read_background);
    g_test_add_func("/link/read/token-bucket", test_read_bucket);
    g_test_add_func("/link/read/file", test_file);
    g_test_add_func("/link/refuses/file", test_file_complaints);
    g_test_add_func("/link/refuses/link", test_complaints);
    g_test_add_func("/link/refuses/unlimited", test_unlimited);
    return g_test_run();
}
