/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multifd of the plain simulator (reference.h): packets of at most 128 pages of one block, channels
 * that compress and write one packet at a time. It runs zlib and zstd by itself.
 */
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/unit/reference-internal.h"

#define ROOM   128u             /* pages */
#define PACKET (320 + 8 * ROOM) /* bytes, without its pages */

typedef struct Channel {
    bool busy;
    uint64_t size, work; /* of the packet, bytes; ps of the receiver's */
    z_stream zlib;
    ZSTD_CCtx *zstd;
} Channel;

struct ReferenceMultifd {
    Channel *channels;
    uint64_t count, last; /* channels; the last one that was given pages */
    ReferencePage *pages[ROOM];
    uint64_t waiting; /* pages */
};

/* Channels ------------------------------------------------------------------------------------ */

static void is_written(Sim *m, uint64_t number)
{
    Channel *c = &m->multifd->channels[number];
    c->busy = false;
    m->beside += c->size;
}

static void write_packet(Sim *m, uint64_t number)
{
    Channel *c = &m->multifd->channels[number];
    int64_t work = (int64_t)(c->work / 1000 / m->multifd->count);
    ReferenceWrite w = reference_link_write(&m->link, m->now, c->size, work);
    reference_later(m, w.accepted, is_written, number);
}

static void begin(Sim *m, Channel *c, int64_t ps)
{
    c->busy = true;
    reference_later(m, reference_work(m, ps, m->s->host.multifd_threads), write_packet,
                    (uint64_t)(c - m->multifd->channels));
}

static void send_without_pages(Sim *m, Channel *c, uint64_t size)
{
    while (c->busy) {
        reference_pass(m, MAX(reference_next(m), m->now));
    }
    c->size = size;
    c->work = 0;
    begin(m, c, 0);
}

void reference_multifd_open(Sim *m)
{
    ReferenceMultifd *x = m->multifd = g_new0(ReferenceMultifd, 1);
    x->channels = g_new0(Channel, m->p->multifd_channels);
    for (uint64_t i = 0; i < m->p->multifd_channels; i++) {
        deflateInit(&x->channels[i].zlib, (int)m->p->multifd_zlib_level);
        x->channels[i].zstd = ZSTD_createCCtx();
        ZSTD_CCtx_setParameter(x->channels[i].zstd, ZSTD_c_compressionLevel,
                               (int)m->p->multifd_zstd_level);
    }
    while (x->count < m->p->multifd_channels && !reference_over(m)) {
        reference_pass(m, m->now + m->s->host.connect + 2 * m->s->link.latency);
        m->link.c.send_buffer += m->s->link.send_buffer ? m->s->link.send_buffer : 4u << 20;
        x->count++;
        if (!HAS(MAPPED_RAM) && !reference_over(m)) {
            send_without_pages(m, &x->channels[x->count - 1], 64);
        }
    }
}

void reference_multifd_close(Sim *m)
{
    for (uint64_t i = 0; i < m->p->multifd_channels; i++) {
        deflateEnd(&m->multifd->channels[i].zlib);
        ZSTD_freeCCtx(m->multifd->channels[i].zstd);
    }
    g_free(m->multifd->channels);
    g_free(m->multifd);
}

/* Packets ------------------------------------------------------------------------------------- */

/* Bytes that the page makes; those that |last| has the codec give back at last go with it. */
static uint64_t compressed(Sim *m, Channel *c, const ReferencePage *p, bool last)
{
    static uint8_t out[1 << 20];
    uint8_t page[PAGE];
    reference_guest_read(&m->guest, (uint64_t)(p - m->guest.pages), page);
    if (m->p->multifd_compression == MIG_MULTIFD_COMPRESSION_ZLIB) {
        c->zlib.next_in = page;
        c->zlib.avail_in = PAGE;
        c->zlib.next_out = out;
        c->zlib.avail_out = sizeof(out);
        deflate(&c->zlib, last ? Z_SYNC_FLUSH : Z_NO_FLUSH);
        return sizeof(out) - c->zlib.avail_out;
    }
    ZSTD_inBuffer in = { page, PAGE, 0 };
    ZSTD_outBuffer to = { out, sizeof(out), 0 };
    while (ZSTD_compressStream2(c->zstd, &to, &in, last ? ZSTD_e_flush : ZSTD_e_continue) && last) {
    }
    return to.pos;
}

/* The next one in turn; when none is idle, it waits. */
static Channel *idle_channel(Sim *m)
{
    ReferenceMultifd *x = m->multifd;
    uint64_t next = (x->last + 1) % x->count;
    for (uint64_t tried = 1; x->channels[next].busy; tried++) {
        next = (next + 1) % x->count;
        if (tried % x->count == 0) {
            reference_pass(m, MAX(reference_next(m), m->now));
        }
    }
    return &x->channels[x->last = next];
}

/* The pages that wait, looked at now. */
static bool hand_over(Sim *m)
{
    ReferenceMultifd *x = m->multifd;
    const MigCosts *h = &m->s->host, *rc = &m->s->destination_host;
    bool looks = m->p->zero_page_detection == MIG_ZERO_MULTIFD;
    bool packs = m->p->multifd_compression != MIG_MULTIFD_COMPRESSION_NONE && !HAS(MAPPED_RAM);
    int64_t each =
        m->p->multifd_compression == MIG_MULTIFD_COMPRESSION_ZLIB ? h->zlib_page : h->zstd_page;
    uint64_t normal = 0;
    if (reference_over(m)) {
        return false;
    }
    Channel *c = idle_channel(m);
    *c = (Channel){ .zlib = c->zlib, .zstd = c->zstd, .size = HAS(MAPPED_RAM) ? 0 : PACKET };
    reference_guest_at(&m->guest, m->now);
    ReferencePage *pages[ROOM], *last = NULL;
    for (uint64_t i = 0; i < x->waiting; i++) {
        last = looks && x->pages[i]->zero ? last : (pages[normal++] = x->pages[i]);
    }
    for (uint64_t i = 0; i < normal; i++) {
        c->size += packs ? compressed(m, c, pages[i], pages[i] == last) : PAGE;
    }
    uint64_t zero = x->waiting - normal;
    int64_t ps = (int64_t)zero * h->zero_page + (int64_t)normal * h->normal_page;
    c->work = normal * (uint64_t)rc->receive_page + zero * (uint64_t)rc->receive_zero;
    c->work = HAS(MAPPED_RAM) ? 0 : c->work;
    begin(m, c, ps + (packs ? (int64_t)normal * each : 0));
    m->r->normal += looks ? normal : 0;
    m->r->duplicate += looks ? zero : 0;
    m->handed += PACKET + x->waiting * PAGE;
    m->ram_bytes += PACKET + x->waiting * PAGE;
    x->waiting = 0;
    return true;
}

bool reference_multifd_make_room(Sim *m, uint64_t block)
{
    const ReferenceMultifd *x = m->multifd;
    bool must = x->waiting == ROOM || (x->waiting > 0 && x->pages[0]->block != block);
    return !must || hand_over(m);
}

bool reference_multifd_queue(Sim *m, ReferencePage *p)
{
    ReferenceMultifd *x = m->multifd;
    reference_price(m, m->s->host.multifd_queue);
    x->pages[x->waiting++] = p;
    return x->waiting < ROOM || m->v >= V(9, 0) || hand_over(m);
}

/* What waits goes, then a packet without pages on every channel, and all of them are waited for. */
bool reference_multifd_sync(Sim *m)
{
    ReferenceMultifd *x = m->multifd;
    if ((x->waiting > 0 && !hand_over(m)) || reference_over(m)) {
        return false;
    }
    for (uint64_t i = 0; i < x->count && !HAS(MAPPED_RAM); i++) {
        send_without_pages(m, &x->channels[i], PACKET);
    }
    for (uint64_t i = 0; i < x->count; i++) {
        while (x->channels[i].busy) {
            reference_pass(m, MAX(reference_next(m), m->now));
        }
    }
    m->handed += PACKET * x->count;
    m->ram_bytes += PACKET * x->count;
    if (m->v < V(8, 1) || HAS(MAPPED_RAM)) {
        return true;
    }
    if (!reference_over(m)) {
        reference_put(m, 8); /* the mark on the main channel */
        reference_flush(m);
    }
    return !m->r->limit;
}
