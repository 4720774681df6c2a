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

static bool apply(json_object *scenario, const char *what_if, GError **error)
{
    g_auto(GStrv) sets = g_strsplit(what_if ? what_if : "", ",", -1);
    for (char **set = sets; *set; set++) {
        if (!mig_scenario_set(scenario, *set, error)) {
            return false;
        }
    }
    return true;
}

/* Takes |scenario| over. */
static bool predict_one(json_object *scenario, MigPrediction *p, GError **error)
{
    bool set =
        set_number(scenario, "parameters.max-bandwidth", p->bandwidth, error) &&
        set_number(scenario, "parameters.downtime-limit", (uint64_t)p->downtime_limit, error) &&
        apply(scenario, p->what_if, error);
    g_autoptr(MigScenario) ready =
        set ? mig_scenario_read(scenario, p->what_if ? p->what_if : "the guest", ".", error) : NULL;
    const MigSimulateOptions options = { .accounting = true };
    g_autoptr(MigSimulation) m = ready ? mig_simulate(ready, &options, error) : NULL;
    MigStats stats;
    json_object_put(scenario);
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

static void prediction_clear(gpointer data)
{
    g_free(((MigPrediction *)data)->what_if);
}

GArray *mig_predictions_new(void)
{
    GArray *predictions = g_array_new(FALSE, TRUE, sizeof(MigPrediction));
    g_array_set_clear_func(predictions, prediction_clear);
    return predictions;
}

bool mig_predict(json_object *scenario, const MigPredictGrid *grid, GArray *predictions,
                 GError **error)
{
    for (guint i = 0; i < grid->bandwidths->len * grid->downtimes->len; i++) {
        json_object *copy = NULL;
        MigPrediction p = {
            .bandwidth = g_array_index(grid->bandwidths, uint64_t, i / grid->downtimes->len),
            .downtime_limit = g_array_index(grid->downtimes, int64_t, i % grid->downtimes->len),
            .what_if = g_strdup(grid->what_if),
        };
        g_array_append_val(predictions, p);
        json_object_deep_copy(scenario, &copy, NULL);
        json_object_object_add(copy, "limit", json_object_new_string(grid->limit));
        if (!predict_one(copy, &g_array_index(predictions, MigPrediction, predictions->len - 1),
                         error)) {
            g_array_set_size(predictions, predictions->len - 1);
            return false;
        }
    }
    return true;
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

static void put_outcome(json_object *o, const MigPrediction *p)
{
    json_object_object_add(o, "status",
                           json_object_new_string(p->completes ? "completed" : "x-no-convergence"));
    if (p->completes) {
        json_object_object_add(o, "total-time", json_object_new_int64(p->total_time));
        json_object_object_add(o, "downtime", json_object_new_int64(p->downtime));
        json_object_object_add(o, "transferred", json_object_new_uint64(p->transferred));
    }
    json_object_object_add(o, "dirty-sync-count", json_object_new_uint64(p->passes));
}

static json_object *row_to_json(const MigPrediction *p)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "max-bandwidth", json_object_new_uint64(p->bandwidth));
    json_object_object_add(o, "downtime-limit", json_object_new_int64(p->downtime_limit));
    if (p->what_if) {
        json_object_object_add(o, "what-if", json_object_new_string(p->what_if));
    }
    put_outcome(o, p);
    return o;
}

json_object *mig_predict_to_json(const MigPredicted *p)
{
    json_object *o = json_object_new_object(), *rows = json_object_new_array();
    json_object_object_add(o, "schema", json_object_new_string(MIG_PREDICTION_SCHEMA));
    json_object_object_add(o, "writers", writers_to_json(p->writers));
    if (p->assumption) {
        json_object_object_add(o, "assumption", json_object_new_string(p->assumption));
    }
    if (p->recorded) {
        json_object *recorded = json_object_new_object();
        put_outcome(recorded, p->recorded);
        json_object_object_add(o, "recorded", recorded);
    }
    for (guint i = 0; i < p->rows->len; i++) {
        json_object_array_add(rows, row_to_json(&g_array_index(p->rows, MigPrediction, i)));
    }
    json_object_object_add(o, "rows", rows);
    return o;
}

static void text_outcome(const MigPrediction *p, const char *remark, GString *out)
{
    g_autofree char *bytes = mig_format_size(p->transferred);
    if (p->completes) {
        g_string_append_printf(out, "%8.2f s %7" G_GINT64_FORMAT " ms",
                               (double)p->total_time / 1000, p->downtime);
    } else {
        g_string_append(out, "  does not converge  ");
    }
    g_string_append_printf(out, " %8" G_GUINT64_FORMAT " %12s%s%s\n", p->passes, bytes,
                           remark ? "  " : "", remark ? remark : "");
}

static bool has_changes(const GArray *rows)
{
    bool some = false;
    for (guint i = 0; i < rows->len; i++) {
        some |= g_array_index(rows, MigPrediction, i).what_if != NULL;
    }
    return some;
}

void mig_predict_to_text(const MigPredicted *p, GString *out)
{
    g_string_append_printf(out, "dirties      %.0f pages in 0.1 s, %.0f in 1 s, %.0f in 10 s\n\n",
                           mig_curve_at(p->writers, 0.1), mig_curve_at(p->writers, 1),
                           mig_curve_at(p->writers, 10));
    g_string_append_printf(out,
                           "  bandwidth   limit      total   downtime   passes        bytes%s\n",
                           has_changes(p->rows) ? "  what if" : "");
    if (p->recorded) {
        g_string_append_printf(out, "%-20s", "   recorded");
        text_outcome(p->recorded, NULL, out);
    }
    for (guint i = 0; i < p->rows->len; i++) {
        const MigPrediction *row = &g_array_index(p->rows, MigPrediction, i);
        g_autofree char *rate = mig_format_size(row->bandwidth);
        g_string_append_printf(out, "%9s/s %4" G_GINT64_FORMAT " ms ", rate, row->downtime_limit);
        text_outcome(row, row->what_if, out);
    }
    if (p->assumption) {
        g_string_append_printf(out,
                               "\nassumed: %s.\nmigbench calibrate -o HOST measures this host, "
                               "and --host HOST takes that instead.\n",
                               p->assumption);
    }
}
