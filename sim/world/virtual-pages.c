/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of the main channel in the virtual world: each is looked at, priced and queued when its
 * turn comes; see virtual.c.
 */
#include "sim/world/page-record.h"
#include "sim/world/virtual-internal.h"
#include "stream/encoder.h"

/* In postcopy the last target page of a host page has it placed. */
uint64_t mig_virtual_place_cost(const MigVirtual *v, uint32_t block, uint64_t page)
{
    const MigMemory *m = v->config.memory;
    uint64_t host = MAX(m->ops->block(m, block)->host_page / m->page_size, 1u);
    bool places = mig_virtual_is_late(v) && (page + 1) % host == 0;
    return places ? (uint64_t)v->config.receiver.place_page : 0;
}

bool mig_virtual_send_page(MigVirtual *v, const MigOp *op, uint64_t page, bool named)
{
    MigMemory *m = v->config.memory;
    const MigCosts *c = &v->config.costs, *rc = &v->config.receiver;
    uint32_t block = op->pages.block;
    MigPagesHow how = op->pages.how;
    if (how == MIG_PAGES_REMOTE) {
        mig_virtual_rdma_page(v, block, page);
        return false;
    }
    bool look = mig_pages_are_looked_at(op);
    bool zero = look && m->ops->is_zero(m, block, page);
    if (how == MIG_PAGES_QUEUE || (how == MIG_PAGES_QUEUE_NORMAL && !zero)) {
        mig_virtual_spend_ps(v, c->multifd_queue);
        return false;
    }
    if (op->pages.mapped) {
        mig_virtual_place_page(v, op, page, zero);
        return zero;
    }
    MigRecord r = mig_page_record(m, block, page, named, zero);
    if (v->bytes) {
        size_t n = mig_record_encode(&r, v->encoded, MIG_ENCODED_MAX);
        mig_virtual_append(v, v->encoded, n);
        if (!zero) {
            mig_virtual_append(v, m->ops->read(m, block, page, v->scratch), m->page_size);
        }
    }
    bool touched = mig_bitmap_test(v->touched[block], page);
    if (zero) {
        v->work += (uint64_t)rc->receive_zero;
    } else {
        v->work += (uint64_t)(rc->receive_page + (touched ? 0 : rc->first_touch));
        mig_bitmap_set(v->touched[block], page);
    }
    v->work += mig_virtual_place_cost(v, block, page);
    mig_virtual_spend_ps(v, zero ? c->zero_page : c->normal_page);
    uint64_t out = mig_outbuf_put(&v->outbuf, named ? 9 : 8); /* the word, the name's length */
    out += named ? mig_outbuf_put_piece(&v->outbuf, r.ram.name.len) : 0;
    out += zero ? mig_outbuf_put(&v->outbuf, 1) : mig_outbuf_put_page(&v->outbuf, m->page_size);
    mig_virtual_flushed(v, out);
    return zero;
}

/* A page that the engine has looked at; its bytes are copied into the buffer. */
void mig_virtual_page(MigVirtual *v, const MigOp *op)
{
    const MigRecord *r = op->page.record;
    const MigCosts *c = &v->config.costs, *rc = &v->config.receiver;
    bool zero = r && r->type == MIG_REC_RAM_ZERO, normal = r && r->type == MIG_REC_RAM_PAGE;
    mig_virtual_spend_ps(v, zero ? c->zero_page : c->xbzrle_page + (normal ? c->normal_page : 0));
    if (!r) {
        return;
    }
    size_t n = mig_record_encode(r, v->encoded, MIG_ENCODED_MAX);
    uint64_t name = r->ram.cont ? 0 : r->ram.name.len;
    v->work += (uint64_t)(zero ? rc->receive_zero : normal ? rc->receive_page : rc->receive_delta);
    mig_virtual_append(v, v->encoded, n);
    mig_virtual_append(v, op->page.payload, r->payload);
    uint64_t out = mig_outbuf_put(&v->outbuf, r->ram.cont ? 8 : 9);
    out += name ? mig_outbuf_put_piece(&v->outbuf, name) : 0;
    out += mig_outbuf_put(&v->outbuf, n - (r->ram.cont ? 8 : 9) - name);
    out += r->payload ? mig_outbuf_put_piece(&v->outbuf, r->payload) : 0;
    mig_virtual_flushed(v, out);
}

void mig_virtual_pages(MigVirtual *v, const MigOp *op, MigOutcome *out)
{
    uint64_t queued = v->outbuf.queued, flushed_at = v->outbuf.flushed, written = v->written;
    uint64_t happened = v->happened;
    bool named = op->pages.named;
    for (uint64_t left = op->pages.dirty; left && !v->cut; left &= left - 1) {
        uint64_t bit = left & -left, page = op->pages.first + (unsigned)__builtin_ctzll(left);
        MigClaim claim = op->pages.claim ? op->pages.claim(op->pages.engine, op->pages.block, page)
                                         : MIG_CLAIM_TAKE;
        if (claim == MIG_CLAIM_STOP) {
            break;
        } else if (claim == MIG_CLAIM_SKIP) {
            continue;
        }
        bool packs = op->pages.how == MIG_PAGES_COMPRESS;
        bool packed = packs && mig_virtual_compress(v, op, page, named);
        bool zero = !packed && mig_virtual_send_page(v, op, page, named);
        out->packed |= packed ? bit : 0;
        named = named && op->pages.how == MIG_PAGES_QUEUE_NORMAL && !zero;
        out->sent |= bit;
        out->zero |= zero ? bit : 0;
        uint64_t counted = op->pages.counts == MIG_QUOTA_FLUSHED
                               ? v->outbuf.flushed - flushed_at + v->written - written + v->placed
                               : v->outbuf.queued - queued;
        if (counted > op->pages.quota || mig_virtual_must_look_up(v, happened)) {
            break;
        }
    }
}
