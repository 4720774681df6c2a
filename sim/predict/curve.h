/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many pages a guest dirties within a time, and writers that do so.
 *
 *     measured: so many pages in 0.25 s, in 0.5 s, in 1 s ...     (calc-dirty-rate)
 *     made of:  random writers   pages * (1 - exp(-t / time))
 *               sequential ones  pages * min(1, t / time)
 *
 * The mixture with the smallest weighted error is found among fixed times, as pages can't be
 * negative; it is one of many that fit, and all of them dirty alike within the measured times.
 */
#ifndef MIG_SIM_PREDICT_CURVE_H
#define MIG_SIM_PREDICT_CURVE_H

#include <glib.h>

#include "sim/guest/workload.h"

typedef struct MigCurvePoint {
    double time;  /* s */
    double pages; /* distinct ones that were dirtied within it */
    double doubt; /* pages by which that may be wrong; > 0 */
} MigCurvePoint;

typedef struct MigCurveWriter {
    MigPattern pattern; /* RANDOM or SEQUENTIAL */
    double pages, rate; /* rate: writes per second */
} MigCurveWriter;

/* MigCurveWriter; |points|: MigCurvePoint. Owned by the caller. */
GArray *mig_curve_fit(const GArray *points);

/* Pages that they dirty within |time| s. */
double mig_curve_at(const GArray *writers, double time);

#endif
