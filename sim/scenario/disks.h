/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a scenario while it runs: those of the source, with contents that their workloads
 * change, and empty ones of the destination.
 */
#ifndef MIG_SIM_SCENARIO_DISKS_H
#define MIG_SIM_SCENARIO_DISKS_H

#include "sim/engine/disks.h"
#include "sim/guest/buffer.h"
#include "sim/scenario/scenario.h"

typedef struct MigScenarioDisks {
    MigGuest *guest;   /* the source's contents and writers */
    MigBuffer *buffer; /* the destination's */
    MigDisks *disks;
} MigScenarioDisks;

/* NULL where the scenario has no disks. |now| as in MigGuestConfig. */
MigScenarioDisks *mig_scenario_disks_source(const MigScenario *s, const int64_t *now);
/* NULL with *error when memory can't be had, and without where the scenario has no disks. */
MigScenarioDisks *mig_scenario_disks_destination(const MigScenario *s, GError **error);
void mig_scenario_disks_free(MigScenarioDisks *d); /* NULL is fine */

/* What happens to the guest happens to those who write to its disks, too. NULL is fine. */
void mig_scenario_disks_run(MigScenarioDisks *d, bool running, int64_t now);
void mig_scenario_disks_throttle(MigScenarioDisks *d, unsigned percent, int64_t now);
/* Forgets the clock. */
void mig_scenario_disks_detach(MigScenarioDisks *d);

/* NULL: none. */
MigDisks *mig_scenario_disks_of(const MigScenarioDisks *d);

/*
 * What a migration was to copy (contents, bitmaps) and didn't: a sentence, g_free(); NULL: all is
 * equal.
 */
char *mig_scenario_disks_difference(const MigScenarioDisks *source, const MigScenarioDisks *dest,
                                    bool contents, bool bitmaps);

#endif
