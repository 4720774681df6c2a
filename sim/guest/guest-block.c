/* SPDX-License-Identifier: Apache-2.0 */
/* A block's dirty log, see guest-block.h. Costs follow the pages that were written. */
#include "sim/guest/guest-block.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_WORDS (1u << 19) /* 4 MiB of them: a block of 128 GiB */

/* A hint: whether it is followed changes nothing but the time that it takes. */
MigBitmap *mig_guest_bitmap_new(uint64_t bits)
{
    MigBitmap *b = mig_bitmap_new(bits);
#ifdef MADV_HUGEPAGE
    uint64_t words = mig_bitmap_word_count(b);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), end = (uintptr_t)(b->words + words);
    uintptr_t first = ((uintptr_t)b->words + page - 1) / page * page;
    if (words >= HUGE_WORDS) {
        madvise((void *)first, (end - first) / page * page, MADV_HUGEPAGE);
    }
#endif
    return b;
}

/* Before bits of the log are dropped: that they were written is still to be known. */
static void keep_touched(GuestBlock *b)
{
    if (b->touched) {
        mig_bitmap_merge(b->touched, b->log);
    }
}

uint64_t mig_guest_block_sync(GuestBlock *b, MigBitmap *dirty, bool manual)
{
    return mig_bitmap_move_both(dirty, manual ? b->reported : b->touched, b->log);
}

void mig_guest_block_clear(GuestBlock *b, uint64_t from, uint64_t end)
{
    mig_bitmap_move_range(b->touched, b->reported, b->log, from, end - from);
    for (uint64_t group = from / MIG_BITMAP_GROUP; b->sure && group * MIG_BITMAP_GROUP < end;
         group++) {
        b->sure[group] = false;
    }
}

void mig_guest_block_forget(GuestBlock *b)
{
    keep_touched(b);
    if (b->touched) {
        mig_bitmap_merge(b->touched, b->reported);
        memset(b->sure, 0, b->log->bits / MIG_BITMAP_GROUP + 1);
    }
    mig_bitmap_clear_range(b->log, 0, b->pages);
    mig_bitmap_clear_range(b->reported, 0, b->pages);
}

bool mig_guest_block_is_touched(const GuestBlock *b, uint64_t page)
{
    return mig_guest_block_touched_word(b, page / 64) >> page % 64 & 1;
}

uint64_t mig_guest_block_touched(const GuestBlock *b)
{
    uint64_t count = b->touched->set;
    bool more = b->log->set || b->reported->set;
    for (uint64_t w = 0; more && w < mig_bitmap_word_count(b->log); w++) {
        uint64_t fresh = mig_guest_block_touched_word(b, w) & ~mig_bitmap_word(b->touched, w);
        count += mig_bits_count(fresh);
    }
    return count;
}
