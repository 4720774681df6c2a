/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run as slices on tracks, for a viewer of traces: what the migration's thread did, and what
 * vCPUs at the destination waited for. Bounded: past MIG_TIMELINE_SLICES it only counts.
 *
 *     operation, operation, ... --joined when the same follows at once--> slices
 *
 * Written in Chrome's trace format ("traceEvents"; times in us), which Perfetto opens.
 */
#ifndef MIG_SIM_REPORT_TIMELINE_H
#define MIG_SIM_REPORT_TIMELINE_H

#include <json-c/json.h>
#include <stdint.h>

#include "sim/engine/op.h"

#define MIG_TIMELINE_SLICES 200000u

typedef struct MigTimeline MigTimeline;

MigTimeline *mig_timeline_new(void);
void mig_timeline_free(MigTimeline *t); /* NULL is fine */

/* The source did |op|, ns. */
void mig_timeline_op(MigTimeline *t, const MigOp *op, int64_t from, int64_t to);
/* vCPU number |vcpu| of the destination waited for a page of |block| (borrowed), ns. */
void mig_timeline_fault(MigTimeline *t, uint32_t vcpu, const char *block, uint64_t page,
                        int64_t from, int64_t to);

/*
 * With the statuses, passes and counters of |result| (migbench-result-1 with samples). Free with
 * json_object_put().
 */
json_object *mig_timeline_to_json(const MigTimeline *t, json_object *result);

#endif
