/* SPDX-License-Identifier: Apache-2.0 */
/* Names of capabilities and defaults of parameters, see config.h. */
#include "sim/engine/config.h"

#include <assert.h>
#include <string.h>

static const char *const names[] = {
#define X(symbol, name, validated) [MIG_CAP_##symbol] = name,
    MIG_CAPABILITIES(X)
#undef X
};

const char *mig_capability_name(MigCapability cap)
{
    assert(cap < MIG_CAP_COUNT);
    return names[cap];
}

MigCapability mig_capability_find(const char *name)
{
    MigCapability cap = 0;
    while (cap < MIG_CAP_COUNT && strcmp(names[cap], name) != 0) {
        cap++;
    }
    return cap;
}

MigParameters mig_parameters_default(const MigEra *era)
{
    return (MigParameters){
        .max_bandwidth = (uint64_t)era->default_bandwidth_mib << 20,
        .downtime_limit = era->default_downtime_ms,
    };
}
