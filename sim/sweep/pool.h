/* SPDX-License-Identifier: Apache-2.0 */
/* Runs cells on several threads; rows come out one at a time, in the order in which they end. */
#ifndef MIG_SIM_SWEEP_POOL_H
#define MIG_SIM_SWEEP_POOL_H

#include "sim/sweep/row.h"

typedef struct MigSweepJob {
    const MigSweep *sweep;
    const char *build;
    const uint64_t *cells; /* their indexes */
    size_t count;
    unsigned threads; /* 1 or more */
    const volatile sig_atomic_t *interrupted;
    /*
     * Called under a lock, from any thread. |row|: takes a row; false with *error ends the job.
     * |failed|: the cell's environment failed, it has no row. Both may look at progress.
     */
    bool (*row)(void *opaque, uint64_t index, const char *text, MigRowKind kind, GError **error);
    void (*failed)(void *opaque, uint64_t index, const char *why);
    void *opaque;
} MigSweepJob;

/* False with *error when |row| said so; else all cells ran, or failed, or it was interrupted. */
bool mig_sweep_run(const MigSweepJob *job, GError **error);

#endif
