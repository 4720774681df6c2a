/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real compress threads: each takes a page, copies it (the guest may write to it meanwhile), finds
 * it zero or compresses it, and keeps the record until its owner takes it.
 *
 *     owner: job = idle(); take what it had; give(job, page) ... finish(); take from each
 */
#ifndef MIG_SIM_WORLD_COMPRESSORS_H
#define MIG_SIM_WORLD_COMPRESSORS_H

#include "sim/world/page-job.h"

typedef struct MigCompressors MigCompressors;

MigCompressors *mig_compressors_new(uint32_t threads, int level, uint32_t page_size);
/* Waits for the threads. NULL is fine. */
void mig_compressors_free(MigCompressors *c);

/* The job of the idle thread of the lowest number; NULL: there is none. With |wait| never NULL. */
MigPageJob *mig_compressors_idle(MigCompressors *c, bool wait);
/* Has its thread do the page at |data|, which stays where it is. The job is the thread's then. */
void mig_compressors_give(MigCompressors *c, MigPageJob *job, uint32_t block, uint64_t page,
                          const uint8_t *data);
/* Waits until all are idle. */
void mig_compressors_finish(MigCompressors *c);
/* Of thread |i|, which must be idle; NULL behind the last. */
MigPageJob *mig_compressors_job(MigCompressors *c, uint32_t i);

#endif
