/* SPDX-License-Identifier: Apache-2.0 */
/* The table of this folder's commands. */
#include "sim/commands.h"

#include <stddef.h>

#include "sim/command.h"

const MigCommandEntry mig_sim_commands[] = {
    { "sim", "simulate a migration", mig_cmd_sim },
    { NULL },
};
