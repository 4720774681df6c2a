/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a destination will be sent next, if pages go on one after the other: so that a reader can
 * have the kernel put many pages where they belong in one call. Sources send the first pass in
 * ascending order, so most guesses are right there.
 *
 * A guess names only pages behind the last one that the block has had: a wrong one spoils nothing
 * but zeros.
 */
#include "sim/engine/dest-internal.h"
#include "stream/bytes.h"
#include "stream/format.h"

void mig_dest_note_page(MigDest *d, uint32_t index, uint64_t page)
{
    MigDestBlock *b = &g_array_index(d->blocks, MigDestBlock, index);
    b->fresh = MAX(b->fresh, page + 1);
}

uint8_t *mig_dest_guess(const MigDest *d, uint64_t ahead, uint8_t header[8])
{
    MigMemory *m = d->config.memory;
    const MigRecord *r = &d->record;
    if (d->state != MIG_DEST_LOADING || d->incoming != MIG_INCOMING_NONE || d->multifd ||
        r->type != MIG_REC_RAM_PAGE || !m->ops->map) {
        return NULL;
    }
    const MigDestBlock *b = &g_array_index(d->blocks, MigDestBlock, r->ram.block);
    uint64_t page = r->ram.offset / m->page_size + ahead;
    if (page < b->fresh || page >= m->ops->block(m, b->memory)->used_length / m->page_size) {
        return NULL;
    }
    mig_store_be64(header, page * m->page_size | MIG_RAM_FLAG_PAGE | MIG_RAM_FLAG_CONTINUE);
    return m->ops->map(m, b->memory, page);
}

uint32_t mig_dest_page_size(const MigDest *d)
{
    return d->config.memory->page_size;
}
