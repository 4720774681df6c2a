/* SPDX-License-Identifier: Apache-2.0 */
/* Units, and the strictness of scenarios: every complaint word for word. */
#include <glib.h>
#include <string.h>

#include "sim/scenario/from-manifest.h"
#include "sim/scenario/nearest.h"
#include "sim/world/units.h"
#include "tests/unit/traces.h"

static void test_sizes(void)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        { "0", 0 },
        { "4096", 4096 },
        { "90k", 92160 },
        { "1.5G", 1610612736 },
        { "512MiB", 1 << 29 },
        { "1 KiB", 1024 },
        { "16T", 17592186044416 },
        { "3.25k", 3328 },
    };
    static const struct {
        const char *text, *message;
    } bad[] = {
        { "",
          "\"\" is not a size; expected bytes, or a number with k, M, G or T (powers of 1024)" },
        { "1X", "\"1X\" is not a size; expected bytes, or a number with k, M, G or T (powers of "
                "1024)" },
        { "-1", "\"-1\" is not a size; expected bytes, or a number with k, M, G or T (powers of "
                "1024)" },
        { "0.3k", "\"0.3k\" is not a size (not a whole number); expected bytes, or a number with "
                  "k, M, G or T (powers of 1024)" },
        { "99999999T", "\"99999999T\" is not a size (too large); expected bytes, or a number with "
                       "k, M, G or T (powers of 1024)" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        uint64_t bytes = 1;
        g_assert_true(mig_parse_size(good[i].text, &bytes, NULL));
        g_assert_cmpuint(bytes, ==, good[i].bytes);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        uint64_t bytes;
        g_assert_false(mig_parse_size(bad[i].text, &bytes, &error));
        g_assert_cmpstr(error->message, ==, bad[i].message);
    }
}

static void test_rates_and_times(void)
{
    static const struct {
        const char *text;
        uint64_t bits;
    } rates[] = {
        { "1Gbit/s", 1000000000 }, { "unlimited", 0 },   { "125MB/s", 1000000000 },
        { "1MiB/s", 8388608 },     { "0.5kbit/s", 500 }, { "8 B/s", 64 },
    };
    static const struct {
        const char *text;
        int64_t ns;
    } times[] = { { "0", 0 },
                  { "100us", 100000 },
                  { "1.5s", 1500000000 },
                  { "20 ms", 20000000 },
                  { "2min", 120000000000 } };
    uint64_t bits;
    int64_t ns;
    for (size_t i = 0; i < G_N_ELEMENTS(rates); i++) {
        g_assert_true(mig_parse_rate(rates[i].text, &bits, NULL));
        g_assert_cmpuint(bits, ==, rates[i].bits);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
        g_assert_true(mig_parse_time(times[i].text, &ns, NULL));
        g_assert_cmpint(ns, ==, times[i].ns);
    }
    g_assert_false(mig_parse_rate("1G", &bits, NULL));
    g_assert_false(mig_parse_rate("1000", &bits, NULL));
    g_assert_false(mig_parse_time("20", &ns, NULL));
    g_assert_false(mig_parse_time("9223372037s", &ns, NULL));
}

static void test_formats(void)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = { { 0, "0 B" },
                 { 1023, "1023 B" },
                 { 1024, "1.00 KiB" },
                 { 1610612736, "1.50 GiB" },
                 { 123456789, "117 MiB" },
                 { 12345678, "11.7 MiB" } };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = mig_format_size(rows[i].bytes);
        g_assert_cmpstr(text, ==, rows[i].text);
    }
    g_autofree char *time = mig_format_time(12345678);
    g_assert_cmpstr(time, ==, "12.3 ms");
}

static void test_nearest(void)
{
    static const char *const names[] = { "bandwidth", "latency", "framing", NULL };
    g_assert_cmpstr(mig_nearest("bandwith", names), ==, "bandwidth");
    g_assert_cmpstr(mig_nearest("latnecy", names), ==, "latency");
    g_assert_null(mig_nearest("colour", names));
    g_assert_null(mig_nearest("", names));
}

/* A scenario is this with one assignment (as --set makes it). */
static const char base[] = "{\"schema\": \"migbench-scenario-1\", \"guest\": {\"ram\": "
                           "[{\"name\": \"ram\", \"size\": \"1M\"}], \"workload\": "
                           "[{\"rate\": 100}]}, \"events\": []}";

static MigScenario *with(const char *assignment, GError **error)
{
    json_object *root = mig_json_parse(base, sizeof base - 1, "s", NULL);
    MigScenario *s = NULL;
    if (!assignment || mig_scenario_set(root, assignment, error)) {
        s = mig_scenario_read(root, "s", ".", error);
    }
    json_object_put(root);
    return s;
}

static const struct {
    const char *assignment, *message;
} complaints[] = {
    { "schema=2", "s: schema: expected a string, found a number" },
    { "schema=migbench-scenario-2",
      "s: schema: unknown value \"migbench-scenario-2\"; did you mean "
      "\"migbench-scenario-1\"?" },
    { "sede=3", "s: sede: unknown key \"sede\"; did you mean \"seed\"?" },
    { "seed=-3", "s: seed: -3 is negative" },
    { "seed=99999999999999999999", "s: seed: the number is too large" },
    { "seed=x", "s: seed: expected a whole number, found a string" },
    { "qemu=12.0", "s: qemu: \"12.0\" is not a QEMU version; expected 1.4 to 11.1" },
    { "qemu=new", "s: qemu: \"new\" is not a QEMU version; expected 1.4 to 11.1" },
    { "guest.machine=pc-i440fx-11.0", "s: guest.machine: \"pc-i440fx-11.0\" is not a machine that "
                                      "QEMU 10.0 has" },
    { "guest.ram=[]", "s: guest.ram: there is no block" },
    { "guest.vcpus=0", "s: guest.vcpus: expected 1 to 4096 vCPUs" },
    { "guest.ram[0].max-size=4k",
      "s: guest.ram[0]: the max-size 4096 is not a multiple of 4096 from the size to 16T" },
    { "guest.ram[0].size=1000",
      "s: guest.ram[0]: the size 1000 is not a multiple of 4096 up to 16T" },
    { "guest.ram[0].sise=1M",
      "s: guest.ram[0].sise: unknown key \"sise\"; did you mean \"size\"?" },
    { "guest.ram[0]={}", "s: guest.ram[0]: the key \"name\" is missing" },
    { "guest.ram[0].page-size=5k", "s: guest.ram[0]: the page size 5120 is not a power of two from "
                                   "4k to 1G" },
    { "guest.ram[1]={\"name\":\"ram\",\"size\":4096}",
      "s: guest.ram[1]: there are two blocks \"ram\"" },
    { "guest.ram[0].content=[{\"kind\":\"rnadom\"}]",
      "s: guest.ram[0].content[0].kind: unknown "
      "value \"rnadom\"; did you mean \"random\"?" },
    { "guest.ram[0].content=[{\"kind\":\"zero\",\"offset\":\"2M\"}]",
      "s: guest.ram[0].content[0]: the offset 2097152 is beyond the end of block \"ram\" "
      "(1048576)" },
    { "guest.ram[0].content=[{\"kind\":\"zero\",\"length\":\"2M\"}]",
      "s: guest.ram[0].content[0]: 2097152 bytes from 0 are not inside block \"ram\" (1048576)" },
    { "guest.ram[0].content=[{\"kind\":\"zero\",\"length\":100}]",
      "s: guest.ram[0].content[0]: the length 100 is not a multiple of the page size 4096" },
    { "guest.ram[0].content=[{\"kind\":\"repeated\",\"byte\":256}]",
      "s: guest.ram[0].content[0].byte: a byte is 0 to 255" },
    { "guest.ram[0].content=[{\"kind\":\"file\"}]",
      "s: guest.ram[0].content[0]: the key \"file\" is missing" },
    { "guest.workload.0.block=rom", "s: guest.workload[0]: unknown block \"rom\"; did you mean "
                                    "\"ram\"?" },
    { "guest.workload.0.pattern=zip",
      "s: guest.workload[0].pattern: unknown value \"zip\"; did you "
      "mean \"zipf\"?" },
    { "guest.workload.0.zipf={\"exponent\":5}", "s: guest.workload[0].zipf.exponent: expected a "
                                                "number from 0 to 4" },
    { "guest.workload.0.pattern=trace", "s: guest.workload[0]: the pattern \"trace\" and the key "
                                        "\"trace\" (a file) belong together" },
    { "guest.workload.0.phases=[{\"for\":\"1s\",\"rate\":0}]",
      "s: guest.workload[0].phases: expected 1 to 64 phases, and one of them long enough for a "
      "write" },
    { "guest.workload.0.phases=[{\"for\":\"1s\",\"rate\":9}]",
      "s: guest.workload[0]: \"phases\" go neither with a \"rate\" nor with the patterns "
      "\"periodic\" and \"trace\"" },
    { "guest.workload.0.pattern=periodic", "s: guest.workload[0]: the pattern \"periodic\" needs a "
                                           "\"period\"" },
    { "guest.workload.0={\"length\":\"1M\",\"pattern\":\"periodic\",\"period\":\"1ns\","
      "\"rate\":1000,\"write-cost\":\"0ns\"}",
      "s: guest.workload[0]: 256 pages at this rate take longer than the period: the "
      "\"write-cost\" has to be above 0" },
    { "guest.workload.0.write=bytes:0", "s: guest.workload[0]: \"bytes:0\": expected bytes:1 to "
                                        "bytes:4096" },
    { "guest.workload.0.hot={\"share\":101,\"size\":1}", "s: guest.workload[0].hot.share: a "
                                                         "percentage is 0 to 100" },
    { "guest.workload.0.catch-up=50", "s: guest.workload[0].catch-up: expected a time (a string "
                                      "such as \"20ms\"), found a number" },
    { "guest.run-state=runing", "s: guest.run-state: unknown value \"runing\"; did you mean "
                                "\"running\"?" },
    { "guest.dirty-tracking=tgc", "s: guest.dirty-tracking: unknown value \"tgc\"; did you mean "
                                  "\"tcg\"?" },
    { "guest.devices=[{\"idstr\":\"\",\"length\":1}]", "s: guest.devices[0]: a device's name has 1 "
                                                       "to 255 bytes" },
    { "link.bandwidth=1G", "s: link.bandwidth: \"1G\" is not a rate; expected a number with bit/s, "
                           "kbit/s, Mbit/s, Gbit/s, B/s, kB/s, MB/s, MiB/s..., or \"unlimited\"" },
    { "link.bandwidth=0bit/s",
      "s: link.bandwidth: expected above 0, or \"unlimited\" for a wire that takes no time (for "
      "outages there is \"bandwidth-trace\")" },
    { "link.bandwith=1Gbit/s", "s: link.bandwith: unknown key \"bandwith\"; did you mean "
                               "\"bandwidth\"?" },
    { "host={\"zero-page\":1}", "s: host.zero-page: unknown key \"zero-page\"; did you mean "
                                "\"zero_page\"?" },
    { "capabilities.xbzrel=true", "s: capabilities.xbzrel: unknown capability \"xbzrel\"; did you "
                                  "mean \"xbzrle\"?" },
    { "capabilities.zero-copy-send=true",
      "s: capabilities.zero-copy-send: this capability is known to "
      "QEMU, but not simulated yet" },
    { "capabilities.compress=true", "s: capabilities.compress: compress was removed in 9.1; this "
                                    "scenario follows 10.0" },
    { "capabilities={\"multifd\":true,\"xbzrle\":true}",
      "s: capabilities: multifd excludes xbzrle in QEMU 10.0: switch one of them off" },
    { "parameters.compress-level=3", "s: parameters.compress-level: compress-level was removed in "
                                     "9.1; this scenario follows 10.0" },
    { "parameters.max-cpu-throttle=19", "s: parameters: max-cpu-throttle (19) is below "
                                        "cpu-throttle-initial (20)" },
    { "capabilities.return-path=1", "s: capabilities.return-path: expected true or false, found a "
                                    "number" },
    { "parameters.downtime-limit=2000001", "s: parameters.downtime-limit: 2000001 is not from "
                                           "0 to 2000000" },
    { "parameters.downtime-limit=1s2", "s: parameters.downtime-limit: \"1s2\" is not a number of "
                                       "milliseconds; expected one such as 300, 300ms or 0.3s" },
    { "parameters.downtime-limit=1500us",
      "s: parameters.downtime-limit: \"1500us\" is not a number of milliseconds (not a whole "
      "number); expected one such as 300, 300ms or 0.3s" },
    { "parameters.max-bandwidth=7bit/s",
      "s: parameters.max-bandwidth: \"7bit/s\" is not a bandwidth (not a whole number of bytes per "
      "second); expected bytes per second, such as 32M, or a rate such as 1Gbit/s" },
    { "parameters.tls-creds=x", "s: parameters.tls-creds: this parameter is known to QEMU, but not "
                                "simulated yet" },
    { "parameters.max-bandwith=1", "s: parameters.max-bandwith: unknown parameter "
                                   "\"max-bandwith\"; did you mean \"max-bandwidth\"?" },
    { "events[0]={\"do\":\"migrate_cancel\"}",
      "s: events[0]: an event needs \"at\", \"after-pass\" "
      "or \"when\"" },
    { "events[0]={\"at\":\"1s\",\"do\":\"migrate-recover\",\"arguments\":{\"x-link\":1}}",
      "s: events[0].arguments.x-link: unknown key \"x-link\"; did you mean \"x-link-back\"?" },
    { "events[0]={\"at\":\"1s\",\"do\":\"x-write\"}",
      "s: events[0]: the key \"arguments\" is missing" },
    { "events[0]={\"when\":\"idle\",\"do\":\"migrate_cancel\"}",
      "s: events[0].when: \"idle\": expected \"remaining-below SIZE\" or "
      "\"status NAME\"" },
    { "events[0]={\"at\":\"1s\",\"do\":\"x-write\",\"arguments\":{\"block\":\"ram\",\"first-page\":"
      "256,\"byte\":1}}",
      "s: events[0].arguments: these pages are not inside block \"ram\" (256 pages)" },
    { "limit=0s", "s: limit: must be above 0" },
    { "guest.ram[7].size=1", "--set guest.ram[7].size=1: there is no 7" },
    { "guest..size=1", "--set guest..size=1: a part of the path is empty" },
    { "seed", "--set seed: expected PATH=VALUE, such as link.bandwidth=1Gbit/s" },
};

static void test_complaints(void)
{
    g_autoptr(MigScenario) fine = with(NULL, NULL);
    g_assert_nonnull(fine);
    for (size_t i = 0; i < G_N_ELEMENTS(complaints); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigScenario) s = with(complaints[i].assignment, &error);
        g_assert_null(s);
        g_assert_cmpstr(error->message, ==, complaints[i].message);
    }
}

static void test_syntax(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "{\n  \"a\": 1,\n  \"a\": 2\n}", "s:3:3: this key stands twice in its object" },
        { "{\n  \"a\": }", "s:2:8: unexpected character" },
        { "{\"a\": 1", "s:1:8: the text ends too early" },
        { "{} x", "s:1:4: unexpected character" },
        { "QEVM", "s:1:1: expected JSON, found something else: unexpected character" },
        { " \n", "s:2:1: expected JSON, found nothing" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(mig_json_parse(rows[i].text, strlen(rows[i].text), "s", &error));
        g_assert_cmpstr(error->message, ==, rows[i].message);
    }
}

static void test_set(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigScenario) s = with("link.bandwidth=8Mbit/s", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(s->link.bandwidth, ==, 8000000);
    g_autoptr(MigScenario) t = with("guest.ram.0.size=2M", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_array_index(t->blocks, MigScenarioBlock, 0).size, ==, 2 << 20);
    g_autoptr(MigScenario) q = with("qemu=7.2", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(q->version, ==, MIG_VERSION_OF(7, 2));
    g_autoptr(MigScenario) u = with("parameters.downtime-limit=7", &error);
    g_assert_no_error(error);
    MigParameters p = { .max_bandwidth = 5, .downtime_limit = 300 };
    mig_parameters_apply(&p, &u->parameters);
    g_assert_cmpuint(p.max_bandwidth, ==, 5);
    g_assert_cmpuint(p.downtime_limit, ==, 7);
}

/* QAPI's numbers, with units or without. */
static void test_parameter_units(void)
{
    static const struct {
        const char *set;
        uint64_t bandwidth, limit;
    } rows[] = {
        { "parameters={\"max-bandwidth\":7,\"downtime-limit\":8}", 7, 8 },
        { "parameters={\"max-bandwidth\":\"7k\",\"downtime-limit\":\"0.3s\"}", 7168, 300 },
        { "parameters={\"max-bandwidth\":\"8kbit/s\",\"downtime-limit\":\"8\"}", 1000, 8 },
        { "parameters={\"max-bandwidth\":\"7KiB/s\",\"downtime-limit\":\"8ms\"}", 7168, 8 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(MigScenario) s = with(rows[i].set, &error);
        g_assert_no_error(error);
        MigParameters p = { 0 };
        mig_parameters_apply(&p, &s->parameters);
        g_assert_cmpuint(p.max_bandwidth, ==, rows[i].bandwidth);
        g_assert_cmpuint(p.downtime_limit, ==, rows[i].limit);
    }
}

static void test_examples(void)
{
    g_autofree char *folder = g_test_build_filename(G_TEST_DIST, "docs", "examples", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    unsigned count = 0;
    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        if (!g_str_has_suffix(name, ".json") || g_str_has_prefix(name, "sweep-")) {
            continue;
        }
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autoptr(MigScenario) s = mig_scenario_load(path, NULL, &error);
        g_assert_no_error(error);
        g_assert_nonnull(s->description);
        count++;
    }
    g_assert_cmpuint(count, >=, 5);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/units/sizes", test_sizes);
    g_test_add_func("/units/rates-and-times", test_rates_and_times);
    g_test_add_func("/units/formats", test_formats);
    g_test_add_func("/nearest", test_nearest);
    g_test_add_func("/scenario/complaints", test_complaints);
    g_test_add_func("/scenario/syntax", test_syntax);
    g_test_add_func("/scenario/set", test_set);
    g_test_add_func("/scenario/parameter-units", test_parameter_units);
    g_test_add_func("/scenario/examples", test_examples);
    return g_test_run();
}
