/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An axis of a sweep: some paths of the scenario, and rows of values for them. However an axis is
 * written, it ends as rows.
 *
 *     grid              "path", "values"        one path, its values
 *     list              "paths", "rows"         values that belong together
 *     latin-hypercube   "count", "ranges"       each range is met evenly, in random order
 *     random            "count", "ranges"       each value anywhere in its range
 *
 * A range has a "path" and either "values" or "from" and "to" (both included) with an optional
 * "step" and "scale" (linear, log). Its ends are whole numbers, or sizes, rates or times as
 * strings.
 */
#ifndef MIG_SIM_SWEEP_AXIS_H
#define MIG_SIM_SWEEP_AXIS_H

#include "sim/scenario/json-reader.h"

typedef struct MigSweepAxis {
    GPtrArray *paths;  /* char *, as mig_sweep_path() writes them */
    json_object *rows; /* an array of arrays, each as long as |paths| */
} MigSweepAxis;

/* |index|: which axis of the sweep; |seed|: the sweep's. NULL: r->error. */
MigSweepAxis *mig_sweep_axis_read(MigReader *r, json_object *v, uint64_t seed, uint64_t index);
void mig_sweep_axis_free(MigSweepAxis *a); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigSweepAxis, mig_sweep_axis_free)

uint64_t mig_sweep_axis_count(const MigSweepAxis *a);

/* One way to write a path: "a.0.b" as "a[0].b". NULL: a part is empty. Free with g_free(). */
char *mig_sweep_path(const char *path);

#endif
