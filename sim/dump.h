/* SPDX-License-Identifier: Apache-2.0 */
/* The option --dump BLOCK=FILE of several commands. */
#ifndef MIG_SIM_DUMP_H
#define MIG_SIM_DUMP_H

#include "sim/guest/buffer.h"
#include "sim/scenario.h"

/*
 * Checks the arguments |dumps| (ended by NULL; NULL: none) before anything is run. False and *error
 * in the domain MIG_READER_ERROR.
 */
bool mig_dump_check(const MigScenario *s, char **dumps, GError **error);

/* Writes the blocks of |m|, whose list is that of |s|. */
bool mig_dump_blocks(const MigScenario *s, MigMemory *m, char **dumps, GError **error);

#endif
