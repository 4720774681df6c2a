/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source behind a monitor, on whichever clock: what both kinds do alike with engine and guest.
 *
 *     client --command--> MigMonitor --MigMonitorTarget--> this --> scenario/run.h, guest.h
 *     client <--event---- MigMonitor <-------------------- this <-- engine, world
 *
 *     simulated.c               on the virtual clock, which clients move
 *     ../live/monitor-source.c  on the real clock
 *
 * Who uses it adds to the target what its clock decides: migrate, quit, x-advance.
 */
#ifndef MIG_SIM_MONITOR_MONITORED_H
#define MIG_SIM_MONITOR_MONITORED_H

#include "sim/guest/dirty-rate.h"
#include "sim/monitor/monitor.h"
#include "sim/monitor/server.h"
#include "sim/simulate/simulate.h"

typedef struct MigMonitored {
    const MigScenario *scenario;
    MigScenarioRun *run;
    MigSimulation *m;               /* its source changes with every migration */
    int64_t (*clock)(void *opaque); /* ns, of the guest's clock */
    void *opaque;                   /* of clock */

    MigMonitor *monitor;
    MigMonitorServer *server;
    bool guest_runs;   /* as far as stop and cont are concerned */
    bool engine_stops; /* the engine has stopped it */
    bool gone;         /* migrated away */
    bool quit;         /* somebody said so */

    MigDirtyRate *measuring; /* calc-dirty-rate is under way */
    int64_t measured_from;   /* ns */
    uint64_t measurements;
    MigDirtyLimit *limit; /* set-vcpu-dirty-limit's */
} MigMonitored;

/* With `scenario`, `run`, `m`, `clock` and `opaque` set, before a monitor is made: fills |target|
 * in, its opaque pointer, |opaque|, being this. */
void mig_monitored_begin(MigMonitored *t, MigMonitorTarget *target);
/* Makes the monitor, and serves it at |address|. False and *error. */
bool mig_monitored_serve(MigMonitored *t, const MigMonitorTarget *target, const char *address,
                         GError **error);
void mig_monitored_clear(MigMonitored *t);

/* What the engine or the world tells: MigSteering.event and .guest. */
void mig_monitored_event(MigMonitored *t, const char *name, const char *status, uint64_t pass);
bool mig_monitored_guest(MigMonitored *t, bool running);

#endif
