/* SPDX-License-Identifier: Apache-2.0 */
/* Names and meanings of faults. */
#include "stream/status.h"

#include <stddef.h>

static const struct {
    const char *name, *text;
} faults[MIG_FAULT_COUNT] = {
#define X(symbol, name, text) { name, text },
    MIG_FAULTS(X)
#undef X
};

const char *mig_fault_name(MigFault fault)
{
    return (unsigned)fault < MIG_FAULT_COUNT ? faults[fault].name : "unknown-fault";
}

const char *mig_fault_text(MigFault fault)
{
    return (unsigned)fault < MIG_FAULT_COUNT ? faults[fault].text : "an unknown fault";
}

bool mig_fault_is_inconclusive(MigFault fault)
{
    return fault == MIG_FAULT_BODY_UNRESOLVED;
}
