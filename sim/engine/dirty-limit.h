/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty limit (8.1 and later): each vCPU may dirty so many MB/s; one that dirties more sleeps
 * whenever its dirty ring is full. How long follows from its rate, period after period.
 *
 *     source: too much dirt --> start(quota)                  end --> stop()
 *     world:  every period, pages of each vCPU --> measure() --> sleep() of each
 *
 * Integer arithmetic throughout, as QEMU's (softmmu/dirtylimit.c).
 */
#ifndef MIG_SIM_ENGINE_DIRTY_LIMIT_H
#define MIG_SIM_ENGINE_DIRTY_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MigDirtyLimit MigDirtyLimit;

/* Rings of |entries| pages of |page_size| bytes; |vcpus| > 0. Out of service at first. */
MigDirtyLimit *mig_dirty_limit_new(uint32_t vcpus, uint32_t entries, uint32_t page_size);
void mig_dirty_limit_free(MigDirtyLimit *d); /* NULL is fine */

void mig_dirty_limit_start(MigDirtyLimit *d, uint64_t quota); /* MB/s, of every vCPU */
void mig_dirty_limit_stop(MigDirtyLimit *d);
/* Of one vCPU; 0: it has none any more. */
void mig_dirty_limit_set(MigDirtyLimit *d, uint32_t vcpu, uint64_t quota);
bool mig_dirty_limit_in_service(const MigDirtyLimit *d);               /* some vCPU has a limit */
uint64_t mig_dirty_limit_quota(const MigDirtyLimit *d, uint32_t vcpu); /* 0: none */

/*
 * A period of |ms| > 0 is over. |pages|: of each vCPU, the entries that its ring has had since the
 * log began.
 */
void mig_dirty_limit_measure(MigDirtyLimit *d, const uint64_t *pages, int64_t ms);
/* The pages so far: the next period is counted from here. */
void mig_dirty_limit_begin(MigDirtyLimit *d, const uint64_t *pages);

uint64_t mig_dirty_limit_rate(const MigDirtyLimit *d, uint32_t vcpu);  /* MB/s, last period */
uint64_t mig_dirty_limit_sleep(const MigDirtyLimit *d, uint32_t vcpu); /* us, per full ring */

/* What query-migrate says, us: the longest sleep; and how long a ring takes to fill up. */
uint64_t mig_dirty_limit_throttle_time_per_round(const MigDirtyLimit *d);
uint64_t mig_dirty_limit_ring_full_time(const MigDirtyLimit *d);

#endif
