/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulation says in the end: as JSON (schema migbench-result-1) and for people. */
#ifndef MIG_SIM_SIMULATE_RESULT_H
#define MIG_SIM_SIMULATE_RESULT_H

#include <json-c/json.h>

#include "sim/simulate/simulate.h"

#define MIG_RESULT_SCHEMA "migbench-result-1"

/* "0.1.0" */
const char *mig_program_version(void);

/* query-migrate, with the keys that QEMU would answer with. Free with json_object_put(). */
json_object *mig_stats_to_json(const MigStats *stats);

/* The whole result. Free with json_object_put(). */
json_object *mig_result_to_json(const MigSimulation *m);

/* Postcopy (result-postcopy.c): of a run that had the capability; what is lost, or NULL. */
json_object *mig_result_postcopy(const MigSimulation *m);
json_object *mig_result_postcopy_source(const MigSource *source); /* what the source counts alone */
void mig_result_postcopy_lines(const MigSimulation *m, GString *text);
char *mig_result_lost(const MigSimulation *m);
/* query-migrate of a destination: status and block times. */
json_object *mig_result_query_destination(const MigDest *d, const MigEra *era,
                                          MigCapabilitySet capabilities);

/* Writes |v| to |path| through a temporary name that is renamed in the end. */
bool mig_json_save(json_object *v, const char *path, GError **error);

/* A few lines for people, each ended. Free with g_string_free(). */
GString *mig_result_summary(const MigSimulation *m);

#endif
