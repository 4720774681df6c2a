/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calc-dirty-rate: how many MiB a second a guest dirties, measured on the guest itself.
 *
 *     d = begin(guest)   ... the guest runs for |ms| ...   end(d, ms) --> rate, rate per vCPU
 *
 * page-sampling   random pages of every block are hashed at both ends; the share that changed
 *                 stands for all. What writes leave as it was does not count
 * dirty-bitmap    pages written, each once
 * dirty-ring      the same, for the vCPU that was first
 *
 * It knows no time: who asks looks at the clock. It needs memory to read samples from, and somebody
 * who counts writes; the synthetic guest is both. Mirrors migration/dirtyrate.c of 10.0.
 */
#ifndef MIG_SIM_GUEST_DIRTY_RATE_H
#define MIG_SIM_GUEST_DIRTY_RATE_H

#include "sim/guest/guest.h"

#define MIG_DIRTY_RATE_SAMPLES     512u         /* per GiB, unless something else is asked for */
#define MIG_DIRTY_RATE_MIN_SAMPLES 128u         /* per GiB */
#define MIG_DIRTY_RATE_MAX_SAMPLES 16384u       /* per GiB */
#define MIG_DIRTY_RATE_MIN_BLOCK   (128u << 10) /* bytes: smaller blocks are not sampled */

typedef enum MigDirtyRateMode {
    MIG_DIRTY_RATE_PAGE_SAMPLING,
    MIG_DIRTY_RATE_DIRTY_RING,
    MIG_DIRTY_RATE_DIRTY_BITMAP,
    MIG_DIRTY_RATE_MODES
} MigDirtyRateMode;

const char *mig_dirty_rate_mode_name(MigDirtyRateMode mode); /* "page-sampling" */

typedef struct MigDirtyRateConfig {
    MigDirtyRateMode mode;
    uint32_t sample_pages; /* per GiB; page-sampling only */
    uint64_t seed, number; /* of the samples: another number, other pages */
    uint32_t vcpus;        /* >= 1; workload n runs on vCPU n modulo this */
} MigDirtyRateConfig;

/* Who counts the pages that are written while it is on, each once (or once per ring that it was
 * in).
 */
typedef struct MigWriteCounts {
    void *opaque;
    void (*count)(void *opaque, bool on);
    /* Those of a vCPU, or of all, since it was switched on; asked for when it is off again. */
    uint64_t (*pages)(void *opaque, uint32_t vcpu);
} MigWriteCounts;

#define MIG_ALL_VCPUS UINT32_MAX

typedef struct MigDirtyRate MigDirtyRate;

/* MiB per second, rounded down as QEMU does, step by step. */
typedef struct MigDirtyRateResult {
    int64_t rate;
    int64_t ms;       /* that it took */
    int64_t *by_vcpu; /* dirty-ring: `vcpus` of them, g_free(); else NULL */
    uint32_t vcpus;
    uint64_t samples; /* page-sampling: pages looked at */
} MigDirtyRateResult;

/* The guest has been advanced to the present. One measurement of a guest at a time. */
MigDirtyRate *mig_dirty_rate_begin(MigGuest *g, const MigDirtyRateConfig *config);

/* The same of any memory; |counts| is copied. Both outlive the measurement. */
MigDirtyRate *mig_dirty_rate_begin_on(MigMemory *m, const MigWriteCounts *counts,
                                      const MigDirtyRateConfig *config);

/* Ends and frees it, |ms| (> 0) after its beginning. The guest has been advanced to the present. */
MigDirtyRateResult mig_dirty_rate_end(MigDirtyRate *d, int64_t ms);

/* Drops it without a result; its guest runs no more, or is gone. NULL is fine. */
void mig_dirty_rate_free(MigDirtyRate *d);

#endif
