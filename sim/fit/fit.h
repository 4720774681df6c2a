/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest behind a recording, as a scenario: blocks with what was zero in them and what wasn't,
 * workloads that dirty as the recorded guest did, the rate at which it was sent, and what its pages
 * cost the host.
 *
 *     recording -> sends -> regions -> scenario -> simulated, compared with the recording
 *                                         ^                           |
 *                                         +----- rates times x <------+
 *
 * A recording doesn't say with which parameters it was made; what the scenario can't do without is
 * measured (max-bandwidth) or QEMU's default, unless |recorded| says it.
 */
#ifndef MIG_SIM_FIT_FIT_H
#define MIG_SIM_FIT_FIT_H

#include <json-c/json.h>

#include "sim/fit/sends.h"

#define MIG_FIT_ERROR (g_quark_from_static_string("mig-fit-error"))

typedef struct MigFit {
    json_object *scenario;
    GArray *regions;          /* MigFitRegion */
    GArray *costs;            /* MigFitCost */
    uint64_t again;           /* pages that were sent again, and not as zeros */
    uint64_t simulated_again; /* the same of the fitted scenario under the recorded conditions */
    double scale;             /* that all rates were multiplied by in the end */
} MigFit;

/*
 * |recorded|: assignments (PATH=VALUE, ended by NULL; may be NULL) that say how the recording was
 * made. NULL and *error: MIG_FIT_ERROR (a recording without times, or that holds no RAM),
 * MIG_READER_ERROR (a bad assignment).
 */
MigFit *mig_fit(const MigSends *s, const char *const *recorded, GError **error);
void mig_fit_free(MigFit *f); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigFit, mig_fit_free)

/* What was found, a line for each region. */
void mig_fit_to_text(const MigFit *f, const MigSends *s, GString *out);

#endif
