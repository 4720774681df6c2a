/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wrote where how fast, out of what was sent again.
 *
 *     cleared ----- sync ----- sync ----- sync, sent again       written in the last interval,
 *             clean      clean      dirty                        not in those before
 *
 * Every interval between two syncs is a trial of each page: its bit was set in it or not. Pages
 * beside each other with trials that look alike become a region, whose rate is the one that makes
 * them most likely: for random writes a page is dirty after t with 1 - exp(-t * rate / pages), for
 * sequential ones with t * rate / pages. Which of the two it is shows in how dirty pages lie
 * together.
 */
#ifndef MIG_SIM_FIT_REGIONS_H
#define MIG_SIM_FIT_REGIONS_H

#include "sim/fit/sends.h"
#include "sim/guest/workload.h"

typedef struct MigFitRegion {
    uint32_t block;
    uint64_t first, pages;
    MigPattern pattern; /* SEQUENTIAL or RANDOM */
    double rate;        /* page writes per second */
    bool saturated;     /* every trial found a write: the rate is the least that explains them */
    uint16_t changed;   /* bytes that a write changes: median; MIG_CHANGED_UNKNOWN */
    uint64_t dirty, trials;
} MigFitRegion;

typedef struct MigFitTracking {
    uint64_t threshold; /* pages: QEMU synchronises when as few are left of a round */
    bool manual;        /* bits are cleared when pages are sent, not when they are read */
} MigFitTracking;

/* MigFitRegion, by block and page. |s| has times. */
GArray *mig_fit_regions(const MigSends *s, const MigFitTracking *tracking);

#endif
