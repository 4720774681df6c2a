/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rate over time: constant from each of its points to the next.
 *
 *     rate |----+      +---         hold:   the last one stays
 *          |    |      |            repeat: behind |period| it begins again
 *          |    +------+
 *          0    points[1].at
 */
#ifndef MIG_SIM_WORLD_RATES_H
#define MIG_SIM_WORLD_RATES_H

#include <stddef.h>
#include <stdint.h>

typedef struct MigRatePoint {
    int64_t at;    /* ns */
    uint64_t rate; /* bit/s, from then on */
} MigRatePoint;

typedef struct MigRates {
    const MigRatePoint *points; /* borrowed; the first is at 0, and each later than the last */
    size_t count;               /* 0: there are none */
    int64_t period;             /* ns, above the last point's; 0: it holds */
} MigRates;

/* The rate at |at| (not below 0) of some that are there; it stays up to |*until|, MIG_FOREVER. */
uint64_t mig_rates_at(const MigRates *c, int64_t at, int64_t *until);

/* The highest rate. */
uint64_t mig_rates_most(const MigRates *c);

#endif
