/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM blocks that come, go or change their length in the middle of a migration. Mirrors
 * ram_state_reset() and ram_mig_ram_block_resized() (migration/ram.c, 10.0).
 *
 * - A list of blocks that has changed is noticed at the next call of RAM's iterate: the search
 *   begins again at the first page, and the bulk stage with it.
 * - A block that comes is not in the list that the destination has: one that is to be migrated ends
 *   the migration. (QEMU refuses to plug memory while it migrates; where that is got round it dies,
 *   for want of a bitmap.) Others, such as a device's memory, only change the list.
 * - A block that goes takes its dirty pages along.
 * - A block that changes its length: from 6.0 on that cancels the migration, with a reason. Before,
 *   it went on, and the destination refused the first page beyond the length that it knew.
 */
#include "sim/engine/source-internal.h"

static bool is_too_late(const MigSource *s)
{
    return s->ending || !mig_status_running(s->status);
}

void mig_source_abort(MigSource *s, char *error)
{
    if (s->abort || is_too_late(s)) {
        g_free(error);
    } else {
        s->abort = error;
    }
}

void mig_source_add_block(MigSource *s, const char *name, bool migratable)
{
    if (migratable) {
        mig_source_abort(s, g_strdup_printf("RAM block \"%s\" came during the migration: it is not "
                                            "in the list that was sent",
                                            name));
    }
    s->blocks_changed = true;
}

void mig_source_remove_block(MigSource *s, uint32_t block)
{
    g_assert(block < s->block_count);
    s->blocks[block].leaving = true;
    s->blocks_changed = true;
    if (!s->in_call) {
        mig_source_blocks_apply(s);
    }
}

bool mig_source_resize_block(MigSource *s, uint32_t block)
{
    g_assert(block < s->block_count);
    if (is_too_late(s) || s->status == MIG_STATUS_IS_CANCELLING) {
        return false;
    }
    if (mig_source_era(s)->resize_cancels) {
        g_free(s->error);
        s->error = g_strdup_printf("RAM block \"%s\" was resized during the migration",
                                   s->blocks[block].info->name);
        s->has_reason = true;
        return true;
    }
    s->blocks[block].resized = s->blocks_changed = true;
    if (!s->in_call) {
        mig_source_blocks_apply(s);
    }
    return false;
}

static void forget_from(MigSource *s, MigSourceBlock *b, uint64_t first)
{
    s->dirty_pages -= mig_bitmap_clear_range(b->dirty, first, b->dirty->bits - first);
}

static void resize(MigSource *s, MigSourceBlock *b)
{
    uint64_t pages = b->info->used_length / mig_source_page(s);
    s->ram_total += (pages - b->pages) * mig_source_page(s);
    b->pages = pages;
    b->resized = false;
    forget_from(s, b, pages);
}

static void leave(MigSource *s, MigSourceBlock *b)
{
    s->ram_total -= b->pages * mig_source_page(s);
    b->leaving = false;
    b->absent = true;
    forget_from(s, b, 0);
}

void mig_source_blocks_apply(MigSource *s)
{
    for (uint32_t i = 0; s->blocks_changed && i < s->block_count; i++) {
        if (s->blocks[i].resized) {
            resize(s, &s->blocks[i]);
        }
        if (s->blocks[i].leaving) {
            leave(s, &s->blocks[i]);
        }
    }
}

void mig_source_blocks_look(MigSource *s)
{
    mig_source_blocks_apply(s);
    if (s->blocks_changed) {
        s->blocks_changed = false;
        s->position_block = 0;
        s->position_page = 0;
        s->last_sent = UINT32_MAX;
        s->round_done = false;
    }
}
