/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts, see facts.h. Limits: QEMU doesn't say how many pages are zero. Where its process is on
 * this machine, its memory is looked at (resident.h); else all of it counts as filled.
 */
#include "sim/predict/facts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sim/predict/curve.h"
#include "sim/predict/resident.h"
#include "sim/scenario/scenario.h"

#define MIB             (1u << 20)
#define PAGE            4096u
#define SAMPLES         16384 /* pages per GiB: the most that QEMU takes */
#define LEAST_MS        50    /* of a measurement in ms, from 8.2 on */
#define ANY_DOUBT       0.01 /* that every measurement has: timers, the guest's own ups and downs */
#define FRESH_SHARED    9.3e6 /* ps: docs/model.md, What was found out about QEMU */
#define SAMPLES_DEFAULT 512   /* pages per GiB, where an answer does not say */

static json_object *find(json_object *o, const char *key)
{
    json_object *v = NULL;
    json_object_object_get_ex(o, key, &v);
    return v;
}

static void put(json_object *o, const char *key, json_object *v)
{
    json_object_object_add(o, key, v);
}

static bool missing(GError **error, const char *what)
{
    g_set_error(error, MIG_FACTS_ERROR, 0, "%s", what);
    return false;
}

/* Asking ----------------------------------------------------------------------------------- */

/* Puts the answer of |command|; one that this QEMU lacks is left out. False: it went away. */
static bool ask(MigQmpClient *c, json_object *facts, const char *key, const char *command,
                GError **error)
{
    g_autoptr(GError) why = NULL;
    json_object *answer = mig_qmp_client_ask(c, command, NULL, &why);
    if (answer) {
        put(facts, key, answer);
    } else if (!g_error_matches(why, MIG_QMP_ERROR, MIG_QMP_ERROR_REFUSED)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    return true;
}

static void take_version(json_object *facts, json_object *version)
{
    json_object *qemu = find(version, "qemu");
    g_autofree char *text = g_strdup_printf("%d.%d", json_object_get_int(find(qemu, "major")),
                                            json_object_get_int(find(qemu, "minor")));
    put(facts, "qemu", json_object_new_string(text));
}

/* [{"capability", "state"}] becomes {name: state}. */
static json_object *capability_map(json_object *list)
{
    json_object *map = json_object_new_object();
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i);
        put(map, json_object_get_string(find(o, "capability")), json_object_get(find(o, "state")));
    }
    return map;
}

/* A property of the object |id|; NULL: it has none of that name. */
static json_object *ask_property(MigQmpClient *c, const char *id, const char *name)
{
    g_autofree char *path = g_strdup_printf("/objects/%s", id);
    json_object *arguments = json_object_new_object();
    put(arguments, "path", json_object_new_string(path));
    put(arguments, "property", json_object_new_string(name));
    return mig_qmp_client_ask(c, "qom-get", arguments, NULL);
}

/* What memory is made of: the answer of query-memdev, with what only the objects themselves know.
 */
static bool ask_backends(MigQmpClient *c, json_object *facts, GError **error)
{
    json_object *list = NULL;
    if (!ask(c, facts, "memory-backends", "query-memdev", error)) {
        return false;
    }
    list = find(facts, "memory-backends");
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        json_object *backend = json_object_array_get_idx(list, i);
        const char *id = json_object_get_string(find(backend, "id"));
        if (id) {
            put(backend, "x-type", ask_property(c, id, "type"));
            put(backend, "x-hugetlb", ask_property(c, id, "hugetlb"));
        }
    }
    return true;
}

static bool ask_machine(MigQmpClient *c, json_object *facts, GError **error)
{
    json_object *o = json_object_new_object();
    bool fine = ask(c, o, "version", "query-version", error) &&
                ask(c, o, "memory", "query-memory-size-summary", error) &&
                ask(c, o, "cpus", "query-cpus-fast", error) &&
                ask(c, o, "kvm", "query-kvm", error) &&
                ask(c, o, "capabilities", "query-migrate-capabilities", error) &&
                ask(c, facts, "parameters", "query-migrate-parameters", error) &&
                ask_backends(c, facts, error);
    uint64_t ram = json_object_get_uint64(find(find(o, "memory"), "base-memory")) +
                   json_object_get_uint64(find(find(o, "memory"), "plugged-memory"));
    take_version(facts, find(o, "version"));
    put(facts, "ram", json_object_new_uint64(ram));
    put(facts, "vcpus",
        json_object_new_int64(find(o, "cpus") ? (int64_t)json_object_array_length(find(o, "cpus"))
                                              : 1));
    put(facts, "kvm",
        json_object_new_boolean(json_object_get_boolean(find(find(o, "kvm"), "enabled"))));
    put(facts, "capabilities", capability_map(find(o, "capabilities")));
    json_object_put(o);
    return fine;
}

/* Versions before 8.2 know seconds only; those before 6.2 sample pages only. */
static json_object *measure_arguments(json_object *facts, int64_t ms)
{
    int major = 0, minor = 0;
    json_object *o = json_object_new_object();
    sscanf(json_object_get_string(find(facts, "qemu")), "%d.%d", &major, &minor);
    bool fine = major > 8 || (major == 8 && minor >= 2);
    put(o, "calc-time", json_object_new_int64(fine ? MAX(ms, LEAST_MS) : MAX(1, ms / 1000)));
    if (fine) {
        put(o, "calc-time-unit", json_object_new_string("millisecond"));
    }
    if ((major > 6 || (major == 6 && minor >= 2)) && json_object_get_boolean(find(facts, "kvm"))) {
        put(o, "mode", json_object_new_string("dirty-bitmap"));
    } else if (major > 6 || (major == 6 && minor >= 1)) {
        put(o, "sample-pages", json_object_new_int64(SAMPLES));
    }
    return o;
}

/* query-dirty-rate, once it is measured. */
static json_object *await_rate(MigQmpClient *c, GError **error)
{
    for (;;) {
        json_object *answer = mig_qmp_client_ask(c, "query-dirty-rate", NULL, error);
        const char *status = json_object_get_string(find(answer, "status"));
        if (!answer || (status && strcmp(status, "measured") == 0)) {
            return answer;
        }
        json_object_put(answer);
        g_usleep(20000);
    }
}

static bool measure(MigQmpClient *c, json_object *facts, int64_t ms, json_object *rates,
                    GError **error)
{
    json_object *arguments = measure_arguments(facts, ms);
    int64_t time = json_object_get_int64(find(arguments, "calc-time"));
    bool in_ms = find(arguments, "calc-time-unit") != NULL;
    json_object *begun = mig_qmp_client_ask(c, "calc-dirty-rate", arguments, error);
    json_object *rate = begun ? await_rate(c, error) : NULL;
    json_object_put(begun);
    if (rate) {
        put(rate, "x-calc-time-ms", json_object_new_int64(in_ms ? time : time * 1000));
        json_object_array_add(rates, rate);
    }
    return rate != NULL;
}

json_object *mig_facts_ask(MigQmpClient *c, const MigFactsWish *wish, GError **error)
{
    json_object *facts = json_object_new_object(), *rates = json_object_new_array();
    put(facts, "schema", json_object_new_string(MIG_FACTS_SCHEMA));
    put(facts, "dirty-rates", rates);
    bool fine = ask_machine(c, facts, error);
    for (unsigned i = 0; i < wish->count && fine; i++) {
        if (wish->measuring) {
            wish->measuring(wish->opaque, i, wish->periods[i]);
        }
        fine = measure(c, facts, wish->periods[i], rates, error);
    }
    if (!fine) {
        g_clear_pointer(&facts, json_object_put);
        return NULL;
    }
    /* Now, as the guest has filled more meanwhile. */
    MigResident resident;
    uint64_t ram = json_object_get_uint64(find(facts, "ram"));
    if (mig_resident_look(mig_qmp_client_pid(c), ram, &resident)) {
        put(facts, "touched", json_object_new_uint64(resident.present));
        put(facts, "filled", json_object_new_uint64(resident.filled));
    }
    return facts;
}

/* Reading ---------------------------------------------------------------------------------- */

static int64_t calc_time_ms(json_object *rate)
{
    const char *unit = json_object_get_string(find(rate, "calc-time-unit"));
    int64_t time = json_object_get_int64(find(rate, "calc-time"));
    if (find(rate, "x-calc-time-ms")) {
        return json_object_get_int64(find(rate, "x-calc-time-ms"));
    }
    return unit && strcmp(unit, "millisecond") == 0 ? time : time * 1000;
}

static uint64_t ram_of(json_object *facts)
{
    json_object *ram = find(find(facts, "query-migrate"), "ram");
    return find(facts, "ram") ? json_object_get_uint64(find(facts, "ram"))
                              : json_object_get_uint64(find(ram, "total"));
}

/*
 * QEMU says whole MiB per second, rounded down: what it saw lies between that and one more, and the
 * middle is taken. Sampled pages add their chance.
 */
static MigCurvePoint point_of(json_object *rate, double ram)
{
    const char *mode = json_object_get_string(find(rate, "mode"));
    double s = (double)calc_time_ms(rate) / 1000;
    double mib = (json_object_get_double(find(rate, "dirty-rate")) + 0.5) * s;
    double doubt = 0.5 * s + ANY_DOUBT * mib;
    if (!mode || strcmp(mode, "page-sampling") == 0) {
        double per_gib = json_object_get_double(find(rate, "sample-pages"));
        double samples = MAX((per_gib > 0 ? per_gib : SAMPLES_DEFAULT) * ram / (1u << 30), 1);
        double share = MIN(mib * MIB / ram, 1);
        doubt += ram / MIB * sqrt(share * (1 - share) / samples);
    }
    return (MigCurvePoint){ s, mib * MIB / PAGE, doubt * MIB / PAGE };
}

GArray *mig_facts_points(json_object *facts, GError **error)
{
    json_object *rates = find(facts, "dirty-rates");
    double ram = (double)ram_of(facts);
    GArray *points = g_array_new(FALSE, FALSE, sizeof(MigCurvePoint));
    for (size_t i = 0; rates && i < json_object_array_length(rates); i++) {
        json_object *rate = json_object_array_get_idx(rates, i);
        if (find(rate, "dirty-rate") && calc_time_ms(rate) > 0) {
            MigCurvePoint p = point_of(rate, ram);
            g_array_append_val(points, p);
        }
    }
    if (points->len == 0) {
        missing(error, "\"dirty-rates\": expected at least one answer of query-dirty-rate that "
                       "was measured");
        g_clear_pointer(&points, g_array_unref);
    }
    return points;
}

/* The scenario ----------------------------------------------------------------------------- */

/* Bytes that are not zero. */
static uint64_t filled_of(json_object *facts, uint64_t ram)
{
    json_object *migrated = find(find(facts, "query-migrate"), "ram");
    double normal = json_object_get_double(find(migrated, "normal"));
    double zero = json_object_get_double(find(migrated, "duplicate"));
    if (find(facts, "filled")) {
        return MIN(json_object_get_uint64(find(facts, "filled")), ram);
    }
    return normal + zero > 0
               ? (uint64_t)((double)ram - zero * PAGE > 0 ? (double)ram - zero * PAGE : 0)
               : ram;
}

/* Side by side from the beginning of what is filled. */
static json_object *workloads(const GArray *writers, uint64_t pages)
{
    json_object *list = json_object_new_array();
    uint64_t at = 0;
    for (guint i = 0; i < writers->len; i++) {
        const MigCurveWriter *w = &g_array_index(writers, MigCurveWriter, i);
        uint64_t count = MAX((uint64_t)(w->pages + 0.5), 1);
        at = at + count > pages ? 0 : at;
        count = MIN(count, pages - at);
        json_object *o = json_object_new_object();
        put(o, "offset", json_object_new_uint64(at * PAGE));
        put(o, "length", json_object_new_uint64(count * PAGE));
        put(o, "pattern",
            json_object_new_string(w->pattern == MIG_PATTERN_SEQUENTIAL ? "sequential" : "random"));
        put(o, "rate", json_object_new_uint64(MAX((uint64_t)(w->rate + 0.5), 1)));
        put(o, "write-cost", json_object_new_string("1ns"));
        json_object_array_add(list, o);
        at += count;
    }
    return list;
}

static json_object *ram(json_object *facts, uint64_t size)
{
    json_object *list = json_object_new_array(), *block = json_object_new_object(),
                *contents = json_object_new_array(), *content = json_object_new_object();
    put(content, "offset", json_object_new_int64(0));
    put(content, "length", json_object_new_uint64(filled_of(facts, size) / PAGE * PAGE));
    put(content, "kind", json_object_new_string("random"));
    json_object_array_add(contents, content);
    put(block, "name", json_object_new_string("ram"));
    put(block, "size", json_object_new_uint64(size / PAGE * PAGE));
    put(block, "content", contents);
    json_object_array_add(list, block);
    return list;
}

/* Shared memory in small pages that QEMU doesn't allocate beforehand. */
static bool is_lazy(json_object *backend)
{
    return json_object_get_boolean(find(backend, "share")) &&
           !json_object_get_boolean(find(backend, "prealloc")) &&
           !json_object_get_boolean(find(backend, "x-hugetlb"));
}

/*
 * What a zero page costs, ps; 0: the default. Pages of shared memory that nobody has touched are
 * allocated by the look at them, at both ends.
 */
static int64_t dear_zeros(json_object *facts)
{
    json_object *list = find(facts, "memory-backends");
    bool lazy = false;
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        lazy |= is_lazy(json_object_array_get_idx(list, i));
    }
    double ram = (double)ram_of(facts), zero = ram - (double)filled_of(facts, ram_of(facts));
    json_object *touched = find(facts, "touched");
    double fresh = touched ? ram - json_object_get_double(touched) : zero;
    double usual = (double)mig_costs_default().zero_page;
    bool dear = lazy && zero > 0 && fresh > 0;
    return dear ? (int64_t)(usual + (FRESH_SHARED - usual) * MIN(fresh / zero, 1)) : 0;
}

char *mig_facts_assumption(json_object *facts)
{
    int64_t ps = dear_zeros(facts);
    return ps ? g_strdup_printf(
                    "a zero page costs %.1f us, as memory is shared and not preallocated, "
                    "and the look at a page that nobody has touched allocates it",
                    (double)ps / 1e6)
              : g_strdup("what pages, sleeps and devices cost is the default");
}

/* What decides about time, of all that QEMU has. */
static json_object *choose(json_object *all, const char *const *names)
{
    json_object *o = json_object_new_object();
    for (; *names; names++) {
        json_object *v = find(all, *names);
        if (v && !(json_object_is_type(v, json_type_boolean) && !json_object_get_boolean(v))) {
            put(o, *names, json_object_get(v));
        }
    }
    return o;
}

json_object *mig_facts_scenario(json_object *facts, const GArray *writers, GError **error)
{
    static const char *const capabilities[] = { "xbzrle",   "multifd",     "auto-converge",
                                                "compress", "return-path", NULL };
    static const char *const parameters[] = { "max-bandwidth",
                                              "downtime-limit",
                                              "avail-switchover-bandwidth",
                                              "multifd-channels",
                                              "multifd-compression",
                                              "multifd-zlib-level",
                                              "multifd-zstd-level",
                                              "zero-page-detection",
                                              "xbzrle-cache-size",
                                              "cpu-throttle-initial",
                                              "cpu-throttle-increment",
                                              "max-cpu-throttle",
                                              "cpu-throttle-tailslow",
                                              "throttle-trigger-threshold",
                                              "compress-level",
                                              "compress-threads",
                                              "compress-wait-thread",
                                              "decompress-threads",
                                              NULL };
    uint64_t size = ram_of(facts);
    if (size < PAGE) {
        missing(error, "expected \"ram\" (bytes), or \"query-migrate\" with \"ram\"");
        return NULL;
    }
    json_object *o = json_object_new_object(), *guest = json_object_new_object(),
                *link = json_object_new_object(), *qemu = find(facts, "qemu");
    put(o, "schema", json_object_new_string(MIG_SCENARIO_SCHEMA));
    put(o, "description", json_object_new_string("A guest as its QEMU described it."));
    put(o, "qemu", qemu ? json_object_get(qemu) : json_object_new_string("10.0"));
    put(o, "seed", json_object_new_int64(1));
    put(guest, "machine", json_object_new_string("none"));
    put(guest, "dirty-tracking",
        json_object_new_string(find(facts, "kvm") && !json_object_get_boolean(find(facts, "kvm"))
                                   ? "tcg"
                                   : "kvm-manual-clear"));
    put(guest, "ram", ram(facts, size));
    put(guest, "workload", workloads(writers, MAX(filled_of(facts, size) / PAGE, 1)));
    put(o, "guest", guest);
    put(link, "bandwidth", json_object_new_string("40Gbit/s"));
    put(link, "latency", json_object_new_string("50us"));
    put(link, "framing", json_object_new_string("none"));
    put(o, "link", link);
    if (dear_zeros(facts)) {
        json_object *host = json_object_new_object();
        put(host, "zero_page", json_object_new_int64(dear_zeros(facts)));
        put(o, "host", host);
    }
    put(o, "capabilities", choose(find(facts, "capabilities"), capabilities));
    put(o, "parameters", choose(find(facts, "parameters"), parameters));
    return o;
}
