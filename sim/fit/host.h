/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pages and sleeps cost the recorded source, and its limit, out of when its bytes came.
 *
 *     | section                        |       | section
 *     | flush     | flush     | flush  | sleep | flush ...
 *     ^ ?         ^ <- took -> ^                ^ one window behind the last
 *
 * The source sleeps between sections only. So a flush inside one took as long as its pages did,
 * and the sections of a source that uses its quota up begin 100 ms apart, and as much later as its
 * sleeps end late.
 */
#ifndef MIG_SIM_FIT_HOST_H
#define MIG_SIM_FIT_HOST_H

#include <json-c/json.h>

#include "sim/fit/sends.h"

typedef struct MigFitCost {
    const char *name; /* of MigCosts */
    double ns;
    uint64_t seen; /* pages, or windows, that say so */
} MigFitCost;

/* MigFitCost: what |s|, which has times, shows; may be empty. Owned by the caller. */
GArray *mig_fit_host(const MigSends *s);

/*
 * max-bandwidth, B/s, of a source that used its quota up, window by window; 0: |s| doesn't show it.
 * A source stops behind the flush that exceeds the quota, so this is sure to half a flush.
 */
uint64_t mig_fit_max_bandwidth(const MigSends *s);

/* The "host" of a scenario. Free with json_object_put(). */
json_object *mig_fit_host_to_json(const GArray *costs);
/* A line for each. */
void mig_fit_host_to_text(const GArray *costs, GString *out);

#endif
