/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table with linear probing, at most three quarters full, see page-map.h. Nothing is ever
 * removed. Neighbouring pages fall into neighbouring slots, so that a sequential workload stays in
 * the cache; a multiplication spreads the groups.
 */
#include "sim/guest/page-map.h"

#include <glib.h>

#define FIRST_CAPACITY 64
#define GROUP          16 /* pages that stay together */

static uint64_t slot_of(const MigPageMap *m, uint64_t page)
{
    uint64_t group = (page / GROUP) * 0x9e3779b97f4a7c15ull;
    return ((group >> 20) * GROUP + page % GROUP) & (m->capacity - 1);
}

static MigPageSlot *probe(const MigPageMap *m, uint64_t page)
{
    uint64_t at = slot_of(m, page);
    while (m->slots[at].page_plus_1 != 0 && m->slots[at].page_plus_1 != page + 1) {
        at = (at + 1) & (m->capacity - 1);
    }
    return &m->slots[at];
}

MigPageState *mig_page_map_find(const MigPageMap *m, uint64_t page)
{
    if (m->count == 0) {
        return NULL;
    }
    MigPageSlot *slot = probe(m, page);
    return slot->page_plus_1 ? &slot->state : NULL;
}

static void grow(MigPageMap *m)
{
    MigPageMap bigger = { .capacity = m->capacity ? m->capacity * 2 : FIRST_CAPACITY,
                          .count = m->count };
    bigger.slots = g_new0(MigPageSlot, bigger.capacity);
    for (uint64_t i = 0; i < m->capacity; i++) {
        if (m->slots[i].page_plus_1) {
            *probe(&bigger, m->slots[i].page_plus_1 - 1) = m->slots[i];
        }
    }
    g_free(m->slots);
    *m = bigger;
}

MigPageState *mig_page_map_get(MigPageMap *m, uint64_t page)
{
    if (m->count >= m->capacity / 4 * 3) {
        grow(m);
    }
    MigPageSlot *slot = probe(m, page);
    if (slot->page_plus_1 == 0) {
        slot->page_plus_1 = page + 1;
        m->count++;
    }
    return &slot->state;
}

void mig_page_map_clear(MigPageMap *m)
{
    for (uint64_t i = 0; i < m->capacity; i++) {
        if (m->slots[i].page_plus_1) {
            mig_content_release(&m->slots[i].state);
        }
    }
    g_free(m->slots);
    *m = (MigPageMap){ 0 };
}
