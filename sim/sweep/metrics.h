/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a row keeps of a result (migbench-result-1). A metric's name is its path there, with dots:
 * "query-migrate.ram.transferred".
 */
#ifndef MIG_SIM_SWEEP_METRICS_H
#define MIG_SIM_SWEEP_METRICS_H

#include "sim/scenario/json-reader.h"

/* All numbers, words and truth values of |result| (a row has its own keys for versions, seed and
 * digests), or those that |names| (char *) lists; a name that the result lacks is null. The
 * caller's. */
json_object *mig_sweep_metrics(json_object *result, const GPtrArray *names);

/* Is it a name that some result has? */
bool mig_sweep_metric_check(MigReader *r, const char *name);

#endif
