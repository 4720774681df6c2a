/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's multifd channels: packets into memory, and the sync points at which the main
 * channel waits for them.
 *
 *     want: header --> filled: record --> want: pages where they belong, next header --> filled ...
 *
 * Bytes of all channels are to be fed in an order in which they could have been worked through: a
 * channel whose SYNC stands before a sync point that the main channel has not reached is ahead and
 * is not to be read on; the main channel is not to be fed a sync point before every channel's SYNC
 * has been.
 *
 * Each channel may be fed by a thread of its own. What concerns all of them says so.
 */
#ifndef MIG_SIM_ENGINE_DEST_MULTIFD_H
#define MIG_SIM_ENGINE_DEST_MULTIFD_H

#include "sim/engine/config.h"

typedef struct MigDestMultifdCounts {
    uint64_t packets, syncs; /* data packets; SYNCs of all channels */
    uint64_t normal, zero;   /* pages */
    uint64_t bytes;
} MigDestMultifdCounts;

/* Where bytes belong. */
typedef struct MigSpan {
    void *at;
    size_t n;
} MigSpan;

/* What |config| points to must outlive it. */
MigDestMultifd *mig_dest_multifd_new(const MigDestConfig *config);
void mig_dest_multifd_free(MigDestMultifd *m); /* NULL is fine */

/* All: there will be channels 1 to |count|. Threads need that first; feeding one makes it. */
void mig_dest_multifd_open(MigDestMultifd *m, uint32_t count);

/*
 * Where the next bytes of |channel| (from 1) belong: at most |max| (2 or more) vectors, at |v|;
 * none when it is ahead. Then the report that the first |n| bytes of them are there. False: *error
 * says what is wrong.
 */
int mig_dest_multifd_want(MigDestMultifd *m, uint32_t channel, MigSpan *places, int max);
bool mig_dest_multifd_filled(MigDestMultifd *m, uint32_t channel, size_t n, MigDiagnosis *error);

/* The same with bytes that are somewhere else. */
bool mig_dest_multifd_feed(MigDestMultifd *m, uint32_t channel, const void *data, size_t n,
                           MigDiagnosis *error);

/* Between two packets, where a channel may end. */
bool mig_dest_multifd_may_end(const MigDestMultifd *m, uint32_t channel);

/* All: the SYNCs of every channel are there for the main channel's next sync point. */
bool mig_dest_multifd_ready(const MigDestMultifd *m);
/* All: the main channel has met a sync point. False: a channel's SYNC has not come. */
bool mig_dest_multifd_sync(MigDestMultifd *m, MigDiagnosis *error);

bool mig_dest_multifd_ahead(const MigDestMultifd *m, uint32_t channel);

/* All; of this moment. Lasts as long as |m|. */
const MigDestMultifdCounts *mig_dest_multifd_counts(MigDestMultifd *m);

#endif
