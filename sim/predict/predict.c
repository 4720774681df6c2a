/* SPDX-License-Identifier: Apache-2.0 */
/* Predicting, see predict.h. */
#include "sim/predict/predict.h"

#include "sim/predict/curve.h"
#include "sim/simulate/simulate.h"
#include "sim/world/units.h"

static bool set_number(json_object *scenario, const char *path, uint64_t value, GError **error)
{
    return mig_scenario_set_value(scenario, path, json_object_new_uint64(value), error);
}

static bool predict_one(json_object *scenario, MigPrediction *p, GError **error)
{
    if (!set_number(scenario, "parameters.max-bandwidth", p->bandwidth, error) ||
        !set_number(scenario, "parameters.downtime-limit", (uint64_t)p->downtime_limit, error)) {
        return false;
    }
    g_autoptr(MigScenario) ready = mig_scenario_read(scenario, "the guest", ".", error);
    const MigSimulateOptions options = { .accounting = true };
    g_autoptr(MigSimulation) m = ready ? mig_simulate(ready, &options, error) : NULL;
    MigStats stats;
    if (!m) {
        return false;
    }
    mig_source_query(m->source, m->now, &stats);
    p->completes = !m->outcome && mig_simulation_fine(m);
    p->total_time = stats.total_time;
    p->downtime = stats.downtime;
    p->transferred = stats.ram.transferred;
    p->passes = stats.ram.dirty_sync_count;
    return true;
}

GArray *mig_predict(json_object *scenario, const MigPredictGrid *grid, GError **error)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(MigPrediction));
    if (!mig_scenario_set_value(scenario, "limit", json_object_new_string(grid->limit), error)) {
        return NULL;
    }
    for (guint b = 0; b < grid->bandwidths->len; b++) {
        for (guint d = 0; d < grid->downtimes->len; d++) {
            MigPrediction p = { .bandwidth = g_array_index(grid->bandwidths, uint64_t, b),
                                .downtime_limit = g_array_index(grid->downtimes, int64_t, d) };
            if (!predict_one(scenario, &p, error)) {
                return NULL;
            }
            g_array_append_val(rows, p);
        }
    }
    return g_steal_pointer(&rows);
}

/* Output ----------------------------------------------------------------------------------- */

static const char *pattern_name(const MigCurveWriter *w)
{
    return w->pattern == MIG_PATTERN_SEQUENTIAL ? "sequential" : "random";
}

static json_object *writers_to_json(const GArray *writers)
{
    json_object *list = json_object_new_array();
    for (guint i = 0; i < writers->len; i++) {
        const MigCurveWriter *w = &g_array_index(writers, MigCurveWriter, i);
        json_object *o = json_object_new_object();
        json_object_object_add(o, "pattern", json_object_new_string(pattern_name(w)));
        json_object_object_add(o, "pages", json_object_new_int64((int64_t)(w->pages + 0.5)));
        json_object_object_add(o, "rate", json_object_new_int64((int64_t)(w->rate + 0.5)));
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *row_to_json(const MigPrediction *p)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "max-bandwidth", json_object_new_uint64(p->bandwidth));
    json_object_object_add(o, "downtime-limit", json_object_new_int64(p->downtime_limit));
    json_object_object_add(o, "status",
                           json_object_new_string(p->completes ? "completed" : "x-no-convergence"));
    if (p->completes) {
        json_object_object_add(o, "total-time", json_object_new_int64(p->total_time));
        json_object_object_add(o, "downtime", json_object_new_int64(p->downtime));
        json_object_object_add(o, "transferred", json_object_new_uint64(p->transferred));
    }
    json_object_object_add(o, "dirty-sync-count", json_object_new_uint64(p->passes));
    return o;
}

json_object *mig_predict_to_json(const GArray *predictions, const GArray *writers)
{
    json_object *o = json_object_new_object(), *rows = json_object_new_array();
    json_object_object_add(o, "schema", json_object_new_string(MIG_PREDICTION_SCHEMA));
    json_object_object_add(o, "writers", writers_to_json(writers));
    for (guint i = 0; i < predictions->len; i++) {
        json_object_array_add(rows, row_to_json(&g_array_index(predictions, MigPrediction, i)));
    }
    json_object_object_add(o, "rows", rows);
    return o;
}

void mig_predict_to_text(const GArray *predictions, const GArray *writers, GString *out)
{
    g_string_append_printf(out, "dirties      %.0f pages in 0.1 s, %.0f in 1 s, %.0f in 10 s\n\n",
                           mig_curve_at(writers, 0.1), mig_curve_at(writers, 1),
                           mig_curve_at(writers, 10));
    g_string_append(out, "  bandwidth  limit      total   downtime   passes        bytes\n");
    for (guint i = 0; i < predictions->len; i++) {
        const MigPrediction *p = &g_array_index(predictions, MigPrediction, i);
        g_autofree char *rate = mig_format_size(p->bandwidth);
        g_autofree char *bytes = mig_format_size(p->transferred);
        g_string_append_printf(out, "%9s/s %3" G_GINT64_FORMAT " ms ", rate, p->downtime_limit);
        if (p->completes) {
            g_string_append_printf(out, "%8.2f s %7" G_GINT64_FORMAT " ms",
                                   (double)p->total_time / 1000, p->downtime);
        } else {
            g_string_append(out, "  does not converge  ");
        }
        g_string_append_printf(out, " %8" G_GUINT64_FORMAT " %12s\n", p->passes, bytes);
    }
}
