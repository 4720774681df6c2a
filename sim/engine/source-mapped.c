/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's mapped-ram: every page has a place in the file, which later versions of it
 * overwrite; zero pages are not written; a bitmap per block, written last, says which pages are
 * there. Mirrors mapped_ram_setup_ramblock(), ram_save_file_bmap() and their callers
 * (migration/ram.c, 10.0).
 *
 * The stream goes on behind each block's place: its position in the file is not the number of its
 * bytes any more.
 */
#include "sim/engine/source-internal.h"

/* Version, page size, two offsets; a name's length and the block's. */
#define HEADER_BYTES 28u
#define ENTRY_BYTES  9u

bool mig_source_is_mapped(const MigSource *s)
{
    return mig_source_has(s, MIG_CAP_MAPPED_RAM) && mig_source_era(s)->mapped_ram;
}

void mig_source_mapped_free(MigSource *s)
{
    for (uint32_t i = 0; i < s->block_count; i++) {
        g_free(s->blocks[i].mapped.present);
    }
}

/* In the file, of the stream's next byte. */
static uint64_t position(const MigSource *s)
{
    return s->config.file_offset + s->queued + s->file_skipped;
}

/* The list of blocks. */

static void state_block(MigSource *s);

static void seek(MigSource *s, uint64_t at)
{
    mig_source_op(s, MIG_OP_SEEK)->seek = at;
    s->state = state_block;
}

static void state_entry_sent(MigSource *s)
{
    const MigSourceBlock *b = &s->blocks[s->mapped_block++];
    uint64_t at = b->mapped.pages_at + b->info->used_length;
    s->file_skipped += at - position(s);
    seek(s, at);
}

static MigMappedBlock place(const MigSource *s, const MigSourceBlock *b, uint64_t entry)
{
    uint64_t bytes = mig_mapped_bitmap_bytes(b->pages);
    MigMappedBlock m = { .bitmap_at = position(s) + entry };
    m.pages_at = mig_mapped_align(m.bitmap_at + bytes);
    m.present = g_malloc0(MAX(bytes, 1));
    return m;
}

static void state_block(MigSource *s)
{
    if (s->mapped_block == s->block_count) {
        s->state = s->after_mapped;
        return;
    }
    MigSourceBlock *b = &s->blocks[s->mapped_block];
    MigStr name = mig_str(b->info->name);
    bool address = mig_source_has(s, MIG_CAP_X_IGNORE_SHARED);
    b->mapped = place(s, b, ENTRY_BYTES + name.len + (address ? 8 : 0) + HEADER_BYTES);
    mig_source_send(s, MIG_REC_RAM_BLOCK)->block = (MigRecordRamBlock){
        .name = name,
        .index = s->mapped_block,
        .used_length = b->info->used_length,
        .has_address = address,
        .address = b->info->address,
        .has_mapped = true,
        .mapped = { MIG_MAPPED_RAM_VERSION, mig_source_page(s), b->mapped.bitmap_at,
                    b->mapped.pages_at },
    };
    s->state = state_entry_sent;
}

void mig_source_mapped_list(MigSource *s, MigState next)
{
    s->mapped_block = 0;
    s->after_mapped = next;
    s->state = state_block;
}

/* Pages. */

void mig_source_mapped_run(MigSource *s, MigOp *op)
{
    if (mig_source_is_mapped(s)) {
        op->pages.mapped = &s->blocks[op->pages.block].mapped;
    }
}

void mig_source_mapped_sent(MigSource *s, uint64_t sent, uint64_t zero)
{
    const MigMappedBlock *b = &s->blocks[s->position_block].mapped;
    uint64_t word = s->position_page / 64;
    bool queued = mig_source_pages_how(s) == MIG_PAGES_QUEUE ||
                  mig_source_pages_how(s) == MIG_PAGES_QUEUE_NORMAL;
    for (; sent; sent &= sent - 1) {
        uint64_t bit = sent & -sent;
        if (zero & bit || !queued) { /* threads mark what they write */
            mig_mapped_mark(b, word * 64 + (unsigned)__builtin_ctzll(bit), !(zero & bit));
        }
    }
}

/* Bitmaps. */

static void state_bitmap(MigSource *s)
{
    if (s->mapped_block == s->block_count) {
        s->state = s->after_mapped;
        return;
    }
    const MigSourceBlock *b = &s->blocks[s->mapped_block++];
    MigOp *op = mig_source_op(s, MIG_OP_PLACE);
    op->place.at = b->mapped.bitmap_at;
    op->place.data = b->mapped.present;
    op->place.n = mig_mapped_bitmap_bytes(b->pages);
}

void mig_source_mapped_bitmaps(MigSource *s, MigState next)
{
    s->mapped_block = 0;
    s->after_mapped = next;
    s->state = state_bitmap;
}
