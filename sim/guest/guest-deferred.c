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

/* Where bits go that were drawn: into one bitmap, or two. */
typedef struct Target {
    MigBitmap *bits;
    MigBitmap *also; /* of which who is |sure| only needs what is new in |bits|; or both NULL */
    bool *sure;
} Target;

static void set_line(const MigWorkload *w, uint64_t from, uint64_t to, MigBitmap *bits)
{
    uint64_t n = MIN(to - from, w->pages), at = from % w->pages, part = MIN(n, w->pages - at);
    mig_bitmap_set_range(bits, w->first + at, part);
    mig_bitmap_set_range(bits, w->first, n - part);
}

static void set_drawn(const MigWorkloadRun *r, uint64_t from, uint64_t to, const Target *t)
{
    enum { PART = 256 }; /* their words stay in the nearest cache until they are set */
    uint64_t pages[PART], left[PART];
    for (unsigned n; from < to; from += n) {
        n = (unsigned)MIN(to - from, PART);
        mig_workload_pages_of(r, from, n, pages, t->bits->words);
        if (t->also) {
            unsigned count = mig_bitmap_set_list_but(t->bits, pages, n, t->sure, left);
            mig_bitmap_set_list(t->also, left, count);
        } else {
            mig_bitmap_set_list(t->bits, pages, n);
        }
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

static void draw_run(const MigWorkloadRun *r, uint64_t from, const Target *t, MigBitmap *log)
{
    if (goes_in_line(&r->w)) {
        set_line(&r->w, from, r->next, t->bits);
        t->also ? set_line(&r->w, from, r->next, t->also) : (void)0;
    } else if (!t->also || are_many(&r->w, r->next - from)) {
        /* Instead of two bitmaps the log: the sync takes that word by word. */
        set_drawn(r, from, r->next, &(Target){ .bits = t->also ? log : t->bits });
    } else {
        become_sure(&r->w, t->bits, t->sure);
        set_drawn(r, from, r->next, t);
    }
}

/* Everything of the block up to now. */
static void draw_into(MigGuest *g, uint32_t block, const Target *t)
{
    for (uint32_t i = 0; g->deferred && i < g->run_count; i++) {
        const MigWorkloadRun *r = &g->runs[i];
        uint64_t from = g->drawn[i];
        if (r->w.block == block && from != r->next) {
            g->drawn[i] = r->next;
            r->w.access == MIG_ACCESS_WRITE ? draw_run(r, from, t, g->blocks[block].log) : (void)0;
        }
    }
}

void mig_guest_draw(MigGuest *g, uint32_t block)
{
    GuestBlock *b = &g->blocks[block];
    draw_into(g, block, &(Target){ .bits = g->logging ? b->log : b->touched });
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
        Target t = { dirty, manual ? b->reported : b->touched, b->sure };
        draw_into(g, block, &t);
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
