/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long vCPUs waited for pages in postcopy: the destination's postcopy-blocktime (ms since 2.12,
 * here ns), and the latencies that 10.2 added. Mirrors mark_postcopy_blocktime_begin() and _end()
 * (migration/postcopy-ram.c).
 *
 *     begin(block, page, vcpu, now) ... end(block, first, count, now): whoever waits for one of
 * them
 */
#ifndef MIG_SIM_ENGINE_BLOCKTIME_H
#define MIG_SIM_ENGINE_BLOCKTIME_H

#include <stdint.h>

#define MIG_LATENCY_BUCKETS \
    24u /* bucket i: from 2^i us, below 2^(i+1); the first and last take the rest */

/* postcopy-blocktime and its kin; ns. */
typedef struct MigBlocktime {
    uint64_t faults, requests, repeats; /* faults that waited; messages; of a page asked for */
    uint64_t vcpu_faults;
    int64_t total;       /* while all vCPUs were blocked */
    const int64_t *vcpu; /* per vCPU */
    uint32_t vcpus;
    uint64_t latency_sum, vcpu_latency_sum, other_latency_sum; /* ns, of all faults that ended */
    uint64_t latency_count, other_count;
    const uint64_t *vcpu_count, *vcpu_latency; /* per vCPU: faults that ended, ns of them */
    uint64_t buckets[MIG_LATENCY_BUCKETS];
    const int64_t *latencies; /* every one that ended, in order; for percentiles */
    uint64_t latencies_count;
} MigBlocktime;

typedef struct MigBlocktimes MigBlocktimes;

MigBlocktimes *mig_blocktimes_new(uint32_t vcpus);
void mig_blocktimes_free(MigBlocktimes *b); /* NULL is fine */

/* A vCPU waits for one page at a time; |vcpu| >= the number of vCPUs: somebody else. Ns. */
void mig_blocktimes_begin(MigBlocktimes *b, uint32_t block, uint64_t page, uint32_t vcpu,
                          int64_t now);
/* Target pages are there. Returns how many waits ended. */
uint32_t mig_blocktimes_end(MigBlocktimes *b, uint32_t block, uint64_t first, uint64_t count,
                            int64_t now);

/* The bucket that a latency of |ns| falls in. */
uint32_t mig_latency_bucket(int64_t ns);

/* So far; lives as long as |b|, and follows it. */
MigBlocktime *mig_blocktimes(MigBlocktimes *b);

#endif
