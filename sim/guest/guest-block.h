/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the synthetic guest: a block, what it holds, and its dirty log.
 *
 *     write --> log --sync--> the engine's bitmap        contents: a state for each written page,
 *                |                                       or, deferred, one bit: touched or in the
 * log
 *                +--manual clear--> reported, until its chunk is cleared
 */
#ifndef MIG_SIM_GUEST_GUEST_BLOCK_H
#define MIG_SIM_GUEST_GUEST_BLOCK_H

#include "sim/engine/memory.h"
#include "sim/guest/page-map.h"

typedef struct GuestBlock {
    MigMemoryBlock memory;
    MigContent *content;
    uint32_t content_count;
    uint64_t pages;
    uint64_t key;       /* of the random words of its initial content */
    MigPageMap written; /* empty while contents are deferred */
    MigBitmap *touched; /* while they are: written at all, what is in the log apart; else NULL */
    MigBitmap *log;
    MigBitmap *reported; /* KVM_MANUAL: bits of the log that a sync saw and clear() may drop */
} GuestBlock;

/* Takes the log into |dirty|, as a sync does; |manual|: its bits stay, and are noted as reported.
 */
uint64_t mig_guest_block_sync(GuestBlock *b, MigBitmap *dirty, bool manual);

/* Drops what was reported of the pages from |from| to |end|, as KVM_CLEAR_DIRTY_LOG does: what was
 * written since the sync, and not before, stays for the next. */
void mig_guest_block_clear(GuestBlock *b, uint64_t from, uint64_t end);

/* Forgets the whole log. */
void mig_guest_block_forget(GuestBlock *b);

/* While contents are deferred: was the page ever written? How many were? */
bool mig_guest_block_is_touched(const GuestBlock *b, uint64_t page);
uint64_t mig_guest_block_touched(const GuestBlock *b);

#endif
