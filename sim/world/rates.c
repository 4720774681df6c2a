/* SPDX-License-Identifier: Apache-2.0 */
/* A rate over time, see rates.h. Stateless: each question is a binary search over the points. */
#include "sim/world/rates.h"

#include "sim/world/clock.h"

/* The last point that is not behind |at|. */
static size_t find(const MigRates *c, int64_t at)
{
    size_t low = 0, high = c->count - 1;
    while (low < high) {
        size_t mid = low + (high - low + 1) / 2;
        if (c->points[mid].at <= at) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    return low;
}

uint64_t mig_rates_at(const MigRates *c, int64_t at, int64_t *until)
{
    int64_t began = c->period ? at - at % c->period : 0;
    size_t i = find(c, at - began);
    if (i + 1 < c->count) {
        *until = began + c->points[i + 1].at;
    } else {
        *until = c->period ? began + c->period : MIG_FOREVER;
    }
    return c->points[i].rate;
}

uint64_t mig_rates_most(const MigRates *c)
{
    uint64_t most = 0;
    for (size_t i = 0; i < c->count; i++) {
        most = c->points[i].rate > most ? c->points[i].rate : most;
    }
    return most;
}
