/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's host pages in postcopy: assembly per channel, placement, the received bitmaps,
 * and requests. Mirrors ram_load_postcopy(), postcopy_place_page() and
 * postcopy_request_page() (migration/ram.c, postcopy-ram.c; 10.0).
 *
 * Model: from ADVISE on every page counts as received unless a DISCARD has named it: what a source
 * will not send again must not be asked for. A host page is placed when the last of its target
 * pages has come; a broken line throws away what is there of it.
 */
#include <string.h>

#include "sim/engine/dest-internal.h"

typedef struct HostPage {
    uint32_t block;
    uint64_t first;
} HostPage;

static int compare_pages(gconstpointer a, gconstpointer b, gpointer unused)
{
    const HostPage *x = a, *y = b;
    (void)unused;
    if (x->block != y->block) {
        return x->block < y->block ? -1 : 1;
    }
    return x->first < y->first ? -1 : x->first > y->first;
}

uint64_t mig_dest_host_pages(const MigDest *d, uint32_t block)
{
    const MigMemory *m = d->config.memory;
    return MAX(m->ops->block(m, block)->host_page / m->page_size, 1u);
}

void mig_dest_received_init(MigDest *d)
{
    const MigMemory *m = d->config.memory;
    uint32_t blocks = m->ops->count(m);
    uint64_t largest = 1;
    d->received = g_new0(MigBitmap *, blocks + 1);
    for (uint32_t i = 0; i < blocks; i++) {
        const MigMemoryBlock *b = m->ops->block(m, i);
        uint64_t pages = MAX(b->used_length, b->max_length) / m->page_size;
        d->received[i] = mig_bitmap_new(pages);
        mig_bitmap_set_range(d->received[i], 0, pages);
        largest = MAX(largest, mig_dest_host_pages(d, i));
    }
    d->main.host = g_malloc(largest * m->page_size);
    d->preempt.host = g_malloc(largest * m->page_size);
    d->outstanding = g_tree_new_full(compare_pages, NULL, g_free, NULL);
}

bool mig_dest_discard(MigDest *d, uint32_t block, uint64_t first, uint64_t count)
{
    MigMemory *m = d->config.memory;
    d->placed.discarded += mig_bitmap_clear_range(d->received[block], first, count);
    if (m->ops->discard) {
        m->ops->discard(m, block, first, count);
        return true;
    }
    for (uint64_t i = 0; i < count; i++) {
        m->ops->fill(m, block, first + i, 0);
    }
    return true;
}

/* Assembly --------------------------------------------------------------------------------- */

/* Memory may let others work on the other lane, and on faults, meanwhile. */
static bool place(MigDest *d, const MigDestLane *lane)
{
    MigMemory *m = d->config.memory;
    if (m->ops->place) {
        MigPlace how =
            m->ops->place(m, lane->block, lane->first, lane->count, lane->zero ? NULL : lane->host);
        if (d->state != MIG_DEST_LOADING) {
            return false; /* the other one has failed */
        }
        d->pumped = lane->decoder;
        return how == MIG_PLACE_DONE ||
               mig_dest_refuse(d, MIG_FAULT_NONE,
                               how == MIG_PLACE_EXISTS ? "a page that is there"
                                                       : "a page that can't be placed",
                               "a page that is missing");
    }
    for (uint64_t i = 0; i < lane->count; i++) {
        if (lane->zero) {
            m->ops->fill(m, lane->block, lane->first + i, 0);
        } else {
            m->ops->write(m, lane->block, lane->first + i, lane->host + i * m->page_size);
        }
    }
    return true;
}

static int64_t now_of(const MigDest *d)
{
    return d->hooks.now ? d->hooks.now(d->hooks.opaque) : d->now;
}

static bool finish_page(MigDest *d, MigDestLane *lane)
{
    HostPage key = { lane->block, lane->first };
    lane->got = 0;
    if (!place(d, lane)) {
        return false;
    }
    mig_bitmap_set_range(d->received[lane->block], lane->first, lane->count);
    *(lane->zero ? &d->placed.zero : &d->placed.copied) += 1;
    d->placed.preempt += lane == &d->preempt ? lane->count : 0;
    g_tree_remove(d->outstanding, &key);
    mig_blocktimes_end(d->blocktimes, lane->block, lane->first, lane->count, now_of(d));
    if (d->hooks.placed) {
        d->hooks.placed(d->hooks.opaque, lane->block, lane->first, lane->count);
    }
    return true;
}

/* Begins a host page, or sees whether |page| belongs to the one under way. */
static bool enter_page(MigDest *d, MigDestLane *lane, uint32_t block, uint64_t page)
{
    uint64_t count = mig_dest_host_pages(d, block), first = page - page % count;
    if (lane->got == 0) {
        lane->block = block;
        lane->first = first;
        lane->count = MIN(count, d->received[block]->bits - first);
        lane->zero = true;
        return page == first || !mig_dest_era(d)->host_page_order ||
               mig_dest_refuse(d, MIG_FAULT_NONE, "one from the middle of it",
                               "the first page of a host page");
    }
    if (block != lane->block || first != lane->first) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "a page of another one",
                               "the rest of a host page (%" G_GUINT64_FORMAT
                               " of %" G_GUINT64_FORMAT " pages came)",
                               lane->got, lane->count);
    }
    return page == first + lane->got || !mig_dest_era(d)->host_page_order ||
           mig_dest_refuse(d, MIG_FAULT_NONE, "another page of it", "the next page in order");
}

static bool one_more(MigDest *d, MigDestLane *lane)
{
    lane->got++;
    return lane->got < lane->count || finish_page(d, lane);
}

bool mig_dest_host_page(MigDest *d, MigDestLane *lane, const MigRecord *r)
{
    MigMemory *m = d->config.memory;
    uint32_t block = 0;
    uint64_t page = 0;
    bool zero = r->type == MIG_REC_RAM_ZERO;
    if (!mig_dest_page_at(d, r, &block, &page) || !enter_page(d, lane, block, page)) {
        return false;
    }
    if (mig_bitmap_test(d->received[block], page)) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "a page that is there",
                               "a page that was discarded");
    }
    uint8_t *at = lane->host + (page - lane->first) * m->page_size;
    lane->record = *r;
    d->counts.zero += zero;
    d->counts.normal += !zero;
    if (zero) {
        memset(at, r->ram.fill, m->page_size);
        lane->zero = lane->zero && r->ram.fill == 0;
        return one_more(d, lane);
    }
    if (r->payload != m->page_size) {
        return mig_dest_refuse(d, MIG_FAULT_NONE, "a page of another size", "%u bytes",
                               m->page_size);
    }
    lane->zero = false;
    mig_decoder_payload_into(lane->decoder, at);
    return true;
}

bool mig_dest_host_page_filled(MigDest *d, MigDestLane *lane)
{
    return one_more(d, lane);
}

void mig_dest_lane_reset(MigDest *d, MigDestLane *lane)
{
    d->placed.dropped += lane->got;
    lane->got = 0;
}

/* Requests --------------------------------------------------------------------------------- */

static void request(MigDest *d, uint32_t block, uint64_t first)
{
    const MigMemory *m = d->config.memory;
    const char *name = m->ops->block(m, block)->name;
    bool named = block != d->asked_block;
    MigRecord r = { .type = MIG_REC_RP };
    r.rp.type = named ? MIG_RP_REQ_PAGES_ID : MIG_RP_REQ_PAGES;
    r.rp.length = (uint16_t)(named ? 13 + strlen(name) : 12);
    r.rp.request.start = first * m->page_size;
    r.rp.request.length = (uint32_t)(mig_dest_host_pages(d, block) * m->page_size);
    r.rp.request.name = named ? mig_str(name) : (MigStr){ 0 };
    d->asked_block = block;
    mig_blocktimes(d->blocktimes)->requests++;
    if (d->config.reply) {
        d->config.reply(d->config.opaque, &r);
    }
}

static bool can_ask(const MigDest *d)
{
    return d->state == MIG_DEST_LOADING && d->status != MIG_STATUS_IS_POSTCOPY_PAUSED &&
           d->status != MIG_STATUS_IS_POSTCOPY_RECOVER;
}

bool mig_dest_fault(MigDest *d, uint32_t block, uint64_t page, uint32_t vcpu)
{
    uint64_t first = page - page % mig_dest_host_pages(d, block);
    if (!mig_dest_listens(d) || mig_bitmap_test(d->received[block], page)) {
        return false;
    }
    HostPage key = { block, first };
    mig_blocktimes_begin(d->blocktimes, block, page, vcpu, now_of(d));
    if (g_tree_lookup(d->outstanding, &key)) {
        mig_blocktimes(d->blocktimes)->repeats++;
    } else {
        HostPage *kept = g_memdup2(&key, sizeof(key));
        g_tree_insert(d->outstanding, kept, kept);
    }
    if (can_ask(d)) {
        request(d, block, first);
    }
    return true;
}

static gboolean ask(gpointer key, gpointer value, gpointer data)
{
    const HostPage *page = key;
    (void)value;
    request(data, page->block, page->first);
    return FALSE;
}

void mig_dest_ask_again(MigDest *d)
{
    d->asked_block = UINT32_MAX;
    g_tree_foreach(d->outstanding, ask, d);
}

/* Questions -------------------------------------------------------------------------------- */

const MigBitmap *mig_dest_received(const MigDest *d, uint32_t block)
{
    return d->received ? d->received[block] : NULL;
}

bool mig_dest_has(const MigDest *d, uint32_t block, uint64_t page)
{
    return !d->received || mig_bitmap_test(d->received[block], page);
}

uint64_t mig_dest_missing(const MigDest *d)
{
    const MigMemory *m = d->config.memory;
    uint64_t missing = 0;
    for (uint32_t i = 0; d->received && i < m->ops->count(m); i++) {
        missing += d->received[i]->bits - d->received[i]->set;
    }
    return missing;
}

const MigPlaced *mig_dest_placed(const MigDest *d)
{
    return &d->placed;
}

const MigBlocktime *mig_dest_blocktime(const MigDest *d)
{
    return mig_blocktimes(d->blocktimes);
}
