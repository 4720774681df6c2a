/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock that a guest's writes follow: the world's, or one that moves with the pages that were
 * sent, so that what is dirty at a sync depends on nothing but what was sent before it ("clock":
 * "pages" in a scenario).
 */
#ifndef MIG_SIM_SIMULATE_GUEST_CLOCK_H
#define MIG_SIM_SIMULATE_GUEST_CLOCK_H

#include "sim/engine/op.h"
#include "sim/world/clock.h"

#define MIG_GUEST_CLOCK_PAGE_NS MIG_NS_PER_US /* a page sent, on the clock that counts pages */

typedef struct MigGuestClock {
    const MigClock *world;
    bool counts_pages;
    MigClock pages;
} MigGuestClock;

/* The guest's present time, ns; lasts as long as |c|, where it must stay. */
static inline const int64_t *mig_guest_clock(const MigGuestClock *c)
{
    return c->counts_pages ? &c->pages.now : &c->world->now;
}

/* |op| was done. */
void mig_guest_clock_did(MigGuestClock *c, const MigOp *op, const MigOutcome *outcome);

#endif
