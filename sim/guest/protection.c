/* SPDX-License-Identifier: Apache-2.0 */
/* Write-protected pages, see protection.h: a bitmap for each block, a hold for each vCPU. */
#include "sim/guest/protection.h"

struct MigProtection {
    MigBitmap **pages; /* by block: set while protected */
    uint32_t blocks;
    MigHold *holds; /* by vCPU */
    uint32_t vcpus;
};

MigProtection *mig_protection_new(const MigMemory *memory, uint32_t vcpus)
{
    MigProtection *p = g_new0(MigProtection, 1);
    p->blocks = memory->ops->count(memory);
    p->pages = g_new0(MigBitmap *, p->blocks + 1);
    p->vcpus = vcpus;
    p->holds = g_new0(MigHold, vcpus);
    for (uint32_t i = 0; i < p->blocks; i++) {
        const MigMemoryBlock *b = memory->ops->block(memory, i);
        p->pages[i] = mig_bitmap_new(b->used_length / memory->page_size);
        if (!b->rom) {
            mig_bitmap_set_range(p->pages[i], 0, p->pages[i]->bits);
        }
    }
    return p;
}

void mig_protection_free(MigProtection *p)
{
    if (p) {
        for (uint32_t i = 0; i < p->blocks; i++) {
            mig_bitmap_free(p->pages[i]);
        }
        g_free(p->pages);
        g_free(p->holds);
        g_free(p);
    }
}

const MigHold *mig_protection_hold(const MigProtection *p, uint32_t vcpu)
{
    return &p->holds[vcpu];
}

bool mig_protection_holds(MigProtection *p, uint32_t vcpu, int64_t at, uint32_t block,
                          uint64_t page)
{
    if (!mig_bitmap_test(p->pages[block], page)) {
        return false;
    }
    p->holds[vcpu] = (MigHold){ true, at, block, page };
    return true;
}

bool mig_protection_wanted(const MigProtection *p, uint32_t *block, uint64_t *page)
{
    const MigHold *first = NULL;
    for (uint32_t i = 0; i < p->vcpus; i++) {
        const MigHold *h = &p->holds[i];
        if (h->held && (!first || h->since < first->since)) {
            first = h;
        }
    }
    if (first) {
        *block = first->block;
        *page = first->page;
    }
    return first != NULL;
}

void mig_protection_lift(MigProtection *p, uint32_t block, uint64_t first, uint64_t count)
{
    mig_bitmap_clear_range(p->pages[block], first, count);
}

bool mig_protection_release(MigProtection *p, uint32_t *vcpu, int64_t *since)
{
    for (uint32_t i = 0; i < p->vcpus; i++) {
        MigHold *h = &p->holds[i];
        if (h->held && !mig_bitmap_test(p->pages[h->block], h->page)) {
            h->held = false;
            *vcpu = i;
            *since = h->since;
            return true;
        }
    }
    return false;
}
