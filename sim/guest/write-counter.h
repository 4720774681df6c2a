/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the pages that are written while it listens, each once, for the vCPU that was first: what
 * a dirty log or a dirty ring of its own would tell. A migration's log knows nothing of it.
 *
 *     mig_guest_count_into(guest, counter) ... mig_guest_count_into(guest, NULL)
 */
#ifndef MIG_SIM_GUEST_WRITE_COUNTER_H
#define MIG_SIM_GUEST_WRITE_COUNTER_H

#include "sim/engine/memory.h"

typedef struct MigWriteCounter MigWriteCounter;

#define MIG_WRITER_OUTSIDE UINT32_MAX /* no workload */

/* For the blocks that |m| has now. Workload number n runs on vCPU n modulo |vcpus|, >= 1. */
MigWriteCounter *mig_write_counter_new(const MigMemory *m, uint32_t vcpus);
void mig_write_counter_free(MigWriteCounter *c); /* NULL is fine */

/* A write of workload |writer|. Blocks that are newer than the counter are not counted. */
void mig_write_counter_note(MigWriteCounter *c, uint32_t writer, uint32_t block, uint64_t page);

uint64_t mig_write_counter_pages(const MigWriteCounter *c); /* all */
uint64_t mig_write_counter_by(const MigWriteCounter *c, uint32_t vcpu);

#endif
