/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link, see link.h. Model: two servers in a row. The wire serves bytes in order at its rate;
 * the receiver works on one write after the other, each when its last byte has arrived. A writer
 * is held while more than send_buffer bytes wait for the wire, or more than both buffers and what
 * is in flight wait for the receiver.
 *
 * A wire whose rate varies is asked in three places: where the buffer runs empty, where its
 * oldest byte is when the writer goes on, and where it is now. Each of them only goes forward, so
 * a change of the rate costs a step for each, whatever is written.
 */
#include "sim/world/link.h"

#include <glib.h>
#include <stdbool.h>

#include "sim/world/clock.h"

#define PAYLOAD 1448u /* of an Ethernet frame with TCP over IPv4 and timestamps */
#define FRAME   1538u /* with headers, preamble and gap */
#define HORIZON (100 * 86400 * MIG_NS_PER_S)

static bool is_framed(const MigLinkConfig *c)
{
    return c->framing == MIG_FRAMING_ETHERNET_TCP;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b > 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Two products below 2^64, of any bandwidth up to 10^16 bit/s; 0 and 1 of an endless one. */
static void find_ratio(MigLink *l, const MigLinkConfig *c)
{
    l->up = (is_framed(c) ? FRAME : 1) * 8 * MIG_NS_PER_S;
    l->down = c->bandwidth * (is_framed(c) ? PAYLOAD : 1);
    uint64_t divisor = common_divisor(l->up, l->down);
    l->up = l->down ? l->up / divisor : 0;
    l->down = l->down ? l->down / divisor : 1;
}

static bool varies(const MigLinkConfig *c)
{
    return c->trace.count > 0 || c->background.load.count > 0 || c->bucket.rate > 0;
}

static void make_wire(MigLink *l, const MigLinkConfig *c)
{
    const MigWireConfig config = {
        .bandwidth = c->bandwidth,
        .trace = c->trace,
        .background = c->background,
        .bucket = c->bucket,
        .flows = c->flows ? c->flows : 1,
        .payload = is_framed(c) ? PAYLOAD : 1,
        .frame = is_framed(c) ? FRAME : 1,
        .horizon = c->horizon ? c->horizon : HORIZON,
    };
    mig_wire_init(&l->wire, &config);
    l->first = mig_wire_begin(&l->wire, 0, l->wire.burst);
    l->end = l->freed = l->seen = l->first;
}

void mig_link_init(MigLink *l, const MigLinkConfig *config)
{
    *l = (MigLink){ .config = *config, .varies = varies(config) };
    find_ratio(l, config);
    if (l->varies) {
        make_wire(l, config);
    }
    if (!l->config.send_buffer) {
        l->config.send_buffer = MIG_LINK_SEND_BUFFER;
    }
    if (!l->config.receive_buffer) {
        l->config.receive_buffer = MIG_LINK_RECEIVE_BUFFER;
    }
    __uint128_t flight =
        (__uint128_t)(l->config.bandwidth / 8) * (uint64_t)l->config.latency / MIG_NS_PER_S;
    l->room = l->config.send_buffer + l->config.receive_buffer + (uint64_t)flight;
}

void mig_link_clear(MigLink *l)
{
    g_free(l->chunks.chunks);
    g_free(l->passing.chunks);
    *l = (MigLink){ 0 };
}

MigLinkConfig mig_link_reverse(const MigLinkConfig *c)
{
    MigLinkConfig back = *c;
    back.background = c->reverse;
    back.reverse = c->background;
    back.bucket = (MigTokenBucket){ 0 };
    back.flows = 1; /* answers have one way */
    return back;
}

int64_t mig_link_span(const MigLinkConfig *c, uint64_t n)
{
    if (c->bandwidth == 0) {
        return 0;
    }
    __uint128_t up = (__uint128_t)n * (is_framed(c) ? FRAME : 1) * 8 * MIG_NS_PER_S;
    __uint128_t down = (__uint128_t)c->bandwidth * (is_framed(c) ? PAYLOAD : 1);
    return (int64_t)((up + down - 1) / down);
}

/* The same by the ratio, with as short a division as will do: it is asked twice per write. */
static int64_t span_of(const MigLink *l, uint64_t n)
{
    uint64_t small;
    if (__builtin_mul_overflow(n, l->up, &small) || small > UINT64_MAX - l->down) {
        return (int64_t)(((__uint128_t)n * l->up + l->down - 1) / l->down);
    }
    return (int64_t)((small + l->down - 1) / l->down);
}

static MigAmount amount_of(const MigLink *l, uint64_t n)
{
    return (MigAmount)n * l->wire.per_byte;
}

/* When the wire has taken the first |n| bytes of the busy period; |p|: where to look for it. */
static int64_t departed(const MigLink *l, MigWirePiece *p, uint64_t n)
{
    if (!l->varies) {
        return l->busy_since + span_of(l, n);
    }
    if (p->left >= amount_of(l, n)) { /* the buffer has grown, or nothing came */
        *p = l->first;
    }
    return mig_wire_reaches(&l->wire, p, amount_of(l, n));
}

int64_t mig_link_span_at(const MigLink *l, int64_t at, uint64_t n)
{
    if (!l->varies) {
        return mig_link_span(&l->config, n);
    }
    MigWirePiece p = mig_wire_begin(&l->wire, at, l->wire.burst);
    return mig_wire_reaches(&l->wire, &p, amount_of(l, n)) - at;
}

int64_t mig_link_span_of(const MigLink *l, const MigLinkWrite *w, uint64_t n)
{
    return l->varies ? w->arrived - l->config.latency - w->began : mig_link_span(&l->config, n);
}

/* The buffer was empty until |at|, when something comes. */
static void begin_period(MigLink *l, int64_t at)
{
    if (l->varies) {
        MigAmount tokens = mig_wire_tokens(&l->wire, &l->end, at, amount_of(l, l->busy_bytes));
        l->first = mig_wire_begin(&l->wire, at, tokens);
        l->end = l->freed = l->seen = l->first;
    }
    l->busy_since = at;
    l->busy_bytes = 0;
}

/* It has got |n| bytes more. */
static void lengthen_period(MigLink *l, uint64_t n)
{
    l->busy_bytes += n;
    l->empty_at = departed(l, &l->end, l->busy_bytes);
}

/* What the wire had taken by |now|. */
static MigAmount taken(MigLink *l, int64_t now)
{
    if (now < l->seen.at) {
        l->seen = l->first;
    }
    return mig_wire_left(&l->wire, &l->seen, now);
}

/* The largest n with departed(n) <= now, a time before empty_at. */
static uint64_t departed_by(const MigLink *l, int64_t now)
{
    __uint128_t ns = (uint64_t)(now - l->busy_since);
    return now > l->busy_since ? (uint64_t)(ns * l->down / l->up) : 0;
}

/* Bytes of the period that have left by |now|. */
static uint64_t left_by(MigLink *l, int64_t now)
{
    if (now >= l->empty_at) {
        return l->busy_bytes;
    }
    return l->varies ? (uint64_t)(taken(l, now) / l->wire.per_byte) : departed_by(l, now);
}

uint64_t mig_link_queued(MigLink *l, int64_t now)
{
    return l->busy_bytes - left_by(l, now);
}

static MigLinkChunk *chunk(const MigLinkRing *r, size_t i)
{
    return &r->chunks[(r->head + i) & (r->cap - 1)];
}

static void push_chunk(MigLinkRing *r, MigLinkChunk c)
{
    if (r->count == r->cap) {
        MigLinkRing grown = { .count = r->count, .cap = r->cap ? r->cap * 2 : 64 };
        grown.chunks = g_new(MigLinkChunk, grown.cap);
        for (size_t i = 0; i < r->count; i++) {
            *chunk(&grown, i) = *chunk(r, i);
        }
        g_free(r->chunks);
        *r = grown;
    }
    r->count++;
    *chunk(r, r->count - 1) = c;
}

/* Drops what is done by |now|; the bytes up to and with the last such go to |end|. */
static void drop_chunks(MigLinkRing *r, int64_t now, uint64_t *end)
{
    while (r->count && chunk(r, 0)->done <= now) {
        *end = chunk(r, 0)->end;
        r->head = (r->head + 1) & (r->cap - 1);
        r->count--;
    }
}

/*
 * When the receiver leaves room for the |n| bytes to come; drops chunks that are history by |now|.
 * One that is waited for stays: another channel may write before that, and waits for it, too.
 */
static int64_t receiver_has_room(MigLink *l, int64_t now, uint64_t n)
{
    uint64_t total = l->accepted + n, wanted = total > l->room ? total - l->room : 0;
    int64_t at = now;
    drop_chunks(&l->chunks, now, &l->worked);
    uint64_t worked = l->worked;
    for (size_t i = 0; i < l->chunks.count && worked < wanted; i++) {
        worked = chunk(&l->chunks, i)->end;
        at = chunk(&l->chunks, i)->done;
    }
    return at;
}

/* When |n| bytes more than what has left by |now| have; |now|: while the period lasts. */
static int64_t overtaken(MigLink *l, int64_t now, uint64_t n)
{
    if (!l->varies) {
        return now + mig_link_span(&l->config, n);
    }
    if (now < l->busy_since) { /* the writer waits for the receiver; the wire is free */
        MigWirePiece p = mig_wire_begin(&l->wire, now, l->first.tokens);
        return mig_wire_reaches(&l->wire, &p, amount_of(l, n));
    }
    MigAmount target = taken(l, now) + amount_of(l, n);
    MigWirePiece p = l->seen;
    return mig_wire_reaches(&l->wire, &p, target);
}

bool mig_link_has_line(const MigLinkConfig *c)
{
    return c->bucket.rate > 0 || c->queue.main > 0;
}

/* Of |queued| bytes those that stand in the line in front of whoever comes |now|. */
static uint64_t in_line(MigLink *l, int64_t now, uint64_t queued)
{
    if (l->config.queue.main == 0) {
        return queued;
    }
    drop_chunks(&l->passing, now, &l->passed_by);
    uint64_t beside = MIN(l->passed - l->passed_by, queued);
    return beside + MIN(queued - beside, l->config.queue.main);
}

int64_t mig_link_overtake(MigLink *l, int64_t now, uint64_t n)
{
    uint64_t queued = mig_link_queued(l, now);
    if (queued == 0) {
        begin_period(l, now);
    }
    bool line = mig_link_has_line(&l->config);
    int64_t at = overtaken(l, now, n + (line ? in_line(l, now, queued) : MIN(queued, n)));
    lengthen_period(l, n);
    if (l->config.queue.main) {
        l->passed += n;
        push_chunk(&l->passing, (MigLinkChunk){ .end = l->passed, .done = at });
    }
    return at + l->config.latency;
}

/* When the last byte of the period fits into the buffer, whose writer is there at |now|. */
static int64_t buffer_has_room(MigLink *l, int64_t now)
{
    const MigLinkConfig *c = &l->config;
    if (l->busy_bytes <= c->send_buffer) {
        return now;
    }
    uint64_t over = l->busy_bytes - c->send_buffer;
    if (c->send_wake > 1) {
        uint64_t left = left_by(l, now);
        if (left >= over) {
            return now;
        }
        over = left + (over - left + c->send_wake - 1) / c->send_wake * c->send_wake;
    }
    int64_t at = departed(l, &l->freed, over);
    return at > now ? at : now;
}

MigLinkWrite mig_link_write(MigLink *l, int64_t now, uint64_t n, int64_t work)
{
    int64_t start = receiver_has_room(l, now, n);
    MigLinkWrite w = { .accepted = start,
                       .start = start,
                       .began = start > l->empty_at ? start : l->empty_at };
    if (start >= l->empty_at) {
        begin_period(l, start);
    }
    w.offset = l->busy_bytes;
    lengthen_period(l, n);
    l->accepted += n;
    w.accepted = buffer_has_room(l, start);
    w.arrived = l->empty_at + l->config.latency;
    w.done = (w.arrived > l->receiver ? w.arrived : l->receiver) + work;
    l->receiver = w.done;
    push_chunk(&l->chunks, (MigLinkChunk){ .end = l->accepted, .done = w.done });
    return w;
}

int64_t mig_link_arrival(const MigLink *l, const MigLinkWrite *w, uint64_t n)
{
    uint64_t size = MAX(l->config.segment, 1), from = (w->offset + n - 1) / size * size;
    MigWirePiece p = l->first;
    bool waits = from > 0 && departed(l, &p, from) > w->start;
    uint64_t end = waits ? from + size : MIN(from + size, l->busy_bytes);
    p = l->first;
    return departed(l, &p, end) + l->config.latency;
}
