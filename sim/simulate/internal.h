/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a simulation: what its files share. */
#ifndef MIG_SIM_SIMULATE_INTERNAL_H
#define MIG_SIM_SIMULATE_INTERNAL_H

#include "sim/simulate/guest-clock.h"
#include "sim/simulate/image.h"
#include "sim/simulate/simulate.h"
#include "sim/world/virtual.h"

struct MigSteered {
    MigSimulation *m;
    const MigScenario *s;
    const MigSimulateOptions *options;
    MigClock clock;
    MigGuestClock guest_clock;
    MigVirtual *world;
    MigScenarioRun run;
    const MigOp *op; /* the engine's next; NULL: it has not begun */
    bool quit;
    bool compared;                  /* memory, in this migration */
    MigSimulatedIncoming *incoming; /* NULL: without postcopy */
    uint32_t generation;            /* of its line, from 0 */
    uint32_t acks;                  /* of devices, that have not come; accounting only */
    bool acks_at_once;              /* likewise: none is of a device, and it has not come */
    bool stream_failed;
    MigImage *image; /* mapped-ram: the file; NULL: there is none */
    GError *error;
};

typedef MigSteered Run;

/* x-cut-link; |world| is the MigVirtual. */
void mig_simulate_cut(void *world);

/* Postcopy: what the world is told, and what the scenario's events do. */
void mig_simulate_postcopy_world(Run *run, MigVirtualConfig *config);
void mig_simulate_postcopy_run(Run *run);
/* The destination's other half; |dest| is run->m->dest. */
void mig_simulate_postcopy_begin(Run *run, MigCapabilitySet capabilities);

#endif
