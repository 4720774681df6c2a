/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP out of captured packets, see tcp.h. Sequence numbers are compared by their signed difference,
 * so a flow may be longer than 4 GiB. A retransmission gives only what is new in it.
 *
 * Limits: IP fragments are not put together (TCP avoids them); IPv6 extension headers are passed
 * over.
 */
#include "sim/record/tcp.h"

#include <pcap/dlt.h>
#include <string.h>

#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_IPV6 0x86ddu
#define ETHERTYPE_VLAN 0x8100u
#define ETHERTYPE_QINQ 0x88a8u
#define PROTOCOL_TCP   6u

/* Where the network header is, and how its type is known. */
static const struct {
    int link_type;
    size_t header;    /* bytes */
    int ethertype_at; /* -1: the first nibble of the packet tells */
} links[] = {
    { DLT_EN10MB, 14, 12 },
    { DLT_LINUX_SLL, 16, 14 },
    { DLT_LINUX_SLL2, 20, 0 },
    { DLT_NULL, 4, -1 },
    { DLT_LOOP, 4, -1 },
    { DLT_RAW, 0, -1 },
    { DLT_IPV4, 0, -1 },
    { DLT_IPV6, 0, -1 },
    { 101 /* LINKTYPE_RAW as files have it */, 0, -1 },
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

bool mig_tcp_link_is_known(int link_type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(links); i++) {
        if (links[i].link_type == link_type) {
            return true;
        }
    }
    return false;
}

bool mig_tcp_end_equal(const MigTcpEnd *a, const MigTcpEnd *b)
{
    return a->port == b->port && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

/* The offset of the IP header, or SIZE_MAX. */
static size_t find_network(int link_type, const uint8_t *frame, size_t n)
{
    for (size_t i = 0; i < G_N_ELEMENTS(links); i++) {
        if (links[i].link_type != link_type || n < links[i].header) {
            continue;
        }
        size_t at = links[i].header;
        if (links[i].ethertype_at < 0) {
            return at;
        }
        uint16_t type = be16(frame + links[i].ethertype_at);
        while ((type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ) && n >= at + 4) {
            type = be16(frame + at + 2);
            at += 4;
        }
        return type == ETHERTYPE_IPV4 || type == ETHERTYPE_IPV6 ? at : SIZE_MAX;
    }
    return SIZE_MAX;
}

typedef struct Packet {
    const uint8_t *data; /* of the transport */
    size_t n;            /* captured */
    size_t length;       /* as the header says; 0: a segment that a network card was to cut up */
} Packet;

static bool parse_ipv4(const uint8_t *p, size_t n, MigTcpSegment *s, Packet *out)
{
    size_t header = n >= 20 ? (size_t)(p[0] & 0xf) * 4 : 0;
    if (header < 20 || n < header || p[9] != PROTOCOL_TCP || (be16(p + 6) & 0x3fff)) {
        return false;
    }
    size_t total = be16(p + 2);
    memcpy(s->from.address + 12, p + 12, 4);
    memcpy(s->to.address + 12, p + 16, 4);
    *out = (Packet){ p + header, n - header, total > header ? total - header : 0 };
    return true;
}

static bool parse_ipv6(const uint8_t *p, size_t n, MigTcpSegment *s, Packet *out)
{
    size_t at = 40;
    if (n < at) {
        return false;
    }
    size_t total = be16(p + 4);
    uint8_t next = p[6];
    memcpy(s->from.address, p + 8, 16);
    memcpy(s->to.address, p + 24, 16);
    while ((next == 0 || next == 43 || next == 60) && n >= at + 8) {
        size_t length = ((size_t)p[at + 1] + 1) * 8;
        next = p[at];
        at += length;
    }
    if (next != PROTOCOL_TCP || n < at) {
        return false;
    }
    *out = (Packet){ p + at, n - at, total > at - 40 ? total - (at - 40) : 0 };
    return true;
}

bool mig_tcp_parse(int link_type, const uint8_t *frame, size_t n, MigTcpSegment *s)
{
    size_t at = find_network(link_type, frame, n);
    Packet p;
    memset(s, 0, sizeof(*s));
    if (at >= n) {
        return false;
    }
    unsigned version = frame[at] >> 4;
    if (!(version == 4   ? parse_ipv4(frame + at, n - at, s, &p)
          : version == 6 ? parse_ipv6(frame + at, n - at, s, &p)
                         : false)) {
        return false;
    }
    size_t header = p.n >= 20 ? (size_t)(p.data[12] >> 4) * 4 : 0;
    size_t length = p.length ? p.length : p.n;
    if (header < 20 || p.n < header || length < header) {
        return false;
    }
    s->from.port = be16(p.data);
    s->to.port = be16(p.data + 2);
    s->seq = be32(p.data + 4);
    s->fin = p.data[13] & 1;
    s->syn = p.data[13] & 2;
    s->rst = p.data[13] & 4;
    s->ack = p.data[13] & 16;
    s->data = p.data + header;
    s->n = MIN(p.n, length) - header; /* behind the segment there may be padding */
    s->cut = length - header - s->n;
    return true;
}

/* Flows ------------------------------------------------------------------------------------ */

typedef struct Held {
    uint32_t seq;
    size_t n;
    uint8_t data[];
} Held;

void mig_tcp_flow_init(MigTcpFlow *f)
{
    *f = (MigTcpFlow){ 0 };
    g_queue_init(&f->held);
}

void mig_tcp_flow_clear(MigTcpFlow *f)
{
    g_queue_clear_full(&f->held, g_free);
    f->held_bytes = 0;
}

static int32_t ahead(const MigTcpFlow *f, uint32_t seq)
{
    return (int32_t)(seq - f->next);
}

static void hold(MigTcpFlow *f, uint32_t seq, const uint8_t *data, size_t n)
{
    GList *behind = f->held.tail;
    while (behind && ahead(f, ((Held *)behind->data)->seq) > ahead(f, seq)) {
        behind = behind->prev;
    }
    Held *h = g_malloc(sizeof(*h) + n);
    h->seq = seq;
    h->n = n;
    memcpy(h->data, data, n);
    if (behind) {
        g_queue_insert_after(&f->held, behind, h);
    } else {
        g_queue_push_head(&f->held, h);
    }
    f->held_bytes += n;
    f->broken = f->held_bytes > MIG_TCP_HELD;
}

/* The part of the segment that is new, which begins at or in front of |next|. */
static bool give_new(MigTcpFlow *f, uint32_t seq, const uint8_t *data, size_t n, MigTcpGive give,
                     void *opaque)
{
    size_t old = (size_t)-ahead(f, seq);
    if (old >= n) {
        return true;
    }
    f->next += (uint32_t)(n - old);
    f->passed += n - old;
    return give(opaque, data + old, n - old);
}

static bool drain(MigTcpFlow *f, MigTcpGive give, void *opaque)
{
    Held *h;
    while ((h = g_queue_peek_head(&f->held)) && ahead(f, h->seq) <= 0) {
        g_queue_pop_head(&f->held);
        f->held_bytes -= h->n;
        bool fine = give_new(f, h->seq, h->data, h->n, give, opaque);
        g_free(h);
        if (!fine) {
            return false;
        }
    }
    return true;
}

bool mig_tcp_flow_put(MigTcpFlow *f, const MigTcpSegment *s, MigTcpGive give, void *opaque)
{
    uint32_t seq = s->seq + (s->syn ? 1 : 0);
    if (!f->started) {
        f->started = true;
        f->next = seq;
    }
    if (s->fin) {
        f->ended = true;
        f->end = seq + (uint32_t)(s->n + s->cut);
    }
    if (f->broken || s->n == 0) {
        f->broken = f->broken || (s->cut && ahead(f, seq) >= 0);
        return true;
    }
    if (ahead(f, seq) > 0) {
        hold(f, seq, s->data, s->n);
        return true;
    }
    if (!give_new(f, seq, s->data, s->n, give, opaque) || !drain(f, give, opaque)) {
        return false;
    }
    /* What was not captured may come again, whole; if not, what follows is held, and shows it. */
    return true;
}

void mig_tcp_flow_end(MigTcpFlow *f)
{
    const Held *h = g_queue_peek_head(&f->held);
    if (h || (f->ended && ahead(f, f->end) > 0)) {
        f->broken = true;
        f->missing = (uint64_t)ahead(f, h ? h->seq : f->end);
    }
}
