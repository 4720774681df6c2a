/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the destination of a postcopy is to drop: every page that will be sent to it (again), in
 * whole host pages, as RAM_DISCARD commands of at most twelve ranges. Mirrors
 * ram_postcopy_send_discard_bitmap() and postcopy_chunk_hostpages_pass() (migration/ram.c, 10.0
 * and 4.1).
 *
 * A host page of which a part is dirty becomes dirty as a whole. Until 4.1 a map of pages that were
 * never sent went beside the dirty one; host pages were made whole in two passes, one over each
 * map, and what a pass added was discarded at once.
 */
#include <string.h>

#include "sim/engine/source-postcopy-internal.h"

#define RANGES_PER_COMMAND 12u /* MAX_DISCARDS_PER_COMMAND */

/* The first clear bit at or behind |from|, or |bits|. */
static uint64_t next_clear(const MigBitmap *b, uint64_t from)
{
    while (from < b->bits) {
        uint64_t clear = ~mig_bitmap_word(b, from / 64) & ~0ull << from % 64;
        if (clear) {
            return MIN(from / 64 * 64 + (unsigned)__builtin_ctzll(clear), b->bits);
        }
        from = (from / 64 + 1) * 64;
    }
    return b->bits;
}

/* Sends the ranges that were collected. */
static void flush_ranges(MigSource *s, uint32_t block)
{
    GArray *ranges = s->postcopy->ranges;
    const char *name = s->blocks[block].info->name;
    if (ranges->len == 0) {
        return;
    }
    MigRange *kept = g_memdup2(ranges->data, ranges->len * sizeof(MigRange));
    g_ptr_array_add(s->postcopy->kept, kept);
    MigRecord *r = mig_source_send(s, MIG_REC_COMMAND);
    r->command.number = MIG_CMD_POSTCOPY_RAM_DISCARD;
    r->command.length = (uint16_t)(3 + strlen(name) + 16 * ranges->len);
    r->command.discard.name = mig_str(name);
    r->command.discard.count = ranges->len;
    r->command.discard.ranges = kept;
    g_array_set_size(ranges, 0);
}

static void add_range(MigSource *s, uint32_t block, uint64_t first, uint64_t count)
{
    uint64_t page = mig_source_page(s);
    MigRange range = { first * page, count * page };
    g_array_append_val(s->postcopy->ranges, range);
    if (s->postcopy->ranges->len == RANGES_PER_COMMAND) {
        flush_ranges(s, block);
    }
}

static void make_dirty(MigSource *s, uint32_t block, uint64_t first, uint64_t count)
{
    s->dirty_pages += mig_bitmap_set_range(s->blocks[block].dirty, first, count);
}

/* Every host page of which a bit is set. */
static void make_whole(MigSource *s, uint32_t block)
{
    MigSourceBlock *b = &s->blocks[block];
    uint64_t host = mig_source_host_pages(s, block);
    for (uint64_t i = mig_bitmap_next(b->dirty, 0); i < b->pages;
         i = mig_bitmap_next(b->dirty, i)) {
        uint64_t first = i - i % host;
        make_dirty(s, block, first, MIN(host, b->pages - first));
        i = MIN(first + host, b->pages);
    }
}

/* The two-pass way: host pages at the ends of runs of |map| that a run has only a part of. */
static void fix_up(MigSource *s, uint32_t block, uint64_t page, bool unsent_pass)
{
    MigSourceBlock *b = &s->blocks[block];
    MigBitmap *unsent = s->postcopy->unsent[block];
    uint64_t host = mig_source_host_pages(s, block), first = page - page % host;
    uint64_t count = MIN(host, b->pages - first);
    if (unsent_pass || !mig_bitmap_test(unsent, page)) {
        add_range(s, block, first, count);
    }
    mig_bitmap_set_range(unsent, first, count);
    make_dirty(s, block, first, count);
}

static void pass_over(MigSource *s, uint32_t block, bool unsent_pass)
{
    MigSourceBlock *b = &s->blocks[block];
    const MigBitmap *map = unsent_pass ? s->postcopy->unsent[block] : b->dirty;
    uint64_t host = mig_source_host_pages(s, block);
    for (uint64_t i = mig_bitmap_next(map, 0); i < b->pages; i = mig_bitmap_next(map, i)) {
        uint64_t end = next_clear(map, i);
        if (i % host) {
            fix_up(s, block, i, unsent_pass);
            i = MIN(i - i % host + host, b->pages);
        } else if (end % host && end < b->pages) {
            fix_up(s, block, end, unsent_pass);
            i = MIN(end - end % host + host, b->pages);
        } else {
            i = end;
        }
    }
    flush_ranges(s, block);
}

static void send_runs(MigSource *s, uint32_t block)
{
    const MigBitmap *dirty = s->blocks[block].dirty;
    for (uint64_t i = mig_bitmap_next(dirty, 0); i < dirty->bits;) {
        uint64_t end = next_clear(dirty, i);
        add_range(s, block, i, end - i);
        i = end < dirty->bits ? mig_bitmap_next(dirty, end) : dirty->bits;
    }
    flush_ranges(s, block);
}

void mig_source_discard(MigSource *s)
{
    for (uint32_t i = 0; i < s->block_count; i++) {
        if (s->postcopy->unsent && mig_source_host_pages(s, i) > 1) {
            pass_over(s, i, true);
            pass_over(s, i, false);
        } else {
            make_whole(s, i);
        }
        send_runs(s, i);
    }
}
