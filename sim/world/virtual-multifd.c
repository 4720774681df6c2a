/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multifd in the virtual world. Model: each channel's thread takes a packet, looks for zero pages
 * and compresses (which takes host time, on one of multifd_threads processors), then writes it in
 * one piece; it is idle again when the socket has taken that. Packets go to the next idle channel
 * in turn.
 *
 * Limits: channels share the wire in the order of their writes, and one send buffer as large as
 * theirs together; the receiver has a processor for each.
 */
#include "sim/world/packet.h"
#include "sim/world/virtual-internal.h"
#include "stream/encoder.h"

void mig_virtual_multifd_open(MigVirtual *v, uint32_t channel)
{
    g_assert(channel == v->channel_count + 1);
    v->channels = g_renew(MigVirtualChannel *, v->channels, channel);
    MigVirtualChannel *c = g_new0(MigVirtualChannel, 1);
    c->world = v;
    c->number = channel;
    c->bytes = v->config.sink.bytes ? g_byte_array_new() : NULL;
    v->channels[v->channel_count++] = c;
    v->link.config.send_buffer +=
        v->config.link.send_buffer ? v->config.link.send_buffer : MIG_LINK_SEND_BUFFER;
}

/* Time ------------------------------------------------------------------------------------- */

static void is_written(void *opaque, int64_t at)
{
    MigVirtualChannel *c = opaque;
    (void)at;
    c->busy = false;
    c->world->written += c->size;
}

/* The packet is ready: the write, which may be held by a full socket. */
static void write_packet(void *opaque, int64_t at)
{
    MigVirtualChannel *c = opaque;
    MigVirtual *v = c->world;
    if (v->cut) {
        return; /* it stays busy: the thread has ended */
    }
    int64_t work = (int64_t)(c->work / 1000 / v->channel_count);
    MigLinkWrite w = mig_link_write(&v->link, at, c->size, work);
    if (c->bytes && c->bytes->len > 0) {
        mig_virtual_deliver(v, c->number, c->bytes->data, c->bytes->len, w.arrived);
    }
    c->event = mig_events_add(&v->events, w.accepted, is_written, c);
}

/* Waits for something to happen; false when nothing can any more. */
static bool step(MigVirtual *v)
{
    int64_t next = mig_events_next(&v->events);
    if (v->cut || next == MIG_FOREVER) {
        return false;
    }
    mig_virtual_advance(v, MAX(next, v->config.clock->now), MIG_BY_CUT);
    return true;
}

static MigVirtualChannel *next_idle(MigVirtual *v)
{
    for (uint32_t i = 1; i <= v->channel_count; i++) {
        uint32_t n = (v->channel_last + i) % v->channel_count;
        if (!v->channels[n]->busy) {
            v->channel_last = n;
            return v->channels[n];
        }
    }
    return NULL;
}

int64_t mig_virtual_work_until(MigVirtual *v, int64_t ps, int64_t wanted)
{
    int64_t now = v->config.clock->now;
    uint32_t count = (uint32_t)CLAMP(wanted, 1, MIG_VIRTUAL_PROCESSORS), best = 0;
    for (uint32_t i = 1; i < count; i++) {
        best = v->processors[i] < v->processors[best] ? i : best;
    }
    v->processors[best] = MAX(v->processors[best], now) + ps / 1000;
    return v->processors[best];
}

static void begin(MigVirtual *v, MigVirtualChannel *c, int64_t ps)
{
    c->busy = true;
    int64_t until = mig_virtual_work_until(v, ps, v->config.costs.multifd_threads);
    c->event = mig_events_add(&v->events, until, write_packet, c);
}

/* False: it will never be idle again. */
static bool wait_idle(MigVirtual *v, MigVirtualChannel *c)
{
    while (c->busy && step(v)) {
    }
    return !c->busy && !v->cut;
}

/* Packets ---------------------------------------------------------------------------------- */

static void clear_packet(MigVirtualChannel *c)
{
    if (c->bytes) {
        g_byte_array_set_size(c->bytes, 0);
    }
    c->size = c->work = 0;
}

static void add_record(MigVirtual *v, MigVirtualChannel *c, const MigRecord *r)
{
    size_t n = mig_record_encode(r, v->encoded, MIG_ENCODED_MAX);
    g_assert(n <= MIG_ENCODED_MAX);
    c->size += n;
    if (c->bytes) {
        g_byte_array_append(c->bytes, v->encoded, (guint)n);
    }
}

void mig_virtual_multifd_record(MigVirtual *v, uint32_t channel, const MigRecord *r)
{
    MigVirtualChannel *c = v->channels[channel - 1];
    if (wait_idle(v, c)) {
        clear_packet(c);
        add_record(v, c, r);
        begin(v, c, 0);
    }
}

typedef struct Sorted {
    uint32_t *order;
    uint64_t *offsets; /* bytes; normal ones first, in the order of the queue */
    uint32_t normal, zero;
    int64_t cost; /* ps */
} Sorted;

typedef struct Looking {
    MigMemory *memory;
    const MigPacket *packet;
} Looking;

static bool is_zero(void *opaque, uint32_t i)
{
    const Looking *l = opaque;
    return l->memory->ops->is_zero(l->memory, l->packet->block, l->packet->pages[i]);
}

static Sorted sort_pages(MigVirtual *v, const MigPacket *p)
{
    MigMemory *m = v->config.memory;
    const MigCosts *k = &v->config.costs;
    Sorted s = { .order = g_new(uint32_t, p->count),
                 .offsets = g_new(uint64_t, mig_packet_room(m->page_size)) };
    s.normal = mig_packet_sort(p, is_zero, &(Looking){ m, p }, s.order);
    s.zero = p->count - s.normal;
    s.cost = s.zero * k->zero_page + s.normal * k->normal_page;
    if (p->look) {
        v->looked_normal += s.normal;
        v->looked_zero += s.zero;
    }
    return s;
}

static GByteArray *read_pages(MigVirtual *v, const MigPacket *p, const Sorted *s)
{
    MigMemory *m = v->config.memory;
    GByteArray *all = g_byte_array_sized_new((guint)(s->normal * m->page_size));
    for (uint32_t i = 0; i < s->normal; i++) {
        const uint8_t *page = m->ops->read(m, p->block, p->pages[s->order[i]], v->scratch);
        g_byte_array_append(all, page, m->page_size);
    }
    return all;
}

static GByteArray *compress(MigVirtual *v, MigVirtualChannel *c, const MigPacket *p,
                            GByteArray *all)
{
    uint32_t page = v->config.memory->page_size, count = all->len / page;
    size_t n = 0, cap = mig_multifd_bound(mig_packet_method(p), all->len);
    g_autofree const uint8_t **pages = g_new0(const uint8_t *, count);
    GByteArray *out = g_byte_array_new();
    for (uint32_t i = 0; i < count; i++) {
        pages[i] = all->data + (size_t)i * page;
    }
    if (!c->codec) {
        c->codec = mig_multifd_compressor_new(mig_packet_method(p), p->level);
    }
    g_byte_array_set_size(out, (guint)cap);
    MigCodecStatus status = mig_multifd_compress(c->codec, pages, count, page, out->data, cap, &n);
    g_assert(status == MIG_CODEC_OK);
    g_byte_array_set_size(out, (guint)n);
    g_byte_array_unref(all);
    return out;
}

/* The bytes behind the header; their number alone where nobody wants them uncompressed. */
static GByteArray *payload(MigVirtual *v, MigVirtualChannel *c, const MigPacket *p, Sorted *s,
                           uint64_t *size)
{
    *size = (uint64_t)s->normal * v->config.memory->page_size;
    if (s->normal == 0 || (!c->bytes && !p->flags)) {
        return NULL;
    }
    GByteArray *all = read_pages(v, p, s);
    if (p->flags) {
        bool zlib = p->flags == MIG_MULTIFD_FLAG_ZLIB;
        s->cost += s->normal * (zlib ? v->config.costs.zlib_page : v->config.costs.zstd_page);
        all = compress(v, c, p, all);
        *size = all->len;
    }
    return all;
}

static void send_packet(MigVirtual *v, MigVirtualChannel *c, const MigPacket *p, Sorted *s)
{
    MigMemory *m = v->config.memory;
    MigRecord r = mig_packet_record(p, v->packets++, m->page_size, s->offsets);
    uint64_t size = 0;
    clear_packet(c);
    GByteArray *pages = payload(v, c, p, s, &size);
    mig_packet_fill(&r, p, m->ops->block(m, p->block)->name, m->page_size, s->order, s->normal,
                    s->offsets);
    mig_packet_payload(&r, size);
    add_record(v, c, &r);
    c->size += r.payload;
    if (c->bytes && pages) {
        g_byte_array_append(c->bytes, pages->data, pages->len);
    }
    g_clear_pointer(&pages, g_byte_array_unref);
    c->work = (uint64_t)(s->normal * v->config.receiver.receive_page +
                         s->zero * v->config.receiver.receive_zero);
}

/*
 * mapped-ram: the pages are in the file at once, which nobody reads before its end; only the time
 * that they take is the channel's.
 */
static void place_pages(MigVirtual *v, MigVirtualChannel *c, const MigPacket *p, Sorted *s)
{
    MigMemory *m = v->config.memory;
    clear_packet(c);
    for (uint32_t i = 0; i < p->count; i++) {
        uint64_t page = p->pages[s->order[i]];
        bool normal = i < s->normal;
        mig_mapped_mark(p->mapped, page, normal);
        if (normal && v->bytes) {
            mig_virtual_put_at(v, p->mapped->pages_at + page * m->page_size,
                               m->ops->read(m, p->block, page, v->scratch), m->page_size);
        }
    }
    c->size = (uint64_t)s->normal * m->page_size;
}

void mig_virtual_multifd_send(MigVirtual *v, const MigOp *op)
{
    MigVirtualChannel *c;
    while (!(c = next_idle(v)) && step(v)) {
    }
    if (c && !v->cut) {
        Sorted s = sort_pages(v, &op->packet);
        (op->packet.mapped ? place_pages : send_packet)(v, c, &op->packet, &s);
        begin(v, c, s.cost);
        g_free(s.offsets);
        g_free(s.order);
    }
}

void mig_virtual_multifd_sync(MigVirtual *v, const MigOp *op)
{
    uint32_t page = v->config.memory->page_size;
    g_autofree uint64_t *none = g_new(uint64_t, mig_packet_room(page));
    for (uint32_t i = 0; i < v->channel_count; i++) {
        MigVirtualChannel *c = v->channels[i];
        if (!wait_idle(v, c) || op->packet.mapped) {
            continue;
        }
        MigRecord r = mig_packet_record(&op->packet, v->packets++, page, none);
        r.multifd.flags = MIG_MULTIFD_FLAG_SYNC;
        clear_packet(c);
        add_record(v, c, &r);
        begin(v, c, 0);
    }
    for (uint32_t i = 0; i < v->channel_count; i++) {
        wait_idle(v, v->channels[i]);
    }
}

/* End -------------------------------------------------------------------------------------- */

void mig_virtual_multifd_close(MigVirtual *v)
{
    for (uint32_t i = 0; i < v->channel_count; i++) {
        MigVirtualChannel *c = v->channels[i];
        if (c->busy) {
            mig_events_cancel(&v->events, c->event);
            c->busy = false;
        }
        if (v->config.sink.end) {
            v->config.sink.end(v->config.sink.opaque, c->number);
        }
    }
}

void mig_virtual_multifd_free(MigVirtual *v)
{
    for (uint32_t i = 0; i < v->channel_count; i++) {
        mig_multifd_codec_free(v->channels[i]->codec);
        g_clear_pointer(&v->channels[i]->bytes, g_byte_array_unref);
        g_free(v->channels[i]);
    }
    g_free(v->channels);
}
