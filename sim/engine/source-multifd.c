/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's multifd: pages of one block are collected until a packet is full or the block
 * changes; sync points keep two versions of a page apart. Mirrors multifd_queue_page(),
 * multifd_ram_flush_and_sync() (migration/multifd-nocomp.c, 10.0) and multifd_send_sync_main()
 * (migration/multifd.c, 7.2). The channels' threads are the world's.
 *
 * Limit: with zero pages on the main channel, a packet is handed over when any page of another
 * block is met; QEMU waits for one that isn't zero.
 */
#include <string.h>

#include "sim/engine/source-internal.h"

void mig_source_multifd_init(MigSource *s)
{
    if (mig_source_has(s, MIG_CAP_MULTIFD)) {
        s->packet_room = (uint32_t)(MIG_MULTIFD_PACKET_BYTES / mig_source_page(s));
        s->packet = g_new(uint64_t, s->packet_room);
    }
}

bool mig_source_multifd_per_section(const MigSource *s)
{
    return s->packet && !mig_source_era(s)->multifd_flush_record && !mig_source_is_mapped(s);
}

bool mig_source_multifd_per_round(const MigSource *s)
{
    return s->packet && (mig_source_era(s)->multifd_flush_record || mig_source_is_mapped(s));
}

MigPagesHow mig_source_pages_how(const MigSource *s)
{
    uint64_t detection = s->parameters.zero_page_detection;
    if (!s->packet || mig_source_compresses(s)) {
        return detection == MIG_ZERO_NONE ? MIG_PAGES_RAW : MIG_PAGES_LOOK;
    }
    return detection == MIG_ZERO_LEGACY ? MIG_PAGES_QUEUE_NORMAL : MIG_PAGES_QUEUE;
}

/* Channels. */

static void state_channel(MigSource *s)
{
    if (s->channel > s->parameters.multifd_channels) {
        s->state = s->after_flush;
        return;
    }
    mig_source_op(s, MIG_OP_CONNECT)->channel = s->channel;
    if (mig_source_is_mapped(s)) {
        s->channel++;
        return;
    }
    MigRecord *r = mig_source_send(s, MIG_REC_MULTIFD_INIT);
    s->queue[s->queue_count - 1].op.channel = s->channel;
    r->multifd_init.magic = MIG_MULTIFD_MAGIC;
    r->multifd_init.version = MIG_MULTIFD_VERSION;
    r->multifd_init.id = (uint8_t)(s->channel - 1);
    if (s->config.has_uuid) {
        memcpy(r->multifd_init.uuid, s->config.uuid, sizeof(s->config.uuid));
    }
    s->channel++;
}

void mig_source_multifd_connect(MigSource *s, MigState next)
{
    s->channel = 1;
    s->after_flush = next;
    s->state = s->packet ? state_channel : next;
}

/* Packets. */

static uint32_t compression_flag(const MigSource *s)
{
    static const uint32_t flags[] = {
        [MIG_MULTIFD_COMPRESSION_NONE] = 0,
        [MIG_MULTIFD_COMPRESSION_ZLIB] = MIG_MULTIFD_FLAG_ZLIB,
        [MIG_MULTIFD_COMPRESSION_ZSTD] = MIG_MULTIFD_FLAG_ZSTD,
    };
    g_assert(s->parameters.multifd_compression < G_N_ELEMENTS(flags));
    return flags[s->parameters.multifd_compression];
}

static uint64_t header_bytes(const MigSource *s)
{
    return MIG_MULTIFD_HEADER + 8 * (uint64_t)s->packet_room;
}

/* Before 8.1 bytes count when they are handed over, pages at their full size. */
static void count_queued(MigSource *s, uint64_t bytes)
{
    s->multifd_queued += bytes;
    s->ram_bytes += bytes;
}

bool mig_source_multifd_must_send(const MigSource *s, uint32_t block)
{
    bool full = mig_source_era(s)->multifd_send_late && s->packet_count == s->packet_room;
    return s->packet_count > 0 && (full || s->packet_block != block);
}

bool mig_source_multifd_queue(MigSource *s, uint64_t sent, uint64_t zero)
{
    if (mig_source_pages_how(s) == MIG_PAGES_QUEUE_NORMAL) {
        sent &= ~zero;
    }
    for (; sent; sent &= sent - 1) {
        g_assert(s->packet_count < s->packet_room);
        s->packet_block = s->position_block;
        s->packet[s->packet_count++] = s->position_page / 64 * 64 + (unsigned)__builtin_ctzll(sent);
    }
    return s->packet_count == s->packet_room && !mig_source_era(s)->multifd_send_late;
}

static void state_handed_over(MigSource *s)
{
    count_queued(s, header_bytes(s) + s->packet_count * mig_source_page(s));
    s->packet_count = 0;
    s->after_flush(s);
}

void mig_source_multifd_send(MigSource *s, MigState next)
{
    bool zstd = s->parameters.multifd_compression == MIG_MULTIFD_COMPRESSION_ZSTD;
    MigOp *op = mig_source_op(s, MIG_OP_MULTIFD_SEND);
    op->packet = (MigPacket){
        .block = s->packet_block,
        .pages = s->packet,
        .count = s->packet_count,
        .allocated = s->packet_room,
        .mapped = mig_source_is_mapped(s) ? &s->blocks[s->packet_block].mapped : NULL,
        .look = s->parameters.zero_page_detection == MIG_ZERO_MULTIFD,
        .flags = compression_flag(s),
        .level = (int)(zstd ? s->parameters.multifd_zstd_level : s->parameters.multifd_zlib_level),
    };
    s->after_flush = next;
    s->state = state_handed_over;
}

/* Sync points. */

static void state_channels_synced(MigSource *s)
{
    count_queued(s, header_bytes(s) * s->parameters.multifd_channels);
    if (mig_source_multifd_per_round(s) && !mig_source_is_mapped(s)) {
        mig_source_send(s, MIG_REC_RAM_FLUSH)->ram.block = UINT32_MAX;
        mig_source_op(s, MIG_OP_FLUSH);
    }
    s->state = s->after_channels;
}

static void sync_channels(MigSource *s)
{
    MigOp *op = mig_source_op(s, MIG_OP_MULTIFD_SYNC);
    op->packet.mapped = mig_source_is_mapped(s) ? &s->blocks[0].mapped : NULL;
    op->packet.allocated = mig_source_era(s)->multifd_send_late ? 0 : s->packet_room;
    s->state = state_channels_synced;
}

void mig_source_multifd_sync(MigSource *s, MigState next)
{
    s->after_channels = next;
    if (s->packet_count > 0) {
        mig_source_multifd_send(s, sync_channels);
    } else {
        sync_channels(s);
    }
}
