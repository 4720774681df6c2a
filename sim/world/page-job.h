/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a compress thread has in hand: one page, then its record until somebody takes it. The
 * worlds' threads (real ones, and those of the virtual clock) each have one.
 */
#ifndef MIG_SIM_WORLD_PAGE_JOB_H
#define MIG_SIM_WORLD_PAGE_JOB_H

#include "sim/engine/op.h"
#include "stream/page-codec.h"

typedef struct MigPageJob {
    uint32_t block, page_size;
    uint64_t page;
    bool full;      /* a record waits to be taken */
    bool zero;      /* of the last page; false before the first */
    uint32_t size;  /* of its compressed bytes, 0 for a zero page */
    uint8_t *bytes; /* room for any page's */
    MigPageCodec *codec;
} MigPageJob;

/* |level| as compress-level. */
void mig_page_job_init(MigPageJob *j, uint32_t page_size, int level);
void mig_page_job_clear(MigPageJob *j);

/* Does the page, whose bytes are |data| and stay as they are meanwhile. The job must not be full.
 */
void mig_page_job_do(MigPageJob *j, uint32_t block, uint64_t page, const uint8_t *data);

/*
 * Takes the record: fills |r|, whose payload is at j->bytes. False: there is none. Either way it is
 * counted in |c|.
 */
bool mig_page_job_take(MigPageJob *j, MigRecord *r, MigCompressCounts *c);

#endif
