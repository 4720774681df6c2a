/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy in virtual time, one behaviour per test: the order of events in each era, pages by
 * cause, latencies with and without limit and preempt channel, pause, a destination that dies,
 * packages that are too large, recordings that the judge takes.
 */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/check.h"
#include "sim/engine/source-postcopy.h"
#include "sim/simulate/result.h"
#include "sim/simulate/stream-recorder.h"
#include "tests/unit/simulated.h"

#define START   "{ \"at\": \"100ms\", \"do\": \"migrate-start-postcopy\" }"
#define AT_ONCE "{ \"at\": \"1ms\", \"do\": \"migrate-start-postcopy\" }"

typedef struct Setup {
    const char *qemu;
    const char *capabilities; /* behind postcopy-ram: ", \"x\": true" */
    const char *parameters;   /* likewise, behind max-bandwidth and downtime-limit */
    const char *events;
    const char *host_page;    /* NULL: 4k */
    const char *workload;     /* NULL: random writes */
    const char *device_state; /* NULL: 20k */
} Setup;

static Simulated simulate(const Setup *s, const MigSimulateOptions *options)
{
    const char *workload = s->workload
                               ? s->workload
                               : "\"offset\": \"1M\", \"length\": \"4M\", \"pattern\": \"random\", "
                                 "\"rate\": 5000, \"pace\": \"cpu\"";
    return simulated_run(
        options,
        "{ \"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"seed\": 3,"
        " \"guest\": { \"machine\": \"none\", \"device-state\": \"%s\","
        "  \"ram\": [ { \"name\": \"ram\", \"size\": \"8M\", \"page-size\": \"%s\","
        "   \"content\": [ { \"offset\": \"0\", \"length\": \"6M\", \"kind\": \"random\" } ] } ],"
        "  \"workload\": [ { \"block\": \"ram\", %s } ] },"
        " \"link\": { \"bandwidth\": \"1Gbit/s\", \"latency\": \"50us\","
        "  \"send-buffer\": \"64k\", \"receive-buffer\": \"64k\" },"
        " \"capabilities\": { \"%s\": true%s },"
        " \"parameters\": { \"max-bandwidth\": 30000000, \"downtime-limit\": 1%s },"
        " \"events\": [ %s ], \"x-poll\": \"1ms\", \"limit\": \"20s\" }",
        s->qemu, s->device_state ? s->device_state : "20k", s->host_page ? s->host_page : "4k",
        workload, strcmp(s->qemu, "2.5") == 0 ? "x-postcopy-ram" : "postcopy-ram",
        s->capabilities ? s->capabilities : "", s->parameters ? s->parameters : "",
        s->events ? s->events : START);
}

static const MigBlocktime *blocktime(const Simulated *s)
{
    return mig_dest_blocktime(s->m->dest);
}

/* The order of events ---------------------------------------------------------------------- */

static char *events_of(const MigSimulation *m)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < m->events->len; i++) {
        const MigSimulationEvent *e = &g_array_index(m->events, MigSimulationEvent, i);
        if (strcmp(e->name, "MIGRATION") == 0) {
            g_string_append_printf(text, "%s ", e->status);
        } else if (strcmp(e->name, "STOP") == 0 || strcmp(e->name, "RESUME") == 0) {
            g_string_append_printf(text, "%s ", e->name);
        } else if (strcmp(e->name, "MIGRATION_PASS") == 0 &&
                   !g_str_has_suffix(text->str, "PASS ")) {
            g_string_append(text, "PASS ");
        }
    }
    return g_string_free(text, FALSE);
}

static void test_order(void)
{
    static const char pause[] = ", \"pause-before-switchover\": true";
    static const char go_on[] =
        AT_ONCE ", { \"when\": \"status pre-switchover\", \"do\": \"migrate-continue\" }";
    static const struct {
        const char *qemu, *capabilities, *events, *order;
    } rows[] = {
        { "2.5", "", AT_ONCE, "setup PASS active postcopy-active STOP PASS completed " },
        { "5.2", "", AT_ONCE, "setup PASS active postcopy-active STOP PASS completed " },
        { "7.2", "", AT_ONCE, "setup PASS active postcopy-active STOP PASS completed " },
        { "10.0", "", AT_ONCE, "setup PASS active STOP device PASS postcopy-active completed " },
        { "10.2", "", AT_ONCE,
          "setup PASS active STOP device PASS postcopy-device postcopy-active completed " },
        { "11.1", "", AT_ONCE,
          "setup active PASS STOP device postcopy-device postcopy-active completed " },
        { "7.2", pause, go_on,
          "setup PASS active STOP pre-switchover postcopy-active PASS completed " },
        { "10.0", pause, go_on,
          "setup PASS active STOP pre-switchover device PASS postcopy-active completed " },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup setup = { .qemu = rows[i].qemu,
                        .capabilities = rows[i].capabilities,
                        .events = rows[i].events };
        g_auto(Simulated) s = simulate(&setup, NULL);
        g_autofree char *order = events_of(s.m);
        simulated_expect_fine(&s);
        g_assert_cmpstr(order, ==, rows[i].order);
    }
}

/* Pages ------------------------------------------------------------------------------------ */

/* Each page that was discarded comes once, whatever asks for it, by either channel. */
static void test_pages(void)
{
    static const struct {
        const char *qemu, *capabilities, *host_page;
    } rows[] = {
        { "2.5", "", "4k" },
        { "4.1", "", "2M" },
        { "5.2", "", "4k" },
        { "5.2", "", "2M" },
        { "5.2", ", \"multifd\": true", "4k" },
        { "5.2", ", \"multifd\": true", "2M" },
        { "7.2", ", \"multifd\": true", "4k" },
        { "7.2", ", \"multifd\": true, \"postcopy-preempt\": true", "2M" },
        { "7.2", ", \"postcopy-preempt\": true", "4k" },
        { "7.2", ", \"postcopy-preempt\": true", "2M" },
        { "10.0", ", \"xbzrle\": true", "4k" },
        { "10.0", ", \"postcopy-preempt\": true", "64k" },
        { "10.0", ", \"postcopy-preempt\": true", "2M" },
        { "11.1", ", \"multifd\": true", "4k" },
        { "11.1", ", \"multifd\": true, \"postcopy-preempt\": true", "2M" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup setup = { .qemu = rows[i].qemu,
                        .capabilities = rows[i].capabilities,
                        .host_page = rows[i].host_page,
                        .parameters = strcmp(rows[i].qemu, "2.5") == 0
                                          ? ""
                                          : ", \"max-postcopy-bandwidth\": 40000000" };
        g_auto(Simulated) s = simulate(&setup, NULL);
        const MigPostcopyCounts *c = mig_source_postcopy(s.m->source);
        const MigPlaced *placed = mig_dest_placed(s.m->dest);
        g_test_message("%s%s, %s", rows[i].qemu, rows[i].capabilities, rows[i].host_page);
        simulated_expect_fine(&s);
        g_assert_true(s.m->incoming.ran);
        g_assert_cmpuint(c->requested + c->background, ==, placed->discarded);
        g_assert_cmpuint(c->requests, >, 0);
        g_assert_cmpuint(s.stats.ram.postcopy_requests, ==, c->requests);
        g_assert_cmpuint(c->requests, ==, blocktime(&s)->requests);
        bool preempt = strstr(rows[i].capabilities, "preempt") != NULL;
        g_assert_cmpuint(placed->preempt, ==, preempt ? c->requested : 0);
    }
}

/* Latency ---------------------------------------------------------------------------------- */

static int64_t mean(const MigBlocktime *b)
{
    g_assert_cmpuint(b->latency_count, >, 8);
    return (int64_t)(b->latency_sum / b->latency_count);
}

/* A request behind an exhausted quota waits for the window's end: 50 ms in the mean. With the
 * preempt channel that ended with 8.0. */
static void test_limit(void)
{
    static const struct {
        const char *qemu, *capabilities;
        int64_t least, most; /* ms */
    } rows[] = {
        { "5.2", "", 30, 70 },
        { "7.2", "", 30, 70 },
        { "7.2", ", \"postcopy-preempt\": true", 30, 70 },
        { "10.0", "", 30, 70 },
        { "8.0", ", \"postcopy-preempt\": true", 0, 1 },
        { "10.0", ", \"postcopy-preempt\": true", 0, 1 },
        { "11.1", ", \"postcopy-preempt\": true", 0, 1 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup setup = { .qemu = rows[i].qemu,
                        .capabilities = rows[i].capabilities,
                        .parameters = ", \"max-postcopy-bandwidth\": 500000",
                        .workload = "\"offset\": \"4M\", \"length\": \"2M\", \"pattern\": "
                                    "\"random\", \"rate\": 17, \"pace\": \"cpu\"" };
        g_auto(Simulated) s = simulate(&setup, NULL);
        g_test_message("%s%s: %d us", rows[i].qemu, rows[i].capabilities,
                       (int)(mean(blocktime(&s)) / 1000));
        simulated_expect_fine(&s);
        g_assert_cmpint(mean(blocktime(&s)), >=, rows[i].least * 1000000);
        g_assert_cmpint(mean(blocktime(&s)), <=, rows[i].most * 1000000);
    }
}

#define READER                                                                       \
    "\"offset\": 0, \"length\": \"6M\", \"pattern\": \"random\", \"rate\": 100000, " \
    "\"pace\": \"cpu\", \"access\": \"read\""
#define AND  " }, { \"block\": \"ram\", "
#define FOUR READER AND READER AND READER AND READER

/* However many vCPUs ask at the same time, their pages come one after the other, and beside each
 * goes as much of the main channel: who is one of 16 waits for about 32 pages. */
static void test_preempt_wire(void)
{
    const Setup setup = { .qemu = "11.1",
                          .capabilities = ", \"postcopy-preempt\": true",
                          .events = AT_ONCE,
                          .workload = FOUR AND FOUR AND FOUR AND FOUR };
    const int64_t page = 4096 * 8; /* ns, at 1 Gbit/s */
    g_auto(Simulated) s = simulate(&setup, NULL);
    simulated_expect_fine(&s);
    g_assert_cmpuint(blocktime(&s)->latency_count, >, 100);
    g_assert_cmpint(mean(blocktime(&s)), >, 24 * page);
}

static uint64_t faults_of_reader(const char *qemu, const char *capabilities)
{
    Setup setup = { .qemu = qemu,
                    .capabilities = capabilities,
                    .events = AT_ONCE,
                    .workload = "\"offset\": \"3M\", \"length\": \"3M\", \"pattern\": "
                                "\"sequential\", \"rate\": 10000, \"pace\": \"cpu\"" };
    g_auto(Simulated) s = simulate(&setup, NULL);
    simulated_expect_fine(&s);
    return blocktime(&s)->faults;
}

/* Who walks through memory is helped by a push that goes on behind what was asked for: always
 * without the preempt channel, with it from 10.2 on again. */
static void test_cursor(void)
{
    static const char preempt[] = ", \"postcopy-preempt\": true";
    uint64_t without = faults_of_reader("10.0", ""), with = faults_of_reader("10.0", preempt);
    uint64_t hinted = faults_of_reader("11.1", preempt);
    g_test_message("%d without, %d with preempt, %d in 11.1", (int)without, (int)with, (int)hinted);
    g_assert_cmpuint(with, >, 5 * without);
    g_assert_cmpuint(with, >, 5 * hinted);
}

/* Pause, recovery, death ------------------------------------------------------------------- */

static void test_pause(void)
{
    static const char *const versions[] = { "3.0", "5.2", "7.2", "10.0", "11.1" };
    for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
        Setup setup = { .qemu = versions[i],
                        .parameters = ", \"max-postcopy-bandwidth\": 5000000",
                        .events = START ", { \"at\": \"500ms\", \"do\": \"migrate-pause\" }, "
                                        "{ \"at\": \"1s\", \"do\": \"migrate-recover\" }" };
        g_auto(Simulated) s = simulate(&setup, NULL);
        g_autofree char *order = events_of(s.m);
        g_test_message("%s: %s", versions[i], order);
        simulated_expect_fine(&s);
        g_assert_cmpuint(mig_source_postcopy(s.m->source)->pauses, ==, 1);
        g_assert_nonnull(strstr(order, i < 3 ? "postcopy-paused postcopy-recover "
                                               "postcopy-active completed "
                                             : "postcopy-paused postcopy-recover-setup "
                                               "postcopy-recover postcopy-active completed "));
    }
}

static void test_death(void)
{
    static const struct {
        const char *qemu, *status;
    } rows[] = {
        { "2.11", "failed" }, /* it knew no recovery */
        { "5.2", "postcopy-paused" },
        { "11.1", "postcopy-paused" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup setup = { .qemu = rows[i].qemu,
                        .workload = "\"offset\": \"1M\", \"length\": \"4M\", \"pattern\": "
                                    "\"random\", \"rate\": 500, \"pace\": \"cpu\"",
                        .events = "{ \"at\": \"1ms\", \"do\": \"migrate-start-postcopy\" }, "
                                  "{ \"at\": \"30ms\", \"do\": \"x-kill-destination\" }, "
                                  "{ \"at\": \"1s\", \"do\": \"migrate-recover\" }" };
        g_auto(Simulated) s = simulate(&setup, NULL);
        g_autofree char *lost = mig_result_lost(s.m);
        g_assert_cmpstr(s.stats.status, ==, rows[i].status);
        g_assert_nonnull(s.stats.error_desc);
        g_assert_false(mig_guest_running(s.m->guest));
        g_assert_false(mig_simulation_fine(s.m));
        g_assert_nonnull(strstr(lost, "the destination died with the guest"));
    }
}

/* release-ram: each page is given back once, when it is at the destination's side of the socket. */
static void test_release(void)
{
    static const struct {
        const char *qemu, *capabilities, *host_page;
        uint64_t released; /* 0: precopy */
    } rows[] = {
        { "2.9", "", "4k", 2048 },
        { "5.2", "", "2M", 2048 },
        { "7.2", ", \"postcopy-preempt\": true", "4k", 2048 },
        { "7.2", ", \"postcopy-preempt\": true", "2M", 2048 },
        { "11.1", ", \"postcopy-preempt\": true", "4k", 2048 },
        { "11.1", "", "4k", 0 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *capabilities =
            g_strconcat(", \"release-ram\": true", rows[i].capabilities, NULL);
        Setup setup = { .qemu = rows[i].qemu,
                        .capabilities = capabilities,
                        .host_page = rows[i].host_page,
                        .workload = rows[i].released ? NULL
                                                     : "\"offset\": \"1M\", \"length\": \"4k\", "
                                                       "\"pattern\": \"random\", \"rate\": 10",
                        .events = rows[i].released ? NULL
                                                   : "{ \"at\": \"19s\", \"do\": "
                                                     "\"migrate-start-postcopy\" }" };
        g_auto(Simulated) s = simulate(&setup, NULL);
        simulated_expect_fine(&s);
        g_assert_cmpuint(mig_source_postcopy(s.m->source)->released, ==, rows[i].released);
    }
}

static void test_release_and_death(void)
{
    Setup setup = { .qemu = "10.0",
                    .capabilities = ", \"release-ram\": true",
                    .parameters = ", \"max-postcopy-bandwidth\": 5000000",
                    .events = "{ \"at\": \"1ms\", \"do\": \"migrate-start-postcopy\" }, "
                              "{ \"at\": \"500ms\", \"do\": \"x-kill-destination\" }" };
    g_auto(Simulated) s = simulate(&setup, NULL);
    g_autofree char *lost = mig_result_lost(s.m), *refused = mig_source_recover(s.m->source);
    uint64_t released = mig_source_postcopy(s.m->source)->released;
    g_assert_cmpuint(released, >, 0);
    g_assert_cmpuint(released, <, 2048);
    g_assert_nonnull(strstr(lost, "has given back"));
    g_assert_nonnull(strstr(refused, "release-ram"));
}

/* A destination's query-migrate: from 10.2 on it has no block times where there was no postcopy. */
static void test_query(void)
{
    static const struct {
        const char *qemu, *events;
        bool times, latencies;
    } rows[] = {
        { "10.0", NULL, true, false },
        { "10.0", "", true, false },
        { "11.1", NULL, true, true },
        { "11.1", "", false, false },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Setup setup = { .qemu = rows[i].qemu,
                        .capabilities = ", \"postcopy-blocktime\": true",
                        .workload = rows[i].events ? "\"offset\": \"1M\", \"length\": \"4k\", "
                                                     "\"pattern\": \"random\", \"rate\": 10"
                                                   : NULL,
                        .events = rows[i].events };
        g_auto(Simulated) s = simulate(&setup, NULL);
        json_object *result = mig_result_to_json(s.m), *there = NULL, *query = NULL;
        simulated_expect_fine(&s);
        json_object_object_get_ex(result, "destination", &there);
        json_object_object_get_ex(there, "query-migrate", &query);
        g_assert_cmpint(json_object_object_get_ex(query, "postcopy-blocktime", NULL), ==,
                        rows[i].times);
        g_assert_cmpint(json_object_object_get_ex(query, "postcopy-latency-dist", NULL), ==,
                        rows[i].latencies);
        json_object_put(result);
    }
}

/* The package ------------------------------------------------------------------------------ */

static void test_package(void)
{
    Setup small = { .qemu = "2.5", .device_state = "15M" };
    Setup large = { .qemu = "2.5", .device_state = "16M" };
    Setup later = { .qemu = "2.9", .device_state = "16M" };
    Setup fails = { .qemu = "10.0",
                    .events = START ", { \"at\": \"1ms\", \"do\": \"x-fail\", \"arguments\": "
                                    "{ \"step\": \"package\" } }" };
    g_auto(Simulated) fits = simulate(&small, NULL), refused = simulate(&large, NULL);
    g_auto(Simulated) modern = simulate(&later, NULL), wanted = simulate(&fails, NULL);
    simulated_expect_fine(&fits);
    simulated_expect_fine(&modern);
    g_assert_cmpstr(refused.stats.status, ==, "failed");
    g_assert_nonnull(strstr(refused.stats.error_desc, "at most 16777216"));
    g_assert_true(mig_guest_running(refused.m->guest));
    g_assert_false(refused.m->incoming.ran);
    g_assert_cmpstr(wanted.stats.status, ==, "failed");
    g_assert_true(mig_guest_running(wanted.m->guest));
    g_assert_false(wanted.m->incoming.ran);
}

/* Digests and recordings ------------------------------------------------------------------- */

static void test_deterministic(void)
{
    static const MigSimulateOptions accounting = { .accounting = true }, page = { .max_run = 1 };
    Setup setup = { .qemu = "10.0", .capabilities = ", \"postcopy-preempt\": true" };
    g_auto(Simulated) a = simulate(&setup, NULL), b = simulate(&setup, NULL);
    g_auto(Simulated) c = simulate(&setup, &accounting), d = simulate(&setup, &page);
    g_assert_cmpstr(a.m->events_digest, ==, b.m->events_digest);
    g_assert_cmpstr(a.m->bytes_digest, ==, b.m->bytes_digest);
    g_assert_cmpstr(a.m->events_digest, ==, c.m->events_digest);
    g_assert_cmpint(d.m->verdict, ==, MIG_MEMORY_EQUAL);
}

static bool record(void *opaque, uint32_t channel, int64_t at, const void *data, size_t n,
                   GError **error)
{
    (void)error;
    mig_stream_recorder_add(opaque, channel, at, data, n);
    return true;
}

static void judge(const MigStreamRecorder *r)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("migbench-test-XXXXXX", &path, &error);
    g_assert_no_error(error);
    FILE *file = fdopen(fd, "wb");
    g_assert_true(mig_stream_recorder_write(r, file));
    g_assert_cmpint(fclose(file), ==, 0);
    g_autoptr(MigRecording) recording = mig_recording_open(path, &error);
    g_assert_no_error(error);
    g_autoptr(MigCheck) check = mig_check_new(MIG_PROFILE_STRICT);
    g_assert_true(mig_check_recording(check, recording, &error));
    unlink(path);
    for (guint i = 0; i < check->findings->len; i++) {
        const MigFinding *f = &g_array_index(check->findings, MigFinding, i);
        g_test_message("%s in %s at %" G_GUINT64_FORMAT ": expected %s, found %s", f->rule->id,
                       f->channel, f->offset, f->expected, f->found);
    }
    g_assert_cmpuint(check->findings->len, ==, 0);
    g_assert_cmpstr(mig_verdict_name(mig_check_verdict(check)), ==, "pass");
}

static void test_judge(void)
{
    static const struct {
        const char *qemu, *capabilities, *host_page;
        bool whole; /* a cut takes what it needs with it */
    } rows[] = {
        { "5.2", "", "4k" },
        { "5.2", "", "2M" },
        { "7.2", ", \"postcopy-preempt\": true", "4k" },
        { "10.0", ", \"postcopy-preempt\": true", "2M" },
        { "11.1", "", "4k" },
        { "11.1", ", \"postcopy-preempt\": true", "4k" },
        { "11.1", ", \"multifd\": true", "4k" },
        { "5.2", ", \"multifd\": true", "4k", true },
    };
    static const char cut[] = START ", { \"at\": \"500ms\", \"do\": \"x-cut-link\" }, { \"at\": "
                                    "\"700ms\", \"do\": \"migrate-recover\" }";
    for (size_t i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
        if (i % 2 && rows[i / 2].whole) {
            continue;
        }
        MigStreamRecorder *recorder = mig_stream_recorder_new();
        MigSimulateOptions options = { .record = record, .opaque = recorder };
        Setup setup = { .qemu = rows[i / 2].qemu,
                        .capabilities = rows[i / 2].capabilities,
                        .host_page = rows[i / 2].host_page,
                        .parameters = ", \"max-postcopy-bandwidth\": 5000000",
                        .events = i % 2 ? cut : NULL };
        g_auto(Simulated) s = simulate(&setup, &options);
        g_test_message("%s%s, %s pages, %s", setup.qemu, setup.capabilities, setup.host_page,
                       i % 2 ? "cut" : "whole");
        simulated_expect_fine(&s);
        g_assert_cmpuint(mig_source_postcopy(s.m->source)->pauses, ==, i % 2);
        judge(recorder);
        mig_stream_recorder_free(recorder);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/postcopy/order", test_order);
    g_test_add_func("/postcopy/pages", test_pages);
    g_test_add_func("/postcopy/limit", test_limit);
    g_test_add_func("/postcopy/preempt-wire", test_preempt_wire);
    g_test_add_func("/postcopy/cursor", test_cursor);
    g_test_add_func("/postcopy/pause", test_pause);
    g_test_add_func("/postcopy/death", test_death);
    g_test_add_func("/postcopy/release-ram", test_release);
    g_test_add_func("/postcopy/release-ram/death", test_release_and_death);
    g_test_add_func("/postcopy/query-destination", test_query);
    g_test_add_func("/postcopy/package", test_package);
    g_test_add_func("/postcopy/deterministic", test_deterministic);
    g_test_add_func("/postcopy/judge", test_judge);
    return g_test_run();
}
