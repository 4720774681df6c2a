/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link, see link.h. Model: two servers in a row. The wire serves bytes in order at its rate;
 * the receiver works on one write after the other, each when its last byte has arrived. A writer
 * is held while more than send_buffer bytes wait for the wire, or more than both buffers and what
 * is in flight wait for the receiver.
 */
#include "sim/world/link.h"

#include <glib.h>
#include <stdbool.h>

#include "sim/world/clock.h"

#define PAYLOAD 1448u /* of an Ethernet frame with TCP over IPv4 and timestamps */
#define FRAME   1538u /* with headers, preamble and gap */

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

void mig_link_init(MigLink *l, const MigLinkConfig *config)
{
    *l = (MigLink){ .config = *config };
    find_ratio(l, config);
    if (!l->config.send_buffer) {
        l->config.send_buffer = MIG_LINK_SEND_BUFFER;
    }
    if (!l->config.receive_buffer) {
        l->config.receive_buffer = MIG_LINK_RECEIVE_BUFFER;
    }
}

void mig_link_clear(MigLink *l)
{
    g_free(l->chunks);
    *l = (MigLink){ 0 };
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

/* The same by the ratio, with as short a division as will do: it is asked thrice per write. */
static int64_t span_of(const MigLink *l, uint64_t n)
{
    uint64_t small;
    if (__builtin_mul_overflow(n, l->up, &small) || small > UINT64_MAX - l->down) {
        return (int64_t)(((__uint128_t)n * l->up + l->down - 1) / l->down);
    }
    return (int64_t)((small + l->down - 1) / l->down);
}

/* When the wire has taken the first |n| bytes of the busy period. */
static int64_t departed(const MigLink *l, uint64_t n)
{
    return l->busy_since + span_of(l, n);
}

uint64_t mig_link_queued(const MigLink *l, int64_t now)
{
    /* The largest n with departed(n) <= now, found from the inverse and corrected by rounding. */
    if (l->busy_bytes == 0 || now >= departed(l, l->busy_bytes)) {
        return 0;
    }
    uint64_t low = 0, high = l->busy_bytes;
    while (low < high) {
        uint64_t mid = low + (high - low + 1) / 2;
        if (departed(l, mid) <= now) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    return l->busy_bytes - low;
}

static void push_chunk(MigLink *l, MigLinkChunk chunk)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        MigLinkChunk *grown = g_new(MigLinkChunk, cap);
        for (size_t i = 0; i < l->count; i++) {
            grown[i] = l->chunks[(l->head + i) % l->cap];
        }
        g_free(l->chunks);
        l->chunks = grown;
        l->cap = cap;
        l->head = 0;
    }
    l->chunks[(l->head + l->count++) % l->cap] = chunk;
}

/* When the receiver leaves room for the |n| bytes to come; drops chunks that are history by then.
 */
static int64_t receiver_has_room(MigLink *l, int64_t now, uint64_t n)
{
    __uint128_t flight =
        (__uint128_t)(l->config.bandwidth / 8) * (uint64_t)l->config.latency / MIG_NS_PER_S;
    uint64_t room = l->config.send_buffer + l->config.receive_buffer + (uint64_t)flight;
    uint64_t total = l->accepted + n;
    int64_t at = now;
    while (l->count) {
        MigLinkChunk c = l->chunks[l->head];
        bool wanted = total > room && l->worked < total - room;
        if (c.done > at && !wanted) {
            break;
        }
        at = c.done > at ? c.done : at;
        l->worked = c.end;
        l->head = (l->head + 1) % l->cap;
        l->count--;
    }
    return at;
}

int64_t mig_link_overtake(MigLink *l, int64_t now, uint64_t n)
{
    uint64_t queued = mig_link_queued(l, now);
    if (queued == 0) {
        l->busy_since = now;
        l->busy_bytes = 0;
    }
    l->busy_bytes += n;
    return now + mig_link_span(&l->config, n + (queued < n ? queued : n)) + l->config.latency;
}

MigLinkWrite mig_link_write(MigLink *l, int64_t now, uint64_t n, int64_t work)
{
    int64_t start = receiver_has_room(l, now, n);
    if (start >= departed(l, l->busy_bytes)) {
        l->busy_since = start;
        l->busy_bytes = 0;
    }
    l->busy_bytes += n;
    l->accepted += n;
    MigLinkWrite w = { .accepted = start };
    if (l->busy_bytes > l->config.send_buffer) {
        int64_t at = departed(l, l->busy_bytes - l->config.send_buffer);
        w.accepted = at > start ? at : start;
    }
    w.arrived = departed(l, l->busy_bytes) + l->config.latency;
    w.done = (w.arrived > l->receiver ? w.arrived : l->receiver) + work;
    l->receiver = w.done;
    push_chunk(l, (MigLinkChunk){ .end = l->accepted, .done = w.done });
    return w;
}
