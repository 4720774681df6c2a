/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predicting: writers fitted to what calc-dirty-rate would say of known ones dirty as those do, and
 * facts give the scenario that they describe. What is said of a recorded guest under other
 * conditions is compared with the guest there.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/predict/curve.h"
#include "sim/predict/facts.h"
#include "sim/predict/guest.h"
#include "sim/predict/predict.h"
#include "sim/predict/resident.h"
#include "sim/scenario/scenario.h"
#include "tests/unit/recorded.h"
#include "tests/unit/simulated.h"

#define MIB (1 << 20)

typedef struct Case {
    const char *name;
    MigCurveWriter writers[2];
} Case;

static const Case cases[] = {
    { "random", { { MIG_PATTERN_RANDOM, 6144, 6000 } } },
    { "hot-cold", { { MIG_PATTERN_RANDOM, 2000, 8000 }, { MIG_PATTERN_RANDOM, 20000, 2000 } } },
    { "sequential", { { MIG_PATTERN_SEQUENTIAL, 8192, 5000 } } },
};

static double truth(const Case *c, double time)
{
    GArray *writers = g_array_new(FALSE, FALSE, sizeof(MigCurveWriter));
    for (guint i = 0; i < 2 && c->writers[i].pages > 0; i++) {
        g_array_append_val(writers, c->writers[i]);
    }
    double pages = mig_curve_at(writers, time);
    g_array_unref(writers);
    return pages;
}

/* As QEMU answers: whole MiB per second. */
static json_object *facts_of(const Case *c)
{
    static const int periods[] = {
        150, 250, 350, 500, 700, 900, 1100, 1400, 1700, 2000, 2500, 3000
    };
    json_object *facts = json_object_new_object(), *rates = json_object_new_array();
    for (guint i = 0; i < G_N_ELEMENTS(periods); i++) {
        json_object *o = json_object_new_object();
        double mib = truth(c, periods[i] / 1000.0) * 4096 / MIB;
        json_object_object_add(o, "status", json_object_new_string("measured"));
        json_object_object_add(o, "calc-time", json_object_new_int(periods[i]));
        json_object_object_add(o, "calc-time-unit", json_object_new_string("millisecond"));
        json_object_object_add(o, "mode", json_object_new_string("dirty-bitmap"));
        json_object_object_add(o, "dirty-rate",
                               json_object_new_int((int)(mib * 1000 / periods[i])));
        json_object_array_add(rates, o);
    }
    json_object_object_add(facts, "qemu", json_object_new_string("10.0"));
    json_object_object_add(facts, "ram", json_object_new_int64(256 * MIB));
    json_object_object_add(facts, "filled", json_object_new_int64(96 * MIB));
    json_object_object_add(facts, "dirty-rates", rates);
    return facts;
}

static void test_curve(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(GError) error = NULL;
    json_object *facts = facts_of(c);
    g_autoptr(GArray) points = mig_facts_points(facts, &error);
    g_assert_no_error(error);
    g_autoptr(GArray) writers = mig_curve_fit(points);
    for (double time = 0.15; time < 3; time *= 1.3) {
        double want = truth(c, time), got = mig_curve_at(writers, time);
        g_test_message("%.2f s: %.0f pages, fitted %.0f", time, want, got);
        g_assert_cmpfloat_with_epsilon(got, want, want * 0.06);
    }
    json_object_put(facts);
}

static void test_predicts(void)
{
    g_autoptr(GError) error = NULL;
    json_object *facts = facts_of(&cases[0]);
    g_autoptr(GArray) points = mig_facts_points(facts, &error);
    g_autoptr(GArray) writers = mig_curve_fit(points);
    json_object *scenario = mig_facts_scenario(facts, writers, &error);
    g_assert_no_error(error);
    g_autoptr(GArray) bandwidths = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_autoptr(GArray) downtimes = g_array_new(FALSE, FALSE, sizeof(int64_t));
    uint64_t slow = 16 * MIB, fast = 64 * MIB;
    int64_t limit = 100;
    g_array_append_val(bandwidths, slow);
    g_array_append_val(bandwidths, fast);
    g_array_append_val(downtimes, limit);
    const MigPredictGrid grid = { bandwidths, downtimes, NULL, "30s" };
    g_autoptr(GArray) rows = mig_predictions_new();
    g_assert_true(mig_predict(scenario, &grid, rows, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(rows->len, ==, 2);
    g_assert_false(g_array_index(rows, MigPrediction, 0).completes);
    const MigPrediction *p = &g_array_index(rows, MigPrediction, 1);
    g_assert_true(p->completes);
    /* 96 MiB take 1.5 s at that rate, and the guest dirties some of them meanwhile. */
    g_assert_cmpint(p->total_time, >, 1500);
    g_assert_cmpint(p->total_time, <, 2500);
    json_object_put(scenario);
    json_object_put(facts);
}

static void test_lacks(void)
{
    g_autoptr(GError) error = NULL;
    json_object *facts = json_object_new_object();
    g_assert_null(mig_facts_points(facts, &error));
    g_assert_error(error, MIG_FACTS_ERROR, 0);
    g_clear_error(&error);
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(MigCurveWriter));
    g_assert_null(mig_facts_scenario(facts, none, &error));
    g_assert_error(error, MIG_FACTS_ERROR, 0);
    json_object_put(facts);
}

/* Recordings ------------------------------------------------------------------------------- */

/* Assignments and bandwidth. */
#define GUEST                                                                                 \
    "{\"schema\": \"migbench-scenario-1\", \"qemu\": \"%s\", \"guest\": {"                    \
    "\"dirty-tracking\": \"kvm-manual-clear\", \"ram\": [{\"name\": \"ram\","                 \
    "\"size\": \"64M\", \"content\": [{\"offset\": \"4M\", \"length\": \"48M\","              \
    "\"kind\": \"random\"}]}], \"workload\": [{\"offset\": \"16M\", \"length\": \"16M\","     \
    "\"pattern\": \"random\", \"rate\": 3000}]}, \"link\": {\"bandwidth\": \"40Gbit/s\","     \
    "\"latency\": \"20us\", \"framing\": \"none\"}, \"capabilities\": {%s}, \"parameters\": " \
    "{%s\"max-bandwidth\": %u, \"downtime-limit\": 100}, \"limit\": \"60s\"}"

static MigPredictGuest *recorded_guest(const char *qemu)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *version = g_strconcat("qemu=", qemu, NULL);
    const char *const how[] = { version, "parameters.downtime-limit=100",
                                "parameters.max-bandwidth=24M", NULL };
    g_autofree char *text = g_strdup_printf(GUEST, qemu, "", "", 24 * MIB);
    g_autofree char *path = recorded_file(text);
    g_autoptr(GString) found = g_string_new(NULL);
    MigPredictGuest *g = mig_predict_guest_of_recording(path, how, found, &error);
    g_assert_no_error(error);
    g_assert_true(g->recorded && g->recording.completes);
    g_assert_cmpuint(mig_predict_guest_parameter(g, "max-bandwidth", 1), ==, 24 * MIB);
    g_unlink(path);
    return g;
}

/* One question about |g|; false: *error. */
static bool ask(const MigPredictGuest *g, uint64_t bandwidth, const char *what_if, MigPrediction *p,
                GError **error)
{
    int64_t limit = 100;
    g_autoptr(GArray) bandwidths = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    g_autoptr(GArray) downtimes = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_autoptr(GArray) rows = mig_predictions_new();
    g_array_append_val(bandwidths, bandwidth);
    g_array_append_val(downtimes, limit);
    const MigPredictGrid grid = { bandwidths, downtimes, what_if, "60s" };
    bool fine = mig_predict(g->scenario, &grid, rows, error);
    g_assert_cmpuint(rows->len, ==, fine);
    *p = fine ? g_array_index(rows, MigPrediction, 0) : (MigPrediction){ 0 };
    p->what_if = NULL;
    return fine;
}

/* What is said of another line or another feature is what the guest does there. */
static void test_what_if(void)
{
    static const struct {
        unsigned bandwidth;
        const char *what_if, *capabilities, *parameters;
    } rows[] = {
        { 24 * MIB, NULL, "", "" },
        { 48 * MIB, NULL, "", "" },
        { 24 * MIB, "capabilities.xbzrle=true", "\"xbzrle\": true", "" },
        { 24 * MIB, "capabilities.multifd=true,parameters.multifd-channels=4", "\"multifd\": true",
          "\"multifd-channels\": 4, " },
        { 96 * MIB, "guest.workload=[]", "", "" },
    };
    const MigSimulateOptions options = { .accounting = true };
    g_autoptr(MigPredictGuest) g = recorded_guest("10.0");
    int64_t times[G_N_ELEMENTS(rows)];
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        MigPrediction p;
        g_assert_true(ask(g, rows[i].bandwidth, rows[i].what_if, &p, &error));
        g_auto(Simulated) s = simulated_run(&options, GUEST, "10.0", rows[i].capabilities,
                                            rows[i].parameters, rows[i].bandwidth);
        times[i] = p.total_time;
        g_test_message("%s: said %d ms, is %d", rows[i].what_if, (int)p.total_time,
                       (int)s.stats.total_time);
        if (i + 1 < G_N_ELEMENTS(rows)) {
            g_assert_cmpint(ABS(p.total_time - s.stats.total_time), <=, s.stats.total_time / 20);
        } else {
            g_assert_cmpint(p.total_time, <, s.stats.total_time); /* nobody writes in it */
        }
    }
    g_assert_cmpint(times[1], <, times[0] * 6 / 10);
}

static void test_what_if_unknown(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigPredictGuest) g = recorded_guest("3.1");
    MigPrediction p;
    g_assert_false(ask(g, 24 * MIB, "capabilities.multifd=true", &p, &error));
    g_assert_error(error, MIG_READER_ERROR, 0);
    g_clear_error(&error);
    g_assert_true(ask(g, 24 * MIB, NULL, &p, &error)); /* the guest is as it was */
    g_assert_true(p.completes);
}

/* The host --------------------------------------------------------------------------------- */

static void test_assumes(void)
{
    static const struct {
        const char *backend;
        bool assumes;
    } rows[] = {
        { "{\"share\": true, \"prealloc\": false, \"x-hugetlb\": false}", true },
        { "{\"share\": true, \"prealloc\": true, \"x-hugetlb\": false}", false },
        { "{\"share\": true, \"prealloc\": false, \"x-hugetlb\": true}", false },
        { "{\"share\": false, \"prealloc\": false}", false },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        json_object *facts = facts_of(&cases[0]), *list = json_object_new_array(), *v = NULL;
        json_object_array_add(list, json_tokener_parse(rows[i].backend));
        json_object_object_add(facts, "memory-backends", list);
        json_object_object_add(facts, "touched", json_object_new_int64(96 * MIB));
        g_autoptr(MigPredictGuest) g = mig_predict_guest_of_facts(facts, &error);
        g_assert_no_error(error);
        g_assert_cmpint(strstr(g->assumption, "shared") != NULL, ==, rows[i].assumes);
        json_object_object_get_ex(g->scenario, "host", &v);
        g_assert_cmpint(v != NULL, ==, rows[i].assumes);
        json_object_put(facts);
    }
}

/* Of 64 MiB a quarter is written, a quarter is written with zeros, the rest left alone. */
static void test_resident(void)
{
    size_t size = 64 * MIB;
    int fd = memfd_create("guest", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MigResident before = { 0 }, after = { 0 };
    g_assert_true(at != MAP_FAILED);
    mig_resident_look(getpid(), size, &before);
    memset(at, 1, size / 4);
    memset(at + size / 4, 0, size / 4);
    if (!mig_resident_look(getpid(), size, &after)) {
        g_test_skip("/proc says nothing of this process");
    } else {
        g_assert_cmpuint(after.present - before.present, ==, size / 2);
        if (access("/proc/self/pagemap", R_OK) == 0 && access("/proc/self/mem", R_OK) == 0) {
            g_assert_cmpuint(after.filled - before.filled, ==, size / 4);
        }
    }
    munmap(at, size);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = g_strdup_printf("/predict/curve/%s", cases[i].name);
        g_test_add_data_func(name, &cases[i], test_curve);
    }
    g_test_add_func("/predict/converges-or-not", test_predicts);
    g_test_add_func("/predict/facts-missing", test_lacks);
    g_test_add_func("/predict/what-if/is-what-happens", test_what_if);
    g_test_add_func("/predict/what-if/version-lacks-it", test_what_if_unknown);
    g_test_add_func("/predict/host/assumes-dear-zeros-of-fresh-shared-memory", test_assumes);
    g_test_add_func("/predict/resident", test_resident);
    return g_test_run();
}
