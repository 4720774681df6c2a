/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repeated runs, see repeat.h. Model: what differs between runs of the same migration on one host
 * is what the host costs, each cost for a whole run, and where the guest stands when it begins.
 * Limits: nothing changes in the middle of a run (another tenant that comes), and costs are drawn
 * independently of each other, where a busy host makes all of them dearer.
 */
#include "sim/simulate/repeat.h"

#include <string.h>

#include "sim/engine/parameters.h"
#include "sim/simulate/simulate.h"

#define PHASE_NS 20000000ll /* by which the guest's beginning moves, at most and to either side */

static void clear_run(gpointer run)
{
    g_free(((MigRepeat *)run)->status);
}

void mig_repeats_free(MigRepeats *r)
{
    if (r) {
        g_array_unref(r->runs);
        g_free(r);
    }
}

/* Workloads begin when the guest does. */
static GArray *move_workloads(const GArray *workloads, int64_t by)
{
    GArray *moved = g_array_new(FALSE, TRUE, sizeof(MigWorkload));
    g_array_append_vals(moved, workloads->data, workloads->len);
    for (guint i = 0; i < moved->len; i++) {
        MigWorkload *w = &g_array_index(moved, MigWorkload, i);
        w->start +=
            w->start < 0 ? by : 0; /* of a guest that did not run there is nothing to move */
    }
    return moved;
}

/* Run |index| of it. Borrows everything but the workloads, which are its own. */
static MigScenario vary(const MigScenario *s, unsigned index)
{
    MigScenario one = *s;
    MigPrng p = mig_prng(s->seed, "run", index);
    one.seed = mig_prng_next(&p);
    one.host = mig_costs_draw(&s->host, &s->noise, &p);
    one.destination_host = mig_costs_draw(&s->destination_host, &s->destination_noise, &p);
    int64_t phase = (int64_t)mig_prng_below(&p, 2 * PHASE_NS) - PHASE_NS;
    one.workloads = move_workloads(s->workloads, phase);
    return one;
}

static MigRepeat judge(const MigSimulation *m, uint64_t seed, int64_t limit)
{
    MigStats stats;
    mig_source_query(m->source, m->now, &stats);
    MigRepeat run = {
        .seed = seed,
        .status = g_strdup(stats.status),
        .completed = mig_source_completed(m->source),
        .unended = m->outcome != NULL,
        .total_time = stats.total_time,
        .downtime = stats.downtime,
        .bytes = stats.ram.transferred,
        .passes = stats.ram.dirty_sync_count,
    };
    run.late = run.completed && run.downtime > limit;
    return run;
}

static int64_t downtime_limit(const MigScenario *s)
{
    MigEra era;
    mig_era_resolve(s->version, s->machine, &era);
    MigParameters p = mig_parameters_default(&era);
    mig_parameters_apply(&p, &s->parameters);
    return (int64_t)p.downtime_limit;
}

MigRepeats *mig_repeat(const MigScenario *s, unsigned count,
                       const volatile sig_atomic_t *interrupted, GError **error)
{
    g_autoptr(MigRepeats) r = g_new0(MigRepeats, 1);
    const MigSimulateOptions options = { .accounting = true, .interrupted = interrupted };
    r->runs = g_array_new(FALSE, TRUE, sizeof(MigRepeat));
    g_array_set_clear_func(r->runs, clear_run);
    r->limit = downtime_limit(s);
    for (unsigned i = 0; i < count; i++) {
        MigScenario one = vary(s, i);
        g_autoptr(MigSimulation) m = mig_simulate(&one, &options, error);
        g_array_unref(one.workloads);
        if (!m) {
            return NULL;
        }
        r->interrupted = interrupted && *interrupted;
        if (r->interrupted) {
            break;
        }
        MigRepeat run = judge(m, one.seed, r->limit);
        g_array_append_val(r->runs, run);
    }
    return g_steal_pointer(&r);
}

/* Numbers of all runs ------------------------------------------------------------------------- */

int64_t mig_quantile(const int64_t *values, size_t count, unsigned percent)
{
    size_t rank = (count * percent + 99) / 100; /* from 1 */
    return values[rank > 0 ? rank - 1 : 0];
}

static int rising(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static const struct {
    const char *name, *title, *unit;
} measures[] = {
    { "downtime", "downtime", "ms" },
    { "total-time", "total time", "ms" },
    { "transferred", "transferred", "bytes" },
};

static int64_t measure(const MigRepeat *run, size_t which)
{
    return which == 0 ? run->downtime : which == 1 ? run->total_time : (int64_t)run->bytes;
}

/* Of those that completed, rising. Owned by the caller. */
static GArray *values_of(const MigRepeats *r, size_t which)
{
    GArray *values = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (guint i = 0; i < r->runs->len; i++) {
        const MigRepeat *run = &g_array_index(r->runs, MigRepeat, i);
        int64_t value = measure(run, which);
        if (run->completed) {
            g_array_append_val(values, value);
        }
    }
    g_array_sort(values, rising);
    return values;
}

typedef struct Counts {
    unsigned completed, late, unended;
} Counts;

static Counts count_runs(const MigRepeats *r)
{
    Counts c = { 0 };
    for (guint i = 0; i < r->runs->len; i++) {
        const MigRepeat *run = &g_array_index(r->runs, MigRepeat, i);
        c.completed += run->completed;
        c.late += run->late;
        c.unended += run->unended;
    }
    return c;
}

static double share(unsigned part, unsigned all)
{
    return all ? (double)part / (double)all : 0;
}

static const unsigned percents[] = { 5, 50, 95 };

static json_object *quantiles_to_json(const MigRepeats *r, size_t which)
{
    g_autoptr(GArray) values = values_of(r, which);
    json_object *o = json_object_new_object();
    for (size_t i = 0; values->len && i < G_N_ELEMENTS(percents); i++) {
        char name[8];
        g_snprintf(name, sizeof(name), "p%u", percents[i]);
        int64_t value =
            mig_quantile((const int64_t *)(void *)values->data, values->len, percents[i]);
        json_object_object_add(o, name, json_object_new_int64(value));
    }
    return o;
}

static json_object *run_to_json(const MigRepeat *run)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "seed", json_object_new_uint64(run->seed));
    json_object_object_add(o, "status", json_object_new_string(run->status));
    if (run->completed) {
        json_object_object_add(o, "total-time", json_object_new_int64(run->total_time));
        json_object_object_add(o, "downtime", json_object_new_int64(run->downtime));
    }
    json_object_object_add(o, "transferred", json_object_new_uint64(run->bytes));
    json_object_object_add(o, "dirty-sync-count", json_object_new_uint64(run->passes));
    return o;
}

json_object *mig_repeats_to_json(const MigRepeats *r)
{
    Counts c = count_runs(r);
    json_object *o = json_object_new_object(), *runs = json_object_new_array();
    json_object_object_add(o, "schema", json_object_new_string(MIG_REPEATS_SCHEMA));
    json_object_object_add(o, "count", json_object_new_uint64(r->runs->len));
    json_object_object_add(o, "completed", json_object_new_uint64(c.completed));
    json_object_object_add(o, "downtime-limit", json_object_new_int64(r->limit));
    json_object_object_add(o, "p-exceeds-downtime-limit",
                           json_object_new_double(share(c.late, c.completed)));
    json_object_object_add(o, "p-not-converging",
                           json_object_new_double(share(c.unended, r->runs->len)));
    for (size_t i = 0; i < G_N_ELEMENTS(measures); i++) {
        json_object_object_add(o, measures[i].name, quantiles_to_json(r, i));
    }
    for (guint i = 0; i < r->runs->len; i++) {
        json_object_array_add(runs, run_to_json(&g_array_index(r->runs, MigRepeat, i)));
    }
    json_object_object_add(o, "runs", runs);
    return o;
}

GString *mig_repeats_summary(const MigRepeats *r)
{
    Counts c = count_runs(r);
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%u of %u runs completed%s\n", c.completed, r->runs->len,
                           r->interrupted ? " (interrupted)" : "");
    for (size_t i = 0; c.completed && i < G_N_ELEMENTS(measures); i++) {
        g_autoptr(GArray) values = values_of(r, i);
        const int64_t *v = (const int64_t *)(void *)values->data;
        g_string_append_printf(text,
                               "%-12s p5 %" G_GINT64_FORMAT "  p50 %" G_GINT64_FORMAT
                               "  p95 %" G_GINT64_FORMAT " %s\n",
                               measures[i].title, mig_quantile(v, values->len, 5),
                               mig_quantile(v, values->len, 50), mig_quantile(v, values->len, 95),
                               measures[i].unit);
    }
    g_string_append_printf(
        text,
        "downtime above downtime-limit (%" G_GINT64_FORMAT " ms): %.1f %% of those that completed\n"
        "not converging within the limit: %.1f %%\n",
        r->limit, 100 * share(c.late, c.completed), 100 * share(c.unended, r->runs->len));
    return text;
}
