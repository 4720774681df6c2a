/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that come packed: as differences from what the page holds, or as zlib streams. Their bytes
 * are gathered first and unpacked when they are complete.
 *
 * Limits: they are unpacked here, not in threads of their own (decompress-threads changes nothing).
 */
#include "sim/engine/dest-internal.h"

#include <string.h>

#include "stream/xbzrle.h"

bool mig_dest_on_xbzrle(MigDest *d, const MigRecord *r)
{
    if (mig_dest_listens(d)) {
        return mig_dest_on_unsupported(d, r);
    }
    uint32_t block = 0;
    uint64_t page = 0;
    if (!mig_dest_page_at(d, r, &block, &page)) {
        return false;
    }
    d->counts.xbzrle++;
    g_free(d->body);
    d->body = g_malloc(r->payload + 1);
    mig_decoder_payload_into(d->decoder, d->body);
    return true;
}

/* The page of the record at hand as it is now: where it is, or a copy for put_page(). */
static uint8_t *take_page(MigDest *d)
{
    const MigRecord *r = &d->record;
    MigMemory *m = d->config.memory;
    uint32_t block = g_array_index(d->blocks, MigDestBlock, r->ram.block).memory;
    uint64_t number = r->ram.offset / m->page_size;
    uint8_t *mapped = m->ops->map ? m->ops->map(m, block, number) : NULL;
    if (!mapped) {
        memmove(d->page, m->ops->read(m, block, number, d->page), m->page_size);
    }
    return mapped ? mapped : d->page;
}

static void put_page(MigDest *d, const uint8_t *page)
{
    const MigRecord *r = &d->record;
    MigMemory *m = d->config.memory;
    if (page == d->page) {
        m->ops->write(m, g_array_index(d->blocks, MigDestBlock, r->ram.block).memory,
                      r->ram.offset / m->page_size, page);
    }
}

/* The delta is about what the page holds now. */
bool mig_dest_apply_delta(MigDest *d)
{
    uint8_t *page = take_page(d);
    MigXbzrleFault fault =
        mig_xbzrle_decode(d->body, d->record.payload, page, d->config.memory->page_size, NULL);
    if (fault != MIG_XBZRLE_OK) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, mig_xbzrle_fault_text(fault),
                               "a delta that can be applied");
    }
    put_page(d, page);
    return true;
}

bool mig_dest_on_compressed(MigDest *d, const MigRecord *r)
{
    bool on = d->config.capabilities & MIG_CAP_BIT(MIG_CAP_COMPRESS);
    uint32_t block = 0;
    uint64_t page = 0;
    if (mig_dest_listens(d)) {
        return mig_dest_on_unsupported(d, r);
    }
    if (!on) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "a compressed page",
                               "no compressed pages: capability compress is off");
    }
    if (!mig_dest_page_at(d, r, &block, &page)) {
        return false;
    }
    d->counts.compressed++;
    g_free(d->body);
    d->body = g_malloc(r->payload);
    mig_decoder_payload_into(d->decoder, d->body);
    return true;
}

/* What holds less than a page leaves the rest as it is: QEMU accepts that. */
bool mig_dest_decompress(MigDest *d)
{
    uint8_t *page = take_page(d);
    if (!d->codec) {
        d->codec = mig_page_decompressor_new();
        g_assert(d->codec);
    }
    if (mig_page_decompress(d->codec, d->body, d->record.payload, page,
                            d->config.memory->page_size) == SIZE_MAX) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "something else",
                               "zlib data that holds at most one page");
    }
    put_page(d, page);
    return true;
}
