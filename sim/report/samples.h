/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query-migrate over time: what a monitor that polls would have seen. Bounded: when the rows are
 * full, every second one goes and the period doubles, so a long run has at least half of
 * MIG_SAMPLES rows, evenly spread.
 */
#ifndef MIG_SIM_REPORT_SAMPLES_H
#define MIG_SIM_REPORT_SAMPLES_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/engine/stats.h"

#define MIG_SAMPLES        1024u   /* rows, at most */
#define MIG_SAMPLES_PERIOD 1000000 /* ns, in the beginning */

typedef struct MigSamples MigSamples;

MigSamples *mig_samples_new(void);
void mig_samples_free(MigSamples *s); /* NULL is fine */

/* Is the next sample wanted at |now| ns? */
bool mig_samples_due(const MigSamples *s, int64_t now);
/* Times do not fall. The first and the last of a run are to be added whether due or not. */
void mig_samples_add(MigSamples *s, int64_t now, const MigStats *stats);

/*
 * {"period-ns", "time-ns": [...], "remaining": [...], ...}: one list for each column, all of one
 * length. Free with json_object_put().
 */
json_object *mig_samples_to_json(const MigSamples *s);

#endif
