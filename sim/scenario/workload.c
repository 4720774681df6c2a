/* SPDX-License-Identifier: Apache-2.0 */
/* The "workload" of a scenario's guest or disks, see scenario.h. */
#include <stdio.h>
#include <string.h>

#include "sim/scenario/scenario.h"

#define PHASES_MAX 64u

typedef struct WorkloadText {
    char *block, *write, *trace;
    uint32_t exponent; /* thousandths */
    GArray *phases;    /* MigPhase; NULL: none */
    bool has_rate;
    uint64_t offset, length;
    unsigned pattern, pace, access;
    MigWorkload w;
} WorkloadText;

/* In MigPattern's order. */
static const char *const patterns[] = { "sequential", "random", "hot-cold", "once",
                                        "periodic",   "zipf",   "trace",    NULL };
static const char *const paces[] = { "clock", "cpu", NULL };
static const char *const accesses[] = { "write", "read", NULL }; /* MigAccess */

static bool read_pattern(MigReader *r, json_object *v, void *dst)
{
    return mig_read_choice(r, v, patterns, dst);
}

static bool read_pace(MigReader *r, json_object *v, void *dst)
{
    return mig_read_choice(r, v, paces, dst);
}

static bool read_access(MigReader *r, json_object *v, void *dst)
{
    return mig_read_choice(r, v, accesses, dst);
}

static bool read_percent(MigReader *r, json_object *v, void *dst)
{
    uint32_t *percent = dst;
    return mig_read_u32(r, v, percent) &&
           (*percent <= 100 || mig_read_fail(r, "a percentage is 0 to 100"));
}

static const MigField hot_fields[] = {
    { "share", read_percent, offsetof(MigWorkload, hot_share), true },
    { "size", read_percent, offsetof(MigWorkload, hot_size), true },
    { NULL },
};

static bool read_hot(MigReader *r, json_object *v, void *dst)
{
    return mig_read_object(r, v, hot_fields, dst);
}

static bool read_page_rate(MigReader *r, json_object *v, void *dst)
{
    uint64_t *rate = dst;
    return mig_read_u64(r, v, rate) &&
           (*rate <= MIG_WORKLOAD_RATE_MAX ||
            mig_read_fail(r, "at most %u writes per second", MIG_WORKLOAD_RATE_MAX));
}

static const MigField phase_fields[] = {
    { "for", mig_read_time, offsetof(MigPhase, length), true },
    { "rate", read_page_rate, offsetof(MigPhase, rate), true },
    { NULL },
};

static bool read_phase(MigReader *r, json_object *v, void *dst)
{
    WorkloadText *t = dst;
    MigPhase p = { 0 };
    if (!mig_read_object(r, v, phase_fields, &p)) {
        return false;
    }
    t->w.rate = MAX(t->w.rate, p.rate);
    g_array_append_val(t->phases, p);
    return p.length > 0 || mig_read_fail(r, "a phase that takes no time");
}

/* Over and over; some of them have to write. */
static bool read_phases(MigReader *r, json_object *v, void *dst)
{
    WorkloadText *t = dst;
    if (!t->phases) {
        t->phases = g_array_new(FALSE, FALSE, sizeof(MigPhase));
    }
    if (!mig_read_each(r, v, read_phase, t)) {
        return false;
    }
    double writes = 0;
    for (guint i = 0; i < t->phases->len; i++) {
        const MigPhase *p = &g_array_index(t->phases, MigPhase, i);
        writes = MAX(writes, (double)p->length / 1e9 * (double)p->rate);
    }
    return (writes >= 1 && t->phases->len <= PHASES_MAX) ||
           mig_read_fail(r, "expected 1 to %u phases, and one of them long enough for a write",
                         PHASES_MAX);
}

/* A number from 0 to 4 with three decimals, as JSON has it. */
static bool read_exponent(MigReader *r, json_object *v, void *dst)
{
    char *end = NULL;
    const char *text = json_object_get_string(v);
    double value = g_ascii_strtod(text ? text : "", &end);
    if (!text || end == text || *end || !(value >= 0 && value <= MIG_ZIPF_EXPONENT_MAX / 1000.0)) {
        return mig_read_fail(r, "expected a number from 0 to %u", MIG_ZIPF_EXPONENT_MAX / 1000);
    }
    *(uint32_t *)dst = (uint32_t)(value * 1000 + 0.5);
    return true;
}

static const MigField zipf_fields[] = {
    { "exponent", read_exponent, offsetof(WorkloadText, exponent), true },
    { NULL },
};

static bool read_zipf(MigReader *r, json_object *v, void *dst)
{
    return mig_read_object(r, v, zipf_fields, dst);
}

static const MigField workload_fields[] = {
    { "block", mig_read_string, offsetof(WorkloadText, block) },
    { "offset", mig_read_size, offsetof(WorkloadText, offset) },
    { "length", mig_read_size, offsetof(WorkloadText, length) },
    { "pattern", read_pattern, offsetof(WorkloadText, pattern) },
    { "access", read_access, offsetof(WorkloadText, access) },
    { "hot", read_hot, offsetof(WorkloadText, w) },
    { "rate", read_page_rate, offsetof(WorkloadText, w.rate) },
    { "phases", read_phases, 0 },
    { "start", mig_read_time, offsetof(WorkloadText, w.start) },
    { "end", mig_read_time, offsetof(WorkloadText, w.end) },
    { "zipf", read_zipf, 0 },
    { "trace", mig_read_string, offsetof(WorkloadText, trace) },
    { "pace", read_pace, offsetof(WorkloadText, pace) },
    { "catch-up", mig_read_time, offsetof(WorkloadText, w.catch_up) },
    { "write-cost", mig_read_time, offsetof(WorkloadText, w.cost) },
    { "period", mig_read_time, offsetof(WorkloadText, w.period) },
    { "write", mig_read_string, offsetof(WorkloadText, write) },
    { NULL },
};

static bool parse_write(MigReader *r, const char *text, MigWorkload *w)
{
    static const char *const names[] = { "counter", "page", "bytes:N", "zero", NULL };
    guint64 n;
    if (strcmp(text, "counter") == 0) {
        w->write = MIG_WRITE_COUNTER;
    } else if (strcmp(text, "page") == 0) {
        w->write = MIG_WRITE_PAGE;
    } else if (strcmp(text, "zero") == 0) {
        w->write = MIG_WRITE_FILL;
    } else if (g_str_has_prefix(text, "bytes:")) {
        if (!g_ascii_string_to_unsigned(text + 6, 10, 1, MIG_SCENARIO_PAGE, &n, NULL)) {
            return mig_read_fail(r, "\"%s\": expected bytes:1 to bytes:%u", text,
                                 MIG_SCENARIO_PAGE);
        }
        w->write = MIG_WRITE_BYTES;
        w->write_bytes = (uint16_t)n;
    } else {
        return mig_read_fail_unknown(r, "write", text, names);
    }
    return true;
}

/* "TIME PAGE" in each line: ns from the workload's start, and a page of its range. */
static GBytes *load_trace(const char *path, uint64_t pages, GError **error)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, error)) {
        return NULL;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    GArray *writes = g_array_new(FALSE, FALSE, sizeof(MigTraceWrite));
    for (guint i = 0; lines[i]; i++) {
        MigTraceWrite w = { 0 };
        char rest;
        if (!lines[i][0] || lines[i][0] == '#') {
            continue;
        }
        int64_t last = writes->len ? g_array_index(writes, MigTraceWrite, writes->len - 1).at : 0;
        int n = sscanf(lines[i], "%" G_GINT64_FORMAT " %" G_GUINT64_FORMAT " %c", &w.at, &w.page,
                       &rest);
        if (n != 2 || w.at < last || w.page >= pages) {
            g_set_error(error, MIG_READER_ERROR, 0,
                        "%s, line %u: expected a time in ns that does not fall, and a page below "
                        "%" G_GUINT64_FORMAT,
                        path, i + 1, pages);
            g_array_unref(writes);
            return NULL;
        }
        g_array_append_val(writes, w);
    }
    gsize bytes = writes->len * sizeof(MigTraceWrite);
    return g_bytes_new_take(g_array_free(writes, FALSE), bytes);
}

static bool lend_trace(MigReader *r, MigScenario *s, const WorkloadText *t, MigWorkload *w)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_path_is_absolute(t->trace)
                                ? g_strdup(t->trace)
                                : g_build_filename(r->folder, t->trace, NULL);
    GBytes *bytes = load_trace(path, w->pages, &error);
    if (!bytes) {
        return mig_read_fail(r, "%s", error->message);
    }
    gsize n;
    g_ptr_array_add(s->lent, bytes);
    w->trace = g_bytes_get_data(bytes, &n);
    w->trace_count = n / sizeof(MigTraceWrite);
    w->rate = 1; /* it is at work */
    return true;
}

/* What the workload only points to; the scenario keeps it. */
static bool lend(MigReader *r, MigScenario *s, WorkloadText *t, MigWorkload *w)
{
    if (w->pattern == MIG_PATTERN_ZIPF) {
        MigZipf *zipf = mig_zipf_new(w->pages, t->exponent);
        g_ptr_array_add(s->lent,
                        g_bytes_new_with_free_func(zipf, 1, (GDestroyNotify)mig_zipf_free, zipf));
        w->zipf = zipf;
    }
    if (t->phases) {
        w->phase_count = t->phases->len;
        gsize bytes = t->phases->len * sizeof(MigPhase);
        GBytes *phases = g_bytes_new(t->phases->data, bytes);
        g_ptr_array_add(s->lent, phases);
        w->phases = g_bytes_get_data(phases, NULL);
    }
    return w->pattern != MIG_PATTERN_TRACE || lend_trace(r, s, t, w);
}

/* Who says when: rate, phases or trace. */
static bool check_rate(MigReader *r, const WorkloadText *t, const MigWorkload *w)
{
    bool traced = w->pattern == MIG_PATTERN_TRACE;
    if (traced != (t->trace != NULL)) {
        return mig_read_fail(r, "the pattern \"trace\" and the key \"trace\" (a file) belong "
                                "together");
    }
    if (t->phases && (traced || t->has_rate || w->pattern == MIG_PATTERN_PERIODIC)) {
        return mig_read_fail(r, "\"phases\" go neither with a \"rate\" nor with the patterns "
                                "\"periodic\" and \"trace\"");
    }
    return w->end == 0 || w->end > w->start || mig_read_fail(r, "it ends before it starts");
}

/* Rounds that come faster than they can be made need a write that takes time, or time stands still.
 */
static bool check_period(MigReader *r, const MigWorkload *w)
{
    if (w->pattern == MIG_PATTERN_PERIODIC && w->period == 0) {
        return mig_read_fail(r, "the pattern \"periodic\" needs a \"period\"");
    }
    __uint128_t round = (__uint128_t)w->pages * 1000000000u, period = (uint64_t)w->period;
    bool fits = w->pattern != MIG_PATTERN_PERIODIC || period * w->rate >= round;
    return fits || w->cost > 0 ||
           mig_read_fail(r,
                         "%" G_GUINT64_FORMAT " pages at this rate take longer than the period: "
                         "the \"write-cost\" has to be above 0",
                         w->pages);
}

static bool check_workload(MigReader *r, MigScenario *s, WorkloadText *t, MigWorkload *w)
{
    const char *name = t->block ? t->block : g_array_index(s->blocks, MigScenarioBlock, 0).name;
    if (!mig_scenario_find_block(r, s, name, &w->block)) {
        return false;
    }
    if (!mig_scenario_range(r, &g_array_index(s->blocks, MigScenarioBlock, w->block), t->offset,
                            t->length, &w->first, &w->pages)) {
        return false;
    }
    w->pattern = (MigPattern)t->pattern;
    w->pace = (MigPace)t->pace;
    w->access = (MigAccess)t->access;
    if (!t->has_rate && !t->phases && !t->trace) {
        return mig_read_fail(r, "the key \"rate\" is missing");
    }
    return check_rate(r, t, w) && check_period(r, w) && lend(r, s, t, w) &&
           parse_write(r, t->write ? t->write : "counter", w);
}

/* Its times count from the guest's beginning, the world's from the migration's. */
static void begin_before(MigWorkload *w, int64_t ran)
{
    w->start -= ran;
    w->end = w->end > 0 ? MAX(w->end - ran, 1) : 0; /* 0 would be: never */
}

bool mig_scenario_read_workload(MigReader *r, json_object *v, void *dst)
{
    MigScenario *s = dst;
    WorkloadText t = { .exponent = 1000,
                       .has_rate = json_object_object_get_ex(v, "rate", NULL),
                       .length = MIG_LENGTH_REST,
                       .pattern = MIG_PATTERN_RANDOM,
                       .w = {
                           .catch_up = 50000000, .cost = 100, .hot_share = 90, .hot_size = 10 } };
    bool fine = mig_read_object(r, v, workload_fields, &t);
    MigWorkload w = t.w;
    fine = fine && check_workload(r, s, &t, &w);
    if (fine) {
        begin_before(&w, s->ran);
        g_array_append_val(s->workloads, w);
    }
    if (t.phases) {
        g_array_unref(t.phases);
    }
    g_free(t.trace);
    g_free(t.block);
    g_free(t.write);
    return fine;
}
