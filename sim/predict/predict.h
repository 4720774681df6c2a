/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's migration will be like: its scenario, simulated for each bandwidth and each
 * downtime limit.
 *
 *     {"schema": "migbench-prediction-1",
 *      "writers": [{"pattern", "pages", "rate"}],
 *      "rows": [{"max-bandwidth", "downtime-limit", "status", "total-time", "downtime",
 *                "transferred", "dirty-sync-count"}]}                 ms, bytes
 */
#ifndef MIG_SIM_PREDICT_PREDICT_H
#define MIG_SIM_PREDICT_PREDICT_H

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define MIG_PREDICTION_SCHEMA "migbench-prediction-1"

typedef struct MigPrediction {
    uint64_t bandwidth; /* B/s */
    int64_t downtime_limit;
    bool completes;
    int64_t total_time, downtime; /* ms */
    uint64_t transferred, passes;
} MigPrediction;

typedef struct MigPredictGrid {
    const GArray *bandwidths; /* uint64_t, B/s */
    const GArray *downtimes;  /* int64_t, ms */
    const char *limit;        /* of virtual time, as in a scenario; then it doesn't converge */
} MigPredictGrid;

/* MigPrediction, bandwidth by bandwidth; |scenario| is changed. NULL and *error. */
GArray *mig_predict(json_object *scenario, const MigPredictGrid *grid, GError **error);

json_object *mig_predict_to_json(const GArray *predictions, const GArray *writers);
void mig_predict_to_text(const GArray *predictions, const GArray *writers, GString *out);

#endif
