/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the synthetic guest: a block, what it holds, and its dirty log.
 *
 *     write --> log --sync--> the engine's bitmap        contents: a state for each written page,
 *                 `--manual--> reported --clear--> gone     or, deferred, one bit: touched, in the
 *                                                           log, or reported
 *
 * KVM's log with manual clearing is the log and what is reported together: a page that is written
 * between its sync and its clear is not logged anew. The engine has its bit already.
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
    uint64_t key;        /* of the random words of its initial content */
    MigPageMap written;  /* empty while contents are deferred */
    MigBitmap *touched;  /* while they are: written at all, the next two apart; else NULL */
    MigBitmap *log;      /* since the last sync */
    MigBitmap *reported; /* KVM_MANUAL: what syncs saw until clear() */
    bool *sure; /* deferred, by MIG_BITMAP_GROUP: what is dirty there is touched (KVM_MANUAL: is
                   reported), for sure */
} GuestBlock;

/* A bitmap that writes set bits of at random: a large one asks for huge pages, without which each
 * would miss the TLB. */
MigBitmap *mig_guest_bitmap_new(uint64_t bits);

/* Takes the log into |dirty|, as a sync does; |manual|: its bits are reported from now on. */
uint64_t mig_guest_block_sync(GuestBlock *b, MigBitmap *dirty, bool manual);

/* Drops what was reported of the pages from |from| to |end|, as KVM_CLEAR_DIRTY_LOG does: what was
 * written since the sync, and not before, stays for the next. */
void mig_guest_block_clear(GuestBlock *b, uint64_t from, uint64_t end);

/* Forgets the whole log. */
void mig_guest_block_forget(GuestBlock *b);

/* While contents are deferred: which of 64 pages were written? */
static inline uint64_t mig_guest_block_touched_word(const GuestBlock *b, uint64_t w)
{
    return mig_bitmap_word(b->touched, w) | mig_bitmap_word(b->log, w) |
           mig_bitmap_word(b->reported, w);
}

/* Likewise: was the page ever written? How many were? */
bool mig_guest_block_is_touched(const GuestBlock *b, uint64_t page);
uint64_t mig_guest_block_touched(const GuestBlock *b);

#endif
