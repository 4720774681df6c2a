/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XBZRLE of the plain simulator (reference.h): how long a page's delta is, counted byte by byte,
 * and a cache of whole pages. Shares nothing with stream/.
 */
#ifndef MIG_TESTS_REFERENCE_XBZRLE_H
#define MIG_TESTS_REFERENCE_XBZRLE_H

#include "tests/unit/reference-guest.h"

typedef struct ReferenceSlot {
    bool used;
    uint64_t page, age;
    uint8_t bytes[REFERENCE_PAGE];
} ReferenceSlot;

typedef struct ReferenceXbzrle {
    ReferenceSlot *slots;
    uint64_t count;
} ReferenceXbzrle;

void reference_xbzrle_init(ReferenceXbzrle *x, uint64_t bytes); /* of the cache */
void reference_xbzrle_clear(ReferenceXbzrle *x);

/*
 * A page, by its number of all, as it is now: how long its delta is; 0 when it has not changed, -1
 * when it goes as it is. While the guest is stopped the cache stays as it was.
 */
int reference_xbzrle_page(ReferenceXbzrle *x, const ReferenceGuest *g, uint64_t page, uint64_t age);

#endif
