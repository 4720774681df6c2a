/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a background snapshot is to hold: a copy of memory, made at its instant, that is compared
 * with what arrived, or dumped.
 */
#ifndef MIG_SIM_SIMULATE_SNAPSHOT_H
#define MIG_SIM_SIMULATE_SNAPSHOT_H

#include "sim/guest/buffer.h"

/* A copy of |m|; NULL and *error when there is no memory for it. */
MigBuffer *mig_snapshot_take(MigMemory *m, GError **error);

#endif
