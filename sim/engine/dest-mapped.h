/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapped-ram at the destination: pages are not in the stream but at places in its file. Whoever
 * feeds the destination reads them:
 *
 *     feed; while (next(&run)) read run.n bytes at run.at of the file to pages run.first...
 *     then skip: the stream goes on so many bytes further
 *
 * It is fed from the position MigDestConfig.file_offset on.
 */
#ifndef MIG_SIM_ENGINE_DEST_MAPPED_H
#define MIG_SIM_ENGINE_DEST_MAPPED_H

#include "sim/engine/dest.h"

#define MIG_DEST_RUN_PAGES 256u /* at most, in one run */

typedef struct MigDestRun {
    uint64_t at, n;        /* in the file, bytes */
    uint32_t block;        /* of memory */
    uint64_t first, count; /* pages */
} MigDestRun;

/* The next pages to be read, with none between them left out; false: none at present. */
bool mig_dest_mapped_next(MigDest *d, MigDestRun *run);

/* Bytes of the stream that need not be fed, and the report that they will not. False: it failed. */
uint64_t mig_dest_skippable(const MigDest *d);
bool mig_dest_skipped(MigDest *d, uint64_t n);

bool mig_dest_is_mapped(const MigDest *d);

/* For the destination's other files. */
typedef struct MigDestMapped MigDestMapped;
MigDestMapped *mig_dest_mapped_new(void);
void mig_dest_mapped_free(MigDestMapped *m);
bool mig_dest_on_mapped_bitmap(MigDest *d, const MigRecord *r);
bool mig_dest_on_mapped_pages(MigDest *d, const MigRecord *r);
/* Refuses pages in the stream of such a file. */
bool mig_dest_mapped_allows(MigDest *d, const MigRecord *r);

#endif
