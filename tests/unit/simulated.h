/* SPDX-License-Identifier: Apache-2.0 */
/* Simulations for tests, from the text of a scenario. */
#ifndef MIG_TESTS_SIMULATED_H
#define MIG_TESTS_SIMULATED_H

#include <glib.h>

#include "sim/simulate/simulate.h"

typedef struct Simulated {
    MigScenario *scenario;
    MigSimulation *m;
    MigStats stats; /* at its end */
} Simulated;

/* Runs the scenario; any error fails the test. To be cleared. |options| may be NULL. */
Simulated simulated_run(const MigSimulateOptions *options, const char *format, ...)
    G_GNUC_PRINTF(2, 3);
void simulated_clear(Simulated *s);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Simulated, simulated_clear)

/* The error that the scenario is refused with; fails the test if it isn't. */
char *simulated_refusal(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Fails the test unless it completed with equal memory. */
void simulated_expect_fine(const Simulated *s);

#endif
