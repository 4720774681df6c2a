/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A synthetic guest that runs at a destination: one thread (a "vCPU") for each workload really
 * touches the memory where the workload would write, so that the faults of postcopy are real.
 *
 *     touch of page p:   read its first word, then (unless the workload only reads) add 1 to it
 *
 * What a thread finds in a page must be what the page came with plus what all threads have added
 * to it since. A page that is lost, comes late over a written one, or falls back to an older state
 * breaks that for ever; it is looked at with each touch and, for all pages, in the end. And as the
 * touches can be taken back, memory can be compared with the source's afterwards.
 *
 *     t = mig_touch_new(&config); mig_touch_start(t); ...; mig_touch_stop(t, -1);
 * mig_touch_check(t)
 */
#ifndef MIG_SIM_GUEST_TOUCH_H
#define MIG_SIM_GUEST_TOUCH_H

#include <glib.h>
#include <sys/types.h>

#include "sim/guest/workload.h"

typedef struct MigTouch MigTouch;

typedef struct MigTouchBlock {
    uint8_t *at; /* borrowed */
    uint64_t pages;
} MigTouchBlock;

typedef struct MigTouchConfig {
    uint64_t seed;
    uint32_t page_size;          /* bytes, of the target */
    const MigTouchBlock *blocks; /* copied, what they point to apart */
    uint32_t block_count;
    const MigWorkload *workloads; /* likewise; those with a rate of 0 get a thread that rests */
    uint32_t workload_count;
} MigTouchConfig;

MigTouch *mig_touch_new(const MigTouchConfig *config);
void mig_touch_free(MigTouch *t); /* NULL is fine; stops it */

/* Starts the threads, once. False and *error when there can't be so many. */
bool mig_touch_start(MigTouch *t, GError **error);

/*
 * Has the threads end, and waits for those that do: all, if every page that they wait for comes.
 * |patience| ns at most (negative: for ever). True: all have ended.
 */
bool mig_touch_stop(MigTouch *t, int64_t patience);

/* The thread of |vcpu| (counted as the workloads), once it runs; 0 before. */
pid_t mig_touch_thread(const MigTouch *t, uint32_t vcpu);
/* Which vCPU is that thread, UINT32_MAX: none. */
uint32_t mig_touch_vcpu(const MigTouch *t, pid_t thread);

#define MIG_TOUCH_BUCKETS 32

typedef struct MigTouchCounts {
    uint64_t touches;  /* reads included */
    uint64_t pages;    /* touched at least once */
    uint64_t wrong;    /* touches that found something else than there should be */
    uint64_t checksum; /* the sum of the words that touched pages came with, modulo 2^64 */
    /* First touches of a page, those of pages that were there already included: ns. */
    int64_t longest, waited;
} MigTouchCounts;

/* To be asked when no thread runs. */
MigTouchCounts mig_touch_counts(const MigTouch *t);

/* Looks at every touched page again: how many are not as they should be. */
uint64_t mig_touch_check(const MigTouch *t);

/* Takes everything back: memory is as it came. No check is possible afterwards. */
void mig_touch_undo(MigTouch *t);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigTouch, mig_touch_free)

#endif
