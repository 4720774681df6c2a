/* SPDX-License-Identifier: Apache-2.0 */
/* The plain simulator's time and its main channel, see reference-internal.h. */
#include "tests/unit/reference-internal.h"

typedef struct Event {
    int64_t at;
    ReferenceEventFn fn;
    uint64_t argument;
} Event;

#define EVENT(i) g_array_index(m->events, Event, i)

bool reference_over(Sim *m)
{
    return m->r->limit = m->r->limit || m->now > m->s->limit;
}

/* Events -------------------------------------------------------------------------------------- */

GArray *reference_events_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(Event));
}

void reference_later(Sim *m, int64_t at, ReferenceEventFn fn, uint64_t argument)
{
    Event e = { at, fn, argument };
    g_array_append_val(m->events, e);
}

/* Of equal times the one that was asked for first. */
static guint first_of(const Sim *m)
{
    guint first = 0;
    for (guint i = 1; i < m->events->len; i++) {
        first = EVENT(i).at < EVENT(first).at ? i : first;
    }
    return first;
}

int64_t reference_next(const Sim *m)
{
    return m->events->len ? EVENT(first_of(m)).at : INT64_MAX;
}

void reference_wait(Sim *m, int64_t until, const bool *ends)
{
    while (!*ends && reference_next(m) <= until) {
        guint i = first_of(m);
        Event e = EVENT(i);
        g_array_remove_index(m->events, i);
        m->now = MAX(m->now, e.at);
        e.fn(m, e.argument);
    }
    m->now = *ends ? m->now : MAX(m->now, until);
}

void reference_pass(Sim *m, int64_t until)
{
    static const bool never;
    reference_wait(m, until, &never);
}

void reference_price(Sim *m, int64_t ps)
{
    m->cost += ps;
    if (m->cost >= 1000) {
        int64_t ns = m->cost / 1000;
        m->cost %= 1000;
        reference_pass(m, m->now + ns);
    }
}

int64_t reference_work(Sim *m, int64_t ps, int64_t count)
{
    int64_t *best = m->processors;
    for (int64_t i = 1; i < CLAMP(count, 1, 64); i++) {
        best = m->processors[i] < *best ? &m->processors[i] : best;
    }
    return *best = MAX(*best, m->now) + ps / 1000;
}

/* The main channel ---------------------------------------------------------------------------- */

void reference_write(Sim *m, uint64_t limit)
{
    uint64_t n = MIN(m->waiting, limit);
    if (n > 0) {
        m->first_write = m->written ? m->first_write : m->now;
        m->waiting -= n;
        m->written += n;
        ReferenceWrite w = reference_link_write(&m->link, m->now, n, m->work / 1000);
        m->work %= 1000;
        if (m->postcopy) {
            reference_postcopy_written(m, n, &w);
        }
        reference_pass(m, w.accepted);
    }
}

void reference_flush(Sim *m)
{
    m->waiting += m->stream.pending;
    m->stream = (ReferenceStream){ 0 };
    reference_write(m, m->v < V(1, 6) ? 0 : UINT64_MAX);
}

/* |n| bytes more of the list's last vector, or of another. */
static void add(Sim *m, uint64_t n, bool copied)
{
    m->r->queued += n;
    m->stream.pending += n;
    m->stream.vectors += !copied || !m->stream.open;
    m->stream.open = copied;
    m->stream.copied += copied ? n : 0;
    if (m->stream.vectors == 64 || m->stream.copied == 32768) {
        reference_flush(m);
    }
}

void reference_put(Sim *m, uint64_t n)
{
    for (; n > 0; n--) {
        add(m, 1, true);
    }
}

void reference_put_piece(Sim *m, uint64_t n)
{
    for (uint64_t part; n > 0; n -= part) {
        part = MIN(n, 32768 - m->stream.copied);
        add(m, part, true);
    }
}

void reference_put_page(Sim *m)
{
    add(m, PAGE, false);
}

void reference_place(Sim *m, uint64_t n)
{
    reference_flush(m);
    reference_pass(m, reference_link_write(&m->link, m->now, n, 0).accepted);
    m->placed += n;
}

/* Operations ---------------------------------------------------------------------------------- */

void reference_spend(Sim *m, int64_t ns)
{
    if (!reference_over(m)) {
        reference_pass(m, m->now + ns);
    }
}

void reference_sleep(Sim *m, int64_t ns)
{
    m->urgent = false;
    if (!reference_over(m)) {
        reference_wait(m, m->now + ns + m->s->host.wake, &m->urgent);
    }
}

void reference_send(Sim *m, uint64_t n)
{
    if (!reference_over(m)) {
        reference_put(m, n);
    }
}

void reference_send_flush(Sim *m)
{
    if (!reference_over(m)) {
        reference_flush(m);
    }
}
