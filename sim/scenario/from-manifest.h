/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scenario that a recorded trace came from, out of its manifest (traces/README.md): versions,
 * machine, blocks with their first contents, devices, capabilities, parameters, and the script of
 * writes between passes.
 */
#ifndef MIG_SIM_SCENARIO_FROM_MANIFEST_H
#define MIG_SIM_SCENARIO_FROM_MANIFEST_H

#include "sim/scenario/scenario.h"

/*
 * |sets| as in mig_scenario_load(), applied to the derived scenario. A block whose contents the
 * script says is made from it; the others come from the trace, which lies beside the manifest.
 */
MigScenario *mig_scenario_from_manifest(const char *path, const char *const *sets, GError **error);

/* The same as JSON. Free with json_object_put(). */
json_object *mig_manifest_to_scenario(json_object *manifest, const char *name, GError **error);

#endif
