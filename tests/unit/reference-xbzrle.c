/* SPDX-License-Identifier: Apache-2.0 */
/* XBZRLE of the plain simulator, see reference-xbzrle.h. */
#include "tests/unit/reference-xbzrle.h"

#include <string.h>

#define PAGE ((int)REFERENCE_PAGE)

void reference_xbzrle_init(ReferenceXbzrle *x, uint64_t bytes)
{
    *x = (ReferenceXbzrle){ .count = bytes / REFERENCE_PAGE };
    x->slots = g_new0(ReferenceSlot, x->count);
}

void reference_xbzrle_clear(ReferenceXbzrle *x)
{
    g_free(x->slots);
}

/* How many bytes from |at| on are alike in both pages, or, |alike| false, are not. */
static int run_of(const uint8_t *a, const uint8_t *b, int at, bool alike)
{
    int end = at;
    while (end < PAGE && (a[end] == b[end]) == alike) {
        end++;
    }
    return end - at;
}

/* QEMU gives up where two bytes more, or a run, would not fit into a page. */
static int delta(const uint8_t *before, const uint8_t *now)
{
    int n = 0, same = 0, other = 0;
    for (int at = 0; at < PAGE; at += same + other) {
        same = run_of(before, now, at, true);
        if (n + 2 > PAGE) {
            return -1;
        }
        if (at + same == PAGE) {
            break; /* the last run is not written */
        }
        n += same < 128 ? 1 : 2;
        other = run_of(before, now, at + same, false);
        if (n + 2 > PAGE || n + (other < 128 ? 1 : 2) + other > PAGE) {
            return -1;
        }
        n += (other < 128 ? 1 : 2) + other;
    }
    return n;
}

static void insert(ReferenceSlot *slot, uint64_t page, const uint8_t *bytes, uint64_t age)
{
    bool young = slot->used && slot->page != page && slot->age + 2 > age;
    if (!young) {
        slot->used = true;
        slot->page = page;
        slot->age = age;
        memcpy(slot->bytes, bytes, REFERENCE_PAGE);
    }
}

int reference_xbzrle_page(ReferenceXbzrle *x, const ReferenceGuest *g, uint64_t page, uint64_t age)
{
    uint8_t bytes[REFERENCE_PAGE];
    ReferenceSlot *slot = &x->slots[page % x->count];
    bool zero = g->pages[page].zero, hit = slot->used && slot->page == page && !zero;
    reference_guest_read(g, page, bytes);
    int n = hit ? delta(slot->bytes, bytes) : -1;
    if (hit) {
        slot->age = age;
        g->stopped ? NULL : memcpy(slot->bytes, bytes, REFERENCE_PAGE);
    } else if (zero || !g->stopped) {
        insert(slot, page, bytes, age);
    }
    return n;
}
