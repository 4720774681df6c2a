/* SPDX-License-Identifier: Apache-2.0 */
/* The plain simulator's link, see reference-link.h. */
#include "tests/unit/reference-link.h"

#define PAYLOAD  (l->c.framing == MIG_FRAMING_ETHERNET_TCP ? 1448u : 1u)
#define FRAME    (l->c.framing == MIG_FRAMING_ETHERNET_TCP ? 1538u : 1u)
#define REFILL   ((ReferenceAmount)l->c.bucket.rate * PAYLOAD) /* in 1 ns */
#define BURST    ((ReferenceAmount)l->c.bucket.burst * 8000000000u * PAYLOAD)
#define PER_BYTE ((ReferenceAmount)8000000000u * FRAME)
#define FOREVER  INT64_MAX

/* A time with one rate: what is still to be sent when it begins, and what the bucket has. */
typedef struct Piece {
    int64_t at, until;
    ReferenceAmount rate, rest, tokens;
} Piece;

typedef struct Write {
    uint64_t end; /* bytes accepted up to and with it */
    int64_t done; /* ns, when the receiver has worked on it */
} Write;

void reference_link_init(ReferenceLink *l, const MigLinkConfig *c, uint32_t flows, int64_t horizon)
{
    bool varies = c->trace.count || c->background.load.count || c->bucket.rate;
    *l = (ReferenceLink){ .c = *c };
    l->c.flows = flows;
    l->c.horizon = varies ? horizon : FOREVER - 1;
    l->c.send_buffer = c->send_buffer ? c->send_buffer : 4u << 20;
    l->c.receive_buffer = c->receive_buffer ? c->receive_buffer : 6u << 20;
    l->room = l->c.send_buffer + l->c.receive_buffer;
    l->tokens = BURST;
    l->writes = g_array_new(FALSE, FALSE, sizeof(Write));
}

void reference_link_clear(ReferenceLink *l)
{
    g_array_unref(l->writes);
}

/* The last point that has come by |at|. */
static uint64_t rate_of(const MigRates *r, int64_t at, int64_t *until)
{
    int64_t round = r->period ? at / r->period * r->period : 0;
    uint64_t rate = 0;
    int64_t end = r->period ? round + r->period : FOREVER;
    for (size_t i = 0; i < r->count; i++) {
        int64_t from = round + r->points[i].at;
        rate = from <= at ? r->points[i].rate : rate;
        end = from > at ? MIN(end, from) : end;
    }
    *until = MIN(*until, end);
    return rate;
}

static Piece piece_at(const ReferenceLink *l, int64_t at, ReferenceAmount rest,
                      ReferenceAmount tokens)
{
    const MigBackground *b = &l->c.background;
    Piece p = { .at = at, .until = FOREVER, .rest = rest, .tokens = MIN(tokens, BURST) };
    uint64_t rate = l->c.trace.count ? rate_of(&l->c.trace, at, &p.until) : l->c.bandwidth;
    if (b->load.count) {
        uint64_t fair = (uint64_t)((ReferenceAmount)rate * b->flows / (b->flows + l->c.flows));
        rate -= MIN(fair, rate_of(&b->load, at, &p.until));
    }
    rate = l->c.bucket.peak ? MIN(rate, l->c.bucket.peak) : rate;
    p.rate = (ReferenceAmount)rate * PAYLOAD;
    return p;
}

/* What can leave within |ns| of a piece. */
static ReferenceAmount gone(const ReferenceLink *l, const Piece *p, int64_t ns)
{
    ReferenceAmount wire = p->rate * (uint64_t)ns, bucket = p->tokens + REFILL * (uint64_t)ns;
    return REFILL > 0 && p->rate > REFILL ? MIN(wire, bucket) : wire;
}

static void next_piece(const ReferenceLink *l, Piece *p)
{
    int64_t ns = p->until - p->at;
    ReferenceAmount left = gone(l, p, ns);
    *p = piece_at(l, p->until, p->rest - left, p->tokens + REFILL * (uint64_t)ns - left);
}

/* When the first |n| of the busy period have left; |p|: the piece in which that is. */
static int64_t reaches(const ReferenceLink *l, ReferenceAmount n, Piece *p)
{
    *p = piece_at(l, l->since, n, l->tokens);
    while (p->until <= l->c.horizon && gone(l, p, p->until - p->at) < p->rest) {
        next_piece(l, p);
    }
    if (p->rest == 0 || (l->c.bandwidth == 0 && !l->c.trace.count)) {
        return p->at;
    }
    ReferenceAmount ns = p->rate ? (p->rest + p->rate - 1) / p->rate : FOREVER;
    ReferenceAmount most = (uint64_t)MAX(l->c.horizon + 1 - p->at, 0);
    if (ns < most && gone(l, p, (int64_t)ns) < p->rest) {
        ns = (p->rest - p->tokens + REFILL - 1) / REFILL;
    }
    return p->at + (int64_t)MIN(ns, most);
}

static int64_t leaves(const ReferenceLink *l, uint64_t bytes, Piece *p)
{
    return reaches(l, bytes * PER_BYTE, p);
}

/* What of the busy period has left by |now|. */
static ReferenceAmount taken(const ReferenceLink *l, int64_t now)
{
    ReferenceAmount all = l->bytes * PER_BYTE;
    Piece p = piece_at(l, l->since, all, l->tokens);
    if (now <= l->since || now >= leaves(l, l->bytes, &p)) {
        return now <= l->since ? 0 : all;
    }
    for (p = piece_at(l, l->since, all, l->tokens); p.until <= now;) {
        next_piece(l, &p);
    }
    return all - p.rest + gone(l, &p, now - p.at);
}

static void begin_period(ReferenceLink *l, int64_t at)
{
    Piece p;
    leaves(l, l->bytes, &p);
    l->tokens = MIN(p.tokens + REFILL * (uint64_t)(at - p.at) - p.rest, BURST);
    l->since = at;
    l->bytes = 0;
}

#define WRITE(i, what) g_array_index(l->writes, Write, i).what

/* When the receiver has worked on so much that |n| bytes more fit into all buffers. */
static int64_t has_room(ReferenceLink *l, int64_t now, uint64_t n)
{
    uint64_t flight =
        (uint64_t)((ReferenceAmount)(l->c.bandwidth / 8) * (uint64_t)l->c.latency / 1000000000);
    uint64_t room = l->room + flight;
    uint64_t wanted = l->accepted + n > room ? l->accepted + n - room : 0;
    while (l->writes->len > 0 && WRITE(0, done) <= now) {
        l->worked = WRITE(0, end);
        g_array_remove_index(l->writes, 0);
    }
    int64_t at = now;
    uint64_t worked = l->worked;
    for (guint i = 0; i < l->writes->len && worked < wanted; i++) {
        worked = WRITE(i, end);
        at = WRITE(i, done);
    }
    return at;
}

/* When the last byte fits into the buffer; who sleeps in front of a full one wakes for |wake|. */
static int64_t fits(const ReferenceLink *l, int64_t now)
{
    uint64_t over = l->bytes - MIN(l->bytes, l->c.send_buffer), wake = MAX(l->c.send_wake, 1);
    uint64_t left = (uint64_t)(taken(l, now) / PER_BYTE);
    Piece p;
    return left >= over ? now : leaves(l, left + (over - left + wake - 1) / wake * wake, &p);
}

ReferenceWrite reference_link_write(ReferenceLink *l, int64_t now, uint64_t n, int64_t work)
{
    int64_t start = has_room(l, now, n);
    Piece p;
    int64_t empty = leaves(l, l->bytes, &p);
    ReferenceWrite w = { .began = MAX(start, empty) };
    if (start >= empty) {
        begin_period(l, start);
    }
    l->bytes += n;
    l->accepted += n;
    w.accepted = fits(l, start);
    w.arrived = leaves(l, l->bytes, &p) + l->c.latency;
    w.done = l->receiver = MAX(w.arrived, l->receiver) + work;
    Write write = { l->accepted, w.done };
    g_array_append_val(l->writes, write);
    return w;
}

int64_t reference_link_overtake(ReferenceLink *l, int64_t now, uint64_t n)
{
    Piece p;
    bool idle = now >= leaves(l, l->bytes, &p);
    uint64_t queued = idle ? 0 : l->bytes - (uint64_t)(taken(l, now) / PER_BYTE);
    if (queued == 0) {
        begin_period(l, now);
    }
    uint64_t before = l->c.bucket.rate > 0 ? queued : MIN(queued, n);
    ReferenceLink other = *l;
    other.since = MIN(l->since, now); /* ahead of a writer that waits for the receiver */
    int64_t at = reaches(&other, taken(l, now) + (n + before) * PER_BYTE, &p);
    l->bytes += n;
    return at + l->c.latency;
}

int64_t reference_link_span(const ReferenceLink *l, const ReferenceWrite *w, uint64_t n)
{
    const MigLinkConfig *c = &l->c;
    ReferenceLink other = *l;
    Piece p;
    other.since = 0;
    bool varies = c->trace.count || c->background.load.count || c->bucket.rate;
    return varies ? w->arrived - c->latency - w->began : leaves(&other, n, &p);
}

void reference_link_init_back(ReferenceLink *l, const MigLinkConfig *c, int64_t horizon)
{
    MigLinkConfig back = *c;
    back.background = c->reverse;
    back.bucket = (MigTokenBucket){ 0 };
    reference_link_init(l, &back, 1, horizon);
}

int64_t reference_link_answer(const MigLinkConfig *c, int64_t horizon, int64_t at, uint64_t n)
{
    ReferenceLink l;
    Piece p;
    reference_link_init_back(&l, c, horizon);
    l.since = at;
    int64_t left = leaves(&l, n, &p);
    reference_link_clear(&l);
    return left + c->latency;
}
