/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multifd at the destination, see dest-multifd.h. Mirrors multifd_recv_thread() and
 * multifd_ram_unfill_packet() (migration/multifd.c, 10.0).
 */
#include "sim/engine/dest-multifd.h"

#include <glib.h>
#include <string.h>

#include "stream/multifd-codec.h"

typedef struct Channel {
    MigDecoder *decoder;
    MigMultifdCodec *codec;
    MigRecord record;
    uint64_t *offsets; /* of the record: the decoder's own don't last */
    bool opened;
    uint64_t syncs;
} Channel;

struct MigDestMultifd {
    const MigDestConfig *config;
    const MigDecoder *main;
    GPtrArray *channels;
    uint8_t *payload, *pages; /* of one packet, packed and not */
    uint64_t payload_room;
    uint64_t released; /* sync points of the main channel so far */
    MigDestMultifdCounts counts;
};

static void free_channel(gpointer p)
{
    Channel *c = p;
    mig_decoder_free(c->decoder);
    mig_multifd_codec_free(c->codec);
    g_free(c->offsets);
    g_free(c);
}

MigDestMultifd *mig_dest_multifd_new(const MigDestConfig *config, const MigDecoder *main)
{
    MigDestMultifd *m = g_new0(MigDestMultifd, 1);
    m->config = config;
    m->main = main;
    m->channels = g_ptr_array_new_with_free_func(free_channel);
    m->pages = g_malloc(MIG_MULTIFD_PACKET_BYTES);
    return m;
}

void mig_dest_multifd_free(MigDestMultifd *m)
{
    if (m) {
        g_ptr_array_unref(m->channels);
        g_free(m->payload);
        g_free(m->pages);
        g_free(m);
    }
}

static Channel *channel_of(MigDestMultifd *m, uint32_t number)
{
    while (m->channels->len < number) {
        Channel *c = g_new0(Channel, 1);
        c->decoder = mig_decoder_new_child(m->main, MIG_CHANNEL_MULTIFD);
        c->codec = mig_multifd_decompressor_new();
        c->offsets = g_new(uint64_t, MIG_MULTIFD_PACKET_BYTES / m->config->memory->page_size);
        g_ptr_array_add(m->channels, c);
    }
    return g_ptr_array_index(m->channels, number - 1);
}

static bool refuse(MigDiagnosis *error, uint64_t offset, const char *expected, const char *found)
{
    *error = (MigDiagnosis){ .fault = MIG_FAULT_NONE, .offset = offset };
    g_strlcpy(error->path, "multifd", sizeof(error->path));
    g_strlcpy(error->expected, expected, sizeof(error->expected));
    g_strlcpy(error->found, found, sizeof(error->found));
    return false;
}

static bool on_init(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
{
    const MigRecordMultifdInit *init = &c->record.multifd_init;
    c->opened = true;
    if (m->config->has_uuid && memcmp(init->uuid, m->config->uuid, sizeof(init->uuid)) != 0) {
        return refuse(error, c->record.offset, "this machine's UUID", "another UUID");
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
    uint32_t block = find_block(m, p);
    if (used > p->page_count) {
        return refuse(error, c->record.offset, "as many pages as a packet has room for", "more");
    }
    if (block == UINT32_MAX) {
        return refuse(error, c->record.offset, "a block of this machine", "another name");
    }
    for (uint64_t i = 0; i < used; i++) {
        uint64_t length = memory->ops->block(memory, block)->max_length;
        if (p->offsets[i] % page != 0 || p->offsets[i] >= length) {
            return refuse(error, c->record.offset, "the offset of a page", "another offset");
        }
    }
    return true;
}

static void put_page(MigMemory *memory, uint32_t block, uint64_t page, const uint8_t *bytes)
{
    uint8_t *mapped = memory->ops->map ? memory->ops->map(memory, block, page) : NULL;
    if (mapped) {
        memcpy(mapped, bytes, memory->page_size);
    } else {
        memory->ops->write(memory, block, page, bytes);
    }
}

static void fill_zero_pages(MigDestMultifd *m, const Channel *c)
{
    MigMemory *memory = m->config->memory;
    const MigRecordMultifd *p = &c->record.multifd;
    uint32_t block = find_block(m, p);
    for (uint32_t i = 0; i < p->zero_pages; i++) {
        uint64_t page = p->offsets[p->normal_pages + i] / memory->page_size;
        if (!memory->ops->is_zero(memory, block, page)) {
            memory->ops->fill(memory, block, page, 0);
        }
    }
    m->counts.zero += p->zero_pages;
}

static bool on_packet(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
{
    MigRecordMultifd *p = &c->record.multifd;
    bool holds = p->normal_pages + p->zero_pages > 0;
    if (!c->opened) {
        return refuse(error, c->record.offset, "an initial packet", "a packet");
    }
    if (p->flags & MIG_MULTIFD_FLAG_SYNC) {
        c->syncs++;
        m->counts.syncs++;
    }
    if (!holds) {
        return true;
    }
    if (!check_packet(m, c, error)) {
        return false;
    }
    memcpy(c->offsets, p->offsets, p->page_count * sizeof(*p->offsets));
    p->offsets = c->offsets;
    m->counts.packets++;
    fill_zero_pages(m, c);
    if (c->record.payload > m->payload_room) {
        m->payload_room = c->record.payload;
        m->payload = g_realloc(m->payload, m->payload_room);
    }
    if (c->record.payload > 0) {
        mig_decoder_payload_into(c->decoder, m->payload);
    }
    return true;
}

/* A packet's payload is complete. */
static bool apply(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
{
    MigMemory *memory = m->config->memory;
    const MigRecordMultifd *p = &c->record.multifd;
    size_t size = (size_t)p->normal_pages * memory->page_size;
    uint32_t block = find_block(m, p);
    MigCodecStatus status =
        mig_multifd_decompress(c->codec, p->flags, m->payload, c->record.payload, m->pages, size);
    if (status != MIG_CODEC_OK) {
        return refuse(error, c->record.offset, "pages", mig_codec_status_text(status));
    }
    for (uint32_t i = 0; i < p->normal_pages; i++) {
        put_page(memory, block, p->offsets[i] / memory->page_size,
                 m->pages + (size_t)i * memory->page_size);
    }
    m->counts.normal += p->normal_pages;
    return true;
}

static bool handle(MigDestMultifd *m, Channel *c, MigDiagnosis *error)
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

bool mig_dest_multifd_feed(MigDestMultifd *m, uint32_t channel, const void *data, size_t n,
                           MigDiagnosis *error)
{
    Channel *c = channel_of(m, channel);
    mig_decoder_feed(c->decoder, data, n);
    for (;;) {
        MigRecord r = { 0 };
        MigStatus status = mig_decoder_next(c->decoder, &r);
        bool fine = true;
        if (status == MIG_STATUS_RECORD) {
            c->record = r;
            fine = handle(m, c, error);
        } else if (status == MIG_STATUS_PAYLOAD) {
            fine = apply(m, c, error);
        } else if (status == MIG_STATUS_BAD) {
            *error = *mig_decoder_diagnosis(c->decoder);
            return false;
        } else {
            return true;
        }
        if (!fine) {
            return false;
        }
    }
}

bool mig_dest_multifd_sync(MigDestMultifd *m, MigDiagnosis *error)
{
    m->released++;
    for (guint i = 0; i < m->channels->len; i++) {
        const Channel *c = g_ptr_array_index(m->channels, i);
        if (c->syncs < m->released) {
            return refuse(error, 0, "a SYNC on every channel before the main one's sync point",
                          "a channel without it");
        }
    }
    return m->channels->len > 0 ||
           refuse(error, 0, "multifd channels before the first sync point", "none");
}

bool mig_dest_multifd_ahead(const MigDestMultifd *m, uint32_t channel)
{
    const Channel *c =
        channel <= m->channels->len ? g_ptr_array_index(m->channels, channel - 1) : NULL;
    return c && c->syncs > m->released;
}

const MigDestMultifdCounts *mig_dest_multifd_counts(const MigDestMultifd *m)
{
    return &m->counts;
}
