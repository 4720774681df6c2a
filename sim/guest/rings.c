/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty rings, see rings.h. A page is in one ring at most, as with KVM while it is not protected
 * again: one bit per page tells.
 */
#include "sim/guest/rings.h"

#include <glib.h>

typedef struct Entry {
    uint32_t block;
    uint64_t page;
} Entry;

typedef struct Ring {
    Entry *entries;
    uint32_t count;
    uint64_t noted;
} Ring;

struct MigRings {
    Ring *rings;
    MigBitmap **in; /* by block */
    uint32_t vcpus, size, blocks;
};

static uint64_t most(const MigMemoryBlock *b)
{
    return MAX(b->max_length, b->used_length);
}

MigRings *mig_rings_new(const MigMemory *m, uint32_t vcpus, uint32_t entries)
{
    MigRings *r = g_new0(MigRings, 1);
    r->rings = g_new0(Ring, vcpus);
    r->vcpus = vcpus;
    r->size = entries;
    r->blocks = m->ops->count(m);
    r->in = g_new0(MigBitmap *, r->blocks + 1);
    for (uint32_t i = 0; i < vcpus; i++) {
        r->rings[i].entries = g_new(Entry, entries);
    }
    for (uint32_t i = 0; i < r->blocks; i++) {
        r->in[i] = mig_bitmap_new(most(m->ops->block(m, i)) / m->page_size);
    }
    return r;
}

void mig_rings_free(MigRings *r)
{
    for (uint32_t i = 0; r && i < r->vcpus; i++) {
        g_free(r->rings[i].entries);
    }
    for (uint32_t i = 0; r && i < r->blocks; i++) {
        mig_bitmap_free(r->in[i]);
    }
    if (r) {
        g_free(r->rings);
        g_free(r->in);
        g_free(r);
    }
}

bool mig_rings_note(MigRings *r, uint32_t vcpu, uint32_t block, uint64_t page)
{
    Ring *ring = &r->rings[vcpu];
    g_assert(ring->count < r->size);
    if (mig_bitmap_test(r->in[block], page)) {
        return false;
    }
    mig_bitmap_set(r->in[block], page);
    ring->entries[ring->count++] = (Entry){ block, page };
    ring->noted++;
    return ring->count == r->size;
}

void mig_rings_reap(MigRings *r, uint32_t vcpu)
{
    Ring *ring = &r->rings[vcpu];
    for (uint32_t i = 0; i < ring->count; i++) {
        mig_bitmap_clear(r->in[ring->entries[i].block], ring->entries[i].page);
    }
    ring->count = 0;
}

void mig_rings_reap_all(MigRings *r)
{
    for (uint32_t i = 0; i < r->vcpus; i++) {
        mig_rings_reap(r, i);
    }
}

uint64_t mig_rings_noted(const MigRings *r, uint32_t vcpu)
{
    return r->rings[vcpu].noted;
}
