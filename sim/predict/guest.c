/* SPDX-License-Identifier: Apache-2.0 */
/* Guests to ask about, see guest.h. */
#include "sim/predict/guest.h"

#include "sim/fit/fit.h"
#include "sim/fit/regions.h"
#include "sim/predict/curve.h"
#include "sim/predict/facts.h"
#include "sim/world/clock.h"
#include "sim/world/units.h"

MigPredictGuest *mig_predict_guest_of_facts(json_object *facts, GError **error)
{
    g_autoptr(MigPredictGuest) g = g_new0(MigPredictGuest, 1);
    g_autoptr(GArray) points = mig_facts_points(facts, error);
    g->writers = points ? mig_curve_fit(points) : NULL;
    g->scenario = points ? mig_facts_scenario(facts, g->writers, error) : NULL;
    g->assumption = g->scenario ? mig_facts_assumption(facts) : NULL;
    return g->scenario ? g_steal_pointer(&g) : NULL;
}

static GArray *writers_of(const MigFit *fit)
{
    GArray *writers = g_array_new(FALSE, FALSE, sizeof(MigCurveWriter));
    for (guint i = 0; i < fit->regions->len; i++) {
        const MigFitRegion *r = &g_array_index(fit->regions, MigFitRegion, i);
        MigCurveWriter w = { r->pattern, (double)r->pages, r->rate * fit->scale };
        g_array_append_val(writers, w);
    }
    return writers;
}

static MigPrediction outcome_of(const MigSends *s)
{
    return (MigPrediction){
        .completes = s->completed,
        .total_time = s->end / MIG_NS_PER_MS,
        .downtime = s->stopped >= 0 ? (s->end - s->stopped) / MIG_NS_PER_MS : 0,
        .transferred = s->bytes,
        .passes = s->rounds,
    };
}

MigPredictGuest *mig_predict_guest_of_recording(const char *path, const char *const *recorded,
                                                GString *found, GError **error)
{
    g_autoptr(MigRecording) recording = mig_recording_open(path, error);
    g_autoptr(MigSends) sends = recording ? mig_sends_read(recording, error) : NULL;
    g_autoptr(MigFit) fit = sends ? mig_fit(sends, recorded, error) : NULL;
    if (!fit) {
        if (sends) {
            g_prefix_error(error, "%s: ", path);
        }
        return NULL;
    }
    MigPredictGuest *g = g_new0(MigPredictGuest, 1);
    mig_fit_to_text(fit, sends, found);
    g->scenario = json_object_get(fit->scenario);
    g->writers = writers_of(fit);
    g->recorded = true;
    g->recording = outcome_of(sends);
    return g;
}

void mig_predict_guest_free(MigPredictGuest *g)
{
    if (g) {
        json_object_put(g->scenario);
        g_clear_pointer(&g->writers, g_array_unref);
        g_free(g->assumption);
        g_free(g);
    }
}

uint64_t mig_predict_guest_parameter(const MigPredictGuest *g, const char *name, uint64_t otherwise)
{
    json_object *parameters = NULL, *v = NULL;
    json_object_object_get_ex(g->scenario, "parameters", &parameters);
    json_object_object_get_ex(parameters, name, &v);
    uint64_t value = v ? json_object_get_uint64(v) : 0;
    if (v && json_object_is_type(v, json_type_string)) { /* "64M" */
        mig_parse_size(json_object_get_string(v), &value, NULL);
    }
    return value ? value : otherwise;
}
