/* SPDX-License-Identifier: Apache-2.0 */
/* A page of the plain simulator (reference.h): which way it goes, what it costs, what it counts. */
#include <string.h>

#include "tests/unit/reference-internal.h"

void reference_send_record(Sim *m, ReferencePage *p, bool zero, bool cached, int delta)
{
    const MigCosts *c = &m->s->host, *rc = &m->s->destination_host;
    uint64_t name = p->block == m->last_sent ? 0 : 1 + strlen(BLOCK(p->block).name);
    int64_t look = cached ? c->xbzrle_page : 0, copy = delta < 0 ? c->normal_page : 0;
    int64_t page = rc->receive_page + (p->touched || cached ? 0 : rc->first_touch);
    if (HAS(MAPPED_RAM)) {
        reference_price(m, zero ? c->zero_page : copy);
        if (!zero) {
            reference_place(m, PAGE);
        }
        return;
    }
    m->work += delta == 0 ? 0 : zero ? rc->receive_zero : delta > 0 ? rc->receive_delta : page;
    reference_price(m, zero ? c->zero_page : look + copy);
    if (delta != 0) {
        reference_put(m, 8 + name + (delta > 0 ? 3 + (uint64_t)delta : zero ? 1 : 0));
        if (cached && !zero && delta < 0) {
            reference_put(m, PAGE);
        }
        if (!(zero || cached)) {
            reference_put_page(m);
        }
        p->touched |= !zero && !cached;
    }
}

ReferenceSent reference_send_page(Sim *m, ReferencePage *p)
{
    bool cached = HAS(XBZRLE) && m->round_done, queues = HAS(MULTIFD) && !cached;
    bool early = m->v < V(3, 1), packs = COMPRESSES && (early || m->last_sent == p->block);
    uint64_t number = (uint64_t)(p - m->guest.pages), queued = m->r->queued, placed = m->placed;
    MigZeroDetection detection = m->p->zero_page_detection;
    reference_guest_at(&m->guest, m->now);
    bool looks = cached || (queues ? detection == MIG_ZERO_LEGACY : detection != MIG_ZERO_NONE);
    bool zero = p->zero && looks, counts = true;
    int delta = cached ? reference_xbzrle_page(&m->xbzrle, &m->guest, number, m->r->syncs) : -1;
    if (packs && reference_compress_page(m, p, p->block != m->last_sent)) {
        counts = false;
    } else if (queues && !zero) {
        counts = detection != MIG_ZERO_MULTIFD;
        if (!reference_multifd_queue(m, p)) {
            return NOT_SENT;
        }
    } else {
        reference_send_record(m, p, zero, cached, delta);
    }
    uint64_t bytes = m->r->queued - queued + m->placed - placed;
    if (!reference_snapshot_saved(m, p)) {
        return NOT_SENT;
    }
    m->ram_bytes += bytes;
    if (packs && HAS(POSTCOPY_RAM) && !reference_compress_flush(m)) {
        return NOT_SENT;
    }
    m->dirty--;
    p->dirty = false;
    m->r->duplicate += counts && zero;
    m->r->normal += counts && !zero && delta < 0;
    m->last_sent = bytes > 0 ? p->block : m->last_sent;
    return delta == 0 ? UNCHANGED : SENT;
}
