/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's XBZRLE: a page goes out as its difference from the copy in the cache. Mirrors
 * save_xbzrle_page() and ram_save_page() (migration/ram.c, 10.0). Used from the second round on.
 *
 * A page of the cache is sent as it is at that moment: the world copies it.
 */
#include <string.h>

#include "sim/engine/source-internal.h"
#include "stream/xbzrle.h"

void mig_source_xbzrle_resize(MigSource *s)
{
    uint64_t size = s->parameters.xbzrle_cache_size, page = mig_source_page(s);
    if (!mig_source_has(s, MIG_CAP_XBZRLE) || size < page || size == s->xbzrle.cache_size) {
        return;
    }
    if (!s->cache) {
        s->cache = mig_xbzrle_cache_new(size, page);
        g_assert(s->cache);
        s->xbzrle.cache_size = size;
    } else if (mig_xbzrle_cache_resize(s->cache, size, MIG_XBZRLE_CACHE_DROP)) {
        s->xbzrle.cache_size = size;
    }
}

/* Rates of a period in which |pages| pages were looked at (xbzrle_cache_miss_rate and its kin). */
void mig_source_xbzrle_rates(MigSource *s, uint64_t pages)
{
    MigXbzrleStats *x = &s->xbzrle, *then = &s->xbzrle_then;
    if (!s->cache || pages == 0) {
        return;
    }
    uint64_t encoded = x->pages - then->pages, bytes = x->bytes - then->bytes;
    x->cache_miss_rate = (double)(x->cache_miss - then->cache_miss) / (double)pages;
    x->encoding_rate =
        encoded && bytes ? (double)(encoded * mig_source_page(s)) / (double)bytes : 0;
    *then = *x;
}

static uint64_t global_address(const MigSource *s)
{
    return s->blocks[s->position_block].address + s->position_page * mig_source_page(s);
}

static void state_page_sent(MigSource *s)
{
    mig_source_page_sent(s, 1ull << s->position_page % 64, 0, 0);
}

static void state_zero_sent(MigSource *s)
{
    mig_source_page_sent(s, 1ull << s->position_page % 64, UINT64_MAX, 0);
}

static void state_delta_sent(MigSource *s)
{
    s->xbzrle.bytes += s->outcome.queued_bytes - 8; /* QEMU leaves the word out, not a name */
    mig_source_page_sent(s, 1ull << s->position_page % 64, 0, UINT64_MAX);
}

static MigOp *queue_page(MigSource *s)
{
    MigOp *op = mig_source_op(s, MIG_OP_SEND_PAGE);
    op->page.block = s->position_block;
    op->page.page = s->position_page;
    return op;
}

static void send(MigSource *s, MigRecordType type, const void *payload, uint64_t n, MigState next)
{
    bool named = s->last_sent != s->position_block;
    const char *name = s->blocks[s->position_block].info->name;
    MigOp *op = queue_page(s);
    MigRecord *r = &s->queue[s->queue_count - 1].record;
    *r = (MigRecord){ .type = type, .payload = n };
    r->ram.offset = s->position_page * mig_source_page(s);
    r->ram.cont = !named;
    r->ram.block = s->position_block;
    r->ram.name = mig_str(name);
    r->ram.fill = type == MIG_REC_RAM_XBZRLE; /* the header byte of a delta */
    op->page.record = r;                      /* where it lies then, the driver knows */
    op->page.payload = payload;
    s->state = next;
}

static void send_miss(MigSource *s, const uint8_t *now)
{
    const uint8_t *copy = NULL;
    s->xbzrle.cache_miss++;
    if (!s->final) {
        copy = mig_xbzrle_cache_insert(s->cache, global_address(s), now, s->ram.dirty_sync_count);
    }
    send(s, MIG_REC_RAM_PAGE, copy ? copy : now, mig_source_page(s), state_page_sent);
}

static void send_hit(MigSource *s, uint8_t *cached, const uint8_t *now)
{
    uint64_t page = mig_source_page(s);
    if (now != s->page) {
        /* A guest may be writing to it: the delta and the cache must be of the same bytes, which
         * is what XBZRLE.current_buf is for. */
        now = memcpy(s->page, now, page);
    }
    int n = mig_xbzrle_encode(cached, now, page, s->delta, page);
    s->xbzrle.pages++;
    if (n == MIG_XBZRLE_UNCHANGED) {
        queue_page(s);
        s->state = mig_source_page_skipped;
        return;
    }
    if (!s->final) {
        memcpy(cached, now, page);
    }
    if (n == MIG_XBZRLE_OVERFLOW) {
        s->xbzrle.overflow++;
        s->xbzrle.bytes += page;
        send(s, MIG_REC_RAM_PAGE, s->final ? now : cached, page, state_page_sent);
    } else {
        send(s, MIG_REC_RAM_XBZRLE, s->delta, (uint64_t)n, state_delta_sent);
    }
}

void mig_source_xbzrle_page(MigSource *s)
{
    MigMemory *m = s->config.memory;
    uint64_t age = s->ram.dirty_sync_count;
    if (m->ops->is_zero(m, s->position_block, s->position_page)) {
        mig_xbzrle_cache_insert(s->cache, global_address(s), NULL, age);
        send(s, MIG_REC_RAM_ZERO, NULL, 0, state_zero_sent);
        return;
    }
    const uint8_t *now = m->ops->read(m, s->position_block, s->position_page, s->page);
    uint8_t *cached = mig_xbzrle_cache_get(s->cache, global_address(s), age);
    if (cached) {
        send_hit(s, cached, now);
    } else {
        send_miss(s, now);
    }
}
