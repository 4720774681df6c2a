/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The synthetic guest's protected pages (protection.h) as its memory's operations. A vCPU that was
 * held goes on as after any stall: its workloads make up for it as far as their pace lets them.
 *
 * Limit: a script's writes (mig_guest_fill) are not held.
 */
#include "sim/guest/guest-internal.h"

char *mig_guest_memory_protect(MigMemory *m)
{
    MigGuest *g = mig_guest_look(m);
    mig_protection_free(g->protection);
    g->protection = mig_protection_new(m, g->vcpus);
    return NULL;
}

void mig_guest_memory_unprotect(MigMemory *m, uint32_t block, uint64_t first, uint64_t count)
{
    MigGuest *g = mig_guest_look(m);
    uint32_t vcpu = 0;
    int64_t since = 0;
    if (!g->protection) {
        return;
    }
    mig_protection_lift(g->protection, block, first, count);
    while (mig_protection_release(g->protection, &vcpu, &since)) {
        for (uint32_t i = vcpu; i < g->run_count; i += g->vcpus) {
            mig_workload_stall(&g->runs[i], since, g->now);
        }
        g->held += g->now > since ? g->now - since : 0;
    }
}

bool mig_guest_memory_wanted(MigMemory *m, uint32_t *block, uint64_t *page)
{
    MigGuest *g = mig_guest_look(m);
    return g->protection && mig_protection_wanted(g->protection, block, page);
}
