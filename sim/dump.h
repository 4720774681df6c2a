/* SPDX-License-Identifier: Apache-2.0 */
/* The option --dump BLOCK=FILE of several commands. */
#ifndef MIG_SIM_DUMP_H
#define MIG_SIM_DUMP_H

#include "sim/guest/buffer.h"
#include "sim/scenario/disks.h"

/*
 * Checks the arguments |dumps| (ended by NULL; NULL: none) before anything is run. False and *error
 * in the domain MIG_READER_ERROR.
 */
bool mig_dump_check(const MigScenario *s, char **dumps, GError **error);

/* Writes blocks of |m| and disks of |disks|, whose lists are those of |s|. */
bool mig_dump_blocks(const MigScenario *s, MigMemory *m, const MigScenarioDisks *disks,
                     char **dumps, GError **error);

#endif
