/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination of a migration: consumes the records of the main channel and applies them to
 * memory. Push: bytes are fed as they come, at any split.
 */
#ifndef MIG_SIM_ENGINE_DEST_H
#define MIG_SIM_ENGINE_DEST_H

#include "sim/engine/config.h"
#include "sim/engine/dest-multifd.h"
#include "stream/decoder.h"

typedef struct MigDest MigDest;

typedef enum MigDestState {
    MIG_DEST_LOADING,
    MIG_DEST_COMPLETED, /* the end was seen, and the guest could run */
    MIG_DEST_FAILED,    /* see mig_dest_error() */
} MigDestState;

typedef struct MigDestCounts {
    uint64_t normal, zero;          /* pages */
    uint64_t xbzrle;                /* pages that came as deltas */
    uint64_t compressed;            /* pages that came compressed */
    uint64_t zero_skipped;          /* zero pages into memory that was zero already */
    uint64_t parts, devices, bytes; /* sections, sections, stream bytes */
    uint64_t pings;
    bool colo;        /* the source wants to go on with COLO */
    bool return_path; /* OPEN_RETURN_PATH was seen */
} MigDestCounts;

MigDest *mig_dest_new(const MigDestConfig *config);
void mig_dest_free(MigDest *d); /* NULL is fine */

/* False when the migration has failed (now or before). */
bool mig_dest_feed(MigDest *d, const void *data, size_t n);
/*
 * Between two feeds, inside a page: where its next bytes belong and how many they are (0: feed
 * them), and the report that |n| of them were put there.
 */
size_t mig_dest_direct(const MigDest *d, void **dst);
bool mig_dest_filled(MigDest *d, size_t n);
/*
 * Behind a page, or inside it: the header of the |ahead|-th page from it (1: the next), if pages go
 * on in ascending order, and where that one belongs. NULL: there is none, or bytes of another page
 * must not be put there by mistake. Zeros must be put back where they were.
 */
uint8_t *mig_dest_guess(const MigDest *d, uint64_t ahead, uint8_t header[8]);
uint32_t mig_dest_page_size(const MigDest *d);

/*
 * Bytes of a multifd channel, from 1; see dest-multifd.h for the order in which channels are to be
 * fed.
 */
bool mig_dest_feed_channel(MigDest *d, uint32_t channel, const void *data, size_t n);
const MigDestMultifdCounts *mig_dest_multifd(const MigDest *d); /* NULL: without multifd */
/* For threads that feed the channels themselves; NULL likewise. */
MigDestMultifd *mig_dest_channels(MigDest *d);

/*
 * One of config.acks devices is ready for the switchover. When the last is, and the return path is
 * open, the source is told, at once where there are none; from the machine types of 11.1 on it is
 * told of each.
 */
void mig_dest_acknowledge(MigDest *d);

/* No more bytes will come. False when that is too early. */
bool mig_dest_end(MigDest *d);

MigDestState mig_dest_state(const MigDest *d);
const MigDestCounts *mig_dest_counts(const MigDest *d);

/* After a failure. `fault` is NONE where the bytes are good and this machine refuses them. */
const MigDiagnosis *mig_dest_error(const MigDest *d);

/* The run state that the globalstate said, or "running" without one. */
const char *mig_dest_run_state(const MigDest *d);

#endif
