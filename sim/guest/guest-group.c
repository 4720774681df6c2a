/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the synthetic guest knows of 64 pages at once, for worlds that price pages in groups: which
 * of them are zero, and whether a write may change that by a time.
 *
 * Both are for guests whose contents are deferred (guest.c): a page is then zero when it was at the
 * beginning and nobody wrote to it since. A page that isn't zero stays so as long as no workload
 * writes zeros, so the guest has to be brought up to date only for pages that were never written
 * and that a workload reaches.
 *
 * Limit: a peek ahead takes writes at the times at which an unthrottled vCPU would make them. Stops
 * and naps only delay them, so it may say "may" of a write that comes later, and that is all.
 */
#include "sim/guest/guest-internal.h"

static bool leaves_zeros(const MigWorkload *w)
{
    return w->access == MIG_ACCESS_WRITE && w->write == MIG_WRITE_FILL && w->write_byte == 0;
}

static bool any_reaches(const MigGuest *g, uint32_t block, uint64_t word, bool *zeros)
{
    bool some = false;
    *zeros = false;
    for (uint32_t i = 0; i < g->run_count; i++) {
        bool one = mig_guest_is_reached(&g->runs[i].w, block, word * 64, 64);
        some = some || one;
        *zeros = *zeros || (one && leaves_zeros(&g->runs[i].w));
    }
    return some;
}

/* One range of contents has all of the word, or none has any of it: |c| is that one, or NULL. */
static bool covers(const GuestBlock *b, uint64_t word, const MigContent **c)
{
    *c = NULL;
    for (uint32_t i = b->content_count; i-- > 0;) {
        const MigContent *r = &b->content[i];
        if (r->first <= word * 64 && r->first + r->pages >= MIN((word + 1) * 64, b->pages)) {
            *c = r;
            return true;
        }
        if (r->first < (word + 1) * 64 && r->first + r->pages > word * 64) {
            return false;
        }
    }
    return true;
}

/* |end|, or where a range of pages begins or ends before that, but behind the first of |word|. */
static uint64_t next_edge(uint64_t end, uint64_t word, uint64_t first, uint64_t pages)
{
    end = first > word * 64 ? MIN(end, first) : end;
    return first + pages > word * 64 ? MIN(end, first + pages) : end;
}

/* Of |mask|: were zero at the beginning, and were not written. */
static uint64_t still_zero(const GuestBlock *b, uint64_t word, uint64_t initial)
{
    return initial & ~mig_guest_block_touched_word(b, word);
}

bool mig_guest_memory_zero_word(MigMemory *m, uint32_t block, uint64_t word, uint64_t mask,
                                uint64_t *zero)
{
    MigGuest *g = mig_guest_of(m);
    const GuestBlock *b = &g->blocks[block];
    const MigContent *content;
    bool writes_zeros;
    bool reached = any_reaches(g, block, word, &writes_zeros);
    if (!g->deferred || writes_zeros || !covers(b, word, &content) ||
        !mig_content_zero_words(content, b->key, word, 1, &mask, zero)) {
        return false;
    }
    *zero = still_zero(b, word, *zero);
    if (*zero && reached) {
        mig_guest_look(m);
        mig_guest_draw(g, block);
        *zero = still_zero(b, word, *zero);
    }
    return true;
}

/* The words from |word| on, |n| at most, that the same workloads reach and the same range covers.
 */
static unsigned alike(const MigGuest *g, const GuestBlock *b, uint32_t block, uint64_t word,
                      unsigned n)
{
    uint64_t end = (word + n) * 64;
    for (uint32_t i = 0; i < g->run_count; i++) {
        const MigWorkload *w = &g->runs[i].w;
        if (w->block == block && w->access == MIG_ACCESS_WRITE) {
            end = next_edge(end, word, w->first, w->pages);
        }
    }
    for (uint32_t i = 0; i < b->content_count; i++) {
        end = next_edge(end, word, b->content[i].first, b->content[i].pages);
    }
    return (unsigned)MAX(end / 64 - word, 1);
}

unsigned mig_guest_memory_zero_words(MigMemory *m, uint32_t block, uint64_t word, unsigned n,
                                     const uint64_t *masks, uint64_t *zero)
{
    const MigGuest *g = mig_guest_of(m);
    const GuestBlock *b = &g->blocks[block];
    const MigContent *c;
    bool writes_zeros, reached = any_reaches(g, block, word, &writes_zeros), knows = true;
    n = !g->deferred || writes_zeros || !covers(b, word, &c) ? 0 : alike(g, b, block, word, n);
    if (!reached) {
        return n && mig_content_zero_words(c, b->key, word, n, masks, zero) ? n : 0;
    }
    for (unsigned i = 0; i < n; i++, word++) {
        zero[i] = 0;
        knows = !masks[i] || mig_content_zero_words(c, b->key, word, 1, &masks[i], &zero[i]);
        if (!knows || still_zero(b, word, zero[i])) {
            return i; /* a write could come, or has, and nobody has drawn it */
        }
        zero[i] = 0;
    }
    return n;
}

static bool run_may_write(MigWorkloadRun r, uint64_t word, uint64_t mask, int64_t until)
{
    for (int64_t at; (at = mig_workload_next(&r)) <= until && at != INT64_MAX;) {
        uint64_t n = MAX(mig_workload_batch(&r, until), 1);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t page = mig_workload_page_of(&r, r.next + i);
            if (page / 64 == word && mask >> page % 64 & 1) {
                return true;
            }
        }
        mig_workload_skip(&r, n);
    }
    return false;
}

bool mig_guest_memory_may_write(MigMemory *m, uint32_t block, uint64_t word, uint64_t mask,
                                int64_t until)
{
    const MigGuest *g = mig_guest_of(m);
    bool may = false;
    for (uint32_t i = 0; g->running && i < g->run_count && !may; i++) {
        may = mig_guest_is_reached(&g->runs[i].w, block, word * 64, 64) &&
              run_may_write(g->runs[i], word, mask, until);
    }
    return may;
}
