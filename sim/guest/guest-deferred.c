/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the synthetic guest puts off, because nobody may ever ask for it. Model:
 *
 *     writes 0 .. drawn - 1: a bit in the log, or in "touched"      contents: none, until read
 *            drawn .. next - 1: they were made, but not even where is known
 *
 * Both are pure functions of the number of a write, so they can be found at any time. Where writes
 * went is drawn when the log is taken, straight into who takes it, or when a page is asked for that
 * they may have hit; time passes at no cost in between. Contents are made when somebody reads.
 * That is what a terabyte and a million writes a second need.
 *
 * What a sync finds dirty already may be so since the migration began, and not have been written.
 * But where nothing was dirty once, all that is comes from syncs: there only what is new has to be
 * remembered as touched (or reported, until that is cleared), which spares half of the way to
 * memory. Where many writes wait for a sync, they are drawn into the log alone, whose words go on.
 *
 * It takes a guest in which each page has one writer at most, and what that leaves behind is zero,
 * or is not, for sure.
 */
#include <glib.h>

#include "sim/guest/guest-internal.h"

static bool can_defer(const MigGuest *g)
{
    bool can = !g->shared && !g->rings;
    for (uint32_t i = 0; i < g->run_count; i++) {
        const MigWorkload *w = &g->runs[i].w;
        can = can && (w->access == MIG_ACCESS_READ || w->write != MIG_WRITE_BYTES);
    }
    return can;
}

void mig_guest_defer(MigGuest *g)
{
    g->deferred = can_defer(g);
    g->drawn = g_new0(uint64_t, g->run_count);
    for (uint32_t i = 0; g->deferred && i < g->block_count; i++) {
        g->blocks[i].touched = mig_guest_bitmap_new(g->blocks[i].log->bits);
        g->blocks[i].sure = g_new0(bool, g->blocks[i].log->bits / MIG_BITMAP_GROUP + 1);
    }
}

/* One after the other from the first page on, and over again. */
static bool goes_in_line(const MigWorkload *w)
{
    return w->pattern == MIG_PATTERN_SEQUENTIAL || w->pattern == MIG_PATTERN_ONCE ||
           w->pattern == MIG_PATTERN_PERIODIC;
}

static void set_line(const MigWorkload *w, uint64_t from, uint64_t to, MigBitmap *bits)
{
    uint64_t n = MIN(to - from, w->pages), at = from % w->pages, part = MIN(n, w->pages - at);
    mig_bitmap_set_range(bits, w->first + at, part);
    mig_bitmap_set_range(bits, w->first, n - part);
}

#define PART 256u /* draws, whose words stay in the nearest cache until they are set */

/* Where writes from number |from| on went. */
static void set_drawn(const MigWorkloadRun *r, uint64_t from, MigBitmap *bits)
{
    uint64_t pages[PART], full = UINT64_MAX;
    bool fills = (r->next - from) / 8 > r->w.pages; /* long before the last of them */
    if (fills) {
        full = bits->set + r->w.pages - mig_bitmap_count_range(bits, r->w.first, r->w.pages);
    }
    for (unsigned n; from < r->next && bits->set < full; from += n) {
        n = (unsigned)MIN(r->next - from, PART);
        mig_workload_pages_of(r, from, n, pages, bits->words);
        mig_bitmap_set_list(bits, pages, n);
    }
}

/* The same, and into |also|, which, where it is |sure|, only needs what is new in |bits|. */
static void set_both(const MigWorkloadRun *r, uint64_t from, MigBitmap *bits, MigBitmap *also,
                     const bool *sure)
{
    uint64_t pages[PART], left[PART];
    for (unsigned n; from < r->next; from += n) {
        n = (unsigned)MIN(r->next - from, PART);
        mig_workload_pages_of(r, from, n, pages, bits->words);
        unsigned count = mig_bitmap_set_list_but(bits, pages, n, sure, left);
        mig_bitmap_set_list(also, left, count);
    }
}

/* Where it writes to and nothing is dirty now: what will be comes from syncs. */
static void become_sure(const MigWorkload *w, const MigBitmap *dirty, bool *sure)
{
    for (uint64_t group = w->first / MIG_BITMAP_GROUP;
         group <= (w->first + w->pages - 1) / MIG_BITMAP_GROUP; group++) {
        sure[group] |= dirty->summary[group] == 0;
    }
}

/* |n| writes hit most words more than once. */
static bool are_many(const MigWorkload *w, uint64_t n)
{
    return n > w->pages / 64 * 2;
}

/* For a sync: into |dirty| and |also|, or into the log, which goes there word by word. */
static void draw_for_sync(const MigWorkloadRun *r, uint64_t from, GuestBlock *b, MigBitmap *dirty,
                          MigBitmap *also)
{
    if (goes_in_line(&r->w)) {
        set_line(&r->w, from, r->next, dirty);
        set_line(&r->w, from, r->next, also);
    } else if (are_many(&r->w, r->next - from)) {
        set_drawn(r, from, b->log);
    } else {
        become_sure(&r->w, dirty, b->sure);
        set_both(r, from, dirty, also, b->sure);
    }
}

static void draw(const MigWorkloadRun *r, uint64_t from, MigBitmap *bits)
{
    if (goes_in_line(&r->w)) {
        set_line(&r->w, from, r->next, bits);
    } else {
        set_drawn(r, from, bits);
    }
}

/* Everything of the block up to now; |dirty|: for the sync that takes it, else NULL. */
static void draw_block(MigGuest *g, uint32_t block, MigBitmap *dirty)
{
    GuestBlock *b = &g->blocks[block];
    MigBitmap *also = g->tracking == MIG_TRACKING_KVM_MANUAL ? b->reported : b->touched;
    for (uint32_t i = 0; g->deferred && i < g->run_count; i++) {
        const MigWorkloadRun *r = &g->runs[i];
        uint64_t from = g->drawn[i];
        if (r->w.block != block || from == r->next) {
            continue;
        }
        g->drawn[i] = r->next;
        if (r->w.access == MIG_ACCESS_WRITE && dirty) {
            draw_for_sync(r, from, b, dirty, also);
        } else if (r->w.access == MIG_ACCESS_WRITE) {
            draw(r, from, g->logging ? b->log : b->touched);
        }
    }
}

void mig_guest_draw(MigGuest *g, uint32_t block)
{
    draw_block(g, block, NULL);
}

void mig_guest_draw_all(MigGuest *g)
{
    for (uint32_t i = 0; i < g->block_count; i++) {
        mig_guest_draw(g, i);
    }
}

uint64_t mig_guest_draw_sync(MigGuest *g, uint32_t block, MigBitmap *dirty)
{
    GuestBlock *b = &g->blocks[block];
    bool manual = g->tracking == MIG_TRACKING_KVM_MANUAL;
    uint64_t before = dirty->set;
    if (g->logging) {
        draw_block(g, block, dirty);
    }
    return dirty->set - before + mig_guest_block_sync(b, dirty, manual);
}

void mig_guest_make_contents(MigGuest *g)
{
    mig_guest_draw_all(g);
    for (uint32_t i = 0; g->deferred && i < g->run_count; i++) {
        const MigWorkloadRun *r = &g->runs[i];
        GuestBlock *b = &g->blocks[r->w.block];
        for (uint64_t n = 0; n < r->next && r->w.access == MIG_ACCESS_WRITE; n++) {
            uint64_t page = mig_workload_page_of(r, n);
            MigPageOrigin origin = mig_guest_origin(g, b, page);
            MigWrite w = mig_workload_write_of(r, n);
            mig_content_write(mig_page_map_get(&b->written, page), &origin, &w);
        }
    }
    for (uint32_t i = 0; g->deferred && i < g->block_count; i++) {
        mig_bitmap_free(g->blocks[i].touched);
        g->blocks[i].touched = NULL;
        g_clear_pointer(&g->blocks[i].sure, g_free);
    }
    g->deferred = false;
}

static bool leaves_zeros(const MigWorkload *w)
{
    return w->write == MIG_WRITE_FILL && w->write_byte == 0;
}

/* The only one that writes to the page, or NULL. */
static const MigWorkload *writer_of(const MigGuest *g, uint32_t block, uint64_t page)
{
    for (uint32_t i = 0; i < g->run_count; i++) {
        const MigWorkload *w = &g->runs[i].w;
        if (mig_guest_is_reached(w, block, page, 1)) {
            return w;
        }
    }
    return NULL;
}

bool mig_guest_deferred_zero(MigGuest *g, uint32_t block, uint64_t page)
{
    const GuestBlock *b = &g->blocks[block];
    const MigWorkload *writer = writer_of(g, block, page);
    if (!writer || !mig_guest_block_is_touched(b, page)) {
        MigPageOrigin origin = mig_guest_origin(g, b, page);
        bool initial = mig_content_is_zero(NULL, &origin);
        if (!writer || initial == leaves_zeros(writer)) {
            return initial;
        }
        mig_guest_draw(g, block);
        return mig_guest_block_is_touched(b, page) ? !initial : initial;
    }
    return leaves_zeros(writer);
}
