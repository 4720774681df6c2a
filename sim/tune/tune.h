/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inverse question: how little of each knob meets the goals?
 *
 *     scenario, knobs, goals --> sweep (all combinations x seeds, on all processors)
 *                            --> points: in how many of the runs all goals were met
 *                            --> front: points that meet them often enough and that no other
 *                                one undercuts in every knob
 *
 * With one knob that has a range the place between the last value that fails and the first that
 * does is looked at again, until both lie close together.
 */
#ifndef MIG_SIM_TUNE_TUNE_H
#define MIG_SIM_TUNE_TUNE_H

#include <signal.h>

#include "sim/tune/knob.h"

#define MIG_TUNE_SCHEMA "migbench-tune-1"

typedef struct MigTune {
    json_object *scenario; /* borrowed */
    const char *name, *folder;
    GPtrArray *knobs;   /* MigKnob, 1 or more; their values change while one is refined */
    GPtrArray *goals;   /* MigGoal; that it completes goes without saying */
    double probability; /* share of the runs that has to meet all of them */
    unsigned runs;      /* seeds */
    unsigned threads;
    double close; /* ratio at which refining ends, above 1 */
    const volatile sig_atomic_t *interrupted;
} MigTune;

typedef struct MigTunePoint {
    uint64_t *values; /* by knob */
    unsigned runs, met;
    double *worst; /* by goal: the value nearest to missing it, or furthest behind; NaN: none */
    bool enough, front;
} MigTunePoint;

/* MigTunePoint, all that were looked at; owned by the caller. NULL and *error. */
GArray *mig_tune(MigTune *t, GError **error);

json_object *mig_tune_to_json(const MigTune *t, const GArray *points);
void mig_tune_to_text(const MigTune *t, const GArray *points, GString *out);

#endif
