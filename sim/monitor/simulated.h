/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulation behind a monitor: the scenario's guest runs, and migrates when a client says so.
 *
 *     client --migrate, x-advance...--> monitor --> this --> steered simulation
 *
 * The clock is virtual. Without a pace it stands still but for x-advance, so that a client that
 * asks, decides and acts always meets the same simulation. With a pace it follows the wall clock.
 */
#ifndef MIG_SIM_MONITOR_SIMULATED_H
#define MIG_SIM_MONITOR_SIMULATED_H

#include <signal.h>

#include "sim/simulate/simulate.h"

typedef struct MigSimulatedOptions {
    const char *address; /* unix:PATH or tcp:HOST:PORT */
    double pace;         /* virtual seconds per second; 0: x-advance moves the clock */
    const volatile sig_atomic_t *interrupted; /* may be NULL */
    void (*listening)(void *opaque, const char *address);
    void *opaque;
} MigSimulatedOptions;

/*
 * mig_simulate() with a monitor, until a client says quit or the scenario's limit comes. The result
 * is the last migration's.
 */
MigSimulation *mig_simulate_monitored(const MigScenario *s, const MigSimulateOptions *options,
                                      const MigSimulatedOptions *monitor, GError **error);

#endif
