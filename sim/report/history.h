/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of a run while it runs, for reports: samples, heat maps, and (when asked for) a
 * timeline. It watches operations and touches nothing, so a run is the same with and without it.
 */
#ifndef MIG_SIM_REPORT_HISTORY_H
#define MIG_SIM_REPORT_HISTORY_H

#include "sim/engine/source.h"
#include "sim/report/timeline.h"
#include "sim/scenario/scenario.h"

typedef struct MigHistory MigHistory;

/* Of the blocks of |s|. */
MigHistory *mig_history_new(const MigScenario *s, bool with_timeline);
void mig_history_free(MigHistory *h); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigHistory, mig_history_free)

/* |source| did |op| from |began| ns on. */
void mig_history_did(MigHistory *h, const MigSource *source, const MigOp *op, int64_t began,
                     const MigOutcome *outcome);
/* See MigVcpusHooks. */
void mig_history_waited(MigHistory *h, uint32_t vcpu, uint32_t block, uint64_t page, int64_t from,
                        int64_t to);

/* Adds "samples" and "heat-map" to |result|; |source| as it is in the end, at |now| ns. */
void mig_history_put(MigHistory *h, const MigSource *source, int64_t now, json_object *result);

/* NULL: it was made without. Free with json_object_put(). */
json_object *mig_history_timeline(const MigHistory *h, json_object *result);

#endif
