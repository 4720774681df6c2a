/* SPDX-License-Identifier: Apache-2.0 */
/* The table of this folder's commands. */
#include "sim/commands.h"

#include <stddef.h>

#include "sim/command.h"

const MigCommandEntry mig_sim_commands[] = {
    { "sim", "simulate a migration", mig_cmd_sim },
    { "sweep", "simulate many: grids, samples, shares of a cluster", mig_cmd_sweep },
    { "predict", "say how a guest would migrate, running or recorded", mig_cmd_predict },
    { "tune", "find the least bandwidth, downtime or channels that meet goals", mig_cmd_tune },
    { "source", "migrate a synthetic guest to a real destination", mig_cmd_source },
    { "dest", "load what a real source sends", mig_cmd_dest },
    { "record", "stand between two ends and keep what goes by", mig_cmd_record },
    { "replay", "play the source of a recording to a destination", mig_cmd_replay },
    { NULL },
};
