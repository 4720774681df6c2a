/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's multifd channels: packets into memory, and the sync points at which the main
 * channel waits for them.
 *
 * Bytes of all channels are to be fed in an order in which they could have been worked through: a
 * channel whose SYNC stands before a sync point that the main channel has not reached is ahead
 * (mig_dest_multifd_ahead) and is not to be read on; the main channel is not to be fed a sync point
 * before every channel's SYNC has been.
 */
#ifndef MIG_SIM_ENGINE_DEST_MULTIFD_H
#define MIG_SIM_ENGINE_DEST_MULTIFD_H

#include "sim/engine/config.h"

typedef struct MigDestMultifd MigDestMultifd;

typedef struct MigDestMultifdCounts {
    uint64_t packets, syncs; /* data packets; SYNCs of all channels */
    uint64_t normal, zero;   /* pages */
} MigDestMultifdCounts;

/* |main| and what |config| points to must outlive it. */
MigDestMultifd *mig_dest_multifd_new(const MigDestConfig *config, const MigDecoder *main);
void mig_dest_multifd_free(MigDestMultifd *m); /* NULL is fine */

/* |channel| from 1. False: *error says what is wrong. */
bool mig_dest_multifd_feed(MigDestMultifd *m, uint32_t channel, const void *data, size_t n,
                           MigDiagnosis *error);

/* The main channel has met a sync point. False: a channel's SYNC has not come. */
bool mig_dest_multifd_sync(MigDestMultifd *m, MigDiagnosis *error);

bool mig_dest_multifd_ahead(const MigDestMultifd *m, uint32_t channel);

const MigDestMultifdCounts *mig_dest_multifd_counts(const MigDestMultifd *m);

#endif
