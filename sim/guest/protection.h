/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write-protected pages of a synthetic guest, and the vCPUs that wait for them: a write to a page
 * that is still protected holds its vCPU until somebody lifts the protection.
 */
#ifndef MIG_SIM_GUEST_PROTECTION_H
#define MIG_SIM_GUEST_PROTECTION_H

#include <glib.h>

#include "sim/engine/memory.h"

typedef struct MigHold {
    bool held;
    int64_t since; /* ns */
    uint32_t block;
    uint64_t page;
} MigHold;

typedef struct MigProtection MigProtection;

/* Protects every page of |memory|, but ROM's. */
MigProtection *mig_protection_new(const MigMemory *memory, uint32_t vcpus);
void mig_protection_free(MigProtection *p); /* NULL is fine */

static inline bool mig_hold_is_on(const MigHold *h)
{
    return h->held;
}

/* Of a vCPU. */
const MigHold *mig_protection_hold(const MigProtection *p, uint32_t vcpu);

/* |vcpu| wants to write to the page at |at|: true when it has to wait. */
bool mig_protection_holds(MigProtection *p, uint32_t vcpu, int64_t at, uint32_t block,
                          uint64_t page);

/* The page that the vCPU wants which waits longest; false: none waits. */
bool mig_protection_wanted(const MigProtection *p, uint32_t *block, uint64_t *page);

void mig_protection_lift(MigProtection *p, uint32_t block, uint64_t first, uint64_t count);

/*
 * A vCPU that waits for nothing any more: takes it from the list. False: there is none (more).
 */
bool mig_protection_release(MigProtection *p, uint32_t *vcpu, int64_t *since);

#endif
