/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy in the virtual world, see virtual.h. Model:
 *
 * - From the package on, bytes reach the destination when they have arrived and their receiver has
 *   worked on them, in pieces of two pages: a fault that is answered early in a flush is not held
 *   up by the rest of it. What was on its way when the line broke is lost.
 * - A message of the return path takes the reverse way: its own wire, the link's latency.
 * - The preempt channel has a socket buffer of its own and shares the wire with the main channel,
 *   half and half while both have something; its reader is a thread of its own.
 * - The source's second machine is a thread of its own: what it does takes its time beside the
 *   first one's operation.
 *
 * Limits. What the main channel had given to the wire before a page overtook it arrives as if that
 * had not been.
 */
#include <string.h>

#include "sim/world/page-record.h"
#include "sim/world/virtual-internal.h"
#include "stream/encoder.h"

#define PIECE        8208u /* bytes that reach the destination at a time */
#define RECOVER_POLL 100000000ll

/* Something that will happen unless the line breaks before. */
typedef struct Pending {
    MigVirtual *world;
    uint64_t event;
    GBytes *bytes; /* of |channel|; NULL: a message, or */
    uint64_t left; /* bytes of the preempt channel that are no longer in the line */
    uint32_t channel;
    MigRecord message;
    char *name;
    void *payload;
} Pending;

/* What waits in the socket of the preempt channel. */
typedef struct Unsent {
    GBytes *bytes;
    gsize sent;
    int64_t work; /* ns, of the receiver when it has all of it */
} Unsent;

struct MigVirtualPostcopy {
    GQueue pending;                  /* Pending */
    bool late;                       /* the package was sent */
    bool down;                       /* no connection can be made */
    bool broken;                     /* the destination knows that the line is gone */
    int64_t main_done, preempt_done; /* ns, when the last byte of each was worked on */
    int64_t preempt_sent;            /* ns, when the wire has taken the last byte of it */
    GQueue unsent;                   /* Unsent */
    uint64_t in_line;                /* bytes of the preempt channel in front of the wire */
    MigLink back;
    uint32_t channel; /* preempt */
    MigOutbuf outbuf; /* its */
    GByteArray *bytes;
    uint64_t work;   /* ps, of what is queued on it */
    const MigOp *op; /* of the second machine; NULL: it stands still */
    uint64_t step;   /* its event */
};

static void free_pending(Pending *p)
{
    if (p->bytes) {
        g_bytes_unref(p->bytes);
    }
    g_free(p->name);
    g_free(p->payload);
    g_free(p);
}

static void free_unsent(Unsent *u)
{
    g_bytes_unref(u->bytes);
    g_free(u);
}

static void init_back(MigVirtual *v)
{
    MigLinkConfig back = mig_link_reverse(&v->config.link);
    mig_link_init(&v->postcopy->back, &back);
}

int64_t mig_virtual_answer_span(const MigVirtual *v, int64_t at, uint64_t n)
{
    return mig_link_span_at(&v->postcopy->back, at, n);
}

void mig_virtual_postcopy_init(MigVirtual *v)
{
    MigVirtualPostcopy *p = v->postcopy = g_new0(MigVirtualPostcopy, 1);
    g_queue_init(&p->pending);
    g_queue_init(&p->unsent);
    init_back(v);
    p->bytes = g_byte_array_new();
    p->channel = v->config.source ? mig_source_preempt_channel(v->config.source) : 0;
}

/* Nothing that is on its way will come. */
static void lose(MigVirtual *v)
{
    Pending *p;
    g_queue_clear_full(&v->postcopy->unsent, (GDestroyNotify)free_unsent);
    v->postcopy->in_line = 0;
    while ((p = g_queue_pop_head(&v->postcopy->pending)) != NULL) {
        mig_events_cancel(&v->events, p->event);
        free_pending(p);
    }
}

void mig_virtual_postcopy_free(MigVirtual *v)
{
    lose(v);
    mig_link_clear(&v->postcopy->back);
    g_byte_array_unref(v->postcopy->bytes);
    g_free(v->postcopy);
}

bool mig_virtual_is_late(const MigVirtual *v)
{
    return v->postcopy->late;
}

bool mig_virtual_is_preempt(const MigVirtual *v, uint32_t channel)
{
    return channel > 0 && channel == v->postcopy->channel;
}

/* On its way ------------------------------------------------------------------------------- */

static void arrive(void *opaque, int64_t at);

static Pending *expect(MigVirtual *v, int64_t at)
{
    Pending *p = g_new0(Pending, 1);
    p->world = v;
    p->event = mig_events_add(&v->events, at, arrive, p);
    g_queue_push_tail(&v->postcopy->pending, p);
    return p;
}

static void send_piece(MigVirtual *v, uint32_t channel, const uint8_t *data, uint64_t n, int64_t at)
{
    Pending *p = expect(v, at);
    p->channel = channel;
    p->bytes = g_bytes_new(data, n);
}

/* |n| bytes of which the last one is worked on at |done|, and none before |from|. */
static void send_pieces(MigVirtual *v, uint32_t channel, const uint8_t *data, uint64_t n,
                        int64_t from, int64_t done)
{
    from = MIN(from, done);
    for (uint64_t at = 0; at < n;) {
        uint64_t part = MIN(n - at, PIECE);
        at += part;
        int64_t when = from + (int64_t)((__uint128_t)(uint64_t)(done - from) * at / n);
        send_piece(v, channel, data + at - part, part, when);
    }
}

/* The same of a write, where what is sent as one arrives at once; |work|: the receiver's, ns. */
static void send_segments(MigVirtual *v, const uint8_t *data, uint64_t n, const MigLinkWrite *w,
                          int64_t work)
{
    MigVirtualPostcopy *p = v->postcopy;
    for (uint64_t at = 0; at < n;) {
        uint64_t part = MIN(n - at, PIECE);
        at += part;
        int64_t own = (int64_t)((__uint128_t)(uint64_t)work * part / n);
        p->main_done = MAX(p->main_done, mig_link_arrival(&v->link, w, at)) + own;
        send_piece(v, 0, data + at - part, part, p->main_done);
    }
}

void mig_virtual_late(MigVirtual *v, const uint8_t *data, uint64_t n, const MigLinkWrite *w,
                      int64_t work)
{
    MigVirtualPostcopy *p = v->postcopy;
    if (v->config.link.segment > 1) {
        send_segments(v, data, n, w, work);
    } else {
        int64_t from = MAX(p->main_done, w->done - mig_link_span_of(&v->link, w, n));
        send_pieces(v, 0, data, n, from, w->done);
        p->main_done = w->done;
    }
}

void mig_virtual_answer(MigVirtual *v, const MigRecord *message, const void *payload, int64_t delay)
{
    MigVirtualPostcopy *p = v->postcopy;
    const MigRecordRp *rp = &message->rp;
    int64_t now = v->config.clock->now;
    if (!v->config.source || v->cut) {
        return;
    }
    if (!p->late) { /* it was fed before its bytes had come */
        now = MAX(now, v->link.receiver);
    }
    uint64_t n = mig_record_encode(message, NULL, 0) + message->payload;
    MigLinkWrite w = mig_link_write(&p->back, MAX(now + delay, p->back.busy_since), n, 0);
    Pending *e = expect(v, w.arrived);
    e->message = *message;
    e->payload = payload ? g_memdup2(payload, message->payload) : NULL;
    if (rp->type == MIG_RP_REQ_PAGES_ID) {
        e->name = g_strndup(rp->request.name.text, rp->request.name.len);
        e->message.rp.request.name = mig_str(e->name);
    } else if (rp->type == MIG_RP_RECV_BITMAP) {
        e->name = g_strndup(rp->bitmap.name.text, rp->bitmap.name.len);
        e->message.rp.bitmap.name = mig_str(e->name);
    }
}

static void start_second(MigVirtual *v);

static void hear(MigVirtual *v, const MigRecord *message, const void *payload)
{
    if (v->config.observer.answer) {
        v->config.observer.answer(v->config.observer.opaque, message, payload);
    }
    switch (mig_source_message(v->config.source, message, payload)) {
    case MIG_MESSAGE_BAD:
        mig_virtual_cut(v, "the destination broke the return path's rules");
        break;
    case MIG_MESSAGE_TAKEN:
        v->heard = true;
        break;
    case MIG_MESSAGE_URGENT:
        v->heard = true;
        v->pending = v->pending ? v->pending : MIG_INTERRUPT_URGENT;
        start_second(v);
        break;
    }
}

static void send_preempt(MigVirtual *v);

static void arrive(void *opaque, int64_t at)
{
    Pending *p = opaque;
    MigVirtual *v = p->world;
    (void)at;
    g_queue_remove(&v->postcopy->pending, p);
    if (p->left) {
        v->postcopy->in_line -= p->left;
        send_preempt(v);
    } else if (p->bytes) {
        gsize n;
        const uint8_t *data = g_bytes_get_data(p->bytes, &n);
        mig_virtual_deliver(v, p->channel, data, n, v->config.clock->now);
    } else {
        hear(v, &p->message, p->payload);
    }
    free_pending(p);
}

/* The preempt channel ---------------------------------------------------------------------- */

static void put_preempt(MigVirtual *v, const void *data, size_t n)
{
    g_byte_array_append(v->postcopy->bytes, data, (guint)n);
}

/* |n| bytes of |u| leave the socket. */
static void send_part(MigVirtual *v, Unsent *u, gsize n)
{
    MigVirtualPostcopy *p = v->postcopy;
    gsize size;
    const uint8_t *data = (const uint8_t *)g_bytes_get_data(u->bytes, &size) + u->sent;
    int64_t now = v->config.clock->now, arrived = mig_link_overtake(&v->link, now, n);
    if (!mig_link_has_line(&v->config.link)) { /* there it stands behind its own bytes anyway */
        arrived += MAX(p->preempt_sent - now, 0);
        p->preempt_sent = arrived - v->config.link.latency;
    }
    u->sent += n;
    int64_t heard = arrived > p->preempt_done ? arrived + v->config.receiver.hear : arrived;
    int64_t from = MAX(heard, p->preempt_done);
    p->preempt_done = from + (u->sent == size ? u->work : 0);
    send_pieces(v, p->channel, data, n, from, p->preempt_done);
    if (v->config.link.queue.preempt) {
        p->in_line += n;
        expect(v, arrived + v->config.link.latency)->left = n; /* its acknowledgement */
    }
}

/* As much as may stand in the line. */
static void send_preempt(MigVirtual *v)
{
    MigVirtualPostcopy *p = v->postcopy;
    uint64_t most = v->config.link.queue.preempt;
    Unsent *u;
    while ((u = g_queue_peek_head(&p->unsent)) != NULL && (!most || p->in_line < most)) {
        gsize rest = g_bytes_get_size(u->bytes) - u->sent;
        send_part(v, u, most ? MIN(rest, most - p->in_line) : rest);
        if (u->sent == g_bytes_get_size(u->bytes)) {
            free_unsent(g_queue_pop_head(&p->unsent));
        }
    }
}

static void write_preempt(MigVirtual *v, uint64_t n)
{
    MigVirtualPostcopy *p = v->postcopy;
    if (n > 0 && !v->cut) {
        Unsent *u = g_new(Unsent, 1);
        *u = (Unsent){ g_bytes_new(p->bytes->data, n), 0, (int64_t)(p->work / 1000) };
        p->work %= 1000;
        g_queue_push_tail(&p->unsent, u);
        send_preempt(v);
    }
    g_byte_array_remove_range(p->bytes, 0, (guint)n);
}

/* One page on it; what it costs the sender, ps. */
static int64_t put_page(MigVirtual *v, uint32_t block, uint64_t page, bool named, bool *zero)
{
    MigMemory *m = v->config.memory;
    const MigCosts *c = &v->config.costs, *rc = &v->config.receiver;
    MigVirtualPostcopy *p = v->postcopy;
    *zero = m->ops->is_zero(m, block, page);
    MigRecord r = mig_page_record(m, block, page, named, *zero);
    put_preempt(v, v->encoded, mig_record_encode(&r, v->encoded, MIG_ENCODED_MAX));
    write_preempt(v, mig_outbuf_put(&p->outbuf, named ? 9 : 8));
    write_preempt(v, named ? mig_outbuf_put_piece(&p->outbuf, r.ram.name.len) : 0);
    if (*zero) {
        write_preempt(v, mig_outbuf_put(&p->outbuf, 1));
    } else {
        put_preempt(v, m->ops->read(m, block, page, v->scratch), m->page_size);
        write_preempt(v, mig_outbuf_put_page(&p->outbuf, m->page_size));
    }
    p->work += (uint64_t)(*zero ? rc->receive_zero : rc->receive_page + rc->first_touch);
    p->work += mig_virtual_place_cost(v, block, page);
    return *zero ? c->zero_page : c->normal_page;
}

static int64_t put_pages(MigVirtual *v, const MigOp *op, MigOutcome *out, bool spends)
{
    bool named = op->pages.named, zero;
    uint64_t queued = v->postcopy->outbuf.queued;
    int64_t cost = 0;
    for (uint64_t left = op->pages.dirty; left && !v->cut; left &= left - 1) {
        uint64_t bit = left & -left, page = op->pages.first + (unsigned)__builtin_ctzll(left);
        int64_t own = put_page(v, op->pages.block, page, named, &zero);
        named = false;
        out->sent |= bit;
        out->zero |= zero ? bit : 0;
        cost += own;
        if (spends) {
            mig_virtual_spend_ps(v, own);
        }
    }
    out->queued_bytes += v->postcopy->outbuf.queued - queued;
    return cost;
}

static void flush_preempt(MigVirtual *v, MigOutcome *out)
{
    uint64_t n = mig_outbuf_flush(&v->postcopy->outbuf);
    out->flushed += n;
    write_preempt(v, n);
}

void mig_virtual_preempt(MigVirtual *v, const MigOp *op, MigOutcome *out)
{
    if (op->kind == MIG_OP_SEND_PAGES) {
        put_pages(v, op, out, true);
    } else if (op->kind == MIG_OP_FLUSH) {
        flush_preempt(v, out);
    } else if (op->kind == MIG_OP_SEND) {
        size_t n = mig_record_encode(op->send.record, v->encoded, MIG_ENCODED_MAX);
        put_preempt(v, v->encoded, n);
        write_preempt(v, mig_outbuf_put(&v->postcopy->outbuf, n));
    }
}

/* The second machine ----------------------------------------------------------------------- */

static void second_step(void *opaque, int64_t at);

/* The operation begins in |wait| ns; it ends, and shows, when it has cost what it costs. */
static void begin_step(MigVirtual *v, int64_t wait)
{
    const MigOp *op = v->postcopy->op;
    int64_t cost = wait;
    if (op->kind == MIG_OP_SEND_PAGES) {
        cost += (int64_t)__builtin_popcountll(op->pages.dirty) * v->config.costs.normal_page / 1000;
    }
    v->postcopy->step = mig_events_add(&v->events, v->config.clock->now + cost, second_step, v);
}

static void second_step(void *opaque, int64_t at)
{
    MigVirtual *v = opaque;
    MigOutcome out = { .now = at };
    if (v->postcopy->op->kind == MIG_OP_SEND_PAGES) {
        put_pages(v, v->postcopy->op, &out, false);
    } else {
        flush_preempt(v, &out);
    }
    out.interrupt = v->cut ? MIG_INTERRUPT_ERROR : MIG_UNINTERRUPTED;
    v->postcopy->op = mig_source_urgent_next(v->config.source, &out);
    if (v->postcopy->op) {
        begin_step(v, 0);
    }
}

static void start_second(MigVirtual *v)
{
    if (!v->postcopy->op && !v->cut) {
        v->postcopy->op = mig_source_urgent_next(v->config.source, NULL);
        if (v->postcopy->op) {
            begin_step(v, v->config.costs.hear);
        }
    }
}

static void stop_second(MigVirtual *v)
{
    while (v->postcopy->op) { /* its step finds nothing any more */
        MigOutcome out = { .now = v->config.clock->now, .interrupt = MIG_INTERRUPT_ERROR };
        v->postcopy->op = mig_source_urgent_next(v->config.source, &out);
    }
    mig_events_cancel(&v->events, v->postcopy->step);
}

/* Lines ------------------------------------------------------------------------------------ */

void mig_virtual_packaged(MigVirtual *v)
{
    v->postcopy->late = true;
    v->postcopy->main_done = v->link.receiver;
}

/* The destination learns of it at once; what is on its way is lost. */
void mig_virtual_line_breaks(MigVirtual *v)
{
    if (v->config.source && !v->postcopy->broken) {
        v->postcopy->broken = true;
        lose(v);
        if (v->config.sink.broken) {
            v->config.sink.broken(v->config.sink.opaque);
        }
    }
}

void mig_virtual_take_down(MigVirtual *v)
{
    v->postcopy->down = true;
}

void mig_virtual_restore(MigVirtual *v)
{
    v->postcopy->down = false;
}

void mig_virtual_drop(MigVirtual *v)
{
    MigVirtualPostcopy *p = v->postcopy;
    mig_virtual_line_breaks(v);
    stop_second(v);
    mig_outbuf_flush(&v->outbuf);
    mig_outbuf_flush(&p->outbuf);
    if (v->bytes) {
        g_byte_array_set_size(v->bytes, 0);
    }
    g_byte_array_set_size(p->bytes, 0);
    mig_link_clear(&v->link);
    mig_link_clear(&p->back);
    mig_link_init(&v->link, &v->config.link);
    init_back(v);
    v->link.receiver = v->config.clock->now;
    p->main_done = p->preempt_done = p->preempt_sent = 0;
    v->work = p->work = v->work_given = 0;
    v->cut = NULL;
    v->sink_failed = false;
}

void mig_virtual_connected(MigVirtual *v)
{
    if (v->postcopy->down) {
        v->cut = "Connection refused";
    } else if (v->postcopy->broken) {
        v->postcopy->broken = false;
        if (v->config.sink.connected && !v->config.sink.connected(v->config.sink.opaque)) {
            v->cut = "Connection refused";
            v->postcopy->broken = true;
        }
    }
}

void mig_virtual_wait_answer(MigVirtual *v)
{
    v->heard = false;
    mig_virtual_advance(v, v->config.clock->now + MIG_VIRTUAL_RETURN_POLL,
                        MIG_BY_CUT | MIG_BY_ANY_SIGNAL | MIG_BY_ANSWER);
}

void mig_virtual_wait_recover(MigVirtual *v)
{
    mig_virtual_advance(v, v->config.clock->now + RECOVER_POLL, MIG_BY_ANY_SIGNAL);
}

void mig_virtual_postcopy_close(MigVirtual *v)
{
    if (v->config.source) {
        stop_second(v);
        lose(v);
    }
}
