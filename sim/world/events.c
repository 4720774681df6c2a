/* SPDX-License-Identifier: Apache-2.0 */
/* The event queue, see events.h. Cancelling searches the heap: events are few. */
#include "sim/world/events.h"

#include <glib.h>

#include "sim/world/clock.h"

static bool before(const MigEvent *a, const MigEvent *b)
{
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void swap(MigEvent *a, MigEvent *b)
{
    MigEvent t = *a;
    *a = *b;
    *b = t;
}

static void rise(MigEvents *q, size_t i)
{
    for (; i > 0 && before(&q->heap[i], &q->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        swap(&q->heap[i], &q->heap[(i - 1) / 2]);
    }
}

static void sink(MigEvents *q, size_t i)
{
    for (;;) {
        size_t least = i, left = 2 * i + 1;
        for (size_t c = left; c <= left + 1 && c < q->count; c++) {
            least = before(&q->heap[c], &q->heap[least]) ? c : least;
        }
        if (least == i) {
            return;
        }
        swap(&q->heap[i], &q->heap[least]);
        i = least;
    }
}

static void take_at(MigEvents *q, size_t i)
{
    q->heap[i] = q->heap[--q->count];
    if (i < q->count) {
        rise(q, i);
        sink(q, i);
    }
}

void mig_events_clear(MigEvents *q)
{
    g_free(q->heap);
    *q = (MigEvents){ 0 };
}

uint64_t mig_events_add(MigEvents *q, int64_t at, MigEventFn fn, void *opaque)
{
    if (q->count == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 16;
        q->heap = g_renew(MigEvent, q->heap, q->cap);
    }
    uint64_t sequence = ++q->sequence;
    q->heap[q->count] = (MigEvent){ .at = at, .sequence = sequence, .fn = fn, .opaque = opaque };
    rise(q, q->count++);
    return sequence;
}

bool mig_events_cancel(MigEvents *q, uint64_t sequence)
{
    for (size_t i = 0; i < q->count; i++) {
        if (q->heap[i].sequence == sequence) {
            take_at(q, i);
            return true;
        }
    }
    return false;
}

int64_t mig_events_next(const MigEvents *q)
{
    return q->count ? q->heap[0].at : MIG_FOREVER;
}

bool mig_events_take(MigEvents *q, int64_t until, MigEvent *event)
{
    if (q->count == 0 || q->heap[0].at > until) {
        return false;
    }
    *event = q->heap[0];
    take_at(q, 0);
    return true;
}
