/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A multifd channel: one initial packet, then packets of a fixed header and the pages that it
 * counts, as multifd_recv_thread() reads them.
 *
 * The header always has room for the offsets of 512 KiB worth of pages. Whatever stands in it
 * behind the counted offsets, and the name and size of a packet without pages, may be left over
 * from earlier packets; it is decoded as it stands and encoded back.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream/decoder-internal.h"

static MigStep parse_packet(MigDecoder *d, MigCursor *c, MigRecord *r);

static MigStep check_magic(MigDecoder *d, uint32_t magic, uint32_t version)
{
    char found[32];

    if (magic != MIG_MULTIFD_MAGIC) {
        snprintf(found, sizeof(found), "%08" PRIx32, magic);
        return mig_decoder_fail(d, 0, MIG_FAULT_MULTIFD_MAGIC, found, "%08x", MIG_MULTIFD_MAGIC);
    }
    if (version != MIG_MULTIFD_VERSION) {
        snprintf(found, sizeof(found), "%" PRIu32, version);
        return mig_decoder_fail(d, 4, MIG_FAULT_MULTIFD_VERSION, found, "version %u",
                                MIG_MULTIFD_VERSION);
    }
    return MIG_STEP_RECORD;
}

MigStep mig_parse_multifd_init(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    MigRecordMultifdInit init = { 0 };

    mig_decoder_label(d, "init", MIG_NO_INDEX);
    init.magic = mig_take_be32(c);
    init.version = mig_take_be32(c);
    const uint8_t *uuid = mig_take(c, sizeof(init.uuid));
    init.id = mig_take_u8(c);
    const uint8_t *unused = mig_take(c, sizeof(init.unused));
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (check_magic(d, init.magic, init.version) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    memcpy(init.uuid, uuid, sizeof(init.uuid));
    memcpy(init.unused, unused, sizeof(init.unused));
    *r = (MigRecord){ .type = MIG_REC_MULTIFD_INIT, .multifd_init = init };
    d->parse = parse_packet;
    return MIG_STEP_RECORD;
}

static MigStep bad_count(MigDecoder *d, size_t at, const char *what, uint32_t n, uint32_t limit)
{
    char found[48];
    snprintf(found, sizeof(found), "%" PRIu32 " %s", n, what);
    return mig_decoder_fail(d, at, MIG_FAULT_MULTIFD_COUNT, found, "at most %" PRIu32, limit);
}

static MigStep check_counts(MigDecoder *d, const MigRecordMultifd *m)
{
    if (m->pages_alloc > m->page_count) {
        return bad_count(d, 12, "pages allocated", m->pages_alloc, m->page_count);
    }
    if (m->normal_pages > m->pages_alloc) {
        return bad_count(d, 16, "normal pages", m->normal_pages, m->pages_alloc);
    }
    if (m->zero_pages > m->pages_alloc - m->normal_pages) {
        return bad_count(d, 32, "zero pages", m->zero_pages, m->pages_alloc - m->normal_pages);
    }
    if (m->normal_pages + m->zero_pages > 0 && !memchr(m->name, 0, sizeof(m->name))) {
        return mig_decoder_fail(d, 64, MIG_FAULT_MULTIFD_NAME, "256 bytes without NUL",
                                "a block name that ends with NUL");
    }
    if (m->next_packet_size > MIG_LIMIT_MULTIFD_PAYLOAD && m->normal_pages) {
        return bad_count(d, 20, "bytes of payload", m->next_packet_size, MIG_LIMIT_MULTIFD_PAYLOAD);
    }
    return MIG_STEP_RECORD;
}

static void take_counts(MigCursor *c, MigRecordMultifd *m)
{
    m->pages_alloc = mig_take_be32(c);
    m->normal_pages = mig_take_be32(c);
    m->next_packet_size = mig_take_be32(c);
    m->packet_num = mig_take_be64(c);
    m->zero_pages = mig_take_be32(c);
    m->unused32 = mig_take_be32(c);
    for (int i = 0; i < 3; i++) {
        m->unused64[i] = mig_take_be64(c);
    }
}

static MigStep take_arrays(MigDecoder *d, MigCursor *c, MigRecordMultifd *m)
{
    const uint8_t *name = mig_take(c, sizeof(m->name));
    if (c->came_short || c->n - c->at < 8u * (size_t)m->page_count) {
        c->came_short = true;
        return MIG_STEP_MORE;
    }
    uint64_t *offsets = mig_decoder_words(d, m->page_count);
    if (!offsets) {
        return mig_decoder_fail(d, 0, MIG_FAULT_MULTIFD_COUNT, "memory exhausted",
                                "memory for the offsets");
    }
    memcpy(m->name, name, sizeof(m->name));
    for (uint32_t i = 0; i < m->page_count; i++) {
        offsets[i] = mig_take_be64(c);
    }
    m->offsets = offsets;
    return MIG_STEP_RECORD;
}

static uint64_t packet_payload(const MigDecoder *d, const MigRecordMultifd *m)
{
    if (m->normal_pages == 0) {
        return 0;
    }
    /* The announced size of uncompressed pages is not what receivers go by. */
    return m->flags & MIG_MULTIFD_FLAG_COMPRESSION
               ? m->next_packet_size
               : (uint64_t)m->normal_pages * d->shared->page_size;
}

static MigStep parse_pages(MigDecoder *d, MigCursor *c, MigRecord *r, MigRecordMultifd *m)
{
    m->page_count = MIG_MULTIFD_PACKET_BYTES / d->shared->page_size;
    take_counts(c, m);
    MigStep step = take_arrays(d, c, m);
    if (step != MIG_STEP_RECORD) {
        return step;
    }
    if (check_counts(d, m) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    *r = (MigRecord){ .type = MIG_REC_MULTIFD_PACKET,
                      .payload = packet_payload(d, m),
                      .multifd = *m };
    return MIG_STEP_RECORD;
}

static MigStep parse_device(MigDecoder *d, MigCursor *c, MigRecord *r, const MigRecordMultifd *m)
{
    char found[48];
    MigRecordMultifdDevice dev = { m->magic, m->version, m->flags };
    const uint8_t *idstr = mig_take(c, sizeof(dev.idstr));

    dev.instance = mig_take_be32(c);
    dev.next_packet_size = mig_take_be32(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    memcpy(dev.idstr, idstr, sizeof(dev.idstr));
    if (!memchr(dev.idstr, 0, sizeof(dev.idstr))) {
        return mig_decoder_fail(d, 12, MIG_FAULT_MULTIFD_NAME, "256 bytes without NUL",
                                "a device name that ends with NUL");
    }
    if (m->flags != MIG_MULTIFD_FLAG_DEVICE_STATE) {
        snprintf(found, sizeof(found), "flags 0x%" PRIx32, m->flags);
        return mig_decoder_fail(d, 8, MIG_FAULT_MULTIFD_FLAGS, found, "device state alone: 0x40");
    }
    if (dev.next_packet_size == 0 || dev.next_packet_size > MIG_LIMIT_DEVICE_STATE) {
        snprintf(found, sizeof(found), "%" PRIu32 " bytes", dev.next_packet_size);
        return mig_decoder_fail(d, 272, MIG_FAULT_MULTIFD_SIZE, found, "1 to %u bytes",
                                MIG_LIMIT_DEVICE_STATE);
    }
    *r = (MigRecord){ .type = MIG_REC_MULTIFD_DEVICE,
                      .payload = dev.next_packet_size,
                      .multifd_device = dev };
    return MIG_STEP_RECORD;
}

static MigStep parse_packet(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    MigRecordMultifd m = { 0 };

    if (c->n == 0 && d->eof) {
        return MIG_STEP_END;
    }
    mig_decoder_label(d, "packet", d->messages);
    m.magic = mig_take_be32(c);
    m.version = mig_take_be32(c);
    m.flags = mig_take_be32(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (check_magic(d, m.magic, m.version) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    MigStep step = m.flags & MIG_MULTIFD_FLAG_DEVICE_STATE ? parse_device(d, c, r, &m)
                                                           : parse_pages(d, c, r, &m);
    d->messages += step == MIG_STEP_RECORD;
    return step;
}
