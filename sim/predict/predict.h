/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's migration will be like: its scenario, simulated for each bandwidth, each downtime
 * limit, and each change of something else.
 *
 *     {"schema": "migbench-prediction-1",
 *      "writers": [{"pattern", "pages", "rate"}],
 *      "assumption": what is supposed of the host, where nobody measured it,
 *      "recorded": {a row without the limits: the migration that all of it was learnt from},
 *      "rows": [{"max-bandwidth", "downtime-limit", "what-if", "status", "total-time", "downtime",
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
    char *what_if;      /* what is changed beside: "PATH=VALUE,PATH=VALUE"; NULL: nothing */
    uint64_t bandwidth; /* B/s */
    int64_t downtime_limit;
    bool completes;
    int64_t total_time, downtime; /* ms */
    uint64_t transferred, passes;
} MigPrediction;

typedef struct MigPredictGrid {
    const GArray *bandwidths; /* uint64_t, B/s */
    const GArray *downtimes;  /* int64_t, ms */
    const char *what_if;      /* as in MigPrediction */
    const char *limit;        /* of virtual time, as in a scenario; then it doesn't converge */
} MigPredictGrid;

/* MigPrediction, to be filled; owns what they hold. */
GArray *mig_predictions_new(void);

/* Adds what |grid| asks, bandwidth by bandwidth. False and *error: MIG_READER_ERROR where the
 * version in |scenario| doesn't know what is to be changed. */
bool mig_predict(json_object *scenario, const MigPredictGrid *grid, GArray *predictions,
                 GError **error);

typedef struct MigPredicted {
    const GArray *writers;         /* MigCurveWriter */
    const GArray *rows;            /* MigPrediction */
    const MigPrediction *recorded; /* may be NULL */
    const char *assumption;        /* may be NULL */
} MigPredicted;

json_object *mig_predict_to_json(const MigPredicted *p);
void mig_predict_to_text(const MigPredicted *p, GString *out);

#endif
