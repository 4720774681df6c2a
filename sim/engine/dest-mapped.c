/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's mapped-ram, see dest-mapped.h. Mirrors parse_ramblock_mapped_ram() and
 * read_ramblock_mapped_ram() (migration/ram.c, 10.0): a set bit is a page to be read; the others
 * are zero, whatever stands in their place. Bits behind the block's end are not looked at.
 */
#include "sim/engine/dest-mapped.h"

#include "sim/engine/dest-internal.h"

typedef struct MappedBlock {
    uint32_t block;    /* of memory */
    uint64_t pages;    /* that the file has of it */
    uint64_t pages_at; /* in the file */
    uint8_t *bitmap;
    uint64_t next; /* page to look at */
} MappedBlock;

struct MigDestMapped {
    GQueue blocks;       /* MappedBlock; the first one's pages are wanted */
    MappedBlock *coming; /* its bitmap is being filled; NULL: none */
};

static void free_block(MappedBlock *b)
{
    if (b) {
        g_free(b->bitmap);
        g_free(b);
    }
}

MigDestMapped *mig_dest_mapped_new(void)
{
    MigDestMapped *m = g_new0(MigDestMapped, 1);
    g_queue_init(&m->blocks);
    return m;
}

void mig_dest_mapped_free(MigDestMapped *m)
{
    if (m) {
        g_queue_clear_full(&m->blocks, (GDestroyNotify)free_block);
        free_block(m->coming);
        g_free(m);
    }
}

bool mig_dest_is_mapped(const MigDest *d)
{
    return d->config.capabilities & MIG_CAP_BIT(MIG_CAP_MAPPED_RAM);
}

/* The block's length was compared with memory's, so that bounds the bitmap's. */
bool mig_dest_on_mapped_bitmap(MigDest *d, const MigRecord *r)
{
    MappedBlock *b = g_new0(MappedBlock, 1);
    b->block = g_array_index(d->blocks, MigDestBlock, r->mapped.block).memory;
    b->bitmap = g_malloc0(r->payload + 1);
    free_block(d->mapped->coming);
    d->mapped->coming = b;
    mig_decoder_payload_into(d->decoder, b->bitmap);
    return true;
}

bool mig_dest_on_mapped_pages(MigDest *d, const MigRecord *r)
{
    MappedBlock *b = g_steal_pointer(&d->mapped->coming);
    b->pages_at = r->mapped.file_offset;
    b->pages = r->payload / d->config.memory->page_size;
    g_queue_push_tail(&d->mapped->blocks, b);
    return true;
}

bool mig_dest_mapped_allows(MigDest *d, const MigRecord *r)
{
    bool page = r->type == MIG_REC_RAM_ZERO || r->type == MIG_REC_RAM_PAGE ||
                r->type == MIG_REC_RAM_XBZRLE || r->type == MIG_REC_RAM_COMPRESS ||
                r->type == MIG_REC_RAM_FLUSH || r->type == MIG_REC_RAM_HOOK;
    return !page || !mig_dest_is_mapped(d) ||
           mig_dest_refuse(d, MIG_FAULT_NONE, mig_record_name(r->type),
                           "nothing but the end of a RAM section, as with mapped-ram");
}

static bool is_there(const MappedBlock *b, uint64_t page)
{
    return b->bitmap[page / 8] >> page % 8 & 1;
}

/* The pages in front of the next one that is there hold zeros. */
static void blank_to_next(MigDest *d, MappedBlock *b)
{
    MigMemory *m = d->config.memory;
    for (; b->next < b->pages && !is_there(b, b->next); b->next++) {
        d->counts.zero++;
        if (m->ops->is_zero(m, b->block, b->next)) {
            d->counts.zero_skipped++;
        } else {
            m->ops->fill(m, b->block, b->next, 0);
        }
    }
}

bool mig_dest_mapped_next(MigDest *d, MigDestRun *run)
{
    MappedBlock *b = d->mapped ? g_queue_peek_head(&d->mapped->blocks) : NULL;
    uint32_t page = d->config.memory->page_size;
    while (b) {
        blank_to_next(d, b);
        if (b->next < b->pages) {
            break;
        }
        free_block(g_queue_pop_head(&d->mapped->blocks));
        b = g_queue_peek_head(&d->mapped->blocks);
    }
    if (!b) {
        return false;
    }
    *run = (MigDestRun){ .block = b->block, .first = b->next };
    while (b->next < b->pages && is_there(b, b->next) && run->count < MIG_DEST_RUN_PAGES) {
        run->count++;
        b->next++;
    }
    run->at = b->pages_at + run->first * page;
    run->n = run->count * page;
    d->counts.normal += run->count;
    d->counts.bytes += run->n;
    return true;
}

uint64_t mig_dest_skippable(const MigDest *d)
{
    return d->state == MIG_DEST_LOADING ? mig_decoder_skippable(d->decoder) : 0;
}

bool mig_dest_skipped(MigDest *d, uint64_t n)
{
    mig_decoder_skipped(d->decoder, n);
    return mig_dest_pump(d);
}
