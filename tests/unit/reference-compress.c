/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compress threads of the plain simulator (reference.h): each holds one page, and what it made of
 * it goes out when it gets the next one, or when all have to hand in. Runs zlib by itself.
 */
#include <string.h>
#include <zlib.h>

#include "tests/unit/reference-internal.h"

typedef struct Thread {
    bool full, zero;
    ReferencePage *page;
    uint64_t size; /* bytes */
    int64_t done;  /* ns: idle from then on */
} Thread;

struct ReferenceCompress {
    Thread *threads;
    Thread *end;
};

void reference_compress_open(Sim *m)
{
    m->compress = g_new0(ReferenceCompress, 1);
    m->compress->threads = g_new0(Thread, m->p->compress_threads);
    m->compress->end = m->compress->threads + m->p->compress_threads;
}

void reference_compress_close(Sim *m)
{
    g_free(m->compress->threads);
    g_free(m->compress);
}

static void fill(Sim *m, Thread *t, ReferencePage *p)
{
    uint8_t page[PAGE], out[2 * PAGE];
    uLongf n = sizeof(out);
    reference_guest_at(&m->guest, m->now);
    reference_guest_read(&m->guest, (uint64_t)(p - m->guest.pages), page);
    compress2(out, &n, page, PAGE, (int)m->p->compress_level);
    *t = (Thread){ .full = true, .zero = p->zero, .page = p, .size = n };
}

/* Its record goes to the main channel, with |name| bytes of a block's name. */
static void take(Sim *m, Thread *t, uint64_t name)
{
    const MigCosts *rc = &m->s->destination_host;
    int64_t threads = MIN((int64_t)m->p->decompress_threads, rc->compress_threads);
    bool again = m->v >= V(3, 1) && m->v < V(8, 1); /* counts what it counted before */
    m->r->duplicate += t->zero && (t->full || again);
    m->r->normal += t->full && !t->zero && m->v < V(3, 1);
    if (t->full) {
        int64_t first = t->page->touched ? 0 : rc->first_touch;
        int64_t page = rc->receive_page + first + rc->inflate_page / MAX(threads, 1);
        m->work += t->zero ? rc->receive_zero : page;
        t->page->touched |= !t->zero;
        t->full = false;
        reference_put_piece(m, 8 + name + (t->zero ? 1 : 4 + t->size));
    }
}

/* The first that is idle; NULL: none is, and nobody wants to wait. */
static Thread *idle_thread(Sim *m, bool waits)
{
    int64_t next = INT64_MAX;
    for (Thread *t = m->compress->threads; t < m->compress->end; t++) {
        if (t->done <= m->now) {
            return t;
        }
        next = MIN(next, t->done);
    }
    if (!waits) {
        return NULL;
    }
    reference_pass(m, next);
    return idle_thread(m, waits);
}

bool reference_compress_page(Sim *m, ReferencePage *p, bool named)
{
    const MigCosts *c = &m->s->host;
    bool early = m->v < V(3, 1);
    Thread *t = early && p->zero ? NULL : idle_thread(m, early || m->p->compress_wait_thread);
    if (!t) {
        return false;
    }
    if (named) { /* by the main thread, at once */
        fill(m, t, p);
        reference_price(m, c->zlib_page);
        take(m, t, 1 + strlen(BLOCK(p->block).name));
        return true;
    }
    take(m, t, 0);
    fill(m, t, p);
    t->done = reference_work(m, c->zero_page + (t->zero ? 0 : c->zlib_page), c->compress_threads);
    reference_price(m, c->compress_queue);
    return true;
}

bool reference_compress_flush(Sim *m)
{
    uint64_t queued = m->r->queued;
    if (reference_over(m)) {
        return false;
    }
    for (Thread *t = m->compress->threads; t < m->compress->end; t++) {
        reference_pass(m, MAX(t->done, m->now));
    }
    for (Thread *t = m->compress->threads; t < m->compress->end; t++) {
        take(m, t, 0);
    }
    m->ram_bytes += m->r->queued - queued;
    return true;
}
