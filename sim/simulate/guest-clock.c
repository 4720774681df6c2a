/* SPDX-License-Identifier: Apache-2.0 */
/* Pages as time, see guest-clock.h. Pages that were skipped or are still to be looked at don't
 * count. */
#include "sim/simulate/guest-clock.h"

void mig_guest_clock_did(MigGuestClock *c, const MigOp *op, const MigOutcome *outcome)
{
    int64_t pages = 0;
    if (op->kind == MIG_OP_SEND_PAGES) {
        pages = __builtin_popcountll(outcome->sent);
    } else if (op->kind == MIG_OP_SEND_PAGE) {
        pages = op->page.record != NULL;
    }
    c->pages.now += pages * MIG_GUEST_CLOCK_PAGE_NS;
}
