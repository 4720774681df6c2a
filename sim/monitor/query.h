/* SPDX-License-Identifier: Apache-2.0 */
/* query-migrate of a source, with the fields that its version has. */
#ifndef MIG_SIM_MONITOR_QUERY_H
#define MIG_SIM_MONITOR_QUERY_H

#include <json-c/json.h>

#include "sim/engine/source.h"

/* At |now| ns, as QEMU |binary| would answer. Free with json_object_put(). */
json_object *mig_monitor_query(const MigSource *source, MigVersion binary, int64_t now);

#endif
