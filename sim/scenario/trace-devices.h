/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a recorded stream, as a scenario can send them again. */
#ifndef MIG_SIM_SCENARIO_TRACE_DEVICES_H
#define MIG_SIM_SCENARIO_TRACE_DEVICES_H

#include "sim/scenario/scenario.h"

#define MIG_TRACE_DEVICES_MAX (64u << 20) /* bytes of all bodies */

/*
 * Appends the FULL sections of the stream |path| (anything that mig_input_open() opens) to the
 * devices of |s|, in its order, with their bodies and section ids. False and *error when the stream
 * is bad.
 */
bool mig_trace_devices(const char *path, MigScenario *s, GError **error);

#endif
