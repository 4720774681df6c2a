/* SPDX-License-Identifier: Apache-2.0 */
/* Pages written, see write-counter.h: a bitmap per block, a count per vCPU. */
#include "sim/guest/write-counter.h"

#include <glib.h>

struct MigWriteCounter {
    MigBitmap **seen; /* by block */
    uint32_t blocks;
    uint64_t *by; /* pages, by vCPU; the last: from outside */
    uint32_t vcpus;
    uint64_t pages;
};

MigWriteCounter *mig_write_counter_new(const MigMemory *m, uint32_t vcpus)
{
    MigWriteCounter *c = g_new0(MigWriteCounter, 1);
    c->blocks = m->ops->count(m);
    c->seen = g_new0(MigBitmap *, c->blocks + 1);
    for (uint32_t i = 0; i < c->blocks; i++) {
        const MigMemoryBlock *b = m->ops->block(m, i);
        c->seen[i] = mig_bitmap_new(MAX(b->max_length, b->used_length) / m->page_size);
    }
    c->vcpus = vcpus;
    c->by = g_new0(uint64_t, vcpus + 1);
    return c;
}

void mig_write_counter_free(MigWriteCounter *c)
{
    if (c) {
        for (uint32_t i = 0; i < c->blocks; i++) {
            mig_bitmap_free(c->seen[i]);
        }
        g_free(c->seen);
        g_free(c->by);
        g_free(c);
    }
}

void mig_write_counter_note(MigWriteCounter *c, uint32_t writer, uint32_t block, uint64_t page)
{
    bool known = block < c->blocks && page < c->seen[block]->bits;
    if (known && mig_bitmap_set(c->seen[block], page)) {
        c->pages++;
        c->by[writer == MIG_WRITER_OUTSIDE ? c->vcpus : writer % c->vcpus]++;
    }
}

uint64_t mig_write_counter_pages(const MigWriteCounter *c)
{
    return c->pages;
}

uint64_t mig_write_counter_by(const MigWriteCounter *c, uint32_t vcpu)
{
    g_assert(vcpu < c->vcpus);
    return c->by[vcpu];
}
