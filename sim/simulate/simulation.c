/* SPDX-License-Identifier: Apache-2.0 */
/* What a run leaves behind, see simulate.h. */
#include "sim/simulate/simulate.h"

void mig_simulation_free(MigSimulation *m)
{
    if (!m) {
        return;
    }
    mig_source_free(m->source);
    mig_dest_free(m->dest);
    mig_mapped_free(m->mapped);
    mig_guest_free(m->guest);
    mig_scenario_disks_free(m->disks);
    mig_scenario_disks_free(m->dest_disks);
    g_free(m->disk_difference);
    mig_buffer_free(m->memory);
    mig_buffer_free(m->snapshot);
    g_array_unref(m->events);
    g_free(m->refused);
    g_free(m->dest_error);
    g_free(m->events_digest);
    g_free(m->bytes_digest);
    g_free(m);
}

bool mig_simulation_fine(const MigSimulation *m)
{
    return !m->outcome && mig_source_completed(m->source) && !m->dest_error &&
           m->verdict != MIG_MEMORY_DIFFERS && !m->disk_difference &&
           (!m->dest || mig_dest_state(m->dest) == MIG_DEST_COMPLETED);
}
