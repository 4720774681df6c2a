/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tuning, see tune.h. Model: each round is a sweep of grid axes with replicates, run by the sweep's
 * pool; its rows are counted by point. Nothing is assumed of how the goals depend on the knobs, but
 * for refining one knob: that what is enough stays enough above it.
 */
#include "sim/tune/tune.h"

#include <math.h>

#include "sim/progress.h"
#include "sim/sweep/pool.h"
#include "sim/sweep/sweep.h"

#define REFINE_ROUNDS 8u
#define REFINE_STEPS  9u

typedef struct Round {
    const MigTune *tune;
    GArray *points;
    guint first; /* of this round */
    uint64_t ran, todo;
    MigProgress progress;
} Round;

static void point_clear(gpointer data)
{
    MigTunePoint *p = data;
    g_free(p->values);
    g_free(p->worst);
}

static MigTunePoint *point_at(const GArray *points, guint i)
{
    return &g_array_index(points, MigTunePoint, i);
}

/* The sweep -------------------------------------------------------------------------------- */

static json_object *axis_of(const MigKnob *k)
{
    json_object *o = json_object_new_object(), *values = json_object_new_array();
    for (guint i = 0; i < k->values->len; i++) {
        json_object_array_add(values, mig_knob_value(k, g_array_index(k->values, uint64_t, i)));
    }
    json_object_object_add(o, "kind", json_object_new_string("grid"));
    json_object_object_add(o, "path", json_object_new_string(k->path));
    json_object_object_add(o, "values", values);
    return o;
}

static json_object *spec_of(const MigTune *t)
{
    json_object *o = json_object_new_object(), *axes = json_object_new_array(),
                *metrics = json_object_new_array();
    for (guint i = 0; i < t->knobs->len; i++) {
        json_object_array_add(axes, axis_of(t->knobs->pdata[i]));
    }
    for (guint i = 0; i < t->goals->len; i++) {
        const MigGoal *g = t->goals->pdata[i];
        json_object_array_add(metrics, json_object_new_string(g->metric));
    }
    json_object_object_add(o, "schema", json_object_new_string(MIG_SWEEP_SCHEMA));
    json_object_object_add(o, "scenario", json_object_get(t->scenario));
    json_object_object_add(o, "axes", axes);
    json_object_object_add(o, "replicates", json_object_new_int64(t->runs));
    json_object_object_add(o, "metrics", metrics);
    return o;
}

/* Point |index| of a round, as a sweep counts its cells: the last knob runs fastest. */
static MigTunePoint new_point(const MigTune *t, uint64_t index)
{
    guint knobs = t->knobs->len, goals = t->goals->len;
    MigTunePoint p = { .values = g_new(uint64_t, knobs), .worst = g_new(double, goals) };
    for (guint i = knobs; i-- > 0;) {
        const MigKnob *k = t->knobs->pdata[i];
        p.values[i] = g_array_index(k->values, uint64_t, index % k->values->len);
        index /= k->values->len;
    }
    for (guint i = 0; i < goals; i++) {
        p.worst[i] = NAN;
    }
    return p;
}

/* Rows ------------------------------------------------------------------------------------- */

static bool judge(const MigTune *t, MigTunePoint *p, json_object *row)
{
    json_object *metrics = NULL, *fine = NULL;
    json_object_object_get_ex(row, "metrics", &metrics);
    json_object_object_get_ex(row, "fine", &fine);
    bool met = json_object_get_boolean(fine);
    for (guint i = 0; i < t->goals->len && json_object_get_boolean(fine); i++) {
        const MigGoal *g = t->goals->pdata[i];
        json_object *v = NULL;
        json_object_object_get_ex(metrics, g->metric, &v);
        double value = v ? json_object_get_double(v) : NAN;
        met = met && v && mig_goal_met(g, value);
        if (v && !(g->at_least ? value >= p->worst[i] : value <= p->worst[i])) {
            p->worst[i] = value;
        }
    }
    return met;
}

/* How many rounds there will be is not known before the last. */
static void show_progress(Round *r)
{
    r->ran++;
    if (mig_progress_due(&r->progress)) {
        mig_progress_show(&r->progress,
                          "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " runs of this round, "
                          "%u points before it",
                          r->ran, r->todo, r->first);
    }
}

static bool on_row(void *opaque, uint64_t index, const char *text, MigRowKind kind, GError **error)
{
    Round *r = opaque;
    MigTunePoint *p = point_at(r->points, r->first + (guint)(index / r->tune->runs));
    json_object *row = json_tokener_parse(text);
    show_progress(r);
    if (kind == MIG_ROW_INVALID) {
        json_object *why = NULL;
        json_object_object_get_ex(row, "error", &why);
        g_set_error(error, MIG_TUNE_ERROR, 0, "%s", json_object_get_string(why));
    } else {
        p->runs++;
        p->met += judge(r->tune, p, row);
    }
    json_object_put(row);
    return kind != MIG_ROW_INVALID;
}

static void on_failed(void *opaque, uint64_t index, const char *why)
{
    show_progress(opaque);
    g_printerr("migbench tune: cell %" G_GUINT64_FORMAT ": %s\n", index, why);
}

/* One round over the knobs' present values. */
static bool run_round(const MigTune *t, GArray *points, GError **error)
{
    json_object *spec = spec_of(t);
    g_autoptr(MigSweep) sweep = mig_sweep_read(spec, t->name, t->folder, error);
    json_object_put(spec);
    if (!sweep) {
        return false;
    }
    Round r = { t, points, points->len, 0, sweep->cells, mig_progress_begin() };
    g_autofree uint64_t *cells = g_new(uint64_t, sweep->cells);
    for (uint64_t i = 0; i < sweep->cells; i++) {
        cells[i] = i;
        if (i % t->runs == 0) {
            MigTunePoint p = new_point(t, i / t->runs);
            g_array_append_val(points, p);
        }
    }
    const MigSweepJob job = { .sweep = sweep,
                              .build = "",
                              .cells = cells,
                              .count = sweep->cells,
                              .threads = t->threads,
                              .interrupted = t->interrupted,
                              .row = on_row,
                              .failed = on_failed,
                              .opaque = &r };
    bool fine = mig_sweep_run(&job, error);
    mig_progress_end(&r.progress);
    for (guint i = r.first; i < points->len; i++) {
        MigTunePoint *p = point_at(points, i);
        p->enough = p->runs && p->met >= t->probability * p->runs;
    }
    return fine;
}

/* The front -------------------------------------------------------------------------------- */

static bool undercuts(const MigTunePoint *a, const MigTunePoint *b, guint knobs)
{
    bool less = false;
    for (guint i = 0; i < knobs; i++) {
        if (a->values[i] > b->values[i]) {
            return false;
        }
        less |= a->values[i] < b->values[i];
    }
    return less;
}

static void find_front(GArray *points, guint knobs)
{
    for (guint i = 0; i < points->len; i++) {
        MigTunePoint *p = point_at(points, i);
        p->front = p->enough;
        for (guint k = 0; k < points->len && p->front; k++) {
            const MigTunePoint *other = point_at(points, k);
            p->front = !(other->enough && undercuts(other, p, knobs));
        }
    }
}

/* Between which values of the one knob it becomes enough; false: nowhere, or at its first. */
static bool find_step(const GArray *points, uint64_t *below, uint64_t *least)
{
    *below = 0;
    *least = UINT64_MAX;
    for (guint i = 0; i < points->len; i++) {
        const MigTunePoint *p = point_at(points, i);
        *least = p->enough ? MIN(*least, p->values[0]) : *least;
    }
    for (guint i = 0; i < points->len; i++) {
        const MigTunePoint *p = point_at(points, i);
        *below = !p->enough && p->values[0] < *least ? MAX(*below, p->values[0]) : *below;
    }
    return *below && *least != UINT64_MAX;
}

static bool refine(MigTune *t, GArray *points, GError **error)
{
    MigKnob *k = t->knobs->pdata[0];
    uint64_t below, least;
    for (unsigned i = 0; i < REFINE_ROUNDS && find_step(points, &below, &least); i++) {
        if ((double)least <= (double)below * t->close || least - below <= 1 ||
            (t->interrupted && *t->interrupted)) {
            break;
        }
        mig_knob_refine(k, below, least, REFINE_STEPS);
        g_array_remove_index(k->values, 0); /* known, as is the last */
        g_array_set_size(k->values, k->values->len - 1);
        if (k->values->len && !run_round(t, points, error)) {
            return false;
        }
    }
    return true;
}

GArray *mig_tune(MigTune *t, GError **error)
{
    g_autoptr(GArray) points = g_array_new(FALSE, TRUE, sizeof(MigTunePoint));
    const MigKnob *first = t->knobs->pdata[0];
    g_array_set_clear_func(points, point_clear);
    if (!run_round(t, points, error) ||
        (t->knobs->len == 1 && first->range && !refine(t, points, error))) {
        return NULL;
    }
    find_front(points, t->knobs->len);
    return g_steal_pointer(&points);
}

/* Output ----------------------------------------------------------------------------------- */

static json_object *point_to_json(const MigTune *t, const MigTunePoint *p)
{
    json_object *o = json_object_new_object(), *values = json_object_new_object(),
                *worst = json_object_new_object();
    for (guint i = 0; i < t->knobs->len; i++) {
        const MigKnob *k = t->knobs->pdata[i];
        json_object_object_add(values, k->path, mig_knob_value(k, p->values[i]));
    }
    for (guint i = 0; i < t->goals->len; i++) {
        const MigGoal *g = t->goals->pdata[i];
        json_object_object_add(worst, g->metric,
                               isnan(p->worst[i]) ? NULL : json_object_new_double(p->worst[i]));
    }
    json_object_object_add(o, "values", values);
    json_object_object_add(o, "runs", json_object_new_int64(p->runs));
    json_object_object_add(o, "met", json_object_new_int64(p->met));
    json_object_object_add(o, "worst", worst);
    json_object_object_add(o, "enough", json_object_new_boolean(p->enough));
    json_object_object_add(o, "front", json_object_new_boolean(p->front));
    return o;
}

json_object *mig_tune_to_json(const MigTune *t, const GArray *points)
{
    json_object *o = json_object_new_object(), *list = json_object_new_array();
    for (guint i = 0; i < points->len; i++) {
        json_object_array_add(list, point_to_json(t, point_at(points, i)));
    }
    json_object_object_add(o, "schema", json_object_new_string(MIG_TUNE_SCHEMA));
    json_object_object_add(o, "probability", json_object_new_double(t->probability));
    json_object_object_add(o, "points", list);
    return o;
}

static void text_point(const MigTune *t, const MigTunePoint *p, GString *out)
{
    for (guint i = 0; i < t->knobs->len; i++) {
        const MigKnob *k = t->knobs->pdata[i];
        g_autofree char *value = mig_knob_text(k, p->values[i]);
        g_string_append_printf(out, "%s=%s  ", k->path, value);
    }
    g_string_append_printf(out, "met in %u of %u runs", p->met, p->runs);
    for (guint i = 0; i < t->goals->len; i++) {
        const MigGoal *g = t->goals->pdata[i];
        g_autofree char *worst = mig_goal_text(g, p->worst[i]);
        g_string_append_printf(out, ", %s %s %s", g->metric, g->at_least ? "at least" : "at most",
                               worst);
    }
    g_string_append_c(out, '\n');
}

void mig_tune_to_text(const MigTune *t, const GArray *points, GString *out)
{
    guint front = 0;
    for (guint i = 0; i < points->len; i++) {
        const MigTunePoint *p = point_at(points, i);
        if (p->front) {
            text_point(t, p, out);
            front++;
        }
    }
    bool cut = t->interrupted && *t->interrupted;
    g_string_append_printf(out, "%s%u points, %u runs each\n",
                           cut     ? "interrupted; "
                           : front ? ""
                                   : "nothing in these ranges meets the goals; ",
                           points->len, t->runs);
}
