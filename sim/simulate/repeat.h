/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One scenario many times, as runs on a real host would differ: each run has a seed of its own (so
 * random workloads write other pages), a guest that has run for a little longer or shorter before,
 * and costs that are drawn from the host's noise (mig_costs_draw()). Accounting only.
 *
 *     run n = f(scenario, scenario's seed, n): the same on every machine, in any order
 */
#ifndef MIG_SIM_SIMULATE_REPEAT_H
#define MIG_SIM_SIMULATE_REPEAT_H

#include <glib.h>
#include <json-c/json.h>
#include <signal.h>

#include "sim/scenario/scenario.h"

#define MIG_REPEATS_SCHEMA "migbench-runs-1"

typedef struct MigRepeat {
    uint64_t seed;
    char *status;                 /* of query-migrate */
    bool completed, late;         /* late: its downtime is above the limit */
    bool unended;                 /* it met the scenario's limit */
    int64_t total_time, downtime; /* ms; of those that completed */
    uint64_t bytes, passes;
} MigRepeat;

typedef struct MigRepeats {
    GArray *runs;     /* MigRepeat */
    int64_t limit;    /* downtime-limit, ms */
    bool interrupted; /* there are fewer than were asked for */
} MigRepeats;

/* NULL and *error as mig_simulate(). |interrupted| may be NULL. */
MigRepeats *mig_repeat(const MigScenario *s, unsigned count,
                       const volatile sig_atomic_t *interrupted, GError **error);
void mig_repeats_free(MigRepeats *r); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRepeats, mig_repeats_free)

/* docs/model.md says what is in it. */
json_object *mig_repeats_to_json(const MigRepeats *r);
/* The same for people. */
GString *mig_repeats_summary(const MigRepeats *r);

/* The least value that at least |percent| of the |count| rising |values| do not exceed. */
int64_t mig_quantile(const int64_t *values, size_t count, unsigned percent);

#endif
