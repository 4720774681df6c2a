/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages on a channel of the real world: each is looked at when it is its turn, its record is copied
 * to the channel's buffer, and its bytes leave from where they are.
 */
#include "sim/world/page-record.h"
#include "sim/world/real-internal.h"
#include "stream/encoder.h"

/* A page's record in the pieces in which QEMU puts it: word and name's length, name, the rest. */
static void put_head(MigRealChannel *c, const MigRecord *record)
{
    size_t n = mig_record_encode(record, c->encoded, MIG_ENCODED_MAX);
    size_t head = record->ram.cont ? 8 : 9, name = record->ram.cont ? 0 : record->ram.name.len;
    mig_real_channel_put(c, c->encoded, head);
    mig_real_channel_put_piece(c, c->encoded + head, name);
    mig_real_channel_put(c, c->encoded + head + name, n - head - name);
}

/* A page that the engine has looked at: copied, as its cache may change it before the flush. */
void mig_real_page(MigRealChannel *c, const MigOp *op)
{
    if (op->page.record) {
        put_head(c, op->page.record);
        mig_real_channel_put_piece(c, op->page.payload, op->page.record->payload);
    }
}

/* One page: looked at now, queued; true if it was zero. */
static bool send_page(MigReal *r, MigRealChannel *c, const MigOp *op, uint64_t page, bool named)
{
    MigMemory *m = r->config.memory;
    uint32_t block = op->pages.block;
    MigPagesHow how = op->pages.how;
    bool look = mig_pages_are_looked_at(op);
    bool zero = look && m->ops->is_zero(m, block, page);
    if (how == MIG_PAGES_QUEUE || (how == MIG_PAGES_QUEUE_NORMAL && !zero)) {
        return false;
    }
    MigRecord record = mig_page_record(m, block, page, named, zero);
    put_head(c, &record);
    if (!zero) {
        mig_real_channel_put_page(c, m->ops->read(m, block, page, NULL), m->page_size);
    }
    return zero;
}

/* Bytes of which those that this operation adds count against its quota. */
static uint64_t counted(MigReal *r, const MigRealChannel *c, const MigOp *op)
{
    if (op->pages.counts != MIG_QUOTA_FLUSHED) {
        return c->outbuf.queued;
    }
    return c->outbuf.flushed + (r->senders ? mig_senders_counts(r->senders).bytes : 0);
}

/* Whoever asks for a page by now comes first; on the preempt channel a page is sent already. */
static MigClaim claim_page(MigReal *r, const MigOp *op, uint64_t page)
{
    if (!op->pages.claim) {
        return MIG_CLAIM_TAKE;
    }
    mig_real_attend(r);
    return op->pages.claim(op->pages.engine, op->pages.block, page);
}

void mig_real_pages(MigReal *r, MigRealChannel *c, const MigOp *op, MigOutcome *out)
{
    if (op->pages.mapped) {
        mig_real_place_pages(r, c, op, out);
        return;
    }
    bool named = op->pages.named, limited = op->pages.quota != UINT64_MAX;
    uint64_t before = limited ? counted(r, c, op) : 0;
    for (uint64_t left = op->pages.dirty; left && !c->error; left &= left - 1) {
        uint64_t bit = left & -left, page = op->pages.first + (unsigned)__builtin_ctzll(left);
        MigClaim claim = claim_page(r, op, page);
        if (claim == MIG_CLAIM_STOP) {
            break;
        }
        if (claim == MIG_CLAIM_SKIP) {
            continue;
        }
        bool packed =
            op->pages.how == MIG_PAGES_COMPRESS && mig_real_compress(r, c, op, page, named);
        bool zero = !packed && send_page(r, c, op, page, named);
        named = named && op->pages.how == MIG_PAGES_QUEUE_NORMAL && !zero;
        out->sent |= bit;
        out->packed |= packed ? bit : 0;
        out->zero |= zero ? bit : 0;
        if (limited && counted(r, c, op) - before > op->pages.quota) {
            break;
        }
    }
}
