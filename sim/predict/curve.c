/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixtures, see curve.h. Model: least squares without negative parts, part by part (each in turn is
 * set to its best value given the others, or to 0), which can't leave the optimum once there. The
 * times lie in rows of two to a factor of two, from half of the shortest measured time to eight
 * times the longest.
 */
#include "sim/predict/curve.h"

#include <math.h>
#include <stdbool.h>

#define PER_OCTAVE 2
#define ROUNDS     4000u
#define POOR       1.0 /* mean square of errors in doubts */
#define LEAST      4.0 /* pages: a smaller part is left out */

typedef struct Part {
    MigPattern pattern;
    double time, pages;
} Part;

static double share(MigPattern pattern, double time, double t)
{
    return pattern == MIG_PATTERN_SEQUENTIAL ? MIN(1, t / time) : -expm1(-t / time);
}

static GArray *make_parts(const GArray *points)
{
    GArray *parts = g_array_new(FALSE, FALSE, sizeof(Part));
    double least = g_array_index(points, MigCurvePoint, 0).time, most = least;
    for (guint i = 0; i < points->len; i++) {
        least = MIN(least, g_array_index(points, MigCurvePoint, i).time);
        most = MAX(most, g_array_index(points, MigCurvePoint, i).time);
    }
    for (double time = least / 2; time <= most * 8; time *= exp2(1.0 / PER_OCTAVE)) {
        Part random = { MIG_PATTERN_RANDOM, time, 0 };
        Part sequential = { MIG_PATTERN_SEQUENTIAL, time, 0 };
        g_array_append_val(parts, random);
        g_array_append_val(parts, sequential);
    }
    return parts;
}

/* Sets |p| to its best value; |off| is by how much the sum is too small, by point. */
static void improve(Part *p, const GArray *points, double *off)
{
    double up = 0, down = 0;
    for (guint i = 0; i < points->len; i++) {
        const MigCurvePoint *m = &g_array_index(points, MigCurvePoint, i);
        double s = share(p->pattern, p->time, m->time) / m->doubt;
        up += s * off[i] / m->doubt;
        down += s * s;
    }
    double pages = MAX(0, p->pages + up / down), change = pages - p->pages;
    p->pages = pages;
    for (guint i = 0; i < points->len; i++) {
        const MigCurvePoint *m = &g_array_index(points, MigCurvePoint, i);
        off[i] -= change * share(p->pattern, p->time, m->time);
    }
}

/* Sets the parts to their best values; returns the mean square of the errors, in doubts. */
static double fit(GArray *parts, bool sequential, const GArray *points)
{
    g_autofree double *off = g_new(double, points->len);
    double error = 0;
    for (guint i = 0; i < points->len; i++) {
        off[i] = g_array_index(points, MigCurvePoint, i).pages;
    }
    for (guint i = 0; i < parts->len; i++) {
        g_array_index(parts, Part, i).pages = 0;
    }
    for (guint round = 0; round < ROUNDS; round++) {
        for (guint i = 0; i < parts->len; i++) {
            Part *p = &g_array_index(parts, Part, i);
            if (p->pattern == MIG_PATTERN_RANDOM || sequential) {
                improve(p, points, off);
            }
        }
    }
    for (guint i = 0; i < points->len; i++) {
        double e = off[i] / g_array_index(points, MigCurvePoint, i).doubt;
        error += e * e / points->len;
    }
    return error;
}

/* Sequential writers only where random ones can't be what was seen. */
GArray *mig_curve_fit(const GArray *points)
{
    GArray *writers = g_array_new(FALSE, FALSE, sizeof(MigCurveWriter));
    if (points->len == 0) {
        return writers;
    }
    g_autoptr(GArray) parts = make_parts(points);
    if (fit(parts, false, points) > POOR) {
        fit(parts, true, points);
    }
    for (guint i = 0; i < parts->len; i++) {
        const Part *p = &g_array_index(parts, Part, i);
        if (p->pages >= LEAST) {
            MigCurveWriter w = { p->pattern, p->pages, p->pages / p->time };
            g_array_append_val(writers, w);
        }
    }
    return writers;
}

double mig_curve_at(const GArray *writers, double time)
{
    double pages = 0;
    for (guint i = 0; i < writers->len; i++) {
        const MigCurveWriter *w = &g_array_index(writers, MigCurveWriter, i);
        pages += w->pages * share(w->pattern, w->pages / w->rate, time);
    }
    return pages;
}
