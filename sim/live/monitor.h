/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real migrations behind a monitor: `source --qmp` and `dest --qmp`.
 *
 *     client --migrate, ...------------> MigMonitor --> source session --> MigLive (live.h)
 *     client --migrate-incoming, ...---> MigMonitor --> destination session --> MigLoad
 *
 * One thread does it all: the monitor's descriptor is among those that a migration waits for, and
 * while it need not wait it looks every millisecond. So a command meets the engine between two
 * operations, a full channel or a silent peer keeps none out, and there is nothing to lock.
 */
#ifndef MIG_SIM_LIVE_MONITOR_H
#define MIG_SIM_LIVE_MONITOR_H

#include "sim/live/live.h"

typedef struct MigLiveMonitorOptions {
    const char *address; /* unix:PATH or tcp:HOST:PORT */
    void (*listening)(void *opaque, const char *address);
    void *opaque;
    /* Checks a set for the transport of |uri|; may be NULL: there is none yet. False and *error. */
    bool (*can_carry)(MigCapabilitySet set, const MigUri *uri, GError **error);
} MigLiveMonitorOptions;

/*
 * mig_live_source() with a monitor, until a client says quit or a signal comes. |options->uri|
 * NULL: `migrate` says where; else it begins at once. The result is the last migration's. The
 * scenario's limit is not looked at.
 */
MigSimulation *mig_live_source_monitored(const MigScenario *s, const MigLiveOptions *options,
                                         const MigLiveMonitorOptions *monitor,
                                         MigLiveReport *report, GError **error);

/*
 * mig_live_dest() with a monitor: |options->uri| NULL: `migrate-incoming` says where. It stays
 * until a client says quit or a signal comes; after a load that failed only where QEMU would.
 */
MigLoad *mig_live_dest_monitored(const MigScenario *s, const MigLiveOptions *options,
                                 const MigLiveMonitorOptions *monitor, GError **error);

#endif
