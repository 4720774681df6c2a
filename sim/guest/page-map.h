/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The written pages of one block: page number -> MigPageState, open addressing. Its size follows
 * the number of written pages, whatever the block's.
 */
#ifndef MIG_SIM_GUEST_PAGE_MAP_H
#define MIG_SIM_GUEST_PAGE_MAP_H

#include "sim/guest/content.h"

typedef struct MigPageSlot {
    uint64_t page_plus_1; /* 0: empty */
    MigPageState state;
} MigPageSlot;

typedef struct MigPageMap {
    MigPageSlot *slots;
    uint64_t capacity; /* a power of two, or 0 */
    uint64_t count;
} MigPageMap;

/* The page's state, or NULL when it was never written. */
MigPageState *mig_page_map_find(const MigPageMap *m, uint64_t page);

/* The page's state; all zero when it is new. Valid until the next call. */
MigPageState *mig_page_map_get(MigPageMap *m, uint64_t page);

/* Releases every state and the slots. */
void mig_page_map_clear(MigPageMap *m);

#endif
