/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multifd at the destination, see dest-multifd.h. Mirrors multifd_recv_thread() and
 * multifd_ram_unfill_packet() (migration/multifd.c, 10.0).
 *
 * Model. Headers are collected in a buffer and decoded there. Uncompressed pages go where they
 * belong, with nothing in between; compressed ones to a buffer first. Channels have nothing in
 * common but counters, which are atomic.
 */
#include "sim/engine/dest-multifd.h"

#include <glib.h>
#include <stdatomic.h>
#include <string.h>

#include "stream/format.h"
#include "stream/multifd-codec.h"

#define INIT_BYTES 64u
#define IDS        256u

typedef struct Counts {
    _Atomic uint64_t packets, syncs, normal, zero, bytes;
} Counts;

typedef struct Channel {
    MigDecoder *decoder;
    MigMultifdCodec *codec;
    MigRecord record;  /* of the packet under way */
    uint64_t *offsets; /* of the record: the decoder's own don't last */
    uint32_t block;    /* likewise */
    bool opened;

    uint8_t *header; /* of the next packet: |got| of |size| bytes are there */
    size_t got, size;
    uint64_t left; /* bytes of the packet's payload that are not there */
    bool placed;   /* the payload goes where it belongs */
    uint8_t *payload;
    uint64_t payload_room;
    uint8_t *pages; /* a packet's, uncompressed; NULL until then */
    Counts counts;
} Channel;

struct MigDestMultifd {
    const MigDestConfig *config;
    GPtrArray *channels;
    atomic_bool ids[IDS];      /* those that initial packets have said */
    _Atomic uint64_t released; /* sync points of the main channel so far */
    MigDestMultifdCounts counts;
};

static void free_channel(gpointer p)
{
    Channel *c = p;
    mig_decoder_free(c->decoder);
    mig_multifd_codec_free(c->codec);
    g_free(c->offsets);
    g_free(c->header);
    g_free(c->payload);
    g_free(c->pages);
    g_free(c);
}

MigDestMultifd *mig_dest_multifd_new(const MigDestConfig *config)
{
    MigDestMultifd *m = g_new0(MigDestMultifd, 1);
    m->config = config;
    m->channels = g_ptr_array_new_with_free_func(free_channel);
    return m;
}

void mig_dest_multifd_free(MigDestMultifd *m)
{
    if (m) {
        g_ptr_array_unref(m->channels);
        g_free(m);
    }
}

static size_t header_bytes(const MigDestMultifd *m)
{
    return MIG_MULTIFD_HEADER + 8 * MIG_MULTIFD_PACKET_BYTES / m->config->memory->page_size;
}

void mig_dest_multifd_open(MigDestMultifd *m, uint32_t count)
{
    uint32_t page = m->config->memory->page_size;
    MigDecoderOptions options = { .channel = MIG_CHANNEL_MULTIFD, .page_size = page };
    while (m->channels->len < count) {
        Channel *c = g_new0(Channel, 1);
        c->decoder = mig_decoder_new(&options);
        g_assert(c->decoder);
        c->codec = mig_multifd_decompressor_new();
        c->offsets = g_new(uint64_t, MIG_MULTIFD_PACKET_BYTES / page);
        c->header = g_malloc(MAX(header_bytes(m), INIT_BYTES));
        c->size = INIT_BYTES;
        g_ptr_array_add(m->channels, c);
    }
}

static Channel *channel_of(const MigDestMultifd *m, uint32_t number)
{
    return number <= m->channels->len ? g_ptr_array_index(m->channels, number - 1) : NULL;
}

static bool refuse(MigDiagnosis *error, uint64_t offset, const char *expected, const char *found)
{
    *error = (MigDiagnosis){ .fault = MIG_FAULT_NONE, .offset = offset };
    g_strlcpy(error->path, "multifd", sizeof(error->path));
    g_strlcpy(error->expected, expected, sizeof(error->expected));
    g_strlcpy(error->found, found, sizeof(error->found));
    return false;
}

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static bool on_init(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
{
    const MigRecordMultifdInit *init = &c->record.multifd_init;
    uint32_t channels = m->config->multifd_channels;
    c->opened = true;
    c->size = header_bytes(m);
    if (m->config->has_uuid && memcmp(init->uuid, m->config->uuid, sizeof(init->uuid)) != 0) {
        return refuse(error, c->record.offset, "this machine's UUID", "another UUID");
    }
    if (channels && init->id >= channels) {
        return refuse(error, c->record.offset, "a channel below multifd-channels", "a higher one");
    }
    if (atomic_exchange(&m->ids[init->id], true)) {
        return refuse(error, c->record.offset, "a channel that nobody else is", "one twice");
    }
    return true;
}

/* The block that a packet names, or UINT32_MAX. */
static uint32_t find_block(const MigDestMultifd *m, const MigRecordMultifd *p)
{
    MigMemory *memory = m->config->memory;
    for (uint32_t i = 0; i < memory->ops->count(memory); i++) {
        if (strncmp(memory->ops->block(memory, i)->name, p->name, sizeof(p->name)) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static bool check_packet(const MigDestMultifd *m, const Channel *c, MigDiagnosis *error)
{
    MigMemory *memory = m->config->memory;
    const MigRecordMultifd *p = &c->record.multifd;
    uint64_t used = (uint64_t)p->normal_pages + p->zero_pages, page = memory->page_size;
    if (used > p->page_count) {
        return refuse(error, c->record.offset, "as many pages as a packet has room for", "more");
    }
    if (c->block == UINT32_MAX) {
        return refuse(error, c->record.offset, "a block of this machine", "another name");
    }
    uint64_t length = memory->ops->block(memory, c->block)->used_length;
    for (uint64_t i = 0; i < used; i++) {
        if (p->offsets[i] % page != 0 || p->offsets[i] >= length) {
            return refuse(error, c->record.offset, "the offset of a page", "another offset");
        }
    }
    return true;
}

static void fill_zero_pages(MigDestMultifd *m, Channel *c)
{
    MigMemory *memory = m->config->memory;
    const MigRecordMultifd *p = &c->record.multifd;
    for (uint32_t i = 0; i < p->zero_pages; i++) {
        uint64_t page = p->offsets[p->normal_pages + i] / memory->page_size;
        if (!memory->ops->is_zero(memory, c->block, page)) {
            memory->ops->fill(memory, c->block, page, 0);
        }
    }
    add(&c->counts.zero, p->zero_pages);
}

static uint8_t *mapped(const MigDestMultifd *m, uint32_t block, uint64_t offset)
{
    MigMemory *memory = m->config->memory;
    return memory->ops->map ? memory->ops->map(memory, block, offset / memory->page_size) : NULL;
}

/* Decides where the payload goes. */
static void expect_payload(MigDestMultifd *m, Channel *c)
{
    const MigRecordMultifd *p = &c->record.multifd;
    c->left = c->record.payload;
    c->placed = c->left > 0 && !(p->flags & MIG_MULTIFD_FLAG_COMPRESSION) &&
                mapped(m, c->block, p->offsets[0]);
    if (!c->placed && c->left > c->payload_room) {
        c->payload_room = c->left;
        c->payload = g_realloc(c->payload, c->payload_room);
    }
}

static bool on_packet(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
{
    MigRecordMultifd *p = &c->record.multifd;
    if (!c->opened) {
        return refuse(error, c->record.offset, "an initial packet", "a packet");
    }
    if (p->normal_pages + p->zero_pages == 0) {
        return true;
    }
    memcpy(c->offsets, p->offsets, p->page_count * sizeof(*p->offsets));
    p->offsets = c->offsets;
    c->block = find_block(m, p);
    if (!check_packet(m, c, error)) {
        return false;
    }
    add(&c->counts.packets, 1);
    fill_zero_pages(m, c);
    expect_payload(m, c);
    return true;
}

static void put_page(MigDestMultifd *m, const Channel *c, uint64_t offset, const uint8_t *bytes)
{
    MigMemory *memory = m->config->memory;
    uint8_t *at = mapped(m, c->block, offset);
    if (at) {
        memcpy(at, bytes, memory->page_size);
    } else {
        memory->ops->write(memory, c->block, offset / memory->page_size, bytes);
    }
}

/* The payload is in its buffer. */
static bool unpack(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
{
    const MigRecordMultifd *p = &c->record.multifd;
    size_t page = m->config->memory->page_size, size = p->normal_pages * page;
    c->pages = c->pages ? c->pages : g_malloc(MIG_MULTIFD_PACKET_BYTES);
    MigCodecStatus status =
        mig_multifd_decompress(c->codec, p->flags, c->payload, c->record.payload, c->pages, size);
    if (status != MIG_CODEC_OK) {
        return refuse(error, c->record.offset, "pages", mig_codec_status_text(status));
    }
    for (uint32_t i = 0; i < p->normal_pages; i++) {
        put_page(m, c, p->offsets[i], c->pages + i * page);
    }
    return true;
}

static bool is_sync(const Channel *c)
{
    return c->record.type == MIG_REC_MULTIFD_PACKET &&
           c->record.multifd.flags & MIG_MULTIFD_FLAG_SYNC;
}

/* Header and payload are there. */
static bool packet_done(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
{
    if (c->record.payload > 0) {
        mig_decoder_skipped(c->decoder, c->record.payload);
        if (!c->placed && !unpack(m, c, error)) {
            return false;
        }
        add(&c->counts.normal, c->record.multifd.normal_pages);
    }
    if (is_sync(c)) {
        atomic_fetch_add(&c->counts.syncs, 1); /* releases what was written to memory */
    }
    return true;
}

static bool on_record(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
{
    switch (c->record.type) {
    case MIG_REC_MULTIFD_INIT:
        return on_init(m, c, error);
    case MIG_REC_MULTIFD_PACKET:
        return on_packet(m, c, error);
    default:
        return refuse(error, c->record.offset, "a packet of pages",
                      mig_record_name(c->record.type));
    }
}

/* |n| more bytes of a header. */
static bool take_header(MigDestMultifd *m, Channel *c, size_t n, MigDiagnosis *error)
{
    MigRecord r = { 0 };
    mig_decoder_feed(c->decoder, c->header + c->got, n);
    c->got += n;
    MigStatus status = mig_decoder_next(c->decoder, &r);
    if (status == MIG_STATUS_BAD) {
        *error = *mig_decoder_diagnosis(c->decoder);
        return false;
    }
    if (status != MIG_STATUS_RECORD) {
        return true;
    }
    c->record = r;
    c->got = 0;
    if (!on_record(m, c, error)) {
        return false;
    }
    mig_decoder_next(c->decoder, &r); /* it has nothing more: what follows are pages, or a header */
    return c->left > 0 || packet_done(m, c, error);
}

static bool take(MigDestMultifd *m, Channel *c, size_t n, MigDiagnosis *error)
{
    add(&c->counts.bytes, n);
    while (n > 0) {
        size_t part = MIN(n, c->left > 0 ? c->left : c->size - c->got);
        if (c->left > 0) {
            c->left -= part;
            if (c->left == 0 && !packet_done(m, c, error)) {
                return false;
            }
        } else if (!take_header(m, c, part, error)) {
            return false;
        }
        n -= part;
    }
    return true;
}

/* The rest of pages that go where they belong; returns the number of places. */
static int want_pages(const MigDestMultifd *m, const Channel *c, MigSpan *v, int max)
{
    const MigRecordMultifd *p = &c->record.multifd;
    uint64_t page = m->config->memory->page_size, done = c->record.payload - c->left;
    int count = 0;
    for (uint64_t i = done / page, inside = done % page; i < p->normal_pages; i++, inside = 0) {
        uint8_t *at = mapped(m, c->block, p->offsets[i]) + inside;
        MigSpan *last = count ? &v[count - 1] : NULL;
        if (last && (uint8_t *)last->at + last->n == at) {
            last->n += page - inside;
        } else if (count < max) {
            v[count++] = (MigSpan){ at, page - inside };
        } else {
            break;
        }
    }
    return count;
}

static uint64_t total(const MigSpan *v, int count)
{
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        bytes += v[i].n;
    }
    return bytes;
}

static int want(const MigDestMultifd *m, const Channel *c, MigSpan *v, int max)
{
    int count = 0;
    if (c->left > 0 && c->placed) {
        count = want_pages(m, c, v, max - 1);
    } else if (c->left > 0) {
        v[count++] = (MigSpan){ c->payload + c->record.payload - c->left, c->left };
    }
    /* The next header, too, unless a sync point lies before it. */
    if (total(v, count) == c->left && !(c->left > 0 && is_sync(c))) {
        v[count++] = (MigSpan){ c->header + c->got, c->size - c->got };
    }
    return count;
}

int mig_dest_multifd_want(MigDestMultifd *m, uint32_t channel, MigSpan *v, int max)
{
    const Channel *c = channel_of(m, channel);
    g_assert(c && max >= 2);
    return mig_dest_multifd_ahead(m, channel) ? 0 : want(m, c, v, max);
}

bool mig_dest_multifd_filled(MigDestMultifd *m, uint32_t channel, size_t n, MigDiagnosis *error)
{
    return take(m, channel_of(m, channel), n, error);
}

/* Copies to where it is wanted; returns how much that was. */
static size_t scatter(const MigSpan *v, int count, const uint8_t *data, size_t n)
{
    size_t done = 0;
    for (int i = 0; i < count && done < n; i++) {
        size_t part = MIN(v[i].n, n - done);
        memcpy(v[i].at, data + done, part);
        done += part;
    }
    return done;
}

bool mig_dest_multifd_feed(MigDestMultifd *m, uint32_t channel, const void *data, size_t n,
                           MigDiagnosis *error)
{
    MigSpan v[64];
    mig_dest_multifd_open(m, channel);
    Channel *c = channel_of(m, channel);
    for (size_t done = 0; done < n;) {
        int count = want(m, c, v, G_N_ELEMENTS(v));
        size_t part = scatter(v, count, (const uint8_t *)data + done, n - done);
        if (!take(m, c, part, error)) {
            return false;
        }
        done += part;
    }
    return true;
}

bool mig_dest_multifd_may_end(const MigDestMultifd *m, uint32_t channel)
{
    const Channel *c = channel_of(m, channel);
    return c && c->left == 0 && c->got == 0;
}

bool mig_dest_multifd_ready(const MigDestMultifd *m)
{
    for (uint32_t i = 1; i <= m->channels->len; i++) {
        if (!mig_dest_multifd_ahead(m, i)) {
            return false;
        }
    }
    return m->channels->len > 0;
}

bool mig_dest_multifd_sync(MigDestMultifd *m, MigDiagnosis *error)
{
    bool ready = mig_dest_multifd_ready(m);
    atomic_fetch_add(&m->released, 1);
    if (m->channels->len == 0) {
        return refuse(error, 0, "multifd channels before the first sync point", "none");
    }
    return ready || refuse(error, 0, "a SYNC on every channel before the main one's sync point",
                           "a channel without it");
}

bool mig_dest_multifd_ahead(const MigDestMultifd *m, uint32_t channel)
{
    const Channel *c = channel_of(m, channel);
    return c && atomic_load(&c->counts.syncs) > atomic_load(&m->released);
}

const MigDestMultifdCounts *mig_dest_multifd_counts(MigDestMultifd *m)
{
    m->counts = (MigDestMultifdCounts){ 0 };
    for (guint i = 0; i < m->channels->len; i++) {
        Channel *c = g_ptr_array_index(m->channels, i);
        m->counts.packets += atomic_load(&c->counts.packets);
        m->counts.syncs += atomic_load(&c->counts.syncs);
        m->counts.normal += atomic_load(&c->counts.normal);
        m->counts.zero += atomic_load(&c->counts.zero);
        m->counts.bytes += atomic_load(&c->counts.bytes);
    }
    return &m->counts;
}
